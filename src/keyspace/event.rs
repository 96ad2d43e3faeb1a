//! The event of a change: returned to its client and sent to watchers.

use std::sync::{Mutex, OnceLock, Weak};

use bytes::Bytes;

use super::{Delivery, Key, Time, Value};

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
    /// Returns etcd's word: `set`, `compareAndSwap` …
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

    /// Returns whether it removes the key.
    pub(super) const fn removes(self) -> bool {
        matches!(self, Self::Delete | Self::CompareAndDelete | Self::Expire)
    }
}

/// A node as shown in an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventNode {
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

/// One applied change.
#[derive(Debug)]
pub struct Event {
    /// The kind of change.
    pub action: Action,
    /// The key.
    pub key: Key,
    /// The node after the change. Its `modified` is the event's index.
    pub node: EventNode,
    /// The node before the change, where the response shows one.
    pub prev: Option<EventNode>,
    /// A refresh: no watcher receives it, and history skips it.
    pub refresh: bool,
    /// The text sent to watchers, if it is small: then it is kept as long as the event.
    pub rendered: OnceLock<Bytes>,
    /// The event as it is in queues of watches.
    pub(super) delivery: Mutex<Weak<Delivery>>,
}

impl Event {
    pub(super) fn new(
        action: Action,
        key: &Key,
        node: EventNode,
        prev: Option<EventNode>,
        refresh: bool,
    ) -> Self {
        Self {
            action,
            key: Key::clone(key),
            node,
            prev,
            refresh,
            rendered: OnceLock::new(),
            delivery: Mutex::default(),
        }
    }

    /// Returns how many bytes of values it keeps alive.
    #[must_use]
    pub fn weight(&self) -> usize {
        let nodes = [Some(&self.node), self.prev.as_ref()];
        nodes.into_iter().flatten().filter_map(|node| node.value.as_ref()).map(|value| value.len()).sum()
    }

    /// Returns the index of the change.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.node.modified
    }
}
