//! The history of operations on one key, and the check that it is linearizable.
//!
//! Every operation has the time when it was sent and the time of its response. A history is linearizable when there
//! is an order of all operations that respects those times and in which every response is correct; a library
//! searches it with the algorithm of Wing, Gong and Lowe. An operation without a clear response (a timeout, a 500,
//! a broken connection) was applied at some time after it was sent, or never.

use std::collections::HashMap;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action, History};
use todc_utils::specifications::Specification;

use crate::support::scaled;

/// A value; every write has its own.
pub type Value = u64;

/// The condition of an operation on the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    Anything,
    /// This value, or a missing key.
    Is(Option<Value>),
    /// A key with any value.
    Present,
    /// Any other value, or a missing key.
    Not(Value),
}

impl Precondition {
    fn holds(self, state: Option<Value>) -> bool {
        match self {
            Self::Anything => true,
            Self::Is(value) => state == value,
            Self::Present => state.is_some(),
            Self::Not(value) => state != Some(value),
        }
    }
}

/// The effect of an operation: when `need` holds, the key becomes `then`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub need: Precondition,
    /// `None` leaves the key unchanged, `Some(None)` removes it.
    pub then: Option<Option<Value>>,
}

/// One operation of one client on one key.
#[derive(Clone, Copy, Debug)]
pub struct Op {
    pub client: usize,
    pub key: usize,
    pub sent: Instant,
    /// The requested operation.
    pub asked: Step,
    /// When the response arrived, and the effect that it reports.
    pub told: Option<(Instant, Step)>,
    /// The index of an acknowledged write.
    pub index: Option<u64>,
}

/// One key as a sequential object. An undecided operation is applied if possible.
struct Key;

#[derive(Clone, Copy, Debug)]
struct Move {
    step: Step,
    decided: bool,
}

impl Specification for Key {
    type State = Option<Value>;
    type Operation = Move;

    fn init() -> Self::State {
        None
    }

    fn apply(operation: &Move, state: &Self::State) -> (bool, Self::State) {
        let holds = operation.step.need.holds(*state);
        let after = if holds { operation.step.then.unwrap_or(*state) } else { *state };
        (holds || !operation.decided, after)
    }
}

/// An operation in the form of the search.
struct Entry {
    sent: Instant,
    /// `None`: it may have been applied at any time until the end.
    ended: Option<Instant>,
    action: Move,
}

/// Drops irrelevant operations and ends undecided writes as early as possible, which keeps the search short. Every
/// value is written once: a value that no client saw may count as never written, and one that was seen had been
/// written by the first response that shows it.
fn entries(ops: &[Op]) -> Vec<Entry> {
    let mut met: HashMap<Value, Instant> = HashMap::new();
    for (at, step) in ops.iter().filter_map(|op| op.told) {
        if let Precondition::Is(Some(value)) = step.need {
            met.entry(value).and_modify(|first| *first = at.min(*first)).or_insert(at);
        }
    }
    let entry = |op: &Op| {
        if let Some((at, step)) = op.told {
            return Some(Entry { sent: op.sent, ended: Some(at), action: Move { step, decided: true } });
        }
        let action = Move { step: op.asked, decided: false };
        match op.asked.then {
            None => None,
            Some(None) => Some(Entry { sent: op.sent, ended: None, action }),
            Some(Some(value)) => {
                met.get(&value).map(|first| Entry { sent: op.sent, ended: Some(*first), action })
            }
        }
    };
    ops.iter().filter_map(entry).collect()
}

/// Returns whether these operations on one key are linearizable. Fails without a result in a minute: such a history
/// is too complex, and its test must be changed.
pub fn linearizable(ops: &[Op]) -> bool {
    let entries = entries(ops);
    // At equal times, calls come before responses, and a pending operation ends before the one that saw its effect.
    let mut actions: Vec<(Option<Instant>, u8, usize, Action<Move>)> = Vec::new();
    for (number, Entry { sent, ended, action }) in entries.iter().enumerate() {
        actions.push((Some(*sent), 0, number, Action::Call(*action)));
        actions.push((*ended, if action.decided { 2 } else { 1 }, number, Action::Response(*action)));
    }
    actions.sort_by_key(|(at, order, ..)| (at.is_none(), *at, *order));
    let actions: Vec<_> = actions.into_iter().map(|(_, _, number, action)| (number, action)).collect();
    if actions.is_empty() {
        return true;
    }
    let (sender, verdict) = channel();
    std::thread::spawn(move || {
        sender.send(WGLChecker::<Key>::is_linearizable(History::from_actions(actions))).ok();
    });
    verdict.recv_timeout(scaled(Duration::from_secs(60))).expect("a verdict on the history in time")
}

