//! The file layer below the log: it refuses to cut away what was durable, times each sync, and says why one failed.
//!
//! The log's library repairs a damaged last file by cutting it at the first record that it cannot read, wherever
//! that is. After a crash this is right: what follows is the one round of writes that was never synced, and was never
//! answered. After a flipped bit it would silently throw away everything written since. The two can be told apart,
//! since each round carries its number and begins only when the one before was synced: if behind the damage there is a
//! round later than the first unreadable one, then that one was durable, and cutting is refused.

use std::io::{Error, ErrorKind, Read as _, Result, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use raft_engine::env::{DefaultFileSystem, FileSystem, Handle, Permission};

use super::figures::Counters;

/// Begins each round's mark.
const MAGIC: [u8; 8] = *b"rtRound\x01";
/// Magic, number, checksum of both.
const MARK: usize = 20;

/// Makes and recognises the marks of one data folder. Each folder has a secret of its own: a mark is looked for in raw
/// bytes, and clients choose most of those.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks {
    secret: u64,
}

impl Marks {
    pub(super) fn new(secret: u64) -> Self {
        Self { secret }
    }

    /// The mark of a round: part of each batch that is written to the log.
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

    /// The number in a mark; `None` when it is none.
    pub(super) fn round(self, bytes: &[u8]) -> Option<u64> {
        let (body, check) = bytes.get(..MARK)?.split_at(MARK - 4);
        let number = body.strip_prefix(&MAGIC)?.try_into().ok()?;
        (self.check(body).to_le_bytes() == check).then(|| u64::from_le_bytes(number))
    }

    /// All marks in `bytes`, as they come.
    fn all(self, bytes: &[u8]) -> impl Iterator<Item = u64> {
        let starts = bytes.windows(MAGIC.len()).enumerate().filter(|(_, window)| *window == MAGIC);
        starts.filter_map(move |(at, _)| self.round(&bytes[at..]))
    }
}

/// What a cut would take away.
#[derive(Debug, PartialEq, Eq)]
enum Tail {
    /// Room that was reserved and never written.
    Empty,
    /// One round that was cut off while it was written.
    Torn,
    /// Rounds that were durable.
    Durable,
}

/// Judges the bytes of a log file that would be cut at `cut`.
fn judge(marks: Marks, bytes: &[u8], cut: usize) -> Tail {
    let (kept, tail) = bytes.split_at(cut.min(bytes.len()));
    if tail.iter().all(|byte| *byte == 0) {
        return Tail::Empty;
    }
    let (first, last) = (marks.all(tail).min(), marks.all(tail).max());
    let durable = match marks.all(kept).max() {
        // The first unreadable round is the one after the last good one.
        Some(good) => last.is_some_and(|last| last > good.saturating_add(1)),
        // A file's header is synced before its first round begins.
        None if cut == 0 => last.is_some(),
        None => first != last,
    };
    if durable { Tail::Durable } else { Tail::Torn }
}

/// The ordinary file system, watched.
pub(super) struct Guarded {
    /// While the log is being opened.
    opening: AtomicBool,
    /// What was found and refused or done.
    found: Arc<Mutex<Vec<Finding>>>,
    marks: Marks,
    counters: Arc<Counters>,
}

/// What opening found at the end of a file.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) path: PathBuf,
    pub(super) offset: usize,
    /// The file must not be cut there.
    pub(super) refused: bool,
}

impl Guarded {
    pub(super) fn new(marks: Marks, counters: Arc<Counters>) -> Self {
        Self { opening: AtomicBool::new(true), found: Arc::default(), marks, counters }
    }

