//! The raft log on disk: entries, hard state and start of the log, one synced batch per round.

mod files;
mod purge;
mod storage;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use raft::Storage as _;
use raft::prelude::{ConfState, Entry, HardState};
use raft_engine::{Command, Config, Engine, LogBatch, MessageExt, ReadableSize, RecoveryMode};

use super::data_dir;
use super::entry::FieldReader;
use super::error::OpenError;
use super::metrics::Counters;
use super::panics;
use super::wal_guard::WalMarks;
use crate::disk;
use files::{LogFileSystem, TailFinding};
pub(super) use purge::Purger;
use purge::remove_headerless;

/// The log's library can hold many groups; here there is one.
const RAFT_GROUP_ID: u64 = 1;
const ROUND: &[u8] = b"round";
const POSITION: &[u8] = b"position";
/// The size of a log file; small enough that truncating the log frees space soon.
const FILE_SIZE: ReadableSize = ReadableSize::mb(16);
/// Files are deleted once the log is longer than this.
const PURGE_THRESHOLD_SIZE: ReadableSize = ReadableSize::mb(32);
/// How many of the last entries are kept in memory, where raft reads them again right after writing them.
const MAX_CACHED_ENTRIES: usize = 4096;
const MAX_CACHED_BYTES: usize = 8 << 20;
/// Approximate space of an entry in the log besides its data.
const ENTRY_OVERHEAD_BYTES: usize = 48;
/// How long to wait before a write to a full disk is tried again.
const DISK_FULL_RETRY_DELAY: Duration = Duration::from_millis(500);
/// How much space must be free before that: the log reserves two megabytes at a time.
const MIN_FREE_BYTES: u64 = 8 << 20;

/// Describes an entry to the log's library.
struct Entries;

impl MessageExt for Entries {
    type Entry = Entry;

    fn index(entry: &Entry) -> u64 {
        entry.index
    }
}

/// An entry of the log by index and term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LogId {
    pub(super) index: u64,
    pub(super) term: u64,
}

/// The log of one member. Owned by the replica, whose raft reads it.
pub(super) struct Log {
    engine: Arc<Engine<LogFileSystem>>,
    files: Arc<LogFileSystem>,
    /// The error of a read, on which raft would panic.
    read_error: RefCell<Option<String>>,
    hard_state: HardState,
    members: ConfState,
    /// The entry before the first one kept.
    start: LogId,
    last: LogId,
    round: u64,
    marks: WalMarks,
    cache: VecDeque<Entry>,
    cached_bytes: usize,
    /// Goes into the next batch: entries up to here may be removed.
    truncation: Option<LogId>,
    /// The newest snapshot on disk, for members that need removed entries.
    offer: Option<SnapshotOffer>,
    /// A member needs a snapshot, and the offered one does not help it.
    wanted: Cell<bool>,
    counters: Arc<Counters>,
}

/// How a write treats a full disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DiskFullPolicy {
    /// It waits until there is room: the member is running.
    Wait,
    /// It fails: a caller waits for the end.
    Fail,
}

/// A snapshot on disk that other members may be sent.
#[derive(Clone, Debug)]
pub(super) struct SnapshotOffer {
    pub(super) mark: LogId,
    pub(super) members: ConfState,
}

