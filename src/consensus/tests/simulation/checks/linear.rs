//! For each key there is one order of all writes and quorum reads that explains every result and fits real time.

use std::collections::{BTreeMap, HashSet};

use super::{Check, ensure};

/// An operation of a client on a key. Values are numbers; `None` is a missing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Act {
    Set(u64),
    Swap(u64, u64),
    Delete,
    Read,
}

/// The result that the client got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Reply {
    /// Done.
    Done,
    /// Refused because of the current value.
    Refused,
    /// The current value.
    There(Option<u64>),
    /// None: it may have been done, or may be done later, or never.
    Nothing,
}

/// One request and its result, with the times of both.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct ClientRequest {
    pub(in super::super) act: Act,
    pub(in super::super) told: Reply,
    pub(in super::super) from: u64,
    pub(in super::super) to: u64,
}

/// All requests by key.
#[derive(Default)]
pub(in super::super) struct Linear {
    asked: BTreeMap<u64, (usize, ClientRequest)>,
}

/// Longer histories are split: only complete ones can be checked, but no run needs more.
const MAX_HISTORY: usize = 128;
/// Orders tried before the check gives up.
const MAX_ORDERS: usize = 300_000;

impl Linear {
    /// Records the start of a request; `from` identifies it.
    pub(in super::super) fn asks(&mut self, key: usize, act: Act, from: u64) {
        self.asked.insert(from, (key, ClientRequest { act, told: Reply::Nothing, from, to: u64::MAX }));
    }

    /// Records its result.
    pub(in super::super) fn record_reply(&mut self, from: u64, told: Reply, to: u64) {
        if let Some((_, asked)) = self.asked.get_mut(&from) {
            (asked.told, asked.to) = (told, to);
        }
    }

    pub(in super::super) fn end(&self) -> Check {
        let keys: BTreeMap<usize, Vec<ClientRequest>> =
            self.asked.values().fold(BTreeMap::new(), |mut keys, (key, asked)| {
                // A read without a result proves nothing.
                if *asked != (ClientRequest { act: Act::Read, told: Reply::Nothing, ..*asked }) {
                    keys.entry(*key).or_default().push(*asked);
                }
                keys
            });
        for (key, asked) in keys {
            ensure(explains(&asked), || {
                let lines: Vec<String> = asked.iter().map(|asked| format!("\n    {asked:?}")).collect();
                format!("linear: no order of these explains the answers about key {key}:{}", lines.concat())
            })?;
        }
        Ok(())
    }
}

impl PartialEq for ClientRequest {
    fn eq(&self, other: &Self) -> bool {
        (self.act, self.told, self.from) == (other.act, other.told, other.from)
    }
}

/// Searches an order: any request that began before the first remaining end may come next.
fn explains(asked: &[ClientRequest]) -> bool {
    if asked.len() > MAX_HISTORY {
        return true;
    }
    let all: u128 = if asked.len() == MAX_HISTORY { u128::MAX } else { (1 << asked.len()) - 1 };
    let must = asked.iter().enumerate().filter(|(_, asked)| asked.told != Reply::Nothing);
    let must: u128 = must.map(|(at, _)| 1 << at).sum();
    let (mut seen, mut open) = (HashSet::new(), vec![(all, None)]);
    while let Some((left, value)) = open.pop() {
        if left & must == 0 || seen.len() > MAX_ORDERS {
            return true;
        }
        if !seen.insert((left, value)) {
            continue;
        }
        let waiting = || asked.iter().enumerate().filter(move |(at, _)| left >> at & 1 == 1);
        let end = waiting().map(|(_, asked)| asked.to).min().unwrap_or(u64::MAX);
        // Pushed in reverse, so that the earliest is tried first.
        let next = waiting().filter(|(_, asked)| asked.from <= end);
        let mut next: Vec<_> =
            next.filter_map(|(at, asked)| Some((left & !(1 << at), after(asked, value)?))).collect();
        next.reverse();
        open.extend(next);
    }
    false
}

/// Returns the value after a request, if its result fits the value before.
fn after(asked: &ClientRequest, value: Option<u64>) -> Option<Option<u64>> {
    let (done, changed) = match asked.act {
        Act::Set(to) => (true, Some(to)),
        Act::Swap(from, to) => (value == Some(from), Some(to)),
        Act::Delete => (value.is_some(), None),
        Act::Read => return (asked.told == Reply::There(value)).then_some(value),
    };
    match asked.told {
        Reply::Done if done => Some(changed),
        Reply::Refused if !done => Some(value),
        Reply::Nothing => Some(if done { changed } else { value }),
        _ => None,
    }
}

#[test]
fn a_stale_read_is_detected_and_an_unanswered_write_may_or_may_not_count() {
    let asked = |act, told, from, to| ClientRequest { act, told, from, to };
    let first = asked(Act::Set(1), Reply::Done, 0, 1);
    let stale = asked(Act::Read, Reply::There(None), 2, 3);
    assert!(!explains(&[first, stale]));
    assert!(explains(&[asked(Act::Set(1), Reply::Done, 0, 2), asked(Act::Read, Reply::There(None), 1, 3)]));
    let lost = asked(Act::Set(2), Reply::Nothing, 2, u64::MAX);
    for seen in [1, 2] {
        assert!(explains(&[first, lost, asked(Act::Read, Reply::There(Some(seen)), 3, 4)]));
    }
    let both = [asked(Act::Read, Reply::There(Some(2)), 3, 4), asked(Act::Read, Reply::There(Some(1)), 5, 6)];
    assert!(!explains(&[first, lost, both[0], both[1]]), "it cannot be undone");
    assert!(!explains(&[first, asked(Act::Swap(2, 3), Reply::Done, 2, 3)]));
    assert!(explains(&[first, asked(Act::Swap(2, 3), Reply::Refused, 2, 3)]));
    assert!(!explains(&[first, asked(Act::Delete, Reply::Refused, 2, 3)]));
}
