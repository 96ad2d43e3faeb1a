//! Writing pairs to the mirror: in batches of bounded size, long values in parts.

use std::collections::HashMap;

use sha1::{Digest as _, Sha1};
use sled::{Batch, Db, IVec};

use super::entry::{DecodeError, FieldReader};
use super::mirror_error::MirrorError;
use super::state_codec::{self, PairChecksum, SetChecksum, StateHead, pair_checksum};
use crate::keyspace::{DirId, NodeRecord, RemovedNode};

/// The key of the head.
pub(super) const HEAD: &[u8] = b"h";
/// What stands in place of the head while a change is written in several batches.
pub(super) const INCOMPLETE: &[u8] = b"";
/// Longer values are split into parts of this size.
const PART_BYTES: usize = 32 << 10;
const WHOLE: u8 = 0;
const PARTS: u8 = 1;
/// Until a batch ends, sled keeps everything that it replaces in memory, some kilobytes a pair. What changes in a
/// second fits into one batch; only outsized changes need more.
pub(super) const MAX_BATCH_CHANGES: usize = 16 << 10;
const MAX_BATCH_BYTES: usize = 64 << 20;

/// What the pairs in the mirror add up to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MirrorTotals {
    pub(super) checksum: SetChecksum,
    /// About how many bytes they take, without sled's own share.
    pub(super) bytes: u64,
    /// The most changes in one batch.
    #[cfg(test)]
    pub(super) largest_batch: usize,
}

/// A change of the mirror. If it takes more than one batch, the mirror does not count until the last: a start after
/// a crash in between rebuilds it.
pub(super) struct BatchWriter<'m> {
    db: &'m Db,
    totals: MirrorTotals,
    batch: Batch,
    /// How many pairs and parts the batch changes.
    changes: usize,
    /// How many bytes it writes.
    bytes: usize,
    /// The pairs in the batch, by key: whether they are written; otherwise they are removed.
    touched: HashMap<Vec<u8>, bool>,
}

impl<'m> BatchWriter<'m> {
    pub(super) fn new(db: &'m Db, totals: MirrorTotals) -> Self {
        Self { db, totals, batch: Batch::default(), changes: 0, bytes: 0, touched: HashMap::new() }
    }

    /// Writes a pair. A pair that comes twice has the same value both times.
    pub(super) fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), MirrorError> {
        match self.touched.get(key) {
            Some(true) => return Ok(()),
            Some(false) => {}
            None => self.subtract_stored(key)?,
        }
        self.totals.checksum.add(pair_checksum(key, value));
        self.totals.bytes += stored_bytes(key, value.len());
        store(key, value, &mut self.batch);
        self.note(key, true, value.len())
    }

    /// Removes a pair, if it is there.
    pub(super) fn remove(&mut self, key: &[u8]) -> Result<(), MirrorError> {
        if self.touched.contains_key(key) {
            return Ok(());
        }
        self.subtract_stored(key)?;
        self.batch.remove(key);
        self.note(key, false, 0)
    }

    /// Removes a node with everything below it. All removals come before the first `put`.
    pub(super) fn remove_node(&mut self, node: &RemovedNode) -> Result<(), MirrorError> {
        self.remove(&state_codec::node_key(node.place()))?;
        let mut waiting: Vec<DirId> = node.dir.into_iter().collect();
        while let Some(dir) = waiting.pop() {
            let db = self.db;
            for pair in db.scan_prefix(state_codec::dir_prefix(dir)) {
                let (key, stored) = pair?;
                if self.touched.contains_key(&*key) {
                    continue;
                }
                waiting.extend(dir_of(&stored)?.map(|created| dir.child(created)));
                self.subtract(&key, &stored)?;
                self.batch.remove(key.clone());
                self.note(&key, false, 0)?;
            }
        }
        Ok(())
    }

    /// Writes the head, with which the change takes effect; returns it with the checksum of all pairs.
    pub(super) fn finish(mut self, head: StateHead) -> Result<(StateHead, MirrorTotals), MirrorError> {
        let head = StateHead { checksum: self.totals.checksum, ..head };
        self.batch.insert(HEAD, head.encode());
        self.apply()?;
        Ok((head, self.totals))
    }

    fn note(&mut self, key: &[u8], written: bool, value: usize) -> Result<(), MirrorError> {
        self.touched.insert(key.to_vec(), written);
        self.changes += 1 + value / PART_BYTES;
        self.bytes += key.len() + value;
        if self.changes >= MAX_BATCH_CHANGES || self.bytes >= MAX_BATCH_BYTES {
            self.batch.insert(HEAD, INCOMPLETE);
            self.apply()?;
        }
        Ok(())
    }

    fn apply(&mut self) -> Result<(), MirrorError> {
        #[cfg(test)]
        {
            self.totals.largest_batch = self.totals.largest_batch.max(self.changes);
        }
        self.db.apply_batch(std::mem::take(&mut self.batch))?;
        self.db.flush()?;
        self.touched.clear();
        (self.changes, self.bytes) = (0, 0);
        Ok(())
    }

    fn subtract_stored(&mut self, key: &[u8]) -> Result<(), MirrorError> {
        match self.db.get(key)? {
            Some(stored) => self.subtract(key, &stored),
            None => Ok(()),
        }
    }

    /// Takes a stored pair out of the totals, and removes the parts of its value.
    fn subtract(&mut self, key: &[u8], stored: &[u8]) -> Result<(), MirrorError> {
        let checksum = match stored.split_first() {
            Some((&WHOLE, value)) => pair_checksum(key, value),
            Some((&PARTS, index)) => {
                let index = PartsIndex::decode(index)?;
                for part in 0..index.parts {
                    self.batch.remove(part_key(index.id, part));
                    self.changes += 1;
                }
                index.checksum
            }
            _ => return Err(DecodeError("a pair in an unknown form").into()),
        };
        self.totals.checksum.remove(checksum);
        self.totals.bytes = self.totals.bytes.saturating_sub(bytes_of_stored(key, stored));
        Ok(())
    }
}

