//! The durable mirror of the state, in sled: each batch holds the changed pairs and the head.
//!
//! This file works around the known faults of sled 0.34. Its `flush` does not fsync: [`Mirror::barrier`] syncs the
//! file itself, and no reply depends on `flush`. It puts long values into files that it never syncs: they are split
//! into parts. A kill while it opens leaves half-written files that it cannot read: they are removed first. It
//! panics on damaged files: panics are caught. It may lose the end of what was written: everything it returns is
//! checked against a checksum.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use sha1::{Digest as _, Sha1};
use sled::{Batch, Db};
use thiserror::Error;

use super::entry::DecodeError;
use super::panics;
use super::snapshot::SnapshotWriter;
use super::state::State;
use super::state_codec::{PairChecksum, SetChecksum, StateBuilder, StateHead, pair_checksum};
use crate::disk;

const HEAD: &[u8] = b"h";
/// Longer values are split into parts of this size.
const PART_BYTES: usize = 32 << 10;
const WHOLE: u8 = 0;
const PARTS: u8 = 1;
/// The size of sled's page cache. Reads are served from memory elsewhere, so little is enough.
const CACHE_BYTES: u64 = 4 << 20;
/// Opening that takes longer will never end.
const OPEN_TIMEOUT: Duration = Duration::from_secs(120);