impl Log {
    /// Opens the log below `path`, and creates it when it is missing.
    pub(super) fn open(path: &Path, marks: WalMarks, counters: Arc<Counters>) -> Result<Self, OpenError> {
        let config = Config {
            dir: path.to_string_lossy().into_owned(),
            recovery_mode: RecoveryMode::TolerateTailCorruption,
            recovery_threads: 2,
            // The processor is the bottleneck, not the disk.
            batch_compression_threshold: ReadableSize(0),
            target_file_size: FILE_SIZE,
            // Old content of a recycled file would look like a torn write.
            enable_log_recycle: false,
            purge_threshold: PURGE_THRESHOLD_SIZE,
            ..Config::default()
        };
        let files = Arc::new(LogFileSystem::new(marks, Arc::clone(&counters)));
        remove_headerless(path)?;
        let opened = panics::catch(|| Engine::open_with_file_system(config, Arc::clone(&files)));
        let findings = files.opened();
        let opened = opened.unwrap_or_else(|panic| Err(raft_engine::Error::Corruption(panic)));
        if let Some(broken) = files.broken() {
            return Err(OpenError::Disk(broken.to_owned()));
        }
        let engine = Arc::new(opened.map_err(|error| match error {
            raft_engine::Error::Io(error) if !findings.iter().any(|finding| finding.refused) => {
                OpenError::io(path, "opening the log")(error)
            }
            error => damaged(path, &error.to_string(), &findings),
        })?);
        for TailFinding { path, offset, .. } in findings {
            let path = path.display();
            tracing::warn!(
                "{path}: the last write before the crash was cut off at byte {offset}; unless the disk is at fault, it \
                 was never acknowledged"
            );
        }
        // The engine syncs what it writes to its first files, but not their names.
        data_dir::sync(path)?;
        let round = engine.get(RAFT_GROUP_ID, ROUND).and_then(|bytes| marks.round(&bytes)).unwrap_or(0);
        let (hard_state, start) = match engine.get(RAFT_GROUP_ID, POSITION) {
            Some(bytes) => {
                read_position(&bytes).ok_or_else(|| damaged(path, "its start is unreadable", &[]))?
            }
            None => Default::default(),
        };
        let mut log = Self {
            engine,
            files,
            read_error: RefCell::default(),
            hard_state,
            members: ConfState::default(),
            start,
            last: start,
            round,
            marks,
            cache: VecDeque::new(),
            cached_bytes: 0,
            truncation: None,
            offer: None,
            wanted: Cell::new(false),
            counters,
        };
        log.find_end(path)?;
        Ok(log)
    }

    /// Finds the last entry, and any gap.
    fn find_end(&mut self, path: &Path) -> Result<(), OpenError> {
        let (first, last) = (self.engine.first_index(RAFT_GROUP_ID), self.engine.last_index(RAFT_GROUP_ID));
        let (Some(first), Some(last)) = (first, last) else { return Ok(()) };
        if first > self.start.index + 1 {
            let what = format!("entries {} to {} are missing", self.start.index + 1, first - 1);
            return Err(damaged(path, &what, &[]));
        }
        if last > self.start.index {
            let entry = self.engine.get_entry::<Entries>(RAFT_GROUP_ID, last);
            let entry = entry
                .ok()
                .flatten()
                .ok_or_else(|| damaged(path, &format!("entry {last} is unreadable"), &[]))?;
            self.last = LogId { index: last, term: entry.term };
        }
        Ok(())
    }

    /// Reads every entry after `applied` once: raft would stop halfway at a damaged one.
    pub(super) fn check_tail(&mut self, path: &Path, applied: u64) -> Result<(), OpenError> {
        let mut next = applied.max(self.start.index) + 1;
        while next <= self.last.index {
            let mut found = Vec::new();
            let end = self.last.index + 1;
            let fetched = self.engine.fetch_entries_to::<Entries>(
                RAFT_GROUP_ID,
                next,
                end,
                Some(MAX_CACHED_BYTES),
                &mut found,
            );
            let count = match fetched {
                Ok(count) if count > 0 => count as u64,
                Ok(_) => return Err(damaged(path, &format!("entry {next} is missing"), &[])),
                Err(error) => return Err(damaged(path, &format!("entries behind {next}: {error}"), &[])),
            };
            next += count;
            // Raft reads the last of them first.
            let last = self.last;
            self.cache_entries(found);
            self.last = last;
        }
        Ok(())
    }

    pub(super) fn purger(&self) -> Purger {
        Purger { engine: Arc::clone(&self.engine), files: Arc::clone(&self.files) }
    }

    /// The entry before the first one kept.
    pub(super) fn start(&self) -> LogId {
        self.start
    }

    pub(super) fn last(&self) -> LogId {
        self.last
    }

    /// Starts an empty log after `start`, for a new group or a member that starts alone. A full disk is an error.
    pub(super) fn begin(&mut self, start: LogId, term: u64) -> Result<(), String> {
        self.begin_with(start, term, DiskFullPolicy::Fail)
    }

    fn begin_with(&mut self, start: LogId, term: u64, policy: DiskFullPolicy) -> Result<(), String> {
        self.hard_state.term = self.hard_state.term.max(term);
        self.hard_state.commit = start.index;
        let stale = self.engine.last_index(RAFT_GROUP_ID).is_some();
        self.start = start;
        self.last = start;
        self.cache.clear();
        self.cached_bytes = 0;
        let fill = |batch: &mut LogBatch| {
            if stale {
                batch.add_command(RAFT_GROUP_ID, Command::Clean);
            }
            Ok(())
        };
        self.write(&fill, policy)
    }

