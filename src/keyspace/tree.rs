//! The tree of keys. It handles paths; the rules of operations are in `change`.

use std::mem;
use std::num::NonZeroI64;

use super::children::{ChildIter, Children};
use super::name::NodeName;
use super::path;
use super::{EventNode, NodeRecord, Time, Value, remaining};

/// A file or a directory.
#[derive(Debug)]
pub(super) enum TreeNode {
    File(File),
    // Boxed: there are far more files than directories, and a node takes the size of its largest variant.
    Dir(Box<Dir>),
}

/// A key with a value.
#[derive(Debug)]
pub(super) struct File {
    pub(super) value: Value,
    pub(super) meta: NodeMeta,
}

/// A key with children, in the byte order of their names.
#[derive(Debug)]
pub(super) struct Dir {
    pub(super) meta: NodeMeta,
    pub(super) children: Children<TreeNode>,
}

/// The common part of files and directories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct NodeMeta {
    pub(super) created: u64,
    pub(super) modified: u64,
    // No expiration is in 1970, and a plain `Option<i64>` would take another eight bytes per node.
    expires: Option<NonZeroI64>,
}

impl NodeMeta {
    pub(super) fn new(created: u64, modified: u64, expires: Option<Time>) -> Self {
        Self { created, modified, expires: expires.and_then(NonZeroI64::new) }
    }

    pub(super) fn expires(self) -> Option<Time> {
        self.expires.map(NonZeroI64::get)
    }
}

/// Why a walk down the tree ended before its key, with the path where it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathError<'k> {
    /// The first missing element of the path.
    Missing(&'k [u8]),
    /// A file on the path, where a directory was needed.
    File(&'k [u8]),
}

impl Default for TreeNode {
    /// Returns an empty root.
    fn default() -> Self {
        Self::dir(NodeMeta::default())
    }
}

impl TreeNode {
    pub(super) fn file(value: Value, meta: NodeMeta) -> Self {
        Self::File(File { value, meta })
    }

    pub(super) fn dir(meta: NodeMeta) -> Self {
        Self::Dir(Box::new(Dir { meta, children: Children::default() }))
    }

    pub(super) const fn is_dir(&self) -> bool {
        matches!(self, Self::Dir(_))
    }

    pub(super) const fn meta(&self) -> NodeMeta {
        match self {
            Self::File(file) => file.meta,
            Self::Dir(dir) => dir.meta,
        }
    }

    pub(super) const fn meta_mut(&mut self) -> &mut NodeMeta {
        match self {
            Self::File(file) => &mut file.meta,
            Self::Dir(dir) => &mut dir.meta,
        }
    }

    pub(super) const fn value(&self) -> Option<&Value> {
        match self {
            Self::File(file) => Some(&file.value),
            Self::Dir(_) => None,
        }
    }

    pub(super) const fn children(&self) -> Option<&Children<Self>> {
        match self {
            Self::File(_) => None,
            Self::Dir(dir) => Some(&dir.children),
        }
    }

    /// Returns how an event at `at` shows it.
    pub(super) fn event_node(&self, at: Time) -> EventNode {
        let meta = self.meta();
        EventNode {
            value: self.value().cloned(),
            dir: self.is_dir(),
            expires: meta.expires(),
            ttl: meta.expires().map_or(0, |expires| remaining(at, expires)),
            created: meta.created,
            modified: meta.modified,
        }
    }

    pub(super) fn record(&self) -> NodeRecord {
        let meta = self.meta();
        NodeRecord {
            dir: self.is_dir(),
            value: self.value().cloned(),
            created: meta.created,
            modified: meta.modified,
            expires: meta.expires(),
        }
    }

    /// Finds the node at `key`, relative to this one as the root.
    pub(super) fn find<'k>(&self, key: &'k [u8]) -> Result<&Self, PathError<'k>> {
        let (mut node, mut reached) = (self, &key[..0]);
        for (segment, path) in path::segments(key) {
            let Self::Dir(dir) = node else { return Err(PathError::File(reached)) };
            node = dir.children.get(segment).ok_or(PathError::Missing(path))?;
            reached = path;
        }
        Ok(node)
    }

    /// As [`find`](Self::find), for changing.
    pub(super) fn find_mut<'k>(&mut self, key: &'k [u8]) -> Result<&mut Self, PathError<'k>> {
        let (mut node, mut reached) = (self, &key[..0]);
        for (segment, path) in path::segments(key) {
            let Self::Dir(dir) = node else { return Err(PathError::File(reached)) };
            node = dir.children.get_mut(segment).ok_or(PathError::Missing(path))?;
            reached = path;
        }
        Ok(node)
    }

    /// Returns the directory `key`; missing ones are created with `meta` and passed to `made`. When a file is in
    /// the way, nothing was created: missing directories are always below existing nodes.
    pub(super) fn open<'k>(
        &mut self,
        key: &'k [u8],
        meta: NodeMeta,
        mut made: impl FnMut(&'k [u8]),
    ) -> Result<&mut Dir, PathError<'k>> {
        let Self::Dir(dir) = self else { return Err(PathError::File(key)) };
        let mut dir = dir;
        for (segment, path) in path::segments(key) {
            let node = dir.children.get_or_insert_with(segment, || {
                made(path);
                Self::dir(meta)
            });
            let Self::Dir(next) = node else { return Err(PathError::File(path)) };
            dir = next;
        }
        Ok(dir)
    }

    /// Removes and returns the node at `key` with everything below it, and the createdIndex of its directory; `None`
    /// when it does not exist or is the root.
    pub(super) fn take(&mut self, key: &[u8]) -> Option<(Self, u64)> {
        let (parent, name) = path::split(key)?;
        let Self::Dir(dir) = self.find_mut(parent).ok()? else { return None };
        Some((dir.children.remove(name)?, dir.meta.created))
    }

    /// Iterates over every node below this one, which has the path `key`: parents first, siblings by name.
    pub(super) fn walk(&self, key: &[u8]) -> Walk<'_> {
        let mut path = if path::is_root(key) { vec![] } else { key.to_vec() };
        path.reserve(64);
        let levels = self.children().map(|children| WalkLevel { base: path.len(), rest: children.iter() });
        Walk { path, levels: levels.into_iter().collect() }
    }
}