/// Why the mirror cannot be used.
#[derive(Debug, Error)]
pub(super) enum MirrorError {
    #[error("{}", cause(.0))]
    Sled(#[from] sled::Error),
    #[error("its library failed: {0}")]
    Panicked(String),
    #[error("{0}")]
    Content(#[from] DecodeError),
    #[error("{}", disk::explain(.0))]
    Io(#[from] io::Error),
    #[error("it cannot be opened: {0}")]
    Opening(String),
}

impl MirrorError {
    /// Returns whether the data that sled has in memory or on disk is no longer usable.
    pub(super) fn is_mirror_failure(&self) -> bool {
        !matches!(self, Self::Io(_))
    }
}

fn cause(error: &sled::Error) -> String {
    match error {
        sled::Error::Io(error) => disk::explain(error),
        error => error.to_string(),
    }
}

/// The sled database; dropping it may panic.
struct OpenDb(Option<Db>);

impl Deref for OpenDb {
    type Target = Db;

    fn deref(&self) -> &Db {
        self.0.as_ref().expect("it is taken only to be dropped")
    }
}

impl Drop for OpenDb {
    fn drop(&mut self) {
        let db = self.0.take();
        if let Err(panic) = panics::catch(move || drop(db)) {
            tracing::debug!("closing the mirror: {panic}");
        }
    }
}

/// What changed since the mirror was last written.
#[derive(Debug, Default)]
pub(super) struct Delta {
    /// Removed subtrees, as keys of pairs; applied before everything else.
    pub(super) removed: Vec<Vec<u8>>,
    /// Pairs with their new value; `None` removes the pair.
    pub(super) pairs: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// The durable mirror.
pub(super) struct Mirror {
    db: OpenDb,
    path: PathBuf,
    head: StateHead,
}

impl Mirror {
    /// Opens the mirror at `path` and reads the state from it. Returns `None` when nothing is there.
    pub(super) fn open(path: &Path) -> Result<Option<(Self, State)>, MirrorError> {
        if !path.join("db").exists() {
            return Ok(None);
        }
        let path = path.to_path_buf();
        run_guarded(move || {
            let db = open(&path)?;
            let head = db.get(HEAD)?.ok_or(DecodeError("it has no head"))?;
            let head = StateHead::decode(&head)?;
            let mirror = Self { db, path, head };
            let mut builder = StateBuilder::default();
            mirror.each(|key, value| builder.pair(key, value).map_err(MirrorError::from))?;
            let state = builder.finish(&mirror.head)?;
            Ok(Some((mirror, state)))
        })
    }

    /// Creates an empty mirror at `path`, which must not exist.
    pub(super) fn make(path: &Path) -> Result<Self, MirrorError> {
        let path = path.to_path_buf();
        run_guarded(move || Ok(Self { db: open(&path)?, path, head: StateHead::default() }))
    }

    pub(super) fn head(&self) -> &StateHead {
        &self.head
    }

    /// Writes a delta and the head that results from it, in one batch. The mirror keeps the head's checksum itself.
    pub(super) fn write(&mut self, delta: Delta, head: StateHead) -> Result<(), MirrorError> {
        catch_panics(|| self.write_batch(delta, head))
    }

    fn write_batch(&mut self, delta: Delta, head: StateHead) -> Result<(), MirrorError> {
        let mut batch = Batch::default();
        let mut checksum = self.head.checksum;
        let mut gone = HashSet::new();
        for root in delta.removed {
            self.remove_below(&root, &mut batch, &mut checksum, &mut gone)?;
        }
        for (key, value) in delta.pairs {
            if !gone.contains(&key)
                && let Some(stored) = self.db.get(&key)?
            {
                checksum.remove(drop_stored(&key, &stored, &mut batch)?);
            }
            match value {
                None => batch.remove(key),
                Some(value) => {
                    checksum.add(pair_checksum(&key, &value));
                    store(key, &value, &mut batch);
                }
            }
        }
        let head = StateHead { checksum, ..head };
        batch.insert(HEAD, head.encode());
        self.db.apply_batch(batch)?;
        self.db.flush()?;
        self.head = head;
        Ok(())
    }

    fn remove_below(
        &self,
        root: &[u8],
        batch: &mut Batch,
        checksum: &mut SetChecksum,
        gone: &mut HashSet<Vec<u8>>,
    ) -> Result<(), MirrorError> {
        let below = [root, b"/"].concat();
        let own = self.db.get(root)?.map(|value| Ok((root.into(), value)));
        for pair in own.into_iter().chain(self.db.scan_prefix(below)) {
            let (key, stored) = pair?;
            if gone.insert(key.to_vec()) {
                checksum.remove(drop_stored(&key, &stored, batch)?);
                batch.remove(key);
            }
        }
        Ok(())
    }

    /// Makes everything written so far durable. Slow.
    pub(super) fn barrier(&self) -> Result<(), MirrorError> {
        catch_panics(|| {
            self.db.flush()?;
            // The kernel syncs the whole file, whichever descriptor asks.
            File::open(self.path.join("db"))?.sync_all()?;
            Ok(File::open(&self.path)?.sync_all()?)
        })
    }

    /// Writes the state as of the last `write` as a snapshot, unless the pairs do not match the checksum.
    pub(super) fn snapshot(&self, folder: &Path) -> Result<(), MirrorError> {
        catch_panics(|| self.write_snapshot(folder, &self.head))
    }

    /// The same for a backup.
    pub(super) fn backup(&self, folder: &Path) -> Result<(), MirrorError> {
        catch_panics(|| self.write_snapshot(folder, &self.head.clone().for_backup()))
    }

    fn write_snapshot(&self, folder: &Path, head: &StateHead) -> Result<(), MirrorError> {
        let mut writing = SnapshotWriter::begin(folder, head)?;
        let mut checksum = SetChecksum::default();
        let copied = self.each(|key, value| {
            checksum.add(pair_checksum(key, value));
            Ok(writing.pair(key, value)?)
        });
        if let Err(error) = copied {
            writing.discard();
            return Err(error);
        }
        if checksum != self.head.checksum {
            writing.discard();
            return Err(DecodeError("the pairs do not match what was written").into());
        }
        Ok(writing.finish()?)
    }

    /// Passes every pair of the state to `take`, long values joined from their parts.
    fn each(&self, mut take: impl FnMut(&[u8], &[u8]) -> Result<(), MirrorError>) -> Result<(), MirrorError> {
        for prefix in [b"n", b"e"] {
            for pair in self.db.scan_prefix(prefix) {
                let (key, stored) = pair?;
                match stored.split_first() {
                    Some((&WHOLE, value)) => take(&key, value)?,
                    Some((&PARTS, parts_index)) => {
                        take(&key, &self.assemble(&key, PartsIndex::decode(parts_index)?)?)?;
                    }
                    _ => return Err(DecodeError("a pair in an unknown form").into()),
                }
            }
        }
        Ok(())
    }

    fn assemble(&self, key: &[u8], parts_index: PartsIndex) -> Result<Vec<u8>, MirrorError> {
        let mut value = Vec::new();
        for part in 0..parts_index.parts {
            let stored = self.db.get(part_key(parts_index.id, part))?;
            value.extend_from_slice(&stored.ok_or(DecodeError("a part of a long value is missing"))?);
        }
        if pair_checksum(key, &value) != parts_index.checksum {
            return Err(DecodeError("the parts of a long value do not match").into());
        }
        Ok(value)
    }
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
        let mut read = super::entry::FieldReader::new(bytes);
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

fn store(key: Vec<u8>, value: &[u8], batch: &mut Batch) {
    if value.len() <= PART_BYTES {
        batch.insert(key, [&[WHOLE], value].concat());
        return;
    }
    let checksum = pair_checksum(&key, value);
    let parts_index =
        PartsIndex { id: part_id(&key, value), parts: value.len().div_ceil(PART_BYTES) as u64, checksum };
    for (part, bytes) in value.chunks(PART_BYTES).enumerate() {
        batch.insert(part_key(parts_index.id, part as u64), bytes);
    }
    batch.insert(key, parts_index.encode());
}

/// Removes the parts of a stored value, if it has any; returns the weight of the pair.
fn drop_stored(key: &[u8], stored: &[u8], batch: &mut Batch) -> Result<PairChecksum, MirrorError> {
    match stored.split_first() {
        Some((&WHOLE, value)) => Ok(pair_checksum(key, value)),
        Some((&PARTS, parts_index)) => {
            let parts_index = PartsIndex::decode(parts_index)?;
            for part in 0..parts_index.parts {
                batch.remove(part_key(parts_index.id, part));
            }
            Ok(parts_index.checksum)
        }
        _ => Err(DecodeError("a pair in an unknown form").into()),
    }
}

fn open(path: &Path) -> Result<OpenDb, MirrorError> {
    if path.exists() {
        for entry in fs::read_dir(path)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "generating") {
                fs::remove_file(path)?;
            }
        }
    }
    let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(None);
    Ok(OpenDb(Some(config.open()?)))
}

fn catch_panics<T>(work: impl FnOnce() -> Result<T, MirrorError>) -> Result<T, MirrorError> {
    panics::catch(work).unwrap_or_else(|panic| Err(MirrorError::Panicked(panic)))
}

/// Runs `work` on its own thread, so that a panic or an endless loop in it does not stop the program.
fn run_guarded<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, MirrorError> + Send + 'static,
) -> Result<T, MirrorError> {
    let (send, receive) = mpsc::channel();
    let thread = std::thread::Builder::new().name("mirror-opening".to_owned());
    thread.spawn(move || send.send(catch_panics(work)).ok())?;
    match receive.recv_timeout(OPEN_TIMEOUT) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => Err(MirrorError::Opening("it takes too long".to_owned())),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            Err(MirrorError::Opening("sled could not read its files".to_owned()))
        }
    }
}
