//! Remembers which proposals were applied, so that one that was sent twice is applied once.
//!
//! When a leader fails, it is unknown at first whether a proposal sent to it is in the log. So it is sent again, and
//! the second copy is recognised by its id. This is part of the replicated state: every member skips the same copies.

use std::collections::BTreeMap;

use super::entry::{DecodeError, FieldReader, ProposalId};

/// Processes remembered; each start of a member is one. The one that was inactive longest is forgotten first.
const MAX_PROCESSES: usize = 128;

/// The applied proposals, by the process that made them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sessions(BTreeMap<u64, ProcessSession>);

/// The applied proposals of one process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ProcessSession {
    /// Lower counts are settled, and their process never sends them again.
    floor: u64,
    /// Applied counts from there on, as runs: the first, and one past the last.
    done: BTreeMap<u64, u64>,
    /// Raft index of this process's last entry.
    last: u64,
}

impl Sessions {
    /// Records that the entry at `index` carries `proposal_id`. Returns `false` when it was applied before and must
    /// be skipped.
    pub(super) fn admit(&mut self, proposal_id: ProposalId, index: u64) -> bool {
        if !self.0.contains_key(&proposal_id.process) && self.0.len() >= MAX_PROCESSES {
            let quietest = self.0.iter().min_by_key(|(_, session)| session.last).map(|(process, _)| *process);
            quietest.and_then(|process| self.0.remove(&process));
        }
        let session = self.0.entry(proposal_id.process).or_default();
        session.last = index;
        session.raise(proposal_id.floor);
        session.insert(proposal_id.count)
    }

    /// Returns whether it was applied.
    pub(super) fn knows(&self, proposal_id: ProposalId) -> bool {
        let Some(session) = self.0.get(&proposal_id.process) else { return false };
        let run = session.done.range(..=proposal_id.count).next_back();
        proposal_id.count < session.floor || run.is_some_and(|(_, end)| *end > proposal_id.count)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + 64 * self.0.len());
        out.extend((self.0.len() as u64).to_le_bytes());
        for (process, session) in &self.0 {
            let head = [*process, session.floor, session.last, session.done.len() as u64];
            let runs = session.done.iter().flat_map(|(from, to)| [*from, *to]);
            out.extend(head.into_iter().chain(runs).flat_map(u64::to_le_bytes));
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut read = FieldReader::new(bytes);
        let mut sessions = Self::default();
        for _ in 0..read.number()? {
            let process = read.number()?;
            let mut session =
                ProcessSession { floor: read.number()?, last: read.number()?, ..ProcessSession::default() };
            for _ in 0..read.number()? {
                let (from, to) = (read.number()?, read.number()?);
                session.done.insert(from, to);
            }
            sessions.0.insert(process, session);
        }
        read.end()?;
        Ok(sessions)
    }
}

impl ProcessSession {
    fn raise(&mut self, floor: u64) {
        if floor <= self.floor {
            return;
        }
        self.floor = floor;
        while let Some(run) = self.done.first_entry()
            && *run.key() < floor
        {
            let to = run.remove();
            if to > floor {
                self.done.insert(floor, to);
            }
        }
    }

    fn insert(&mut self, count: u64) -> bool {
        if count < self.floor {
            return false;
        }
        let (mut from, mut to) = (count, count + 1);
        if let Some((before, end)) = self.done.range(..=count).next_back() {
            if *end > count {
                return false;
            }
            if *end == count {
                from = *before;
            }
        }
        if let Some(end) = self.done.remove(&to) {
            to = end;
        }
        self.done.insert(from, to);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};
    use std::collections::BTreeSet;

    fn proposal_id(process: u64, count: u64, floor: u64) -> ProposalId {
        ProposalId { process, count, floor }
    }

    #[test]
    fn a_duplicate_is_recognised_in_any_order_and_the_ranges_stay_few() {
        for seed in 0..200 {
            let mut random = StdRng::seed_from_u64(seed);
            let (mut sessions, mut model) = (Sessions::default(), BTreeSet::new());
            let mut floor = 1_u64;
            for index in 1..600 {
                floor = if random.random_bool(0.05) { floor + random.random_range(0..4) } else { floor };
                let count = floor.saturating_sub(2) + random.random_range(0..20);
                let fresh = count >= floor && model.insert(count);
                assert_eq!(
                    sessions.admit(proposal_id(7, count, floor), index),
                    fresh,
                    "seed {seed}, count {count}"
                );
            }
            assert!(sessions.0[&7].done.len() <= 20, "seed {seed}");
            assert_eq!(Sessions::decode(&sessions.encode()), Ok(sessions));
        }
    }

    #[test]
    fn the_least_recently_used_process_is_forgotten_first() {
        let mut sessions = Sessions::default();
        for process in 0..MAX_PROCESSES as u64 {
            assert!(sessions.admit(proposal_id(process, 1, 1), 10 + process));
        }
        assert!(!sessions.admit(proposal_id(0, 1, 1), 1000), "still known, and heard of again");
        assert!(sessions.admit(proposal_id(9999, 1, 1), 1001));
        assert!(!sessions.admit(proposal_id(0, 1, 1), 1002));
        assert!(sessions.admit(proposal_id(1, 1, 1), 1003), "this one went");
    }
}
