//! The thread that follows the driver: updates the mirror, writes snapshots, truncates the log, watches the disk.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::data_dir::{self, DataDir};
use super::error::MemberFailure;
use super::log::{Purger, SnapshotOffer};
use super::mirror::Mirror;
use super::mirror_error::MirrorError;
use super::peers::Pins;
use super::request::DriverRequest;
use super::request::Hint;
use super::shared::{Shared, WriteSpace};
use super::snapshot;
use crate::disk;

/// How long changes are gathered before they are mirrored: a key that is written often is mirrored once.
const MIRROR_INTERVAL: Duration = Duration::from_secs(1);
/// How often to look again while the disk is low, or the mirror or a snapshot failed.
const RECHECK_INTERVAL: Duration = Duration::from_secs(1);
/// With less free space than this, or than a snapshot of the state needs, writes are refused, so that log, mirror
/// and snapshot never run into a full disk.
const MIN_FREE_BYTES: u64 = 16 << 20;
/// How much more must be free before writes are accepted again.
const FREE_BYTES_HYSTERESIS: u64 = 8 << 20;
/// After this many bytes of entries a snapshot is written whatever their number, so that the log stays bounded.
const MAX_LOG_BYTES: u64 = 128 << 20;
/// The minimum time from one snapshot to the next that another member needs.
const MIN_SNAPSHOT_INTERVAL: Duration = Duration::from_millis(500);
/// How long to wait before a failed snapshot is tried again.
const SNAPSHOT_RETRY_DELAY: Duration = Duration::from_secs(5);
/// How long to wait before a failed mirror is rebuilt.
const MIRROR_RETRY_DELAY: Duration = Duration::from_secs(5);

/// The persister.
pub(super) struct Persister {
    pub(super) shared: Arc<Shared>,
    pub(super) hints: Receiver<Hint>,
    pub(super) folder: Arc<DataDir>,
    /// `None`: must be rebuilt.
    pub(super) mirror: Option<Mirror>,
    pub(super) purger: Purger,
    /// Snapshots that are being sent to other members.
    pub(super) pins: Pins,
    pub(super) snapshot_count: u64,
    pub(super) quota: Option<u64>,
    /// The state's raft index at the last snapshot.
    pub(super) last_snapshot: u64,
    /// The index of the newest event in the mirror.
    pub(super) mirrored_index: u64,
    pub(super) mirrored_oldest: u64,
    pub(super) retry_at: Instant,
    pub(super) compaction: Compaction,
    /// After a failure: when the next snapshot may be tried.
    pub(super) snapshot_at: Option<Instant>,
    /// Bytes that had been appended to the log by the last snapshot.
    pub(super) appended_at_snapshot: u64,
    /// Another member waits for a snapshot.
    pub(super) wanted: bool,
    /// When the last snapshot was done.
    pub(super) snapshot_done: Option<Instant>,
    /// The log was truncated; its files may be removed after its next round.
    pub(super) purge: bool,
    /// The last message about the mirror, snapshots and the disk.
    pub(super) last_reported: LastReported,
}

/// When the mirror is compacted.
#[derive(Debug, Default)]
pub(super) struct Compaction {
    /// It takes too much space, and the last compaction was not long ago.
    pub(super) due: bool,
    /// The earliest time of the next one.
    pub(super) next: Option<Instant>,
}

/// The last message about each thing that may fail, so that none is logged twice in a row.
#[derive(Debug, Default)]
pub(super) struct LastReported {
    mirror: Option<String>,
    snapshot: Option<String>,
    free: Option<String>,
}

/// Returns whether `text` differs from the last message.
fn differs_from_last(last_reported: &mut Option<String>, text: &str) -> bool {
    last_reported.replace(text.to_owned()).as_deref() != Some(text)
}

impl Persister {
    /// Runs until the stop is requested.
    ///
    /// # Errors
    /// The data folder is gone, or a sync of the log failed: later writes could not be made durable.
    pub(super) fn run(mut self) -> Result<(), MemberFailure> {
        let ended = self.run_rounds();
        if ended.is_err() || self.shared.counters.broken.load(Relaxed) {
            self.drop_mirror();
        } else if let Some(mirror) = &self.mirror
            && let Err(error) = mirror.barrier()
        {
            let path = self.folder.mirror();
            tracing::warn!("{}: syncing the mirror: {error}; the next start may take longer", path.display());
        }
        ended
    }

