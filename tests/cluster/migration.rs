//! Three members switch from http to https between themselves and back, one at a time, while clients write and
//! watch.
//!
//! Every step is a rolling restart: first the files are installed, then each member's URL changes in the cluster
//! and on its command line, and back again. Before that all three are restarted unchanged: the time without an
//! acknowledged write in that step is the limit for the others. The same run with etcd is the control.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::group::{AGREE_TIMEOUT, Group, Plan};
use super::membership::{about_members, id};
use super::trust::flags;
use super::watchers::{Task, WatchLog, compare, follow};
use crate::durable::wire::Wire;
use crate::support::{Authority, Dir, WAIT_TIMEOUT, eventually, scaled};

/// The pause of a writer between two writes: a thousand events must outlast any restart.
const WRITE_INTERVAL: Duration = Duration::from_millis(15);
/// Longer than any member takes to refuse a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(12);
/// The key that ends the watches.
const LAST: &str = "/m/last";
/// Four elections: shorter gaps are noise on a busy machine.
const MIN_REPORTED_GAP: Duration = Duration::from_secs(2);

#[test]
fn members_move_to_https_and_back_one_at_a_time_and_nothing_is_lost() {
    let Some(plan) = Plan::new(3) else { return };
    migrate(plan);
    // The control: the same with etcd.
    if std::env::var_os("RETUNE_TEST_SLOW").is_some() {
        let Some(plan) = Plan::control(3) else { return };
        migrate(plan);
    }
}

fn migrate(plan: Plan) {
    let dir = Dir::new();
    let Some(authority) = Authority::new(&dir, "house") else { return };
    let files = flags(&authority.ca(), &authority.sign("server"));
    let program = plan.program;
    let mut group = plan.on_local_ports();
    group.start();
    let mut load = Load::start(&group);

    let control = load.step("control", || rolling_restart(&mut group, |_, _| {}));
    let bound = scaled(MIN_REPORTED_GAP).max(2 * control);
    let with_files = |group: &mut Group, number: usize| {
        let words: Vec<&str> = group.plan.words.iter().chain(&files).map(String::as_str).collect();
        let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        group.members[number].set_flags(&words);
    };
    let without_files = |group: &mut Group, number: usize| {
        let words = group.plan.words.clone();
        group.members[number].set_flags(&words.iter().map(String::as_str).collect::<Vec<_>>());
    };
    let steps = [
        load.step("files", || rolling_restart(&mut group, with_files)),
        load.step("https", || {
            rolling_restart(&mut group, |group, number| use_scheme(group, number, "https"));
        }),
        load.step("http", || rolling_restart(&mut group, |group, number| use_scheme(group, number, "http"))),
        load.step("no files", || rolling_restart(&mut group, without_files)),
    ];
    eprintln!(
        "{program:?}: no acknowledged write for {control:?} in the control, for {steps:?} in the steps"
    );
    assert!(
        steps.iter().all(|pause| *pause <= bound),
        "a step kept clients from writing for longer than {bound:?}: {steps:?}\n{}",
        group.logs()
    );

    let mut report = load.finish(&mut group);
    let tree = group.level().1;
    assert_eq!(report.wrong(&tree), Vec::<String>::new(), "{}", group.logs());
    eprintln!("{program:?}: {report}");
    assert!(report.written.len() > 100, "hardly a write got through: {report}");
    assert_a_missed_event_is_found(&report, &tree);
    // A deliberately lost write: the keys of all others still exist.
    let (_, (key, _)) = report.written.iter().nth(50).expect("many writes");
    let mut wire = group.members[0].wire();
    assert_eq!(wire.request("DELETE", &format!("/v2/keys{key}"), None).unwrap().status, 200);
    let tree = group.level().1;
    let found = report.wrong(&tree);
    assert!(found.len() == 1 && found[0].contains(key.as_str()), "{found:?}");
    report.written.clear();
    assert_eq!(report.wrong(&tree), Vec::<String>::new(), "nothing else is amiss");
}

fn assert_a_missed_event_is_found(report: &Report, tree: &Value) {
    for at in 0..report.watched.len() {
        let mut lacking = report.clone();
        let events = &mut lacking.watched[at].events;
        events.remove(events.len() / 2);
        assert!(!lacking.wrong(tree).is_empty(), "watcher {at} lacks an event and nobody sees it");
    }
}

/// Restarts all members cleanly, one at a time, each after a change.
fn rolling_restart(group: &mut Group, change: impl Fn(&mut Group, usize)) {
    for number in 0..3 {
        change(group, number);
        group.members[number].signal(Signal::SIGTERM);
        assert!(group.members[number].wait(WAIT_TIMEOUT).is_some(), "{}", group.logs());
        group.start();
        // Both directions between it and the others work.
        group.catches_up(number);
        group.put_until_accepted(number, "/through", &number.to_string());
    }
}

/// Makes a member listen and be reached at a URL of this scheme from its next start on.
fn use_scheme(group: &mut Group, number: usize, scheme: &'static str) {
    let own = id(group, &[number], &group.members[number].slot);
    let slot = &mut group.members[number].slot;
    slot.scheme = scheme;
    let url = format!("{scheme}://{}", slot.advertised);
    let others = [(number + 1) % 3, (number + 2) % 3];
    let json = format!("{{\"peerURLs\":[\"{url}\"]}}");
    about_members(group, &others, "PUT", &format!("/v2/members/{own}"), Some(&json));
    eventually("the others have heard of its new URL", AGREE_TIMEOUT, || {
        others.iter().all(|other| {
            let members = group.ask(*other).get("/v2/members");
            members.is_ok_and(|answer| answer.text().contains(&url))
        })
    });
}

