//! Builds a keyspace from the nodes and events that a mirror stored.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::children::Children;
use super::expiry::Expiry;
use super::history::{History, MAX_INDEX};
use super::name::NodeName;
use super::tree::{NodeMeta, TreeNode};
use super::{
    DecodeError, DirId, HISTORY_EVENTS, HistoryEntry, Key, Keyspace, NodePlace, NodeRecord, is_key, path,
};

/// Builds a keyspace from nodes and events. The nodes come either with their places or, as an older format has them,
/// with their keys.
#[derive(Debug, Default)]
pub struct Loader {
    root: TreeNode,
    expiry: Expiry,
    /// Directories that are known only from their children so far.
    awaited: usize,
    /// The same for nodes with a place: the content of the directories that are yet to come.
    contents: HashMap<DirId, Children<TreeNode>>,
    /// A node with a place expires; its key is known only when the tree is complete.
    expires: bool,
    newest: u64,
    events: BTreeMap<u64, HistoryEntry>,
}

impl Loader {
    /// Adds the node at `place`; a directory after everything in it. The tree is built from below without looking up
    /// a path, so depth costs nothing.
    ///
    /// # Errors
    /// The name or the node is invalid, or does not fit the earlier ones.
    pub fn child(&mut self, place: NodePlace<'_>, record: NodeRecord) -> Result<(), DecodeError> {
        let NodePlace { parent, name } = place;
        let wrong = |what| DecodeError::Inconsistent { what, key: name.to_vec() };
        if !path::is_segment(name) {
            return Err(wrong("no name"));
        }
        let created = record.created;
        self.newest = self.newest.max(created).max(record.modified);
        self.expires |= record.expires.is_some();
        let mut node = node_of(record).map_err(wrong)?;
        if let TreeNode::Dir(dir) = &mut node
            && let Some(content) = self.contents.remove(&parent.child(created))
        {
            dir.children = content;
        }
        let siblings = self.contents.entry(parent).or_default();
        if siblings.insert(NodeName::new(name), node).is_some() {
            return Err(wrong("a node that occurs twice"));
        }
        Ok(())
    }

    /// Adds the node at `key`. Its parent may follow later; fastest in the byte order of the keys.
    ///
    /// # Errors
    /// The key or the node is invalid, or does not fit the earlier ones.
    pub fn node(&mut self, key: &[u8], record: NodeRecord) -> Result<(), DecodeError> {
        let wrong = |what| DecodeError::Inconsistent { what, key: key.to_vec() };
        if !is_key(key) {
            return Err(wrong("no key"));
        }
        let (parent, name) = path::split(key).ok_or_else(|| wrong("the root as a node"))?;
        let expires = record.expires;
        let newest = record.created.max(record.modified);
        let node = node_of(record).map_err(wrong)?;
        let awaited = &mut self.awaited;
        let opened = self.root.open(parent, NodeMeta::default(), |_| *awaited += 1);
        let dir = opened.map_err(|_| wrong("below a file"))?;
        let new = dir.replace(name, node).map_err(wrong)?;
        self.awaited -= usize::from(!new);
        if expires.is_some() {
            self.expiry.update(&Key::from(key), None, expires);
        }
        self.newest = self.newest.max(newest);
        Ok(())
    }

    /// Adds the slot `index` of the window of past events.
    ///
    /// # Errors
    /// The event has another index.
    pub fn event(&mut self, index: u64, entry: HistoryEntry) -> Result<(), DecodeError> {
        if entry.index().is_some_and(|own| own != index) {
            return Err(inconsistent("an event under an index other than its own"));
        }
        self.events.insert(index, entry);
        // Events that have left the window may still be in the mirror.
        if self.events.len() > HISTORY_EVENTS {
            self.events.pop_first();
        }
        Ok(())
    }

    /// Returns the keyspace at `index`. Its window begins with the oldest slot added, or later if that is too far
    /// back; missing slots belong to no key.
    ///
    /// # Errors
    /// A node has no parent directory, or something is newer than `index`.
    pub fn finish(mut self, index: u64) -> Result<Keyspace, DecodeError> {
        self.join_contents()?;
        if self.awaited > 0 {
            let mut walk = self.root.walk(b"/");
            while let Some((_, key, _, node)) = walk.step() {
                if node.meta().created == 0 {
                    let what = "nodes below it, but it is not there itself";
                    return Err(DecodeError::Inconsistent { what, key: key.to_vec() });
                }
            }
        }
        let last_event = self.events.last_key_value().map_or(0, |(index, _)| *index);
        if self.newest > index || last_event > index {
            return Err(inconsistent("newer than the index of the whole"));
        }
        if index > MAX_INDEX {
            return Err(inconsistent("an impossible index"));
        }
        let window = (index + 1).saturating_sub(HISTORY_EVENTS as u64).max(1);
        let mut events = self.events;
        let oldest = events.first_key_value().map_or(index + 1, |(oldest, _)| (*oldest).max(window));
        let slots: VecDeque<_> =
            (oldest..=index).map(|index| events.remove(&index).unwrap_or(HistoryEntry::NoKey)).collect();
        let history = History::restored(slots, index);
        Ok(Keyspace { root: self.root, history, expiry: self.expiry, ..Keyspace::default() })
    }

    /// Puts the nodes that came with a place below the root.
    fn join_contents(&mut self) -> Result<(), DecodeError> {
        if let Some(content) = self.contents.remove(&DirId::ROOT) {
            match &mut self.root {
                TreeNode::Dir(root) if root.children.is_empty() => root.children = content,
                _ => return Err(inconsistent("nodes in two formats")),
            }
        }
        if !self.contents.is_empty() {
            return Err(inconsistent("nodes without their directory"));
        }
        if self.expires {
            let mut walk = self.root.walk(b"/");
            while let Some((_, path, _, node)) = walk.step() {
                if let Some(expires) = node.meta().expires() {
                    self.expiry.update(&Key::from(path), None, Some(expires));
                }
            }
        }
        Ok(())
    }
}

/// Returns an error that concerns the whole.
fn inconsistent(what: &'static str) -> DecodeError {
    DecodeError::Inconsistent { what, key: b"/".to_vec() }
}

/// Makes the node of a record; the error says what is wrong with it.
fn node_of(record: NodeRecord) -> Result<TreeNode, &'static str> {
    let NodeRecord { dir, value, created, modified, expires } = record;
    // Only the root has no index; a loader also gives index 0 to directories that it is still waiting for.
    if created == 0 || modified < created {
        return Err("impossible indexes");
    }
    let meta = NodeMeta::new(created, modified, expires);
    match (dir, value) {
        (true, None) => Ok(TreeNode::dir(meta)),
        (false, Some(value)) => Ok(TreeNode::file(value, meta)),
        _ => Err("neither a file nor a directory"),
    }
}