    fn run_rounds(&mut self) -> Result<(), MemberFailure> {
        self.check_disk();
        loop {
            let hint = match self.wait() {
                Some(Hint::Changed) => self.gather(),
                Some(hint) => hint,
                None => Hint::Changed,
            };
            // The log reports disk errors.
            if matches!(self.folder.identity().try_exists(), Ok(false)) {
                return Err(MemberFailure::DataDirRemoved(self.folder.member().to_path_buf()));
            }
            if self.shared.counters.broken.load(Relaxed) {
                // The disk error was already reported.
                return Ok(());
            }
            self.wanted |= hint == Hint::Snapshot;
            self.run_round()?;
            if hint == Hint::Stop {
                return Ok(());
            }
        }
    }

    /// Returns the next hint, or `None` when something failed and it is time to check it again.
    fn wait(&self) -> Option<Hint> {
        let idle = self.mirror.is_some() && self.snapshot_at.is_none() && !self.compaction.due;
        if idle && self.shared.check_write_space().is_ok() {
            return Some(self.hints.recv().unwrap_or(Hint::Stop));
        }
        match self.hints.recv_timeout(RECHECK_INTERVAL) {
            Ok(hint) => Some(hint),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Hint::Stop),
        }
    }

    fn gather(&self) -> Hint {
        let until = Instant::now() + MIRROR_INTERVAL;
        loop {
            match self.hints.recv_deadline(until) {
                Ok(Hint::Changed) => {}
                Ok(hint) => return hint,
                Err(_) => return Hint::Changed,
            }
        }
    }

    /// One round: mirror, snapshot when due, disk.
    fn run_round(&mut self) -> Result<(), MemberFailure> {
        // First, so that changes from now on send a new hint, whatever the result of this round.
        self.shared.hinted.store(0, Relaxed);
        let backups = self.shared.backups.take();
        self.check_disk();
        if let Some(index) = self.shared.take_replaced() {
            self.discard_mirror(index);
        }
        if std::mem::take(&mut self.purge) {
            self.purger.purge().map_err(MemberFailure::Log)?;
        }
        let due = self.mirror.is_some() || Instant::now() >= self.retry_at;
        match if due { self.mirror().and_then(|()| self.compact_when_due()) } else { Ok(()) } {
            Err(error) => {
                let text =
                    format!("{}: writing the mirror of the state: {error}", self.folder.mirror().display());
                if differs_from_last(&mut self.last_reported.mirror, &text) {
                    tracing::warn!("{text}; the store continues, and rebuilds it as soon as it can");
                }
                self.lose_mirror();
            }
            Ok(()) if self.mirror.is_some() && self.last_reported.mirror.take().is_some() => {
                tracing::info!("{}: the mirror is complete again", self.folder.mirror().display());
            }
            Ok(()) => {}
        }
        if self.mirror.is_none() {
            // The mirror will be rebuilt from the whole state, so the gathered changes are not needed.
            drop(self.shared.write().keyspace.take_changes());
        }
        self.back_up(backups);
        self.snapshot_when_due();
        Ok(())
    }

    pub(super) fn lose_mirror(&mut self) {
        self.drop_mirror();
        self.retry_at = Instant::now() + MIRROR_RETRY_DELAY;
    }

    /// Drops the mirror on its own thread: after a failed write, sled may wait forever for its disk when it is
    /// closed.
    pub(super) fn drop_mirror(&mut self) {
        let Some(mirror) = self.mirror.take() else { return };
        let closing = std::thread::Builder::new().name("mirror-closing".to_owned());
        if let Err(error) = closing.spawn(move || drop(mirror)) {
            tracing::warn!("the mirror that failed is closed here, since no thread can be started: {error}");
        }
    }

    /// The whole state was replaced: the content of the mirror is useless.
    pub(super) fn discard_mirror(&mut self, index: u64) {
        self.drop_mirror();
        self.retry_at = Instant::now();
        self.last_snapshot = index;
    }

    /// Writes a snapshot after a number of entries or bytes, with a delay after a failure.
    fn snapshot_when_due(&mut self) {
        let applied =
            self.mirror.as_ref().map_or(self.shared.applied(), |mirror| mirror.head().applied.index);
        let appended = self.shared.counters.appended.load(Relaxed);
        let entries = applied.saturating_sub(self.last_snapshot);
        // The log may not know the last snapshot yet and request it again.
        let just = self.snapshot_done.is_some_and(|at| at.elapsed() < MIN_SNAPSHOT_INTERVAL);
        let due = entries >= self.snapshot_count
            || (entries > 0 && !just && self.has_oversized_snapshot())
            || (entries > 0 && appended - self.appended_at_snapshot >= MAX_LOG_BYTES)
            || (self.wanted && !just);
        let held = self.snapshot_at.is_some_and(|at| Instant::now() < at);
        self.wanted = false;
        if !due || held {
            return;
        }
        match self.snapshot() {
            Ok(offer) => {
                if self.last_reported.snapshot.take().is_some() {
                    tracing::info!("{}: snapshots are written again", self.folder.snapshots().display());
                }
                self.snapshot_at = None;
                self.snapshot_done = Some(Instant::now());
                self.appended_at_snapshot = appended;
                self.truncate_log(offer);
            }
            Err(error) => {
                let text = format!("{}: writing a snapshot: {error}", self.folder.snapshots().display());
                if differs_from_last(&mut self.last_reported.snapshot, &text) {
                    tracing::warn!("{text}; the log grows until one can be written");
                }
                self.snapshot_at = Some(Instant::now() + SNAPSHOT_RETRY_DELAY);
                if error.is_mirror_failure() {
                    self.lose_mirror();
                }
            }
        }
    }

    /// Writes a snapshot: from the mirror, which blocks nobody, or without one from memory.
    fn snapshot(&self) -> Result<SnapshotOffer, MirrorError> {
        let (started, folder) = (Instant::now(), self.folder.snapshots());
        let offer = if let Some(mirror) = &self.mirror {
            mirror.snapshot(&folder)?;
            mirror.barrier()?;
            SnapshotOffer { mark: mirror.head().applied, members: mirror.head().roster.conf_state() }
        } else {
            let state = self.shared.read();
            snapshot::write(&folder, &state)?;
            SnapshotOffer { mark: state.applied, members: state.roster.conf_state() }
        };
        snapshot::prune(&folder, &self.pins.all());
        tracing::debug!("snapshot at log index {} written in {:.1?}", offer.mark.index, started.elapsed());
        Ok(offer)
    }

    /// Truncates the log to the snapshot before the newest, so that a restart can use either.
    fn truncate_log(&mut self, offer: SnapshotOffer) {
        let applied = offer.mark.index;
        let before = std::mem::replace(&mut self.last_snapshot, applied);
        // A repeated snapshot for a new member leaves the previous one in place.
        let before = if before == applied { 0 } else { before };
        // A member that is being sent a snapshot needs the entries that follow it.
        let cut = self.pins.held().map_or(before, |held| before.min(held));
        self.shared.counters.snapshot_index.store(applied, Relaxed);
        // The queue is full only under a load that soon causes the next snapshot.
        self.shared.requests.try_send(DriverRequest::Snapshotted { offer, cut }).ok();
        self.purge = true;
    }

    fn check_disk(&mut self) {
        let bytes = self.mirror.as_ref().map_or(0, |mirror| mirror.head().checksum.bytes);
        let reserve = MIN_FREE_BYTES.max(bytes + bytes / 4);
        let free = data_dir::free_bytes(self.folder.member());
        match &free {
            Ok(_) => self.last_reported.free = None,
            Err(error) => {
                let (path, why) = (self.folder.member().display(), disk::explain(error));
                let text = format!("{path}: reading the free disk space: {why}");
                if differs_from_last(&mut self.last_reported.free, &text) {
                    tracing::warn!("{text}");
                }
            }
        }
        let free = free.ok();
        let needed =
            if self.shared.check_write_space().is_ok() { reserve } else { reserve + FREE_BYTES_HYSTERESIS };
        let low = free.is_some_and(|free| free < needed);
        let space = match self.quota {
            _ if low => WriteSpace::DiskLow,
            Some(quota) if bytes > quota => WriteSpace::QuotaReached,
            _ => WriteSpace::Available,
        };
        // Each written byte takes room in the log, the mirror and a snapshot, and sled needs some more.
        let write_budget =
            free.map_or(i64::MAX, |free| i64::try_from(free.saturating_sub(reserve) / 4).unwrap_or(i64::MAX));
        self.shared.write_budget.store(write_budget, Relaxed);
        if self.shared.set_write_space(space) {
            let folder = self.folder.member().display();
            let full = &self.shared.counters.full;
            match space {
                WriteSpace::Available => {
                    full.store(false, Relaxed);
                    tracing::info!("{folder}: there is room again: writes are accepted");
                }
                // The log may already have reported the full disk.
                WriteSpace::DiskLow if full.swap(true, Relaxed) => {}
                WriteSpace::DiskLow => tracing::error!(
                    "{folder}: less than {} MiB are left on its disk: writes are refused until there is room; deletes \
                     are accepted",
                    reserve >> 20
                ),
                WriteSpace::QuotaReached => tracing::error!(
                    "the state holds {bytes} bytes, more than --quota-backend-bytes allows: only deletes are accepted"
                ),
            }
        }
    }
}
