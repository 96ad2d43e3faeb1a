//! Clients and watchers on every member during deliberate faults; afterwards their records are compared with the
//! members' state.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::clients::{Client, InOrderPost, KEYS, Log, Shared};
use super::group::Group;
use super::history::{Op, check_linearizable};
use super::watchers::{Task, WatchLog, compare, follow};
use crate::support::rng::TestRng;
use crate::support::{eventually, scaled};

/// The key that ends the watches.
const LAST: &str = "/h/last";
/// Longer than any member takes to refuse a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(12);

/// Clients and watchers under way.
pub struct Workload {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Log>>,
    watchers: Vec<(Task, JoinHandle<WatchLog>)>,
    /// Ends the watches that did not end on their own.
    give_up: Arc<AtomicBool>,
    /// The index at the start.
    after: u64,
    begun: Instant,
}

impl Workload {
    /// Starts one client and one watcher per running member, and `roaming` clients that know all members, including
    /// those not running yet.
    pub fn start(group: &mut Group, rng: &mut TestRng, roaming: usize) -> Self {
        let running = group.running();
        let (shared, addresses) = (Arc::new(Shared::default()), group.addresses());
        let after = group.tree(running[0]).expect("a tree to begin with").0;
        let bound = running.iter().map(|number| vec![addresses[*number].clone()]);
        let known = bound.chain((0..roaming).map(|_| addresses.clone())).enumerate();
        let clients = known
            .map(|(number, addresses)| {
                let (shared, rng) = (Arc::clone(&shared), rng.split());
                let client = Client { number, addresses, rng, limit: REQUEST_TIMEOUT };
                thread::spawn(move || client.work(&shared))
            })
            .collect();
        let (watchers, give_up) = (Vec::new(), Arc::new(AtomicBool::new(false)));
        let mut workload = Self { shared, clients, watchers, give_up, after, begun: Instant::now() };
        for number in running {
            workload.watch(&addresses[number]);
        }
        workload
    }

    /// Starts a watcher of one more member.
    pub fn watch(&mut self, address: &str) {
        let (address, leave) = (address.to_owned(), Arc::new(AtomicBool::new(false)));
        let give_up = Arc::clone(&self.give_up);
        let others = Vec::new();
        let task = Task { address, others, prefix: "/h", after: self.after, last: LAST, leave, give_up };
        let own = task.clone();
        self.watchers.push((task, thread::spawn(move || follow(&own))));
    }

    /// Ends the watcher of a member that has left the cluster.
    pub fn stop_watcher(&self, address: &str) {
        for (task, _) in self.watchers.iter().filter(|(task, _)| task.address == address) {
            task.leave.store(true, Ordering::Relaxed);
        }
    }

    /// Returns how many writes were acknowledged so far.
    pub fn written(&self) -> u64 {
        self.shared.written.load(Ordering::Relaxed)
    }

    /// Waits until `writes` more writes were acknowledged; returns how long that took.
    #[track_caller]
    pub fn assert_progress(&self, writes: u64, limit: Duration, when: &str) -> Duration {
        let (begun, from) = (Instant::now(), self.written());
        eventually(&format!("{writes} writes {when}"), limit, || self.written() >= from + writes);
        begun.elapsed()
    }

    /// Ends the load after everything has healed, and checks everything: every key's history, every acknowledged
    /// write, every watcher, and that all members have the same tree.
    #[track_caller]
    pub fn finish(self, group: &mut Group) -> Report {
        self.shared.stop.store(true, Ordering::Relaxed);
        let logs: Vec<Log> = self.clients.into_iter().map(|client| client.join().unwrap()).collect();
        let running = group.running();
        group.put_until_accepted(running[0], LAST, "1");
        let (index, tree) = group.level();
        let (begun, limit) = (Instant::now(), scaled(Duration::from_secs(15)));
        while begun.elapsed() < limit && !self.watchers.iter().all(|(_, watcher)| watcher.is_finished()) {
            thread::sleep(Duration::from_millis(10));
        }
        self.give_up.store(true, Ordering::Relaxed);
        let watched: Vec<_> = self.watchers.into_iter().map(|(_, watcher)| watcher.join().unwrap()).collect();
        let report = Report { logs, watched, lasted: self.begun.elapsed() };
        eprintln!("workload: {report}");
        let mut wrong = report.wrong(index, &tree);
        for member in group.members.iter().filter(|member| member.log().contains("panicked at")) {
            wrong.push(format!("a thread of {} panicked\n{}", member.slot.name, member.log()));
        }
        assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), group.logs());
        assert!(report.writes() > 20, "hardly a write got through: {report}");
        report
    }
}

/// The result.
pub struct Report {
    pub logs: Vec<Log>,
    pub watched: Vec<WatchLog>,
    pub lasted: Duration,
}

impl Report {
    fn writes(&self) -> usize {
        self.logs.iter().map(|log| log.acknowledged.len()).sum()
    }

    /// Returns the longest time without an acknowledged write of a client that knows all members; `bound` clients
    /// come first.
    pub fn longest_pause(&self, bound: usize) -> Duration {
        let pause = |log: &Log| log.acknowledged.windows(2).map(|pair| pair[1] - pair[0]).max();
        self.logs.iter().skip(bound).filter_map(pause).max().unwrap_or_default()
    }

