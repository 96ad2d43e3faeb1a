//! The attempted and the acknowledged writes, and the check whether a store's state is consistent with them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// A file as the store returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub value: String,
    pub created: u64,
    pub modified: u64,
}

impl Node {
    /// Makes one from a node in a response; of a deletion, without a value.
    pub fn of(node: &Value) -> Self {
        Self {
            value: node["value"].as_str().unwrap_or_default().to_owned(),
            created: node["createdIndex"].as_u64().unwrap_or(0),
            modified: node["modifiedIndex"].as_u64().unwrap_or(0),
        }
    }
}

/// A write without a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The key gets this value.
    Write { key: String, value: String },
    /// The key is removed.
    Delete { key: String },
    /// A new key in this folder with this value.
    Post { folder: String, value: String },
}

/// An acknowledged write, as a watch of the past must return it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub key: String,
    pub action: String,
    pub node: Node,
    /// The size of its values, old and new together.
    pub weight: usize,
}

impl Event {
    /// Makes one from a response.
    pub fn of(answer: &Value) -> Self {
        let node = Node::of(&answer["node"]);
        let prev = answer["prevNode"]["value"].as_str().map_or(0, str::len);
        Self {
            key: answer["node"]["key"].as_str().unwrap_or_default().to_owned(),
            action: answer["action"].as_str().unwrap_or_default().to_owned(),
            weight: node.value.len() + prev,
            node,
        }
    }
}

/// The writes of one writer in its own folders. It sends one request at a time.
#[derive(Clone, Debug, Default)]
pub struct WriteLog {
    pub folders: Vec<String>,
    /// The files as last acknowledged.
    pub known: BTreeMap<String, Node>,
    /// The request that was pending when everything stopped.
    pub pending: Option<Attempt>,
    /// Acknowledged since the last check.
    pub events: Vec<Event>,
    /// Responses that were wrong on their own.
    pub faults: Vec<String>,
}

/// The changes of all writers to one counter, by compare-and-swap only.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// The highest acknowledged count, and its node.
    pub top: Option<(u64, Node)>,
    /// Values without a response.
    pub pending: BTreeSet<String>,
}

/// The history of all writers.
#[derive(Clone, Debug, Default)]
pub struct WriteHistory {
    pub write_logs: Vec<WriteLog>,
    pub counters: BTreeMap<String, Tally>,
    /// The highest index of all acknowledged writes.
    pub highest: u64,
}

/// A store's state as read.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Every file by its key.
    pub files: BTreeMap<String, Node>,
    /// `X-Etcd-Index`.
    pub index: u64,
}

impl Observed {
    /// Makes one from a recursive listing of the root.
    pub fn of(listing: &Value, index: u64) -> Self {
        let mut observed = Self { files: BTreeMap::new(), index };
        observed.take(&listing["node"]);
        observed
    }

    fn take(&mut self, node: &Value) {
        if node["dir"].as_bool() == Some(true) {
            for child in node["nodes"].as_array().into_iter().flatten() {
                self.take(child);
            }
        } else if let Some(key) = node["key"].as_str() {
            self.files.insert(key.to_owned(), Node::of(node));
        }
    }
}

/// Returns the count in a counter's value (`7.writer.serial`).
pub fn count_of(value: &str) -> Option<u64> {
    value.split('.').next()?.parse().ok()
}

impl WriteHistory {
    /// Returns everything in `observed` that is impossible, one line each.
    pub fn check(&self, observed: &Observed) -> Vec<String> {
        let mut wrong: Vec<String> =
            self.write_logs.iter().flat_map(|write_log| write_log.faults.clone()).collect();
        if observed.index < self.highest {
            wrong.push(format!("the index went back from {} to {}", self.highest, observed.index));
        }
        for write_log in &self.write_logs {
            self.check_log(write_log, observed, &mut wrong);
        }
        for (key, tally) in &self.counters {
            self.check_counter(key, tally, observed.files.get(key), &mut wrong);
        }
        for key in observed.files.keys() {
            let owned = self.write_logs.iter().any(|write_log| write_log.owns(key))
                || self.counters.contains_key(key);
            if !owned {
                wrong.push(format!("{key} is there and nobody wrote it"));
            }
        }
        wrong
    }

    fn check_log(&self, write_log: &WriteLog, observed: &Observed, wrong: &mut Vec<String>) {
        for (key, want) in &write_log.known {
            let got = observed.files.get(key);
            if got != Some(want) && !self.explains(write_log, key, got) {
                wrong.push(format!("{key} was acknowledged as {want:?} and is {got:?}"));
            }
        }
        for (key, got) in observed.files.iter().filter(|(key, _)| write_log.owns(key)) {
            if !write_log.known.contains_key(key) && !self.explains(write_log, key, Some(got)) {
                wrong.push(format!("{key} was acknowledged as absent and is {got:?}"));
            }
        }
    }