    /// Ends the opening and tells what was found.
    pub(super) fn opened(&self) -> Vec<Finding> {
        self.opening.store(false, Relaxed);
        std::mem::take(&mut self.found.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn watch(&self, path: &Path, inner: <DefaultFileSystem as FileSystem>::Handle) -> Watched {
        Watched {
            inner: Arc::new(inner),
            path: path.to_path_buf(),
            opening: self.opening.load(Relaxed),
            found: Arc::clone(&self.found),
            marks: self.marks,
            counters: Arc::clone(&self.counters),
        }
    }
}

impl FileSystem for Guarded {
    type Handle = Watched;
    type Reader = <DefaultFileSystem as FileSystem>::Reader;
    type Writer = <DefaultFileSystem as FileSystem>::Writer;

    fn create<P: AsRef<Path>>(&self, path: P) -> Result<Watched> {
        Ok(self.watch(path.as_ref(), DefaultFileSystem.create(&path)?))
    }

    fn open<P: AsRef<Path>>(&self, path: P, permission: Permission) -> Result<Watched> {
        Ok(self.watch(path.as_ref(), DefaultFileSystem.open(&path, permission)?))
    }

    fn delete<P: AsRef<Path>>(&self, path: P) -> Result<()> {
        DefaultFileSystem.delete(path)
    }

    fn rename<P: AsRef<Path>>(&self, from: P, to: P) -> Result<()> {
        DefaultFileSystem.rename(from, to)
    }

    fn new_reader(&self, handle: Arc<Watched>) -> Result<Self::Reader> {
        DefaultFileSystem.new_reader(Arc::clone(&handle.inner))
    }

    fn new_writer(&self, handle: Arc<Watched>) -> Result<Self::Writer> {
        DefaultFileSystem.new_writer(Arc::clone(&handle.inner))
    }
}

/// One open log file.
pub(super) struct Watched {
    inner: Arc<<DefaultFileSystem as FileSystem>::Handle>,
    path: PathBuf,
    opening: bool,
    found: Arc<Mutex<Vec<Finding>>>,
    marks: Marks,
    counters: Arc<Counters>,
}

impl Watched {
    fn content(&self) -> Result<Vec<u8>> {
        let mut reader = DefaultFileSystem.new_reader(Arc::clone(&self.inner))?;
        reader.seek(SeekFrom::Start(0))?;
        let mut bytes = Vec::with_capacity(self.inner.file_size()?);
        reader.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl Handle for Watched {
    fn truncate(&self, offset: usize) -> Result<()> {
        if self.opening {
            let tail = judge(self.marks, &self.content()?, offset);
            if tail != Tail::Empty {
                let refused = tail == Tail::Durable;
                let finding = Finding { path: self.path.clone(), offset, refused };
                self.found.lock().unwrap_or_else(PoisonError::into_inner).push(finding);
            }
            if tail == Tail::Durable {
                return Err(Error::new(ErrorKind::InvalidData, "damaged before its end"));
            }
        }
        self.inner.truncate(offset)
    }

    fn file_size(&self) -> Result<usize> {
        self.inner.file_size()
    }

    fn sync(&self) -> Result<()> {
        let started = Instant::now();
        let result = self.inner.sync();
        self.counters.syncs.observe(started.elapsed());
        if let Err(error) = &result {
            // The library ends the thread on this, and rightly: what the kernel dropped cannot be written again.
            tracing::error!("{}: syncing the log failed: {error}", self.path.display());
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKS: Marks = Marks { secret: 7 };

    /// A log of rounds with some bytes of content each.
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
    fn reserved_room_may_be_cut() {
        let (mut bytes, _) = log(1..=3);
        let end = bytes.len();
        bytes.extend([0; 4096]);
        assert_eq!(judge(MARKS, &bytes, end), Tail::Empty);
    }

    #[test]
    fn the_last_round_may_be_cut_whether_its_mark_arrived_or_not() {
        let (bytes, starts) = log(1..=3);
        assert_eq!(judge(MARKS, &bytes, starts[2]), Tail::Torn);
        assert_eq!(judge(MARKS, &bytes[..bytes.len() - 10], starts[2]), Tail::Torn);
    }

    #[test]
    fn a_damaged_round_with_later_ones_behind_it_is_kept() {
        let (bytes, starts) = log(1..=3);
        assert_eq!(judge(MARKS, &bytes, starts[1]), Tail::Durable);
        let mut unmarked = bytes;
        unmarked[starts[1] + 32] ^= 1; // the damage hit the round's own mark
        assert_eq!(judge(MARKS, &unmarked, starts[1]), Tail::Durable);
    }

    #[test]
    fn a_broken_header_before_any_round_is_kept() {
        let (bytes, _) = log(5..=5);
        assert_eq!(judge(MARKS, &bytes, 0), Tail::Durable);
        assert_eq!(judge(MARKS, &[3; 16], 0), Tail::Torn);
    }

    #[test]
    fn the_first_round_of_a_file_may_be_cut_but_not_with_a_second_behind_it() {
        let (bytes, starts) = log(5..=5);
        assert_eq!(judge(MARKS, &bytes, starts[0]), Tail::Torn);
        let (bytes, starts) = log(5..=6);
        assert_eq!(judge(MARKS, &bytes, starts[0]), Tail::Durable);
    }

    #[test]
    fn a_mark_that_a_client_makes_up_is_none() {
        let (mut bytes, starts) = log(1..=3);
        bytes.extend(Marks::new(8).of(u64::MAX));
        assert_eq!(judge(MARKS, &bytes, starts[2]), Tail::Torn);
        bytes.extend(MARKS.of(u64::MAX));
        assert_eq!(judge(MARKS, &bytes, starts[2]), Tail::Durable);
    }
}
