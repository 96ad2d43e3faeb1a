//! Whether raft can process a message of another member: raft trusts its messages, and panics on some.

use raft::prelude::{Entry, Message, MessageType};

use super::entry::RaftCommand;

/// How far a message may raise the term. Each election raises it by one; at its end no leader could ever be elected.
const MAX_TERM_STEP: u64 = 1 << 32;

/// Returns whether raft can process a message: it panics on some that no member sends, and an entry that nobody can
/// decode would stop all members. A member without a term accepts that of its group, which may be any.
pub(super) fn is_valid(message: &Message, term: u64) -> bool {
    if message.term > u64::MAX - MAX_TERM_STEP
        || (term != 0 && message.term.saturating_sub(term) > MAX_TERM_STEP)
    {
        return false;
    }
    match message.get_msg_type() {
        MessageType::MsgPropose => {
            !message.entries.is_empty() && message.entries.iter().all(|entry| RaftCommand::of(entry).is_ok())
        }
        MessageType::MsgReadIndex => message.entries.len() == 1,
        MessageType::MsgAppend => {
            let mut numbered = (1_u64..).zip(&*message.entries);
            let follows = |(nth, entry): (u64, &Entry)| entry.index.checked_sub(message.index) == Some(nth);
            // Raft takes 0 for the term of any entry that it lacks, so such a message would match beyond the log.
            let has_previous = message.index == 0 || message.log_term != 0;
            message.term != 0 && has_previous && numbered.all(follows)
        }
        _ => message.term != 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(index: u64, entries: &[u64]) -> Message {
        let entry = |index: &u64| Entry { index: *index, term: 1, ..Entry::default() };
        let entries = entries.iter().map(entry).collect::<Vec<_>>().into();
        let mut message = Message { index, term: 3, log_term: 2, entries, ..Message::default() };
        message.set_msg_type(MessageType::MsgAppend);
        message
    }

    #[test]
    fn entries_must_follow_the_index_of_their_message() {
        for good in [append(4, &[]), append(4, &[5, 6]), append(0, &[1])] {
            assert!(is_valid(&good, 3), "{good:?}");
        }
        let beyond_the_log = Message { log_term: 0, commit: 1 << 40, ..append(1 << 40, &[]) };
        assert!(!is_valid(&beyond_the_log, 2), "{beyond_the_log:?}");
        assert!(
            is_valid(&Message { log_term: 0, ..append(0, &[1]) }, 3),
            "the first entry has none before it"
        );
        for bad in [append(4, &[3]), append(4, &[5, 7]), append(9, &[2, 3]), append(u64::MAX, &[0])] {
            assert!(!is_valid(&bad, 3), "{bad:?}");
        }
    }

    #[test]
    fn no_message_brings_the_term_near_its_end() {
        let of = |term| Message { term, ..append(4, &[5]) };
        for (own, term) in [(3, 3), (3, 2), (3, 4), (3, MAX_TERM_STEP), (0, u64::MAX / 2), (u64::MAX / 2, 7)]
        {
            assert!(is_valid(&of(term), own), "{term} at {own}");
        }
        for (own, term) in
            [(3, u64::MAX), (3, MAX_TERM_STEP + 4), (0, u64::MAX), (u64::MAX - 9, u64::MAX - 8)]
        {
            assert!(!is_valid(&of(term), own), "{term} at {own}");
        }
    }
}