    /// Returns whether the pending request can explain this.
    fn explains(&self, write_log: &WriteLog, key: &str, got: Option<&Node>) -> bool {
        match (&write_log.pending, got) {
            (Some(Attempt::Write { key: own, value }), Some(got)) => {
                own == key && *value == got.value && self.is_new(write_log, key, got)
            }
            (Some(Attempt::Delete { key: own }), None) => own == key,
            (Some(Attempt::Post { folder, value }), Some(got)) => {
                *key == format!("{folder}/{:020}", got.created)
                    && *value == got.value
                    && self.is_new(write_log, key, got)
            }
            _ => false,
        }
    }

    /// Returns whether its index belongs to no other acknowledged write.
    fn is_new(&self, write_log: &WriteLog, key: &str, got: &Node) -> bool {
        let before = write_log.known.get(key).map_or(0, |node| node.modified);
        let mut told = self.write_logs.iter().flat_map(|write_log| write_log.known.values());
        got.modified > before && told.all(|node| node.modified != got.modified)
    }

    fn check_counter(&self, key: &str, tally: &Tally, got: Option<&Node>, wrong: &mut Vec<String>) {
        let top = tally.top.as_ref();
        if got == top.map(|(_, node)| node) {
            return;
        }
        let least = top.map_or(0, |(count, _)| *count);
        let allowed = got.is_some_and(|got| {
            let count = count_of(&got.value).unwrap_or(0);
            tally.pending.contains(&got.value) && count > least && count <= least + tally.pending.len() as u64
        });
        if !allowed {
            wrong.push(format!(
                "{key} was acknowledged as {top:?} and is {got:?}; under way: {:?}",
                tally.pending
            ));
        }
    }

    /// Adopts the observed state as known: nothing is pending any more.
    pub fn settle(&mut self, observed: &Observed) {
        self.highest = self.highest.max(observed.index);
        for write_log in &mut self.write_logs {
            write_log.pending = None;
            write_log.events.clear();
            let own = observed.files.iter().filter(|(key, _)| write_log.owns(key));
            let own: BTreeMap<String, Node> = own.map(|(key, node)| (key.clone(), node.clone())).collect();
            write_log.known = own;
        }
        for (key, tally) in &mut self.counters {
            tally.pending.clear();
            tally.top =
                observed.files.get(key).map(|node| (count_of(&node.value).unwrap_or(0), node.clone()));
        }
    }
}

impl WriteLog {
    /// Returns whether only this writer writes the key.
    pub fn owns(&self, key: &str) -> bool {
        self.folders
            .iter()
            .any(|folder| key.strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/')))
    }
}

mod tests {
    use super::*;

    fn node(value: &str, created: u64, modified: u64) -> Node {
        Node { value: value.to_owned(), created, modified }
    }

    fn write_history() -> WriteHistory {
        let known =
            BTreeMap::from([("/w/a".to_owned(), node("1", 4, 6)), ("/w/b".to_owned(), node("2", 5, 5))]);
        let write_log = WriteLog { folders: vec!["/w".to_owned()], known, ..WriteLog::default() };
        let tally = Tally { top: Some((2, node("2.w.1", 7, 8))), ..Tally::default() };
        WriteHistory {
            write_logs: vec![write_log],
            counters: BTreeMap::from([("/c".to_owned(), tally)]),
            highest: 8,
        }
    }

    fn faithful() -> Observed {
        let mut files = write_history().write_logs[0].known.clone();
        files.insert("/c".to_owned(), node("2.w.1", 7, 8));
        Observed { files, index: 8 }
    }

    fn wrong(change: impl FnOnce(&mut WriteHistory, &mut Observed)) -> String {
        let (mut write_history, mut observed) = (write_history(), faithful());
        change(&mut write_history, &mut observed);
        write_history.check(&observed).join("\n")
    }

    fn put(observed: &mut Observed, key: &str, node: Node) {
        observed.files.insert(key.to_owned(), node);
    }

    #[test]
    fn a_correct_store_passes() {
        assert_eq!(wrong(|_, _| {}), "");
    }