/// Returns the same operations as they were known at a time.
fn known_at(ops: &[Op], time: Instant) -> Vec<Op> {
    let at = |op: &Op| Op { told: op.told.filter(|(at, _)| *at <= time), ..*op };
    ops.iter().filter(|op| op.sent <= time).map(at).collect()
}

/// Checks that the operations on one key are linearizable; otherwise the error is the first impossible response,
/// with the operations before it.
pub fn check_linearizable(name: &str, ops: &[Op]) -> Result<(), String> {
    if linearizable(ops) {
        return Ok(());
    }
    let mut answers: Vec<Instant> = ops.iter().filter_map(|op| op.told).map(|(at, _)| at).collect();
    answers.sort();
    // A wrong history stays wrong however it continues.
    let bad = answers.partition_point(|time| linearizable(&known_at(ops, *time)));
    let time = answers[bad.min(answers.len() - 1)];
    let mut before = known_at(ops, time);
    before.sort_by_key(|op| (op.told.is_none(), op.told.map(|(at, _)| at)));
    let begun = ops.iter().map(|op| op.sent).min().unwrap_or(time);
    let line = |op: &Op| {
        let ended = op.told.map(|(at, _)| at.duration_since(begun));
        let told = op.told.map(|(_, step)| step);
        let (client, sent, asked) = (op.client, op.sent.duration_since(begun), op.asked);
        format!("  client {client} {sent:?}..{ended:?} asked {asked:?} told {told:?} index {:?}", op.index)
    };
    let answered = before.iter().filter(|op| op.told.is_some()).count();
    let lines: Vec<String> = before[answered.saturating_sub(14)..].iter().take(40).map(line).collect();
    Err(format!(
        "{name}: answer {bad} of {} cannot be; the last ones up to it and what was undecided:\n{}",
        answers.len(),
        lines.join("\n")
    ))
}

mod tests {
    use super::*;

    const READ: Step = Step { need: Precondition::Anything, then: None };
    const DELETE: Step = Step { need: Precondition::Present, then: Some(None) };

    /// Operations on one key, at times in milliseconds.
    struct OpHistory(Instant, Vec<Op>);

    impl OpHistory {
        fn new() -> Self {
            Self(Instant::now(), Vec::new())
        }

        fn add(mut self, (from, to): (u64, u64), asked: Step, told: Option<Step>) -> Self {
            let at = |millis| self.0 + Duration::from_millis(millis);
            let (client, told) = (self.1.len(), told.map(|step| (at(to), step)));
            self.1.push(Op { client, key: 0, sent: at(from), asked, told, index: None });
            self
        }

        fn read(self, times: (u64, u64), value: Option<Value>) -> Self {
            self.add(times, READ, Some(Step { need: Precondition::Is(value), then: None }))
        }

        fn set(self, times: (u64, u64), value: Value, before: Option<Value>) -> Self {
            let asked = Step { need: Precondition::Anything, then: Some(Some(value)) };
            self.add(times, asked, Some(Step { need: Precondition::Is(before), ..asked }))
        }

        fn lost_set(self, from: u64, value: Value) -> Self {
            self.add((from, from), Step { need: Precondition::Anything, then: Some(Some(value)) }, None)
        }

        fn swap(self, times: (u64, u64), was: Value, value: Value) -> Self {
            let step = Step { need: Precondition::Is(Some(was)), then: Some(Some(value)) };
            self.add(times, step, Some(step))
        }

        fn swap_refused(self, times: (u64, u64), was: Value, value: Value, present: Value) -> Self {
            let asked = Step { need: Precondition::Is(Some(was)), then: Some(Some(value)) };
            self.add(times, asked, Some(Step { need: Precondition::Is(Some(present)), then: None }))
        }

        fn right(self) {
            assert_eq!(check_linearizable("k", &self.1), Ok(()));
        }

        fn wrong(self, answer: usize) {
            let why = check_linearizable("k", &self.1).unwrap_err();
            assert!(why.starts_with(&format!("k: answer {answer} of")), "{why}");
        }
    }

