//! Writers that record their writes: each works until its connection breaks.

use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::wire::{Answer, Wire};
use super::write_history::{Attempt, Event, Node, Observed, WriteHistory, WriteLog, count_of};
use crate::support::rng::TestRng;

/// Keys in each writer's folder.
const KEYS: u64 = 12;
/// Counters shared by all writers.
const COUNTERS: u64 = 3;

/// Returns a history for this many writers.
pub fn write_history(writers: usize) -> WriteHistory {
    let write_logs = (0..writers).map(|number| WriteLog {
        folders: vec![format!("/w{number}"), format!("/q{number}")],
        ..WriteLog::default()
    });
    let counters = (0..COUNTERS).map(|number| (format!("/counter{number}"), Default::default()));
    WriteHistory { write_logs: write_logs.collect(), counters: counters.collect(), highest: 0 }
}

/// The load of one round: every writer works until its connection breaks or `enough` says so.
pub fn work(
    address: &str,
    write_history: &mut WriteHistory,
    rng: &mut TestRng,
    round: u64,
    enough: &(dyn Fn() -> bool + Sync),
) {
    let write_logs = std::mem::take(&mut write_history.write_logs);
    let shared = Mutex::new(std::mem::take(write_history));
    let shared_ref = &shared;
    let write_logs = std::thread::scope(|scope| {
        let threads: Vec<_> = write_logs
            .into_iter()
            .enumerate()
            .map(|(number, write_log)| {
                let rng = rng.split();
                let wire = Wire::to(address);
                let writer = Writer { number, round, serial: 0, write_log, wire, rng, shared: shared_ref };
                scope.spawn(move || writer.run(enough))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    *write_history = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    write_history.write_logs = write_logs;
}

/// Reads the whole store.
pub fn observe(wire: &mut Wire) -> std::io::Result<Observed> {
    let answer = wire.get("/v2/keys/?recursive=true&sorted=true")?;
    if answer.status != 200 {
        return Err(std::io::Error::other(format!("{}: {}", answer.status, answer.text())));
    }
    Ok(Observed::of(&answer.json(), answer.index.unwrap_or(0)))
}

struct Writer<'s> {
    number: usize,
    round: u64,
    serial: u64,
    write_log: WriteLog,
    wire: Wire,
    rng: TestRng,
    shared: &'s Mutex<WriteHistory>,
}

impl Writer<'_> {
    fn run(mut self, enough: &(dyn Fn() -> bool + Sync)) -> WriteLog {
        while !enough() && self.step().is_some() {}
        self.write_log
    }

    /// Returns a value that no other write uses, sometimes a long one.
    fn value(&mut self) -> String {
        self.serial += 1;
        let mut value = format!("{}.{}.{}.", self.round, self.number, self.serial);
        let length = if self.rng.one_in(40) { 200_000 } else { 40 };
        value.extend(std::iter::repeat_n('x', self.rng.index(length)));
        value
    }

    /// Does one write; `None` when its result is unknown.
    fn step(&mut self) -> Option<()> {
        let key = format!("/w{}/k{}", self.number, self.rng.below(KEYS));
        match self.rng.below(10) {
            0 | 1 => self.count(),
            2 => self.post(),
            3 => self.delete(key),
            _ => self.write(key),
        }
    }

    fn write(&mut self, key: String) -> Option<()> {
        let value = self.value();
        let known = self.write_log.known.get(&key);
        let (query, action) = match (known, self.rng.below(4)) {
            (Some(_), 0) => ("?prevExist=true".to_owned(), "update"),
            (Some(node), 1) => (format!("?prevIndex={}", node.modified), "compareAndSwap"),
            (None, 0) => ("?prevExist=false".to_owned(), "create"),
            _ => (String::new(), "set"),
        };
        self.write_log.pending = Some(Attempt::Write { key: key.clone(), value: value.clone() });
        let answer = self.send("PUT", &format!("{key}{query}"), Some(&format!("value={value}")))?;
        let node = self.accepted(&answer, action, &key)?;
        if node.value != value {
            self.write_log.faults.push(format!("{key}: {value:?} was sent and {:?} answered", node.value));
        }
        self.write_log.known.insert(key, node);
        Some(())
    }

    fn delete(&mut self, key: String) -> Option<()> {
        if !self.write_log.known.contains_key(&key) {
            return self.write(key);
        }
        self.write_log.pending = Some(Attempt::Delete { key: key.clone() });
        let answer = self.send("DELETE", &key, None)?;
        self.accepted(&answer, "delete", &key)?;
        self.write_log.known.remove(&key);
        Some(())
    }

    fn post(&mut self) -> Option<()> {
        let (folder, value) = (format!("/q{}/{}", self.number, self.round), self.value());
        self.write_log.pending = Some(Attempt::Post { folder: folder.clone(), value: value.clone() });
        let answer = self.send("POST", &folder, Some(&format!("value={value}")))?;
        let key = answer.json()["node"]["key"].as_str().unwrap_or_default().to_owned();
        let node = self.accepted(&answer, "create", &key)?;
        if key != format!("{folder}/{:020}", node.created) {
            self.write_log
                .faults
                .push(format!("an in-order key in {folder} with index {} is {key}", node.created));
        }
        self.write_log.known.insert(key, node);
        Some(())
    }

    /// Adds one to a shared counter, unless another writer was faster.
    fn count(&mut self) -> Option<()> {
        let key = format!("/counter{}", self.rng.below(COUNTERS));
        self.serial += 1;
        let present = self.wire.get(&format!("/v2/keys{key}")).ok()?;
        let (count, query) = match present.status {
            200 => {
                let node = Node::of(&present.json()["node"]);
                (count_of(&node.value).unwrap_or(0) + 1, format!("prevIndex={}", node.modified))
            }
            404 => (1, "prevExist=false".to_owned()),
            _ => return None,
        };
        let value = format!("{count}.{}.{}.{}", self.number, self.round, self.serial);
        self.shared().counters.get_mut(&key).expect("a counter").pending.insert(value.clone());
        let path = format!("/v2/keys{key}?{query}");
        let answer = self.wire.request("PUT", &path, Some(&format!("value={value}"))).ok()?;
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let WriteHistory { counters, highest, .. } = &mut *shared;
        let tally = counters.get_mut(&key).expect("a counter");
        match answer.status {
            200 | 201 => {
                tally.pending.remove(&value);
                let node = Node::of(&answer.json()["node"]);
                *highest = (*highest).max(node.modified);
                // Responses may arrive in another order than they were sent.
                if tally.top.as_ref().is_none_or(|(top, _)| count > *top) {
                    tally.top = Some((count, node));
                }
                Some(())
            }
            412 => {
                tally.pending.remove(&value);
                Some(())
            }
            _ => None,
        }
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, WriteHistory> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&mut self, method: &str, path: &str, form: Option<&str>) -> Option<Answer> {
        self.wire.request(method, &format!("/v2/keys{path}"), form).ok()
    }

    /// Records the response of a write that can only succeed; one that the store timed out stays pending.
    fn accepted(&mut self, answer: &Answer, action: &str, key: &str) -> Option<Node> {
        if answer.status >= 500 {
            return None;
        }
        self.write_log.pending = None;
        let json: Value = answer.json();
        let node = Node::of(&json["node"]);
        if !matches!(answer.status, 200 | 201) || json["action"] != action {
            self.write_log.faults.push(format!("{action} of {key}: {} {}", answer.status, answer.text()));
            return None;
        }
        let shared = self.shared;
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.highest = shared.highest.max(node.modified);
        drop(shared);
        if answer.index != Some(node.modified) {
            let says = format!("{action} of {key} took index {} and shows {:?}", node.modified, answer.index);
            self.write_log.faults.push(says);
        }
        self.write_log.events.push(Event::of(&json));
        Some(node)
    }
}
