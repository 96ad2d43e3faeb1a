//! Sends the commit index to the other members.
//!
//! A client may kill this member, and others, as soon as it has its reply. The remaining members serve reads and must
//! know what was acknowledged. So the commit index is sent before the reply: with entries if there are any, or else in
//! its own message, to which members that keep up send no reply.

use std::collections::BTreeMap;

use raft::prelude::{Message, MessageType};

use super::Driver;

/// The last commit index that each member was sent.
#[derive(Default)]
pub(super) struct CommitBroadcast {
    sent: BTreeMap<u64, u64>,
}

impl CommitBroadcast {
    /// Records the messages sent to the others.
    pub(super) fn sent(&mut self, messages: &[Message]) {
        for message in messages {
            if matches!(message.get_msg_type(), MessageType::MsgAppend | MessageType::MsgHeartbeat) {
                let sent = self.sent.entry(message.to).or_default();
                *sent = message.commit.max(*sent);
            }
        }
    }

    /// Returns whether one of the `others` was not sent `committed` yet.
    fn is_due(&self, committed: u64, mut others: impl Iterator<Item = u64>) -> bool {
        others.any(|id| self.sent.get(&id).is_none_or(|sent| *sent < committed))
    }

    /// Records that it was sent to all members that can be reached.
    fn done(&mut self, committed: u64, others: impl Iterator<Item = u64>) {
        self.sent = others.map(|id| (id, committed)).collect();
    }
}

impl Driver {
    /// Sends the commit index to the others if one of them was not sent it yet.
    pub(super) fn broadcast_commit(&mut self) {
        if !self.replica.is_leader() {
            self.commit_broadcast = CommitBroadcast::default();
            return;
        }
        let committed = self.replica.committed();
        if self.commit_broadcast.is_due(committed, self.replica.others()) {
            let messages = self.replica.commit_messages();
            self.outbox.send(messages);
            self.commit_broadcast.done(committed, self.replica.others());
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

    fn due(broadcast: &mut CommitBroadcast, committed: u64) -> bool {
        let due = broadcast.is_due(committed, [2, 3].into_iter());
        if due {
            broadcast.done(committed, [2, 3].into_iter());
        }
        due
    }

    #[test]
    fn each_commit_is_sent_at_once_and_only_once() {
        let mut broadcast = CommitBroadcast::default();
        for committed in 6..9 {
            assert!(due(&mut broadcast, committed));
            assert!(!due(&mut broadcast, committed), "once is enough, also where it did not arrive");
        }
    }

    #[test]
    fn appends_carry_the_commit_index_and_a_member_left_out_still_needs_it() {
        let mut broadcast = CommitBroadcast::default();
        broadcast.sent(&[append(2, 7), append(3, 7)]);
        assert!(!due(&mut broadcast, 7));
        broadcast.sent(&[append(2, 8)]);
        assert!(due(&mut broadcast, 8));
    }
}
