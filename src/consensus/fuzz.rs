//! Fuzzing of what members and disks bring: frames, entries of the log, snapshots.

use super::entry::{ProposalId, RaftCommand};
use super::state_codec::StateHead;
use super::{peers, snapshot};

/// Reads the bytes as the content of a frame from another member.
pub(crate) fn frame(data: &[u8]) {
    peers::fuzz::frame(data);
}

/// Reads the bytes as an entry of the log; what it means is written and read as the same.
pub(crate) fn entry(data: &[u8]) {
    let _ = ProposalId::decode(data);
    if let Ok(command) = RaftCommand::decode(data) {
        let bytes = command.encode();
        let again = RaftCommand::decode(&bytes).expect("what was written can be read");
        assert_eq!(again.encode(), bytes);
    }
}

/// Reads the bytes as a snapshot, with a head and checksums that fit.
pub(crate) fn snapshot(data: &[u8]) {
    let head = StateHead::default().encode();
    let mut bytes = snapshot::FORMAT.to_vec();
    bytes.extend((head.len() as u32).to_le_bytes());
    bytes.extend(head);
    bytes.extend(data);
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    drop(snapshot::parse(&bytes));
}
