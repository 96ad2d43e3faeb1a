//! The checks of each operation, in etcd's order, and its effect.

use std::sync::Arc;

use super::tree::{NodeMeta, PathError, TreeNode};
use super::{
    Action, Code, Error, Event, EventNode, HistoryEntry, Key, Keyspace, Operation, RemovedNode, Time, Value,
    path, time,
};

type WriteResult = Result<Arc<Event>, Error>;

/// What a write stores in a node.
#[derive(Clone, Copy)]
struct NodeContent<'c> {
    value: &'c Value,
    dir: bool,
    expires: Option<Time>,
    refresh: bool,
}

/// What a comparison expects.
#[derive(Clone, Copy)]
struct Expected<'c> {
    value: Option<&'c Value>,
    index: Option<u64>,
}

impl Keyspace {
    /// Applies a command. For `Operation::Expire` it returns the last expiry, or `KeyNotFound` when nothing was
    /// due; use `expire`.
    ///
    /// # Errors
    /// A refusal, the same on every member.
    pub fn apply(&mut self, command: &super::Command) -> WriteResult {
        let at = command.at;
        match &command.operation {
            Operation::Set { key, dir, value, expires, refresh } => {
                let given = NodeContent::new(
                    value,
                    *dir,
                    expires.filter(|time| *time >= time::MIN_EXPIRATION),
                    *refresh,
                );
                let outcome = self.set(at, key, given);
                let writes = &mut self.counters.writes;
                count(&mut writes.sets_success, &mut writes.sets_fail, outcome.is_ok());
                outcome
            }
            Operation::Create { key, dir, value, expires, in_order } => {
                let given = NodeContent::new(
                    value,
                    *dir,
                    expires.filter(|time| *time >= time::MIN_EXPIRATION),
                    false,
                );
                let outcome = self.create(at, key, given, *in_order);
                let writes = &mut self.counters.writes;
                count(&mut writes.create_success, &mut writes.create_fail, outcome.is_ok());
                outcome
            }
            Operation::Update { key, value, expires, refresh } => {
                let given = NodeContent::new(value, false, *expires, *refresh);
                let outcome = self.update(at, key, given);
                let passed = counts_as_success(&outcome, &[Code::RootReadOnly, Code::NotAFile]);
                let writes = &mut self.counters.writes;
                count(&mut writes.update_success, &mut writes.update_fail, passed);
                outcome
            }
            Operation::CompareAndSwap { key, prev_value, prev_index, value, expires, refresh } => {
                let expected = Expected::new(prev_value.as_ref(), *prev_index);
                let given = NodeContent::new(value, false, *expires, *refresh);
                let outcome = self.compare_and_swap(at, key, expected, given);
                let passed = counts_as_success(&outcome, &[Code::RootReadOnly]);
                let writes = &mut self.counters.writes;
                count(&mut writes.compare_and_swap_success, &mut writes.compare_and_swap_fail, passed);
                outcome
            }
            Operation::Delete { key, dir, recursive } => {
                let outcome = self.delete(at, key, *dir, *recursive);
                let passed = counts_as_success(&outcome, &[Code::RootReadOnly]);
                let writes = &mut self.counters.writes;
                count(&mut writes.delete_success, &mut writes.delete_fail, passed);
                outcome
            }
            Operation::CompareAndDelete { key, prev_value, prev_index } => {
                let expected = Expected::new(prev_value.as_ref(), *prev_index);
                let outcome = self.compare_and_delete(at, key, expected);
                let passed = counts_as_success(&outcome, &[Code::NotAFile, Code::CompareFailed]);
                let writes = &mut self.counters.writes;
                count(&mut writes.compare_and_delete_success, &mut writes.compare_and_delete_fail, passed);
                outcome
            }
            Operation::Expire => {
                let mut last = Err(self.error(Code::KeyNotFound, b""));
                while let Some(event) = self.expire_next(at) {
                    last = Ok(event);
                }
                last
            }
        }
    }

    fn set(&mut self, at: Time, key: &Key, given: NodeContent<'_>) -> WriteResult {
        let index = self.index() + 1;
        let meta = NodeMeta::new(index, index, given.expires);
        match self.root.find_mut(key) {
            Ok(_) if path::is_root(key) => Err(self.error(Code::RootReadOnly, b"/")),
            Ok(TreeNode::Dir(_)) => Err(self.error(Code::NotAFile, key)),
            Ok(file) => {
                let prev = file.event_node(at);
                let kept = prev.value.as_ref().filter(|_| given.refresh);
                *file = given.node(kept, meta);
                let node = file.event_node(at);
                self.expiry.update(key, prev.expires, given.expires);
                Ok(self.written(Action::Set, key, node, Some(prev), given.refresh))
            }
            Err(PathError::Missing(path)) if given.refresh => Err(self.error(Code::KeyNotFound, path)),
            Err(PathError::Missing(_)) => self.insert(at, Action::Set, key, given),
            Err(stop) => Err(self.path_error(stop)),
        }
    }

