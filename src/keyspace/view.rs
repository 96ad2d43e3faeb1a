//! Read-only views of nodes.

use super::tree::TreeNode;
use super::{Time, Value};

/// File or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A key with a value.
    File,
    /// A key with children.
    Dir,
}

/// One node, borrowed for reading.
#[derive(Clone, Copy, Debug)]
pub struct NodeView<'k> {
    pub(super) node: &'k TreeNode,
}

impl<'k> NodeView<'k> {
    /// Returns whether it is a file or a directory.
    #[must_use]
    pub const fn kind(&self) -> NodeKind {
        if self.node.is_dir() { NodeKind::Dir } else { NodeKind::File }
    }

    /// Returns a file's value.
    #[must_use]
    pub const fn value(&self) -> Option<&'k Value> {
        self.node.value()
    }

    /// Returns the createdIndex; 0 for the root.
    #[must_use]
    pub const fn created(&self) -> u64 {
        self.node.meta().created
    }

    /// Returns the modifiedIndex; 0 for the root.
    #[must_use]
    pub const fn modified(&self) -> u64 {
        self.node.meta().modified
    }

    /// Returns when it expires.
    #[must_use]
    pub fn expires(&self) -> Option<Time> {
        self.node.meta().expires()
    }

    /// Iterates over a directory's children, including hidden ones, in the byte order of their names.
    #[must_use]
    pub fn children(&self) -> Box<dyn Iterator<Item = (&'k [u8], Self)> + 'k> {
        match self.node.children() {
            None => Box::new(std::iter::empty()),
            Some(children) => Box::new(children.iter().map(|(name, node)| (name.as_bytes(), Self { node }))),
        }
    }
}
