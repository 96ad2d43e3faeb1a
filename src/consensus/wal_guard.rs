//! Decides whether the end of a damaged log file may be cut off, or was durable.
//!
//! The log's library repairs a damaged last file by cutting it at the first record that it cannot read, wherever
//! that is. After a crash this is right: what follows is the one round of writes that was never synced or
//! acknowledged. After a flipped bit it would silently drop everything written since. The two differ: each round
//! carries its number and begins only when the one before was synced. So if a later round follows the first
//! unreadable one, that one was durable, and cutting is refused.

/// The start of each round's mark.
const MAGIC: [u8; 8] = *b"rtRound\x01";
/// Magic, number, checksum of both.
const MARK_BYTES: usize = 20;

/// Makes and recognises the marks of one data folder. Each folder has its own secret, since marks are searched for
/// in raw bytes that clients mostly choose.
#[derive(Clone, Copy, Debug)]
pub(super) struct WalMarks {
    secret: u64,
}

impl WalMarks {
    pub(super) fn new(secret: u64) -> Self {
        Self { secret }
    }

    /// Returns the mark of a round: part of each batch that is written to the log.
    pub(super) fn of(self, round: u64) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend(round.to_le_bytes());
        out.extend(self.check(&out).to_le_bytes());
        out
    }

    fn check(self, body: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.secret.to_le_bytes());
        hasher.update(body);
        hasher.finalize()
    }

    /// Returns the number in a mark, or `None` when it is not a mark.
    pub(super) fn round(self, bytes: &[u8]) -> Option<u64> {
        let (body, check) = bytes.get(..MARK_BYTES)?.split_at(MARK_BYTES - 4);
        let number = body.strip_prefix(&MAGIC)?.try_into().ok()?;
        (self.check(body).to_le_bytes() == check).then(|| u64::from_le_bytes(number))
    }

    /// Iterates over all marks in `bytes`.
    fn all(self, bytes: &[u8]) -> impl Iterator<Item = u64> {
        let starts = bytes.windows(MAGIC.len()).enumerate().filter(|(_, window)| *window == MAGIC);
        starts.filter_map(move |(at, _)| self.round(&bytes[at..]))
    }
}

/// What a cut would remove.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TailState {
    /// Reserved space that was never written.
    Empty,
    /// One round that was interrupted while it was written.
    Torn,
    /// Rounds that were durable.
    Durable,
}

/// Classifies the bytes of a log file that would be cut at `cut`.
pub(super) fn classify_tail(marks: WalMarks, bytes: &[u8], cut: usize) -> TailState {
    let (kept, tail) = bytes.split_at(cut.min(bytes.len()));
    if tail.iter().all(|byte| *byte == 0) {
        return TailState::Empty;
    }
    let (first, last) = (marks.all(tail).min(), marks.all(tail).max());
    let durable = match marks.all(kept).max() {
        // The first unreadable round is the one after the last good one.
        Some(good) => last.is_some_and(|last| last > good.saturating_add(1)),
        // A file's header is synced before its first round begins.
        None if cut == 0 => last.is_some(),
        None => first != last,
    };
    if durable { TailState::Durable } else { TailState::Torn }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKS: WalMarks = WalMarks { secret: 7 };

    /// Builds a log of rounds with some bytes of content each.
    fn log(rounds: std::ops::RangeInclusive<u64>) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut starts) = (vec![7; 16], Vec::new());
        for round in rounds {
            starts.push(bytes.len());
            bytes.extend([round as u8 | 0x80; 30]);
            bytes.extend(MARKS.of(round));
            bytes.extend([9; 5]);
        }
        (bytes, starts)
    }

    #[test]
    fn preallocated_space_may_be_cut() {
        let (mut bytes, _) = log(1..=3);
        let end = bytes.len();
        bytes.extend([0; 4096]);
        assert_eq!(classify_tail(MARKS, &bytes, end), TailState::Empty);
    }

    #[test]
    fn the_last_round_may_be_cut_with_or_without_its_marker() {
        let (bytes, starts) = log(1..=3);
        assert_eq!(classify_tail(MARKS, &bytes, starts[2]), TailState::Torn);
        assert_eq!(classify_tail(MARKS, &bytes[..bytes.len() - 10], starts[2]), TailState::Torn);
    }

    #[test]
    fn a_damaged_round_before_later_ones_is_kept() {
        let (bytes, starts) = log(1..=3);
        assert_eq!(classify_tail(MARKS, &bytes, starts[1]), TailState::Durable);
        let mut unmarked = bytes;
        unmarked[starts[1] + 32] ^= 1; // the damage hit the round's own mark
        assert_eq!(classify_tail(MARKS, &unmarked, starts[1]), TailState::Durable);
    }

    #[test]
    fn a_broken_header_before_any_round_is_kept() {
        let (bytes, _) = log(5..=5);
        assert_eq!(classify_tail(MARKS, &bytes, 0), TailState::Durable);
        assert_eq!(classify_tail(MARKS, &[3; 16], 0), TailState::Torn);
    }

    #[test]
    fn the_first_round_of_a_file_may_be_cut_unless_another_follows() {
        let (bytes, starts) = log(5..=5);
        assert_eq!(classify_tail(MARKS, &bytes, starts[0]), TailState::Torn);
        let (bytes, starts) = log(5..=6);
        assert_eq!(classify_tail(MARKS, &bytes, starts[0]), TailState::Durable);
    }

    #[test]
    fn a_marker_forged_by_a_client_is_ignored() {
        let (mut bytes, starts) = log(1..=3);
        bytes.extend(WalMarks::new(8).of(u64::MAX));
        assert_eq!(classify_tail(MARKS, &bytes, starts[2]), TailState::Torn);
        bytes.extend(MARKS.of(u64::MAX));
        assert_eq!(classify_tail(MARKS, &bytes, starts[2]), TailState::Durable);
    }
}
