//! What a change did: the answer to it and the news of it.

use std::sync::OnceLock;

use bytes::Bytes;

use super::{Key, Time, Value};

/// The kinds of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are etcd's words")]
pub enum Action {
    Set,
    Create,
    Update,
    CompareAndSwap,
    Delete,
    CompareAndDelete,
    Expire,
}

impl Action {
    /// etcd's word: `set`, `compareAndSwap` …
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Create => "create",
            Self::Update => "update",
            Self::CompareAndSwap => "compareAndSwap",
            Self::Delete => "delete",
            Self::CompareAndDelete => "compareAndDelete",
            Self::Expire => "expire",
        }
    }

    /// Whether the key is gone after it.
    pub(super) const fn removes(self) -> bool {
        matches!(self, Self::Delete | Self::CompareAndDelete | Self::Expire)
    }
}

/// A node as an event shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// `None`: a directory, or the node of a delete or expire event.
    pub value: Option<Value>,
    /// Whether it is a directory.
    pub dir: bool,
    /// When it expires.
    pub expires: Option<Time>,
    /// Seconds left at the change, rounded up; 0 without `expires`.
    pub ttl: i64,
    /// createdIndex.
    pub created: u64,
    /// modifiedIndex.
    pub modified: u64,
}

/// One change that took place.
#[derive(Debug)]
pub struct Event {
    /// What happened.
    pub action: Action,
    /// To which key.
    pub key: Key,
    /// The node now. Its `modified` is the event's index.
    pub node: Shape,
    /// The node before, where the answer shows one.
    pub prev: Option<Shape>,
    /// A refresh: no watcher is told, and history skips it.
    pub refresh: bool,
    /// Room for the text that watchers are sent, so that it is made once for all of them.
    pub rendered: OnceLock<Bytes>,
}

impl Event {
    pub(super) fn new(action: Action, key: &Key, node: Shape, prev: Option<Shape>, refresh: bool) -> Self {
        Self { action, key: Key::clone(key), node, prev, refresh, rendered: OnceLock::new() }
    }

    /// The bytes of values that it keeps alive.
    #[must_use]
    pub fn weight(&self) -> usize {
        let shapes = [Some(&self.node), self.prev.as_ref()];
        shapes.into_iter().flatten().filter_map(|shape| shape.value.as_ref()).map(|value| value.len()).sum()
    }

    /// The index this change took.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.node.modified
    }
}
