//! The durable mirror of the state, in sled: each batch holds the changed pairs and the head.
//!
//! This file works around the known faults of sled 0.34. Its `flush` does not fsync: [`Mirror::barrier`] syncs the
//! file itself, and no reply depends on `flush`. It puts long values into files that it never syncs: they are split
//! into parts. A kill while it opens leaves half-written files that it cannot read: they are removed first. It
//! panics on damaged files: panics are caught. It may lose the end of what was written: everything it returns is
//! checked against a checksum.

use std::fs::{self, File};
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use sled::Db;

use super::entry::DecodeError;
use super::mirror_batch::{self, BatchWriter, HEAD, INCOMPLETE, MirrorTotals};
use super::mirror_error::MirrorError;
use super::pairs::Pairs;
use super::panics;
use super::snapshot::SnapshotWriter;
use super::state::State;
use super::state_codec::{self, SetChecksum, StateBuilder, StateHead, pair_checksum};
use crate::keyspace::RemovedNode;

/// The size of sled's page cache. Reads are served from memory elsewhere, so little is enough.
const CACHE_BYTES: u64 = 4 << 20;
/// Opening that takes longer will never end.
const OPEN_TIMEOUT: Duration = Duration::from_secs(120);

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
    /// Removed nodes; applied before everything else.
    pub(super) removed: Vec<RemovedNode>,
    /// Pairs with their new value.
    pub(super) pairs: Pairs,
    /// Past events that are no longer kept.
    pub(super) dropped_events: Range<u64>,
}

/// The durable mirror.
pub(super) struct Mirror {
    db: OpenDb,
    path: PathBuf,
    head: StateHead,
    totals: MirrorTotals,
}

impl Mirror {
    /// Opens the mirror at `path` and reads the state from it. Returns `None` when nothing is there, and no mirror
    /// beside the state when it has an older format and must be rebuilt.
    pub(super) fn open(path: &Path) -> Result<Option<(Option<Self>, State)>, MirrorError> {
        if !path.join("db").exists() {
            return Ok(None);
        }
        let path = path.to_path_buf();
        run_guarded(move || {
            let db = open(&path)?;
            let encoded = db.get(HEAD)?.ok_or(DecodeError("it has no head"))?;
            if *encoded == *INCOMPLETE {
                return Err(MirrorError::Incomplete);
            }
            let head = StateHead::decode(&encoded)?;
            let totals = MirrorTotals { checksum: head.checksum, ..MirrorTotals::default() };
            let mut mirror = Self { db, path, head, totals };
            let (mut builder, mut bytes) = (StateBuilder::default(), 0);
            mirror.each(state_codec::prefixes(&encoded), |key, value| {
                bytes += mirror_batch::stored_bytes(key, value.len());
                Ok(builder.pair(key, value)?)
            })?;
            mirror.totals.bytes = bytes;
            let state = builder.finish(&mirror.head)?;
            let mirror = (!state_codec::is_older(&encoded)).then_some(mirror);
            Ok(Some((mirror, state)))
        })
    }

    /// Creates an empty mirror at `path`, which must not exist.
    pub(super) fn make(path: &Path) -> Result<Self, MirrorError> {
        let path = path.to_path_buf();
        run_guarded(move || {
            let (head, totals) = (StateHead::default(), MirrorTotals::default());
            let db = open(&path)?;
            // Until the first change is written: a start after a crash in between must not take it for damaged.
            db.insert(HEAD, INCOMPLETE)?;
            db.flush()?;
            Ok(Self { db, path, head, totals })
        })
    }

    pub(super) fn head(&self) -> &StateHead {
        &self.head
    }

    /// Returns about how many bytes the pairs take.
    pub(super) fn bytes(&self) -> u64 {
        self.totals.bytes
    }

    /// Returns the most changes in one batch so far.
    #[cfg(test)]
    pub(super) fn largest_batch(&self) -> usize {
        self.totals.largest_batch
    }

    /// Returns how many bytes its files take.
    pub(super) fn size_on_disk(&self) -> Result<u64, MirrorError> {
        catch_panics(|| Ok(self.db.size_on_disk()?))
    }

    /// Writes a delta and the head that results from it. The mirror keeps the head's checksum itself.
    pub(super) fn write(&mut self, delta: Delta, head: StateHead) -> Result<(), MirrorError> {
        catch_panics(|| {
            let mut writing = BatchWriter::new(&self.db, self.totals);
            for node in &delta.removed {
                writing.remove_node(node)?;
            }
            delta.pairs.drain(|key, value| writing.put(key, value))?;
            for index in delta.dropped_events {
                writing.remove(&state_codec::event_key(index))?;
            }
            (self.head, self.totals) = writing.finish(head)?;
            Ok(())
        })
    }

    /// Returns all pairs. They take about as much memory as [`bytes`](Self::bytes).
    pub(super) fn pairs(&self) -> Result<Pairs, MirrorError> {
        catch_panics(|| {
            let mut pairs = Pairs::default();
            self.each(state_codec::PREFIXES, |key, value| {
                pairs.push(key, value);
                Ok(())
            })?;
            Ok(pairs)
        })
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
        let copied = self.each(state_codec::PREFIXES, |key, value| {
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

    /// Passes every pair of the state to `take`: nodes in the order in which a state is built, then events.
    fn each(
        &self,
        prefixes: [[u8; 1]; 2],
        mut take: impl FnMut(&[u8], &[u8]) -> Result<(), MirrorError>,
    ) -> Result<(), MirrorError> {
        for prefix in prefixes {
            for pair in self.db.scan_prefix(prefix) {
                let (key, stored) = pair?;
                take(&key, &mirror_batch::value_of(&self.db, &key, &stored)?)?;
            }
        }
        Ok(())
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
