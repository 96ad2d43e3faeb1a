//! Another state in place of the whole: what a member that lagged too far behind takes over from a snapshot.

use std::mem;

use super::tree::{Node, NodeMeta};
use super::{Action, HistoryEntry, Keyspace, Value, path};

impl Keyspace {
    /// Takes over the tree and the window of past events of `new`, which is this state some changes later. The
    /// counters go on, and so do the watches: they are told of what happened between, as if it happened now. A watch
    /// that would miss something of it, since the window of `new` does not reach back that far or has a marker in its
    /// place, ends, so that its client asks again and is told.
    ///
    /// What changed is not known by key: `take_changes` tells only what comes after this, and a mirror has to be made
    /// anew. The answer is what was there before; dropping it takes time, which holds up nobody elsewhere.
    pub fn replace(&mut self, mut new: Self) -> Self {
        let from = self.index() + 1;
        mem::swap(&mut self.root, &mut new.root);
        mem::swap(&mut self.history, &mut new.history);
        mem::swap(&mut self.expiry, &mut new.expiry);
        self.changes.forget();
        if !self.hub.is_empty() {
            self.catch_up(from, &mut new.root);
        }
        new
    }

    /// Tells the watches of the events from `from` on. `before` is the tree as it was when `from` was to come.
    fn catch_up(&mut self, from: u64, before: &mut Node) {
        let Self { history, hub, .. } = self;
        let oldest = history.oldest();
        // With events missing in between the old tree cannot be led on, and only those are told who began late enough.
        let whole = oldest <= from;
        hub.skip(from, oldest, history.since(from - 1).count());
        for (_, entry) in history.since(from - 1) {
            match entry {
                HistoryEntry::Event(event) if !event.refresh => {
                    if let Some(gone) = follow(before, event.action, &event.key, event.node.dir) {
                        let below = event.key.len();
                        hub.removed(event, |watched| {
                            !whole || gone.as_ref().is_some_and(|node| node.find(&watched[below..]).is_ok())
                        });
                    }
                    hub.notify(event);
                }
                HistoryEntry::Cleared(cleared) => {
                    follow(before, cleared.action, &cleared.key, cleared.dir);
                    hub.cleared(cleared);
                }
                HistoryEntry::Event(_) | HistoryEntry::NoKey => {}
            }
        }
    }
}

/// Leads the shape of a tree on by a change of `key`, which is a directory afterwards if `dir`. For a removal it returns
/// what was removed.
fn follow(tree: &mut Node, action: Action, key: &[u8], dir: bool) -> Option<Option<Node>> {
    if action.removes() {
        return Some(tree.take(key));
    }
    if let Some((parent, name)) = path::split(key)
        && let Ok(parent) = tree.open(parent, NodeMeta::default(), |_| {})
        && parent.children.get(name).is_none_or(|present| present.is_dir() != dir)
    {
        let stamp = NodeMeta::default();
        let node = if dir { Node::dir(stamp) } else { Node::file(Value::from([]), stamp) };
        parent.insert(name, node);
    }
    None
}
