//! Watchers that follow a prefix on every member by `waitIndex`, and the comparison of their events.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::durable::wire::Wire;

/// An event as a watcher received it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedEvent {
    pub action: String,
    pub key: String,
    pub value: Option<String>,
}

/// The events of one member's watcher.
#[derive(Clone, Debug, Default)]
pub struct WatchLog {
    pub address: String,
    /// In the order of arrival.
    pub events: Vec<(u64, ReceivedEvent)>,
    /// Events that were cleared before the watcher came back: first and last index.
    pub holes: Vec<(u64, u64)>,
    /// Whether it received the last event.
    pub ended: bool,
    /// Whether its member has left the cluster.
    pub left: bool,
}

/// What to follow, and until when.
#[derive(Clone, Debug)]
pub struct Task {
    pub address: String,
    /// Members that are tried while it does not respond.
    pub others: Vec<String>,
    pub prefix: &'static str,
    /// The index after which it starts.
    pub after: u64,
    /// The key whose write is the end.
    pub last: &'static str,
    /// Set when the member leaves the cluster.
    pub leave: Arc<AtomicBool>,
    /// Set when there is nothing left to wait for.
    pub give_up: Arc<AtomicBool>,
}

/// Follows a prefix on one member, or on any of several that responds.
pub fn follow(task: &Task) -> WatchLog {
    let Task { address, others, prefix, after, last, leave, give_up } = task;
    let mut watched = WatchLog { address: address.clone(), ..WatchLog::default() };
    // A short timeout: after every second without an event the watch is opened again.
    let wire = |address: &String| Wire::to(address).with_timeout(Duration::from_secs(1));
    let mut wires: VecDeque<Wire> = [address].into_iter().chain(others).map(wire).collect();
    let mut next = after + 1;
    while !watched.ended && !give_up.load(Ordering::Relaxed) {
        if leave.load(Ordering::Relaxed) {
            watched.left = true;
            return watched;
        }
        let path = format!("/v2/keys{prefix}?wait=true&recursive=true&waitIndex={next}");
        let wire = &mut wires[0];
        let Ok(answer) = wire.get(&path) else {
            wires.rotate_left(1);
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        if answer.code() == 401 {
            let present = answer.index.unwrap_or(0);
            watched.holes.push((next, present));
            next = present + 1;
            watched.ended = wire.get(&format!("/v2/keys{last}")).is_ok_and(|answer| answer.status == 200);
            continue;
        }
        let json = answer.json();
        let node = &json["node"];
        let Some(index) = node["modifiedIndex"].as_u64().filter(|_| answer.status == 200) else {
            wires.rotate_left(1);
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let heard = ReceivedEvent {
            action: text(&json["action"]).unwrap_or_default(),
            key: text(&node["key"]).unwrap_or_default(),
            value: text(&node["value"]),
        };
        watched.ended = heard.key == *last;
        watched.events.push((index, heard));
        next = index + 1;
    }
    watched
}

/// Returns the contradictions between the events of one cluster's watchers, one line each. `written` are the
/// acknowledged writes by index: the key, and the value unless it was removed.
pub fn compare(all: &[WatchLog], written: &BTreeMap<u64, (String, Option<String>)>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut truth: BTreeMap<u64, &ReceivedEvent> = BTreeMap::new();
    for watched in all {
        let by = &watched.address;
        if !watched.ended && !watched.left {
            wrong.push(format!("the watcher of {by} did not hear the last event"));
        }
        for pair in watched.events.windows(2).filter(|pair| pair[0].0 >= pair[1].0) {
            wrong.push(format!("the watcher of {by} heard {:?} before {:?}", pair[0], pair[1]));
        }
        for (index, heard) in &watched.events {
            let known = truth.entry(*index).or_insert(heard);
            if *known != heard {
                wrong.push(format!("{index} is {known:?}, and for the watcher of {by} it is {heard:?}"));
            }
        }
    }
    for watched in all {
        let heard: BTreeMap<u64, ()> = watched.events.iter().map(|(index, _)| (*index, ())).collect();
        let until = if watched.left { heard.keys().max().copied().unwrap_or(0) } else { u64::MAX };
        for (index, event) in truth.range(..=until) {
            let forgotten = watched.holes.iter().any(|(first, last)| (first..=last).contains(&index));
            if !heard.contains_key(index) && !forgotten {
                wrong.push(format!("the watcher of {} never heard {index} {event:?}", watched.address));
            }
        }
    }
    let complete = all.iter().any(|watched| watched.holes.is_empty() && watched.ended);
    for (index, (key, value)) in written.iter().filter(|_| complete) {
        match truth.get(index) {
            Some(heard) if heard.key == *key && heard.value == *value => {}
            got => wrong.push(format!("{index} was acknowledged as {value:?} of {key}; heard was {got:?}")),
        }
    }
    wrong
}

mod tests {
    use super::*;

    fn heard(index: u64) -> (u64, ReceivedEvent) {
        let (action, key, value) = ("set".to_owned(), "/h/k".to_owned(), Some(index.to_string()));
        (index, ReceivedEvent { action, key, value })
    }

    fn watched(indexes: &[u64]) -> WatchLog {
        let events = indexes.iter().map(|index| heard(*index)).collect();
        WatchLog { address: "a".to_owned(), events, ended: true, ..WatchLog::default() }
    }

    fn wrong(all: &[WatchLog]) -> String {
        let written = BTreeMap::from([(5, ("/h/k".to_owned(), Some("5".to_owned())))]);
        compare(all, &written).join("\n")
    }

    #[test]
    fn gaps_repeats_reordering_and_wrong_events_are_found() {
        assert_eq!(wrong(&[watched(&[3, 5, 8]), watched(&[3, 5, 8])]), "");
        assert!(wrong(&[watched(&[3, 5, 8]), watched(&[3, 8])]).contains("never heard 5"));
        assert!(wrong(&[watched(&[3, 5, 5, 8])]).contains("before"));
        assert!(wrong(&[watched(&[5, 3, 8])]).contains("before"));
        assert!(wrong(&[watched(&[3, 8]), watched(&[3, 8])]).contains("5 was acknowledged"));
        let mut other = watched(&[3, 5, 8]);
        other.events[1].1.value = None;
        assert!(wrong(&[watched(&[3, 5, 8]), other]).contains("and for the watcher of a it is"));
        let silent = WatchLog { ended: false, ..watched(&[3, 5]) };
        assert!(wrong(&[silent]).contains("did not hear the last event"));
        let left = WatchLog { ended: false, left: true, ..watched(&[3, 5]) };
        assert_eq!(wrong(&[watched(&[3, 5, 8]), left]), "");
        let late = WatchLog { holes: vec![(4, 6)], ..watched(&[3, 8]) };
        assert_eq!(wrong(&[watched(&[3, 5, 8]), late]), "");
    }
}
