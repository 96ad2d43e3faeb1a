//! The file system that the log's library uses: the ordinary one, with its errors recorded.
//!
//! Every failed operation is recorded with its path and the system's error. The library panics when a sync fails, since
//! what the kernel dropped cannot be written again. Here such a sync is recorded instead, every later operation fails,
//! and the log checks [`LogFileSystem::broken`] before it relies on a write. The end of a file that was durable is not cut
//! (`wal_guard`), and each sync is timed.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use raft_engine::env::{FileSystem, Handle, Permission, WriteExt};

use super::super::metrics::Counters;
use super::super::wal_guard::{TailState, WalMarks, classify_tail};
use crate::disk;

/// The file system of the log.
pub(super) struct LogFileSystem {
    /// While the log is being opened.
    opening: AtomicBool,
    common: Arc<LogFileSystemState>,
}

/// Shared by all files.
struct LogFileSystemState {
    /// What was found at the end of files, and what was done about it.
    found: Mutex<Vec<TailFinding>>,
    marks: WalMarks,
    counters: Arc<Counters>,
    /// The sync that failed, as a sentence.
    broken: OnceLock<String>,
    /// The last operation that failed, as a sentence.
    failed: Mutex<Option<String>>,
}

/// What was found at the end of a file during opening.
#[derive(Clone, Debug)]
pub(super) struct TailFinding {
    pub(super) path: PathBuf,
    pub(super) offset: usize,
    /// Whether cutting the file was refused.
    pub(super) refused: bool,
}

impl LogFileSystem {
    pub(super) fn new(marks: WalMarks, counters: Arc<Counters>) -> Self {
        let (broken, failed) = (OnceLock::new(), Mutex::default());
        let common = LogFileSystemState { found: Mutex::default(), marks, counters, broken, failed };
        Self { opening: AtomicBool::new(true), common: Arc::new(common) }
    }

    /// Ends the opening phase and returns the findings.
    pub(super) fn opened(&self) -> Vec<TailFinding> {
        self.opening.store(false, Relaxed);
        std::mem::take(&mut self.common.found.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the sync that failed, if one did: nothing written may be relied on.
    pub(super) fn broken(&self) -> Option<&str> {
        self.common.broken.get().map(String::as_str)
    }

    /// Returns the last operation that failed.
    pub(super) fn failed(&self) -> Option<String> {
        self.common.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn watch(&self, path: &Path, file: File) -> LogFile {
        let (path, opening) = (path.to_path_buf(), self.opening.load(Relaxed));
        LogFile { file, path, opening, common: Arc::clone(&self.common) }
    }
}

impl LogFileSystemState {
    /// Runs an operation and records why it failed; refuses it once a sync has failed.
    fn run<T>(&self, path: &Path, doing: &str, operation: impl FnOnce() -> Result<T>) -> Result<T> {
        if let Some(broken) = self.broken.get() {
            return Err(Error::other(broken.clone()));
        }
        operation().inspect_err(|error| {
            let sentence = format!("{}: {doing} the log: {}", path.display(), disk::explain(error));
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(sentence);
        })
    }
}

impl FileSystem for LogFileSystem {
    type Handle = LogFile;
    type Reader = Cursor;
    type Writer = Cursor;

    fn create<P: AsRef<Path>>(&self, path: P) -> Result<LogFile> {
        let path = path.as_ref();
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o644);
        let file = self.common.run(path, "making a file of", || options.open(path))?;
        Ok(self.watch(path, file))
    }

    fn open<P: AsRef<Path>>(&self, path: P, permission: Permission) -> Result<LogFile> {
        let path = path.as_ref();
        let write = permission == Permission::ReadWrite;
        let open = || OpenOptions::new().read(true).write(write).open(path);
        let file = self.common.run(path, "opening a file of", open)?;
        Ok(self.watch(path, file))
    }

    fn delete<P: AsRef<Path>>(&self, path: P) -> Result<()> {
        let path = path.as_ref();
        self.common.run(path, "deleting an old file of", || std::fs::remove_file(path))
    }

    fn rename<P: AsRef<Path>>(&self, from: P, to: P) -> Result<()> {
        self.common.run(from.as_ref(), "renaming a file of", || std::fs::rename(&from, to))
    }

    fn new_reader(&self, file: Arc<LogFile>) -> Result<Cursor> {
        Ok(Cursor { file, offset: 0 })
    }

    fn new_writer(&self, file: Arc<LogFile>) -> Result<Cursor> {
        Ok(Cursor { file, offset: 0 })
    }
}

/// One open file of the log.
pub(super) struct LogFile {
    file: File,
    path: PathBuf,
    opening: bool,
    common: Arc<LogFileSystemState>,
}

impl LogFile {
    fn run<T>(&self, doing: &str, operation: impl FnOnce() -> Result<T>) -> Result<T> {
        self.common.run(&self.path, doing, operation)
    }

    fn content(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.file_size()?];
        self.run("reading", || self.file.read_exact_at(&mut bytes, 0))?;
        Ok(bytes)
    }

    fn cut(&self, offset: usize) -> Result<()> {
        self.run("shortening a file of", || self.file.set_len(offset as u64))
    }
}

impl Handle for LogFile {
    fn truncate(&self, offset: usize) -> Result<()> {
        if self.opening {
            let tail = classify_tail(self.common.marks, &self.content()?, offset);
            if tail != TailState::Empty {
                let refused = tail == TailState::Durable;
                let finding = TailFinding { path: self.path.clone(), offset, refused };
                self.common.found.lock().unwrap_or_else(PoisonError::into_inner).push(finding);
            }
            if tail == TailState::Durable {
                return Err(Error::new(ErrorKind::InvalidData, "damaged before its end"));
            }
        }
        self.cut(offset)
    }

