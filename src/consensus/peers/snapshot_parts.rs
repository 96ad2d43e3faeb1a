//! The parts of a snapshot file from a member with a secret: each is used only after its HMAC was verified.

use bytes::Bytes;

use super::proof::{MAC_BYTES, SnapshotKey};
use super::serve::CHUNK_BYTES;

/// Splits a body into its parts.
pub(super) struct SnapshotParts {
    key: SnapshotKey,
    /// Where the next part begins, and where the file ends.
    at: u64,
    length: u64,
    /// The beginning of the next part.
    received: Vec<u8>,
}

impl SnapshotParts {
    /// The body begins at offset `at` of a file of this length.
    pub(super) fn new(key: SnapshotKey, at: u64, length: u64) -> Self {
        Self { key, at, length, received: Vec::new() }
    }

    /// Takes received bytes; returns those of the parts that are complete now. `None` when one is forged.
    pub(super) fn verified(&mut self, data: &[u8]) -> Option<Bytes> {
        self.received.extend_from_slice(data);
        let mut verified = Vec::new();
        loop {
            let length = self.length.saturating_sub(self.at).min(CHUNK_BYTES) as usize;
            if length == 0 {
                return self.received.is_empty().then(|| verified.into());
            }
            let Some((part, rest)) = self.received.split_at_checked(length + MAC_BYTES) else {
                return Some(verified.into());
            };
            let (bytes, mac) = part.split_at(length);
            if !self.key.verifies(self.at, bytes, mac) {
                return None;
            }
            verified.extend_from_slice(bytes);
            self.at += length as u64;
            self.received = rest.to_vec();
        }
    }
}