    #[test]
    fn a_sequential_history_passes() {
        let history = OpHistory::new().read((0, 1), None).set((2, 5), 1, None).read((3, 4), None);
        let history = history.set((6, 9), 2, Some(3)).set((6, 9), 3, Some(1)).read((7, 10), Some(3));
        history.swap((11, 12), 2, 4).swap_refused((13, 14), 2, 5, 4).read((15, 16), Some(4)).right();
        let gone = Step { need: Precondition::Is(Some(1)), then: Some(None) };
        OpHistory::new().set((0, 1), 1, None).add((2, 3), DELETE, Some(gone)).read((4, 5), None).right();
    }

    #[test]
    fn a_stale_read_is_found() {
        OpHistory::new().set((0, 1), 1, None).set((2, 3), 2, Some(1)).read((4, 5), Some(1)).wrong(2);
        // Two readers, one after the other, while the write is pending.
        let history = OpHistory::new().set((0, 1), 1, None).set((2, 9), 2, Some(1));
        history.read((3, 4), Some(2)).read((5, 6), Some(1)).wrong(2);
    }

    #[test]
    fn a_lost_write_is_found() {
        OpHistory::new().set((0, 1), 1, None).set((2, 3), 2, Some(1)).set((4, 5), 3, Some(1)).wrong(2);
        OpHistory::new().set((0, 1), 1, None).read((2, 3), None).wrong(1);
        OpHistory::new().set((0, 1), 1, None).swap((2, 4), 1, 2).swap((3, 5), 1, 3).wrong(2);
        let gone = Step { need: Precondition::Is(Some(1)), then: Some(None) };
        OpHistory::new().set((0, 1), 1, None).add((2, 3), DELETE, Some(gone)).read((4, 5), Some(1)).wrong(2);
    }

    #[test]
    fn a_write_applied_twice_is_found() {
        let history = OpHistory::new().set((0, 1), 1, None).set((2, 3), 2, Some(1));
        history.read((4, 5), Some(2)).read((6, 7), Some(1)).wrong(3);
        // Undecided, and still applied only once.
        let history = OpHistory::new().lost_set(0, 1).read((2, 3), Some(1)).set((4, 5), 2, Some(1));
        history.read((6, 7), Some(1)).wrong(2);
    }

    #[test]
    fn an_undecided_operation_may_happen_late_or_never_but_not_before_it_was_sent() {
        OpHistory::new().lost_set(0, 1).read((2, 3), None).right();
        OpHistory::new().lost_set(0, 1).read((2, 3), None).read((4, 5), Some(1)).right();
        OpHistory::new().lost_set(0, 1).read((2, 3), Some(1)).read((4, 5), None).wrong(1);
        OpHistory::new().read((0, 1), Some(1)).lost_set(2, 1).wrong(0);
        let swap = Step { need: Precondition::Is(Some(1)), then: Some(Some(2)) };
        OpHistory::new().set((0, 1), 1, None).add((2, 2), swap, None).read((4, 5), Some(2)).right();
        OpHistory::new().set((0, 1), 9, None).add((2, 2), swap, None).read((4, 5), Some(2)).wrong(1);
        OpHistory::new().set((0, 1), 1, None).add((2, 2), DELETE, None).read((4, 5), None).right();
        let history = OpHistory::new().set((0, 1), 1, None).add((2, 2), DELETE, None).read((4, 5), None);
        history.read((6, 7), Some(1)).wrong(2);
        OpHistory::new().lost_set(0, 1).lost_set(0, 2).set((3, 4), 3, Some(2)).read((5, 6), Some(1)).right();
        // A missing value cannot have caused a refusal.
        let not = Step { need: Precondition::Not(1), then: None };
        OpHistory::new().set((0, 1), 1, None).add((2, 3), swap, Some(not)).wrong(1);
    }

    #[test]
    fn a_long_history_with_many_undecided_operations_is_checked_quickly() {
        let mut history = OpHistory::new();
        let mut present = None;
        for number in 0..600_u64 {
            let at = number * 10;
            if number % 12 == 0 {
                history = history.lost_set(at, number + 10_000);
            }
            if number % 36 == 0 {
                // The lost one was applied after all.
                history = history.read((at + 1, at + 2), Some(number + 10_000));
                present = Some(number + 10_000);
            }
            history =
                history.set((at + 3, at + 5), number + 1, present).read((at + 4, at + 9), Some(number + 1));
            present = Some(number + 1);
        }
        let begun = Instant::now();
        let mut stale = OpHistory(history.0, history.1.clone());
        history.right();
        stale = stale.read((6001, 6002), Some(599));
        assert!(check_linearizable("k", &stale.1).is_err());
        assert!(begun.elapsed() < scaled(Duration::from_secs(20)), "{:?}", begun.elapsed());
    }
}
