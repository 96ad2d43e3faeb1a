//! The responses of etcd's v2 keys API.

use std::fmt;

use serde::Deserialize;

/// The most memory that one response may take.
pub(super) const MAX_RESPONSE_BYTES: usize = if cfg!(test) { 8 << 20 } else { 512 << 20 };

/// A file or a directory of the store.
#[derive(Debug, Default)]
pub struct Node {
    /// Absolute; the root has none.
    pub key: String,
    /// Whether it is a directory.
    pub dir: bool,
    /// A file's text; invalid UTF-8 is replaced by replacement characters.
    pub value: String,
    /// A directory's entries; missing where the store does not list them.
    pub nodes: Option<Nodes>,
    /// The index of the write that created it.
    pub created: u64,
    /// The index of the last write.
    pub modified: u64,
    /// When it expires, as the store wrote it.
    pub expiration: Option<String>,
    /// Seconds left; 0: no expiry.
    pub ttl: i64,
}

impl Node {
    /// Returns this node and everything below it, each with its depth, directories before their entries.
    pub fn walk(&self) -> impl Iterator<Item = (usize, &Self)> {
        let mut open = vec![std::slice::from_ref(self).iter()];
        std::iter::from_fn(move || {
            loop {
                let depth = open.len().checked_sub(1)?;
                match open[depth].next() {
                    Some(node) => {
                        open.extend(node.nodes.as_deref().map(<[Self]>::iter));
                        return Some((depth, node));
                    }
                    None => drop(open.pop()),
                }
            }
        })
    }

    /// Returns the same as `walk`, by value. A directory that has entries comes with an empty list of nodes.
    pub fn into_walk(self) -> impl Iterator<Item = Walked> {
        let mut open = vec![vec![self].into_iter()];
        std::iter::from_fn(move || {
            loop {
                let depth = open.len().checked_sub(1)?;
                let Some(mut node) = open[depth].next() else {
                    open.pop();
                    continue;
                };
                let nodes = node.nodes.as_mut().map(|nodes| std::mem::take(&mut nodes.0)).unwrap_or_default();
                let entries = nodes.len();
                if entries > 0 {
                    open.push(nodes.into_iter());
                }
                return Some(Walked { depth, node, entries });
            }
        })
    }
}

/// A node on the way through a tree.
#[derive(Debug)]
pub struct Walked {
    /// How many directories of the tree lie above it.
    pub depth: usize,
    /// The node, without its entries.
    pub node: Node,
    /// How many entries it has.
    pub entries: usize,
}

/// The entries of a directory. A tree may be thousands of levels deep, so nothing here recurses.
#[derive(Default)]
pub struct Nodes(Vec<Node>);

impl std::ops::Deref for Nodes {
    type Target = [Node];

    fn deref(&self) -> &[Node] {
        &self.0
    }
}

impl Extend<Node> for Nodes {
    fn extend<I: IntoIterator<Item = Node>>(&mut self, nodes: I) {
        self.0.extend(nodes);
    }
}

impl IntoIterator for Nodes {
    type Item = Node;
    type IntoIter = std::vec::IntoIter<Node>;

    fn into_iter(mut self) -> Self::IntoIter {
        std::mem::take(&mut self.0).into_iter()
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        let mut left = std::mem::take(&mut self.0);
        while let Some(mut node) = left.pop() {
            if let Some(mut below) = node.nodes.take() {
                left.append(&mut below.0);
            }
        }
    }
}

impl fmt::Debug for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} nodes", self.0.len())
    }
}

/// The result of a request, or an event of a watch.
#[derive(Debug)]
pub struct Event {
    /// `get`, `set`, `create`, `update`, `compareAndSwap`, `delete`, `compareAndDelete` or `expire`.
    pub action: String,
    /// The node after the event.
    pub node: Node,
    /// The node before the event.
    pub before: Option<Node>,
    /// The store's index at the response.
    pub index: u64,
    /// The id of the responding cluster, if it reports one.
    pub cluster: Option<u64>,
}

/// Returns the message for a response that is larger than the limit.
pub(super) fn too_large() -> String {
    format!("the response takes more than {} MiB of memory", MAX_RESPONSE_BYTES >> 20)
}

/// An error of the v2 keys API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct EtcdError {
    /// The v2 error code, such as 100.
    #[serde(rename = "errorCode")]
    pub code: i64,
    /// What the code means.
    pub message: String,
    /// Usually the key.
    pub cause: String,
    /// The store's index.
    pub index: u64,
}

impl fmt::Display for EtcdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({}) [{}]", self.code, self.message, self.cause, self.index)
    }
}