    /// Replaces the log by a snapshot: the log continues after it.
    pub(super) fn replace(&mut self, start: LogId) -> Result<(), String> {
        // The offered file does not contain the new members.
        self.offer = None;
        self.truncation = None;
        self.begin_with(start, start.term, DiskFullPolicy::Wait)
    }

    /// Sets the members of the group, as in the state that belongs to this log.
    pub(super) fn set_members(&mut self, members: ConfState) {
        self.members = members;
    }

    /// Offers a snapshot on disk to other members.
    pub(super) fn offer(&mut self, offer: SnapshotOffer) {
        self.offer = Some(offer);
    }

    /// Returns whether the offered snapshot still fits the log.
    pub(super) fn has_offer(&self) -> bool {
        self.offer.as_ref().is_some_and(|offer| offer.mark.index >= self.start.index)
    }

    /// Returns whether raft requested a snapshot that does not exist yet, and resets that.
    pub(super) fn wants_snapshot(&self) -> bool {
        self.wanted.take()
    }

    /// Returns the last saved commit index.
    pub(super) fn commit(&self) -> u64 {
        self.hard_state.commit
    }

    /// Everything in the state was committed, whatever commit index the log has saved.
    pub(super) fn raise_commit(&mut self, applied: u64) {
        self.hard_state.commit = self.hard_state.commit.max(applied);
        self.hard_state.term = self.hard_state.term.max(1);
    }

    /// Makes the next round drop the entries up to `to` (they are in a durable snapshot).
    pub(super) fn truncate_to(&mut self, to: u64) {
        let to = fault!(CutTooFar, u64::MAX, to).min(self.last.index);
        if to > self.start.index
            && let Ok(term) = self.term(to)
        {
            self.truncation = Some(LogId { index: to, term });
        }
    }

    /// Sets term, vote and commit index, to be saved with the next write.
    pub(super) fn set_hard_state(&mut self, hard_state: HardState) {
        self.hard_state = hard_state;
    }

    /// Appends a round and syncs it. Waits while the disk is full.
    pub(super) fn append(&mut self, entries: Vec<Entry>) -> Result<(), String> {
        let truncation = self.truncation.take();
        self.start = truncation.unwrap_or(self.start);
        let fill = |batch: &mut LogBatch| {
            if let Some(truncation) = truncation {
                batch.add_command(RAFT_GROUP_ID, Command::Compact { index: truncation.index + 1 });
            }
            if entries.is_empty() { Ok(()) } else { batch.add_entries::<Entries>(RAFT_GROUP_ID, &entries) }
        };
        self.write(&fill, DiskFullPolicy::Wait)?;
        let bytes: usize = entries.iter().map(|entry| entry.data.len() + ENTRY_OVERHEAD_BYTES).sum();
        self.counters.appended.fetch_add(bytes as u64, Relaxed);
        self.cache_entries(entries);
        Ok(())
    }

    /// Writes and syncs one batch. `fill` fills it again for each attempt.
    fn write(
        &mut self,
        fill: &dyn Fn(&mut LogBatch) -> raft_engine::Result<()>,
        policy: DiskFullPolicy,
    ) -> Result<(), String> {
        #[cfg(test)]
        super::tests::simulation::plant::power()?;
        self.round += 1;
        let mut waited = false;
        loop {
            let mut batch = LogBatch::default();
            let filled = fill(&mut batch)
                .and_then(|()| batch.put(RAFT_GROUP_ID, ROUND.to_vec(), self.marks.of(self.round)))
                .and_then(|()| batch.put(RAFT_GROUP_ID, POSITION.to_vec(), self.position()));
            let written = panics::catch(|| filled.and_then(|()| self.engine.write(&mut batch, true)));
            if let Some(broken) = self.files.broken() {
                return Err(broken.to_owned());
            }
            match written {
                Ok(Ok(_)) => break,
                Ok(Err(raft_engine::Error::Io(error)))
                    if policy == DiskFullPolicy::Wait && disk::is_full(&error) =>
                {
                    self.wait_for_room(&error, &mut waited);
                }
                Ok(Err(error)) => return Err(self.describe_error(&error)),
                Err(panic) => return Err(self.after_panic(&panic)),
            }
        }
        if waited && self.counters.full.swap(false, Relaxed) {
            tracing::info!("{}: the disk of the log has room again: writes continue", self.engine.path());
        }
        let used = u64::try_from(self.engine.get_used_size()).unwrap_or(u64::MAX);
        self.counters.log_bytes.store(used, Relaxed);
        Ok(())
    }