    fn create(&mut self, at: Time, key: &Key, given: NodeContent<'_>, in_order: bool) -> WriteResult {
        let key = if in_order { &path::in_order(key, self.index() + 1) } else { key };
        match self.root.find(key) {
            Ok(_) if path::is_root(key) => Err(self.error(Code::RootReadOnly, b"/")),
            Ok(_) => Err(self.error(Code::KeyExists, key)),
            Err(PathError::Missing(_)) => self.insert(at, Action::Create, key, given),
            Err(stop) => {
                // etcd counts this one as a failed set as well.
                self.counters.writes.sets_fail += 1;
                Err(self.path_error(stop))
            }
        }
    }

    /// Inserts a node where nothing exists, and the missing directories above it.
    fn insert(&mut self, at: Time, action: Action, key: &Key, given: NodeContent<'_>) -> WriteResult {
        let index = self.index() + 1;
        let (parent, name) = path::split(key).unwrap_or((b"/", b""));
        let node = given.node(None, NodeMeta::new(index, index, given.expires));
        let event_node = node.event_node(at);
        let (mut from, mut created) = (key.len(), 0);
        let made = |path: &[u8]| {
            from = from.min(path.len());
            created += 1;
        };
        match self.root.open(parent, NodeMeta::new(index, index, None), made) {
            Ok(dir) => {
                dir.insert(name, node);
                if created > 0 {
                    self.changes.mark_created_above(key, from, created);
                }
                self.expiry.update(key, None, given.expires);
                Ok(self.written(action, key, event_node, None, false))
            }
            Err(stop) => Err(self.path_error(stop)),
        }
    }

    fn update(&mut self, at: Time, key: &Key, given: NodeContent<'_>) -> WriteResult {
        if path::is_root(key) {
            return Err(self.error(Code::RootReadOnly, b"/"));
        }
        let index = self.index() + 1;
        let node = match self.root.find_mut(key) {
            Ok(TreeNode::Dir(_)) if !given.value.is_empty() => return Err(self.error(Code::NotAFile, key)),
            Ok(node) => node,
            Err(stop) => return Err(self.path_error(stop)),
        };
        let prev = node.event_node(at);
        let meta = NodeMeta::new(prev.created, index, given.expires);
        if node.is_dir() {
            // etcd returns the new modifiedIndex but does not store it.
            *node.meta_mut() = NodeMeta::new(prev.created, prev.modified, given.expires);
        } else {
            *node = given.node(prev.value.as_ref().filter(|_| given.refresh), meta);
        }
        let event_node = EventNode { modified: index, ..node.event_node(at) };
        self.expiry.update(key, prev.expires, given.expires);
        Ok(self.written(Action::Update, key, event_node, Some(prev), given.refresh))
    }

    fn compare_and_swap(
        &mut self,
        at: Time,
        key: &Key,
        expected: Expected<'_>,
        given: NodeContent<'_>,
    ) -> WriteResult {
        if path::is_root(key) {
            return Err(self.error(Code::RootReadOnly, b"/"));
        }
        let index = self.index() + 1;
        let node = match self.root.find_mut(key) {
            Ok(TreeNode::Dir(_)) => return Err(self.error(Code::NotAFile, key)),
            Ok(node) => node,
            Err(stop) => return Err(self.path_error(stop)),
        };
        if let Some(cause) = expected.differs(node) {
            return Err(self.error(Code::CompareFailed, &cause));
        }
        let prev = node.event_node(at);
        let kept = prev.value.as_ref().filter(|_| given.refresh);
        *node = given.node(kept, NodeMeta::new(prev.created, index, given.expires));
        let event_node = node.event_node(at);
        self.expiry.update(key, prev.expires, given.expires);
        Ok(self.written(Action::CompareAndSwap, key, event_node, Some(prev), given.refresh))
    }

    fn delete(&mut self, at: Time, key: &Key, dir: bool, recursive: bool) -> WriteResult {
        if path::is_root(key) {
            return Err(self.error(Code::RootReadOnly, b"/"));
        }
        match self.root.find(key) {
            Ok(TreeNode::Dir(_)) if !dir && !recursive => Err(self.error(Code::NotAFile, key)),
            Ok(TreeNode::Dir(dir)) if !recursive && !dir.children.is_empty() => {
                Err(self.error(Code::DirectoryNotEmpty, key))
            }
            Ok(_) => Ok(self.remove(at, Action::Delete, key)),
            Err(stop) => Err(self.path_error(stop)),
        }
    }