/// Writers and watchers under way.
struct Load {
    stop: Arc<AtomicBool>,
    give_up: Arc<AtomicBool>,
    writers: Vec<JoinHandle<Vec<Write>>>,
    watchers: Vec<JoinHandle<WatchLog>>,
    acknowledged: Arc<std::sync::Mutex<Vec<Instant>>>,
}

/// An acknowledged write.
struct Write {
    index: u64,
    key: String,
    value: String,
}

impl Load {
    /// Starts two writers that know all members, a watcher that does, and one bound to each member.
    fn start(group: &Group) -> Self {
        let after = group.tree(0).expect("a tree to begin with").0;
        let (stop, give_up) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let acknowledged = Arc::new(std::sync::Mutex::new(Vec::new()));
        let addresses = group.addresses();
        let writers = (0..2)
            .map(|writer| {
                let (addresses, stop) = (addresses.clone(), Arc::clone(&stop));
                let acknowledged = Arc::clone(&acknowledged);
                thread::spawn(move || write(writer, &addresses, &stop, &acknowledged))
            })
            .collect();
        let watch = |address: &String, others: Vec<String>| {
            let (leave, give_up) = (Arc::default(), Arc::clone(&give_up));
            let task =
                Task { address: address.clone(), others, prefix: "/m", after, last: LAST, leave, give_up };
            thread::spawn(move || follow(&task))
        };
        let mut watchers = vec![watch(&addresses[0], addresses[1..].to_vec())];
        watchers.extend(addresses.iter().map(|address| watch(address, Vec::new())));
        Self { stop, give_up, writers, watchers, acknowledged }
    }

    /// Runs a step, and returns the longest time without an acknowledged write meanwhile.
    #[track_caller]
    fn step(&mut self, name: &str, work: impl FnOnce()) -> Duration {
        let acknowledged = || self.acknowledged.lock().unwrap();
        let (begun, before) = (Instant::now(), acknowledged().len());
        work();
        let count = acknowledged().len();
        eventually(&format!("writes after {name:?}"), AGREE_TIMEOUT, || acknowledged().len() >= count + 10);
        let times: Vec<Instant> =
            std::iter::once(begun).chain(acknowledged()[before..].iter().copied()).collect();
        let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
        eprintln!("{name}: {:?}, {} writes, the longest pause {longest:?}", begun.elapsed(), times.len() - 1);
        longest
    }

    fn finish(self, group: &mut Group) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        let written = self.writers.into_iter().flat_map(|writer| writer.join().unwrap());
        let written = written.map(|write| (write.index, (write.key, write.value))).collect();
        group.put_until_accepted(0, LAST, "1");
        let (begun, limit) = (Instant::now(), scaled(WAIT_TIMEOUT));
        while begun.elapsed() < limit && !self.watchers.iter().all(JoinHandle::is_finished) {
            thread::sleep(Duration::from_millis(10));
        }
        self.give_up.store(true, Ordering::Relaxed);
        let watched = self.watchers.into_iter().map(|watcher| watcher.join().unwrap()).collect();
        Report { written, watched }
    }
}

/// Writes one key after another until asked to stop; after a failure it uses the next member.
fn write(
    writer: usize,
    addresses: &[String],
    stop: &AtomicBool,
    acknowledged: &std::sync::Mutex<Vec<Instant>>,
) -> Vec<Write> {
    let mut wires: Vec<Wire> =
        addresses.iter().map(|address| Wire::to(address).with_timeout(REQUEST_TIMEOUT)).collect();
    let (mut at, mut serial, mut written) = (writer, 0_u64, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        serial += 1;
        let (key, value) = (format!("/m/w{writer}/{serial}"), format!("{writer}-{serial}"));
        match wires[at].request("PUT", &format!("/v2/keys{key}"), Some(&format!("value={value}"))) {
            Ok(answer) if matches!(answer.status, 200 | 201) => {
                let index = answer.json()["node"]["modifiedIndex"].as_u64().expect("an index");
                acknowledged.lock().unwrap().push(Instant::now());
                written.push(Write { index, key, value });
            }
            // The result is unknown; the key is not written again.
            Ok(_) | Err(_) => at = (at + 1) % wires.len(),
        }
        thread::sleep(WRITE_INTERVAL);
    }
    written
}

/// The acknowledged writes by index, and the received events.
#[derive(Clone)]
struct Report {
    written: BTreeMap<u64, (String, String)>,
    /// The first one knew all members.
    watched: Vec<WatchLog>,
}

impl Report {
    /// Returns all contradictions, one line each.
    fn wrong(&self, tree: &Value) -> Vec<String> {
        let written =
            self.written.iter().map(|(index, (key, value))| (*index, (key.clone(), Some(value.clone()))));
        let mut wrong = compare(&self.watched, &written.collect());
        for watched in self.watched.iter().filter(|watched| !watched.holes.is_empty()) {
            wrong.push(format!("the watcher of {} missed {:?}", watched.address, watched.holes));
        }
        let mut present: BTreeMap<&str, &str> = BTreeMap::new();
        let mut open = vec![&tree["node"]];
        while let Some(node) = open.pop() {
            open.extend(node["nodes"].as_array().into_iter().flatten());
            if let (Some(key), Some(value)) = (node["key"].as_str(), node["value"].as_str()) {
                present.insert(key, value);
            }
        }
        for (index, (key, value)) in &self.written {
            let found = present.get(key.as_str());
            if found != Some(&value.as_str()) {
                wrong.push(format!("{key} = {value} was acknowledged at {index}; there is {found:?}"));
            }
        }
        wrong
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let heard: Vec<usize> = self.watched.iter().map(|watched| watched.events.len()).collect();
        write!(f, "{} acknowledged writes, {heard:?} events heard", self.written.len())
    }
}