    fn file_size(&self) -> Result<usize> {
        self.run("reading", || Ok(usize::try_from(self.file.metadata()?.len()).unwrap_or(usize::MAX)))
    }

    fn sync(&self) -> Result<()> {
        let started = Instant::now();
        let result = self.run("syncing", || self.file.sync_data());
        self.common.counters.syncs.observe(started.elapsed());
        if result.is_err() {
            let failed = self.common.failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
            self.common.broken.get_or_init(|| failed.unwrap_or_default());
        }
        // The library would panic.
        Ok(())
    }
}

/// A position in a file.
pub(super) struct Cursor {
    file: Arc<LogFile>,
    offset: u64,
}

impl Read for Cursor {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize> {
        let read = self.file.run("reading", || self.file.file.read_at(bytes, self.offset))?;
        self.offset += read as u64;
        Ok(read)
    }
}

impl Write for Cursor {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let written = self.file.run("writing", || self.file.file.write_at(bytes, self.offset))?;
        self.offset += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Seek for Cursor {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        let (base, by) = match to {
            SeekFrom::Start(offset) => (offset, 0),
            SeekFrom::Current(by) => (self.offset, by),
            SeekFrom::End(by) => (self.file.file_size()? as u64, by),
        };
        self.offset = base.checked_add_signed(by).ok_or(ErrorKind::InvalidInput)?;
        Ok(self.offset)
    }
}

impl WriteExt for Cursor {
    fn truncate(&mut self, offset: usize) -> Result<()> {
        self.file.cut(offset)?;
        self.offset = offset as u64;
        Ok(())
    }

    /// Only an optimisation: if it fails, the following write reports the error.
    fn allocate(&mut self, offset: usize, size: usize) -> Result<()> {
        let (Ok(offset), Ok(size)) = (i64::try_from(offset), i64::try_from(size)) else { return Ok(()) };
        match fallocate(&self.file.file, FallocateFlags::empty(), offset, size) {
            Err(error) if error != Errno::EOPNOTSUPP => Err(error.into()),
            _ => Ok(()),
        }
    }
}
