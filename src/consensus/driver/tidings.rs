//! When the others are told what is committed: at once, or with the next entries where those are near.
//!
//! Raft's own way is a message to each member at each commit, and an answer from each. Where one write follows the other
//! that is half of all messages, and the entries of the next write carry the same word.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use raft::prelude::{Message, MessageType};

use super::Driver;

/// How long the word may wait for entries to go with. What a member's own clients wait for is told at once.
const MOMENT: Duration = Duration::from_micros(500);
/// Entries that came so soon after what was committed before will be followed by others as soon.
const NEAR: Duration = Duration::from_millis(2);

/// What the others were told, and who waits to be told more.
#[derive(Default)]
pub(super) struct Tidings {
    /// The last commit index that each member was sent.
    told: BTreeMap<u64, u64>,
    /// The first and the last entry not told of yet that another member put forward: somebody waits there.
    asked: Option<(u64, u64)>,
    /// What is committed, and since when.
    committed: Option<(u64, Instant)>,
    /// The last entries came soon after what was committed before them.
    near: bool,
    /// When the others are told, whatever else is to be sent by then.
    pub(super) due: Option<Instant>,
}

impl Tidings {
    /// What goes out to the others may carry the word.
    pub(super) fn sent(&mut self, messages: &[Message]) {
        for message in messages {
            if matches!(message.get_msg_type(), MessageType::MsgAppend | MessageType::MsgHeartbeat) {
                let told = self.told.entry(message.to).or_default();
                *told = message.commit.max(*told);
            }
        }
    }

    /// There are new entries.
    pub(super) fn entries(&mut self, now: Instant) {
        self.near = self.committed.is_some_and(|(_, at)| now.saturating_duration_since(at) <= NEAR);
    }

    /// Another member put entries forward; they are the last ones now, up to `index`.
    pub(super) fn asked(&mut self, index: u64) {
        self.asked = Some((self.asked.map_or(index, |(first, _)| first), index));
    }

    /// Whether a message of its own is due now, `others` being all who are to know of `committed`.
    fn are_due(&mut self, committed: u64, others: impl Iterator<Item = u64>, now: Instant) -> bool {
        if self.committed.is_none_or(|(before, _)| before < committed) {
            self.committed = Some((committed, now));
        }
        let mut news = false;
        for id in others {
            news |= self.told.get(&id).is_none_or(|told| *told < committed);
        }
        if !news {
            self.due = None;
            return false;
        }
        let due = *self.due.get_or_insert(now + MOMENT);
        let waited_for = self.asked.is_some_and(|(first, _)| first <= committed);
        waited_for || !self.near || due <= now
    }

    /// All were told, as far as they can be reached.
    fn told(&mut self, committed: u64, others: impl Iterator<Item = u64>) {
        self.told = others.map(|id| (id, committed)).collect();
        self.asked = self.asked.filter(|(_, last)| *last > committed).map(|(_, last)| (committed + 1, last));
        self.due = None;
    }
}

impl Driver {
    /// Tells the others what is committed, when that is due.
    pub(super) fn tell_committed(&mut self, now: Instant) {
        if !self.replica.leads() {
            self.tidings = Tidings::default();
            return;
        }
        let committed = self.replica.committed();
        if self.tidings.are_due(committed, self.replica.others(), now) {
            let messages = self.replica.tell_committed();
            self.outbox.send(messages);
            self.tidings.told(committed, self.replica.others());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(to: u64, commit: u64) -> Message {
        let mut message = Message { to, commit, ..Message::default() };
        message.set_msg_type(MessageType::MsgAppend);
        message
    }

    fn due(tidings: &mut Tidings, committed: u64, now: Instant) -> bool {
        let due = tidings.are_due(committed, [2, 3].into_iter(), now);
        if due {
            tidings.told(committed, [2, 3].into_iter());
        }
        due
    }

    /// As after a write that came soon after the one before.
    fn busy(now: Instant) -> Tidings {
        let mut tidings = Tidings::default();
        assert!(due(&mut tidings, 6, now), "nothing says that others follow");
        tidings.entries(now + NEAR);
        tidings
    }

    #[test]
    fn a_write_that_comes_alone_is_told_at_once() {
        let now = Instant::now();
        let mut tidings = busy(now);
        tidings.entries(now + NEAR + MOMENT);
        assert!(due(&mut tidings, 7, now + NEAR + MOMENT));
        tidings.entries(now + NEAR + MOMENT);
        assert!(!due(&mut tidings, 8, now + NEAR + MOMENT), "this one did not");
    }

    #[test]
    fn the_word_waits_for_entries_to_go_with_and_no_longer_than_a_moment() {
        let now = Instant::now();
        let mut tidings = busy(now);
        assert!(!due(&mut tidings, 7, now), "there may be entries soon");
        assert_eq!(tidings.due, Some(now + MOMENT), "and that is looked for in time");
        tidings.sent(&[append(2, 7), append(3, 7)]);
        assert!(!due(&mut tidings, 7, now + MOMENT), "they told it");
        assert_eq!(tidings.due, None);
        assert!(!due(&mut tidings, 8, now));
        assert!(due(&mut tidings, 8, now + MOMENT), "nothing else did");
        assert!(!due(&mut tidings, 8, now + MOMENT * 2), "once is enough, also where it did not arrive");
    }

    #[test]
    fn one_that_was_left_out_counts() {
        let now = Instant::now();
        let mut tidings = busy(now);
        tidings.sent(&[append(2, 7)]);
        assert!(!due(&mut tidings, 7, now));
        assert!(due(&mut tidings, 7, now + MOMENT));
    }

    #[test]
    fn what_another_members_client_waits_for_is_told_at_once() {
        let now = Instant::now();
        let mut tidings = busy(now);
        tidings.asked(8);
        tidings.asked(9);
        assert!(!due(&mut tidings, 7, now), "that is not it");
        assert!(due(&mut tidings, 8, now));
        assert!(due(&mut tidings, 9, now), "neither has the rest been told");
        assert!(!due(&mut tidings, 10, now));
    }
}