/// Returns when a directory was created, from its stored node; `None` for a file.
fn dir_of(stored: &[u8]) -> Result<Option<u64>, DecodeError> {
    match stored.split_first() {
        Some((&WHOLE, value)) => NodeRecord::dir_created(value).map_err(|_| DecodeError("an invalid node")),
        _ => Ok(None),
    }
}

/// Returns about how many bytes a pair takes.
pub(super) fn stored_bytes(key: &[u8], value: usize) -> u64 {
    let value = if value > PART_BYTES { value.next_multiple_of(PART_BYTES) } else { value };
    (key.len() + value) as u64
}

/// As [`stored_bytes`], from the stored value.
fn bytes_of_stored(key: &[u8], stored: &[u8]) -> u64 {
    match stored.split_first() {
        Some((&PARTS, index)) => PartsIndex::decode(index)
            .map_or(0, |index| key.len() as u64 + index.parts.saturating_mul(PART_BYTES as u64)),
        _ => (key.len() + stored.len().saturating_sub(1)) as u64,
    }
}

/// Returns the value of a stored pair, joined from its parts.
pub(super) fn value_of(db: &Db, key: &[u8], stored: &IVec) -> Result<IVec, MirrorError> {
    match stored.split_first() {
        Some((&WHOLE, _)) => Ok(stored.subslice(1, stored.len() - 1)),
        Some((&PARTS, index)) => Ok(assemble(db, key, PartsIndex::decode(index)?)?.into()),
        _ => Err(DecodeError("a pair in an unknown form").into()),
    }
}

fn assemble(db: &Db, key: &[u8], index: PartsIndex) -> Result<Vec<u8>, MirrorError> {
    let mut value = Vec::new();
    for part in 0..index.parts {
        let stored = db.get(part_key(index.id, part))?;
        value.extend_from_slice(&stored.ok_or(DecodeError("a part of a long value is missing"))?);
    }
    if pair_checksum(key, &value) != index.checksum {
        return Err(DecodeError("the parts of a long value do not match").into());
    }
    Ok(value)
}

/// Stored in place of a value that is kept in parts.
#[derive(Clone, Copy)]
struct PartsIndex {
    id: u64,
    parts: u64,
    checksum: PairChecksum,
}

impl PartsIndex {
    fn encode(self) -> Vec<u8> {
        let mut out = vec![PARTS];
        for number in [self.id, self.parts, self.checksum.hash, self.checksum.bytes] {
            out.extend(number.to_le_bytes());
        }
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut read = FieldReader::new(bytes);
        let (id, parts) = (read.number()?, read.number()?);
        let checksum = PairChecksum { hash: read.number()?, bytes: read.number()? };
        read.end()?;
        Ok(Self { id, parts, checksum })
    }
}

/// The id of a value's parts is derived from key and content: no two pairs share parts, and a repeated write
/// changes nothing.
fn part_id(key: &[u8], value: &[u8]) -> u64 {
    let mut digest = Sha1::new();
    digest.update((key.len() as u64).to_le_bytes());
    digest.update(key);
    digest.update(value);
    u64::from_be_bytes(digest.finalize()[..8].try_into().expect("a digest has twenty bytes"))
}

fn part_key(id: u64, part: u64) -> Vec<u8> {
    [b"p".as_slice(), &id.to_be_bytes(), &part.to_be_bytes()].concat()
}

fn store(key: &[u8], value: &[u8], batch: &mut Batch) {
    if value.len() <= PART_BYTES {
        batch.insert(key, [&[WHOLE], value].concat());
        return;
    }
    let checksum = pair_checksum(key, value);
    let index =
        PartsIndex { id: part_id(key, value), parts: value.len().div_ceil(PART_BYTES) as u64, checksum };
    for (part, bytes) in value.chunks(PART_BYTES).enumerate() {
        batch.insert(part_key(index.id, part as u64), bytes);
    }
    batch.insert(key, index.encode());
}