impl Dir {
    /// Inserts `node` under `name`, which must be free.
    pub(super) fn insert(&mut self, name: &[u8], node: TreeNode) {
        self.children.insert(NodeName::new(name), node);
    }

    /// Inserts `node` under `name`. Returns `Ok(false)` when it replaced a placeholder, a directory without an
    /// index. A node with an index is never replaced.
    pub(super) fn replace(&mut self, name: &[u8], node: TreeNode) -> Result<bool, &'static str> {
        match self.children.get_mut(name) {
            None => {
                self.insert(name, node);
                Ok(true)
            }
            Some(present) if present.meta().created != 0 => Err("a node that occurs twice"),
            Some(present) if node.is_dir() => {
                *present.meta_mut() = node.meta();
                Ok(false)
            }
            Some(_) => Err("a file with nodes below it"),
        }
    }
}

// Dropping a chain of thousands of directories recursively would overflow the stack.
impl Drop for Dir {
    fn drop(&mut self) {
        let mut waiting = vec![];
        let mut children = mem::take(&mut self.children);
        loop {
            children.drain(|node| {
                if let TreeNode::Dir(mut dir) = node {
                    waiting.push(mem::take(&mut dir.children));
                }
            });
            let Some(next) = waiting.pop() else { break };
            children = next;
        }
    }
}

/// See [`TreeNode::walk`].
#[derive(Debug)]
pub(super) struct Walk<'t> {
    path: Vec<u8>,
    levels: Vec<WalkLevel<'t>>,
}

#[derive(Debug)]
struct WalkLevel<'t> {
    /// The length of the directory's path; 0 for the root.
    base: usize,
    rest: ChildIter<'t, TreeNode>,
}

impl<'t> Walk<'t> {
    /// Returns the next node, its depth below the start, and its path, which is valid until the next call.
    pub(super) fn step(&mut self) -> Option<(usize, &[u8], &'t NodeName, &'t TreeNode)> {
        loop {
            let level = self.levels.last_mut()?;
            let Some((name, node)) = level.rest.next() else {
                self.levels.pop();
                continue;
            };
            self.path.truncate(level.base);
            self.path.push(b'/');
            self.path.extend_from_slice(name.as_bytes());
            let depth = self.levels.len();
            if let Some(children) = node.children() {
                self.levels.push(WalkLevel { base: self.path.len(), rest: children.iter() });
            }
            return Some((depth, &self.path, name, node));
        }
    }
}