    fn compare_and_delete(&mut self, at: Time, key: &Key, expected: Expected<'_>) -> WriteResult {
        match self.root.find(key) {
            // The root is a directory like the others here, but etcd's cause is then empty.
            Ok(TreeNode::Dir(_)) if path::is_root(key) => Err(self.error(Code::NotAFile, b"")),
            Ok(TreeNode::Dir(_)) => Err(self.error(Code::NotAFile, key)),
            Ok(file) => match expected.differs(file) {
                Some(cause) => Err(self.error(Code::CompareFailed, &cause)),
                None => Ok(self.remove(at, Action::CompareAndDelete, key)),
            },
            Err(stop) => Err(self.path_error(stop)),
        }
    }

    /// Removes the next key that expires at `now` or before.
    pub(super) fn expire_next(&mut self, now: Time) -> Option<Arc<Event>> {
        let key = self.expiry.due(now)?;
        let event = self.remove(now, Action::Expire, &key);
        self.counters.writes.expire_count += 1;
        Some(event)
    }

    /// Removes the node at `key`, which exists and is not the root.
    fn remove(&mut self, at: Time, action: Action, key: &Key) -> Arc<Event> {
        let (node, parent) = self.root.take(key).expect("the node was found before");
        let prev = node.event_node(at);
        self.expiry.update(key, prev.expires, None);
        if node.is_dir() && !self.expiry.is_empty() {
            let mut below = node.walk(key);
            while let Some((_, path, _, node)) = below.step() {
                if let Some(expires) = node.meta().expires() {
                    self.expiry.update(&Key::from(path), Some(expires), None);
                }
            }
        }
        self.changes.removed(RemovedNode::new(key, parent, prev.dir.then_some(prev.created)));
        let event_node = EventNode {
            value: None,
            dir: prev.dir,
            expires: None,
            ttl: 0,
            created: prev.created,
            modified: self.index() + 1,
        };
        let event = Arc::new(Event::new(action, key, event_node, Some(prev), false));
        // Looks up the path of a watched key, relative to the removed node.
        self.hub.removed(&event, |watched| node.find(&watched[key.len()..]).is_ok());
        self.finish(event)
    }

    /// Makes the event of a written node.
    fn written(
        &mut self,
        action: Action,
        key: &Key,
        node: EventNode,
        prev: Option<EventNode>,
        refresh: bool,
    ) -> Arc<Event> {
        self.changes.mark_written(key);
        self.finish(Arc::new(Event::new(action, key, node, prev, refresh)))
    }

    fn finish(&mut self, event: Arc<Event>) -> Arc<Event> {
        self.history.push(HistoryEntry::Event(Arc::clone(&event)));
        if !event.refresh {
            self.hub.notify(&event);
        }
        event
    }

    pub(super) fn path_error(&self, stop: PathError<'_>) -> Error {
        match stop {
            PathError::Missing(path) => self.error(Code::KeyNotFound, path),
            PathError::File(path) => self.error(Code::NotADirectory, path),
        }
    }

    pub(super) fn error(&self, code: Code, cause: &[u8]) -> Error {
        Error { code, cause: cause.to_vec(), index: self.index() }
    }
}

impl<'c> NodeContent<'c> {
    fn new(value: &'c Value, dir: bool, expires: Option<Time>, refresh: bool) -> Self {
        Self { value, dir, expires, refresh }
    }

    /// Returns the node to write, with the value `kept` if there is one.
    fn node(self, kept: Option<&Value>, meta: NodeMeta) -> TreeNode {
        if self.dir {
            TreeNode::dir(meta)
        } else {
            TreeNode::file(Value::clone(kept.unwrap_or(self.value)), meta)
        }
    }
}

impl<'c> Expected<'c> {
    /// An empty value and index 0 mean no comparison, as in etcd.
    fn new(value: Option<&'c Value>, index: Option<u64>) -> Self {
        Self { value: value.filter(|value| !value.is_empty()), index: index.filter(|index| *index != 0) }
    }

    /// Returns how `file` differs, in etcd's words, or `None` when it does not.
    fn differs(self, file: &TreeNode) -> Option<Vec<u8>> {
        let mut parts: Vec<Vec<u8>> = vec![];
        let present = file.value().map_or(&[][..], |value| value);
        if let Some(value) = self.value.filter(|value| ***value != *present) {
            parts.push([b"[", &**value, b" != ", present, b"]"].concat());
        }
        let modified = file.meta().modified;
        if let Some(index) = self.index.filter(|index| *index != modified) {
            parts.push(format!("[{index} != {modified}]").into_bytes());
        }
        (!parts.is_empty()).then(|| parts.join(&b' '))
    }
}

/// Returns whether etcd counts the outcome as a success: it does for refusals found before it looks at the node,
/// and a few more.
fn counts_as_success(outcome: &WriteResult, refusals: &[Code]) -> bool {
    outcome.as_ref().err().is_none_or(|error| refusals.contains(&error.code))
}

const fn count(success: &mut u64, fail: &mut u64, passed: bool) {
    *(if passed { success } else { fail }) += 1;
}
