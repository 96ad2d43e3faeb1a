//! A node and its place as stored in a mirror of the state: without its path, so that a node takes as much space as
//! its name, however deep it is.

use super::{Time, Value, path};

/// One node without its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    /// Whether it is a directory.
    pub dir: bool,
    /// A file's value; `None` for a directory.
    pub value: Option<Value>,
    /// createdIndex.
    pub created: u64,
    /// modifiedIndex.
    pub modified: u64,
    /// When it expires.
    pub expires: Option<Time>,
}

/// Identifies a directory without its path. A directory keeps its createdIndex, and one change creates at most one
/// directory of each depth, so no two directories of a tree have the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DirId {
    /// createdIndex; 0 for the root.
    pub created: u64,
    /// Levels below the root.
    pub depth: u32,
}

impl DirId {
    /// The root.
    pub const ROOT: Self = Self { created: 0, depth: 0 };

    /// Returns the id of the directory in this one that was created at the index `created`.
    #[must_use]
    pub const fn child(self, created: u64) -> Self {
        Self { created, depth: self.depth.saturating_add(1) }
    }
}

/// The place of a node: its directory and its name there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodePlace<'n> {
    /// The directory.
    pub parent: DirId,
    /// The last segment of the node's key.
    pub name: &'n [u8],
}

/// A node that was removed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemovedNode {
    /// The directory that it was in.
    pub parent: DirId,
    /// Its name there.
    pub name: Box<[u8]>,
    /// Its id if it was a directory: everything below it was removed with it.
    pub dir: Option<DirId>,
}

impl RemovedNode {
    /// Describes the removed node at `key` of a directory created at `parent`; `dir` is its own createdIndex if it
    /// was a directory.
    pub(super) fn new(key: &[u8], parent: u64, dir: Option<u64>) -> Self {
        let (above, name) = path::split(key).unwrap_or((b"/", b""));
        let parent = DirId { created: parent, depth: path::depth(above) };
        Self { parent, name: name.into(), dir: dir.map(|created| parent.child(created)) }
    }

    /// Returns its place.
    #[must_use]
    pub fn place(&self) -> NodePlace<'_> {
        NodePlace { parent: self.parent, name: &self.name }
    }
}