    /// Returns what failed, where and what to do.
    fn describe_error(&self, error: &raft_engine::Error) -> String {
        match error {
            raft_engine::Error::Io(error) => self.files.failed().unwrap_or_else(|| {
                format!("{}: writing the log: {}", self.engine.path(), disk::explain(error))
            }),
            error => format!("{}: {error}", self.engine.path()),
        }
    }

    /// Handles another panic of the library: its folder cannot be synced.
    fn after_panic(&self, panic: &str) -> String {
        match data_dir::sync(Path::new(self.engine.path())) {
            Err(error) => error.to_string(),
            Ok(()) => format!("{}: writing the log: {panic}", self.engine.path()),
        }
    }

    /// Returns the failure of a read since the last call: what was read must not be relied on.
    pub(super) fn failure(&self) -> Option<String> {
        self.read_error.take()
    }

    /// Waits until a write may succeed. The full disk is logged once, here or by the persister.
    fn wait_for_room(&self, error: &std::io::Error, waited: &mut bool) {
        if !std::mem::replace(waited, true) && !self.counters.full.swap(true, Relaxed) {
            let (path, why) = (self.engine.path(), disk::explain(error));
            tracing::error!("{path}: writing the log: {why}; writes wait until there is room");
        }
        loop {
            std::thread::park_timeout(DISK_FULL_RETRY_DELAY);
            match data_dir::free_bytes(Path::new(self.engine.path())) {
                Ok(free) if free < MIN_FREE_BYTES => {}
                _ => break,
            }
        }
    }

    fn position(&self) -> Vec<u8> {
        let vote = fault!(VoteForgotten, 0, self.hard_state.vote);
        let numbers = [self.hard_state.term, vote, self.hard_state.commit, self.start.index, self.start.term];
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    fn cache_entries(&mut self, entries: Vec<Entry>) {
        let Some(first) = entries.first() else { return };
        // A new leader may overwrite uncommitted entries.
        while let Some(last) = self.cache.pop_back_if(|last| last.index >= first.index) {
            self.cached_bytes -= last.data.len().min(self.cached_bytes);
        }
        for entry in entries {
            self.last = LogId { index: entry.index, term: entry.term };
            self.cached_bytes += entry.data.len();
            self.cache.push_back(entry);
        }
        while self.cache.len() > MAX_CACHED_ENTRIES
            || (self.cached_bytes > MAX_CACHED_BYTES && self.cache.len() > 1)
        {
            let Some(gone) = self.cache.pop_front() else { break };
            self.cached_bytes -= gone.data.len().min(self.cached_bytes);
        }
    }

    fn cached(&self, index: u64) -> Option<usize> {
        let first = self.cache.front()?.index;
        let at = usize::try_from(index.checked_sub(first)?).ok()?;
        (at < self.cache.len()).then_some(at)
    }
}

fn read_position(bytes: &[u8]) -> Option<(HardState, LogId)> {
    let mut read = FieldReader::new(bytes);
    let mut next = || read.number().ok();
    let mut hard_state = HardState::default();
    (hard_state.term, hard_state.vote, hard_state.commit) = (next()?, next()?, next()?);
    let start = LogId { index: next()?, term: next()? };
    read.end().ok()?;
    Some((hard_state, start))
}

fn damaged(path: &Path, error: &str, findings: &[TailFinding]) -> OpenError {
    let what = match findings.iter().find(|finding| finding.refused) {
        Some(TailFinding { path, offset, .. }) => format!(
            "{} is unreadable from byte {offset}, and later writes were acknowledged to clients. Nothing was \
             changed. Put the data folder back from a backup; to go on without those writes, start from the newest \
             snapshot: move the log folder away",
            path.display()
        ),
        None => format!(
            "{error}. Nothing was changed. Put the data folder back from a backup; to go on from the newest snapshot \
             without later writes, move the log folder away"
        ),
    };
    OpenError::Damaged { path: path.to_path_buf(), what }
}