    #[test]
    fn every_kind_of_loss_is_found() {
        assert!(wrong(|_, seen| drop(seen.files.remove("/w/a"))).contains("/w/a was acknowledged as"));
        assert!(wrong(|_, seen| put(seen, "/w/a", node("0", 4, 4))).contains("/w/a was acknowledged as"));
        assert!(wrong(|_, seen| put(seen, "/w/a", node("1", 4, 7))).contains("/w/a was acknowledged as"));
        assert!(wrong(|_, seen| put(seen, "/w/a", node("1", 6, 6))).contains("/w/a was acknowledged as"));
        assert!(wrong(|_, seen| put(seen, "/w/x", node("9", 9, 9))).contains("acknowledged as absent"));
        assert!(wrong(|_, seen| put(seen, "/z", node("9", 9, 9))).contains("nobody wrote it"));
        assert!(wrong(|_, seen| put(seen, "/c", node("1.w.0", 7, 7))).contains("/c was acknowledged as"));
        assert!(wrong(|_, seen| seen.index = 7).contains("the index went back from 8 to 7"));
        assert!(wrong(|own, _| own.write_logs[0].faults.push("x".to_owned())).contains('x'));
    }

    #[test]
    fn a_write_in_progress_may_be_there_completely_or_not_at_all() {
        let write = |own: &mut WriteHistory| {
            own.write_logs[0].pending =
                Some(Attempt::Write { key: "/w/a".to_owned(), value: "3".to_owned() });
        };
        assert_eq!(wrong(|own, _| write(own)), "");
        let whole = |own: &mut WriteHistory, seen: &mut Observed| {
            write(own);
            put(seen, "/w/a", node("3", 9, 9));
        };
        assert_eq!(wrong(whole), "");
        let half = |own: &mut WriteHistory, seen: &mut Observed| {
            write(own);
            put(seen, "/w/a", node("", 9, 9));
        };
        assert!(!wrong(half).is_empty(), "a value that nobody tried");
        let stolen = |own: &mut WriteHistory, seen: &mut Observed| {
            write(own);
            put(seen, "/w/a", node("3", 9, 5));
        };
        assert!(!wrong(stolen).is_empty(), "an index that another write was told");
        let other = |own: &mut WriteHistory, seen: &mut Observed| {
            write(own);
            drop(seen.files.remove("/w/b"));
        };
        assert!(!wrong(other).is_empty(), "what is under way on one key explains nothing of another");
    }

    #[test]
    fn deletions_and_in_order_keys_may_be_in_progress_too() {
        let gone = |own: &mut WriteHistory, seen: &mut Observed| {
            own.write_logs[0].pending = Some(Attempt::Delete { key: "/w/a".to_owned() });
            drop(seen.files.remove("/w/a"));
        };
        assert_eq!(wrong(gone), "");
        let post = |key: &'static str| {
            move |own: &mut WriteHistory, seen: &mut Observed| {
                own.write_logs[0].pending =
                    Some(Attempt::Post { folder: "/w/q".to_owned(), value: "p".to_owned() });
                put(seen, key, node("p", 9, 9));
            }
        };
        assert_eq!(wrong(post("/w/q/00000000000000000009")), "");
        assert!(!wrong(post("/w/q/00000000000000000008")).is_empty(), "its name is its index");
    }

    #[test]
    fn a_counter_may_include_writes_in_progress_and_nothing_else() {
        let tried = |own: &mut WriteHistory, value: &str| {
            own.counters.get_mut("/c").unwrap().pending.insert(value.to_owned());
        };
        let taken = |own: &mut WriteHistory, seen: &mut Observed| {
            tried(own, "3.w.2");
            put(seen, "/c", node("3.w.2", 7, 9));
        };
        assert_eq!(wrong(taken), "");
        let skipped = |own: &mut WriteHistory, seen: &mut Observed| {
            tried(own, "4.w.2");
            put(seen, "/c", node("4.w.2", 7, 9));
        };
        assert!(!wrong(skipped).is_empty(), "3 was never reached");
        let foreign = |own: &mut WriteHistory, seen: &mut Observed| {
            tried(own, "3.w.2");
            put(seen, "/c", node("3.v.9", 7, 9));
        };
        assert!(!wrong(foreign).is_empty(), "nobody tried that");
    }

    #[test]
    fn settling_accepts_the_current_state_as_known() {
        let (mut own, mut seen) = (write_history(), faithful());
        own.write_logs[0].pending = Some(Attempt::Delete { key: "/w/a".to_owned() });
        drop(seen.files.remove("/w/a"));
        seen.index = 9;
        own.settle(&seen);
        assert_eq!((own.check(&seen), own.highest), (Vec::new(), 9));
        assert!(!own.check(&faithful()).is_empty(), "the key cannot come back");
    }
}