    /// Returns the errors of clients that know all members, each with its duration.
    pub fn failures(&self, bound: usize) -> Vec<(Duration, String)> {
        let logs = self.logs.iter().skip(bound);
        logs.flat_map(|log| &log.failures).map(|(_, took, why)| (*took, why.clone())).collect()
    }

    /// Returns all contradictions, one line each.
    fn wrong(&self, index: u64, tree: &Value) -> Vec<String> {
        let mut wrong: Vec<String> = self.logs.iter().flat_map(|log| log.faults.clone()).collect();
        for key in 0..KEYS {
            let ops = self.logs.iter().flat_map(|log| &log.ops).filter(|op| op.key == key);
            let mut ops: Vec<Op> = ops.copied().collect();
            ops.extend(final_read(key, tree));
            wrong.extend(check_linearizable(&format!("/h/k{key}"), &ops).err());
        }
        wrong.extend(self.wrong_posts(index, tree));
        wrong.extend(compare(&self.watched, &self.written()));
        wrong
    }

    /// Returns the acknowledged writes by index.
    fn written(&self) -> BTreeMap<u64, (String, Option<String>)> {
        let write = |op: &Op| {
            let value = op.told?.1.then?.map(|value| value.to_string());
            Some((op.index?, (format!("/h/k{}", op.key), value)))
        };
        let post = |post: &InOrderPost| Some((post.index?, (post.key.clone()?, Some(post.value.clone()))));
        let writes = self.logs.iter().flat_map(|log| &log.ops).filter_map(write);
        writes.chain(self.logs.iter().flat_map(|log| &log.posts).filter_map(post)).collect()
    }

    /// Checks in-order keys: acknowledged ones exist, none exists twice, and none was not requested.
    fn wrong_posts(&self, index: u64, tree: &Value) -> Vec<String> {
        let (mut wrong, mut keys) = (Vec::new(), HashMap::<&str, Vec<&str>>::new());
        for node in nodes(tree, "/h/posts") {
            let key = node["key"].as_str().unwrap_or_default();
            keys.entry(node["value"].as_str().unwrap_or_default()).or_default().push(key);
        }
        let posts: Vec<&InOrderPost> = self.logs.iter().flat_map(|log| &log.posts).collect();
        for post in &posts {
            let at = keys.get(post.value.as_str()).map_or(&[][..], Vec::as_slice);
            if let Some(key) = &post.key
                && at != [key]
            {
                wrong.push(format!("{} was acknowledged at {key} and is at {at:?}", post.value));
            }
            if at.len() > 1 {
                wrong.push(format!("{} is there more than once: {at:?}", post.value));
            }
            if post.index.is_some_and(|post| post > index) {
                wrong.push(format!("the index went back to {index}; told was {post:?}"));
            }
        }
        let asked: BTreeSet<&str> = posts.iter().map(|post| post.value.as_str()).collect();
        wrong.extend(
            keys.keys()
                .filter(|value| !asked.contains(*value))
                .map(|value| format!("{value} is there and nobody posted it")),
        );
        wrong
    }
}

/// Returns the final value of a key as one more operation.
fn final_read(key: usize, tree: &Value) -> Option<Op> {
    use super::history::{Precondition, Step};
    let name = format!("/h/k{key}");
    let node = nodes(tree, "/h").into_iter().find(|node| node["key"] == name.as_str());
    let value = node.and_then(|node| node["value"].as_str()).and_then(|text| text.parse().ok());
    let (now, asked) = (Instant::now(), Step { need: Precondition::Anything, then: None });
    let told = Some((now, Step { need: Precondition::Is(value), then: None }));
    Some(Op { client: usize::MAX, key, sent: now, asked, told, index: None })
}

/// Returns the nodes in a folder of a tree.
fn nodes<'t>(tree: &'t Value, folder: &str) -> Vec<&'t Value> {
    let mut at = &tree["node"];
    for depth in 1..folder.split('/').count() {
        let name: Vec<&str> = folder.split('/').take(depth + 1).collect();
        let name = name.join("/");
        let below = at["nodes"].as_array().into_iter().flatten().find(|node| node["key"] == name.as_str());
        let Some(below) = below else { return Vec::new() };
        at = below;
    }
    at["nodes"].as_array().into_iter().flatten().collect()
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ops: usize = self.logs.iter().map(|log| log.ops.len() + log.posts.len()).sum();
        let undecided = self.logs.iter().flat_map(|log| &log.ops).filter(|op| op.told.is_none()).count();
        let failures: usize = self.logs.iter().map(|log| log.failures.len()).sum();
        let holes: usize = self.watched.iter().map(|watched| watched.holes.len()).sum();
        let heard: usize = self.watched.iter().map(|watched| watched.events.len()).sum();
        let writes = self.writes();
        write!(
            f,
            "{ops} operations in {:?}, {writes} acknowledged writes, {undecided} undecided, {heard} events heard, \
             {holes} holes, {failures} failures",
            self.lasted
        )?;
        // The error without its place.
        let reason = |why: &str| why.split_once(": ").map_or("", |(_, why)| why).trim().to_owned();
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        for (_, _, why) in self.logs.iter().flat_map(|log| &log.failures) {
            *reasons.entry(reason(why)).or_default() += 1;
        }
        reasons.iter().try_for_each(|(reason, count)| write!(f, "; {count} x {reason}"))
    }
}
