//! The keyspace's rules, one by one.

mod cleared;
mod edge_cases;
mod encoding;
pub(crate) mod golden;
mod image;
mod model;
pub(crate) mod random;
mod replace;
mod scripts;
mod watches;

use std::sync::Arc;

use super::*;

/// 2026, well after the earliest possible expiration.
const NOW: Time = 1_800_000_000 * SECOND;
const SECOND: Time = 1_000_000_000;

fn bytes(text: &str) -> Arc<[u8]> {
    text.as_bytes().into()
}

fn set_op(key: &str, value: &str) -> Operation {
    Operation::Set { key: bytes(key), dir: false, value: bytes(value), expires: None, refresh: false }
}

fn update_op(key: &str, value: &str) -> Operation {
    Operation::Update { key: bytes(key), value: bytes(value), expires: None, refresh: false }
}

fn delete_op(key: &str, dir: bool, recursive: bool) -> Operation {
    Operation::Delete { key: bytes(key), dir, recursive }
}

fn compare_delete_op(key: &str, prev: Option<&str>, prev_index: Option<u64>) -> Operation {
    Operation::CompareAndDelete { key: bytes(key), prev_value: prev.map(bytes), prev_index }
}

/// Returns the operation with a TTL that ends `seconds` after `NOW`.
fn lasting(operation: Operation, seconds: i64) -> Operation {
    let mut operation = operation;
    match &mut operation {
        Operation::Set { expires, .. }
        | Operation::Create { expires, .. }
        | Operation::Update { expires, .. }
        | Operation::CompareAndSwap { expires, .. } => *expires = Some(NOW + seconds * SECOND),
        _ => panic!("{operation:?} sets no TTL"),
    }
    operation
}

impl Keyspace {
    fn run(&mut self, operation: Operation) -> Result<Arc<Event>, Error> {
        self.apply(&Command { at: NOW, operation })
    }

    fn ok(&mut self, operation: Operation) -> Arc<Event> {
        self.run(operation).expect("accepted")
    }

    fn listing(&self) -> Vec<(Key, NodeRecord)> {
        self.nodes().collect()
    }

    fn node(&self, key: &str) -> NodeRecord {
        self.record(key.as_bytes()).expect("the node is there")
    }

    fn watching(&mut self, key: &str, recursive: bool, stream: bool, since: u64) -> Watch {
        self.watch(key.as_bytes(), WatchOptions { recursive, stream, since }).expect("accepted")
    }

    /// Returns the state of a member that has the past without the values of some events.
    fn without_values_of(&self, cleared: impl Fn(u64) -> bool) -> Self {
        let mut loader = Loader::default();
        for (key, record) in self.nodes() {
            loader.node(&key, record).expect("a node that fits");
        }
        for (index, entry) in self.events_since(0) {
            let mut bytes = vec![];
            if cleared(index) { entry.cleared() } else { entry.clone() }.encode(&mut bytes);
            loader.event(index, HistoryEntry::decode(&bytes).expect("an entry")).expect("in its place");
        }
        loader.finish(self.index()).expect("a state")
    }

    /// Creates the files `keys`.
    fn with(keys: &[&str]) -> Self {
        let mut space = Self::new();
        for key in keys {
            space.ok(set_op(key, "v"));
        }
        space
    }
}

fn text(event: &Event) -> (&'static str, String, u64) {
    (event.action.word(), String::from_utf8_lossy(&event.key).into_owned(), event.index())
}

/// Returns the events that a watch has received.
fn drained(watch: &mut Watch) -> Vec<(&'static str, String, u64)> {
    std::iter::from_fn(|| watch.ready()).map(|event| text(&event)).collect()
}

fn event_parts(action: &'static str, key: &str, index: u64) -> (&'static str, String, u64) {
    (action, key.to_owned(), index)
}
