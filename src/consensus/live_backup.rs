//! A backup of a running member: the persister updates the mirror and writes it to one file, which is then sent in
//! pieces. Writes continue meanwhile.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::timeout;

use super::backup_file::{self, CHECKSUM_BYTES, HEADER_BYTES};
use super::backups::{BackupFile, BackupResult, MAX_CONCURRENT_BACKUPS};
use super::data_dir;
use super::handle::Handle;
use super::mirror_error::MirrorError;
use super::outcome::ProposeError;
use super::persister::Persister;
use super::request::Hint;
use super::snapshot;
use crate::keyspace::Time;

/// How long writing a state may take; even a large one takes less.
const WRITE_TIMEOUT: Duration = Duration::from_secs(600);
/// Bytes sent at once.
const CHUNK_BYTES: usize = 256 << 10;
/// What must stay free on the disk besides the file.
const MIN_FREE_BYTES: u64 = 32 << 20;

/// A backup that is being sent.
#[derive(Debug)]
pub struct Backup {
    written: Arc<BackupFile>,
    taken: Time,
    at: u64,
    sum: crc32fast::Hasher,
    _permit: OwnedSemaphorePermit,
}

/// Why a backup is not available.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupError {
    /// The group does not respond, so this member cannot know whether its state is the newest.
    NoQuorum(ProposeError),
    /// This member cannot make a backup now: why, and what to do.
    Unavailable(String),
}

impl Handle {
    /// Returns a backup of the state that is not older than this call. Concurrent calls share the work.
    ///
    /// # Errors
    /// See [`BackupError`].
    pub async fn backup(&self) -> Result<Backup, BackupError> {
        let shared = self.shared();
        let permit = Arc::clone(&shared.backups.permits).acquire_owned();
        let Ok(Ok(permit)) = timeout(shared.request_timeout, permit).await else {
            let says = format!(
                "{MAX_CONCURRENT_BACKUPS} backups are being fetched already; try again when one is done"
            );
            return Err(BackupError::Unavailable(says));
        };
        self.read_index().await.map_err(BackupError::NoQuorum)?;
        let taken = self.now();
        let made = shared.backups.request();
        // A full queue already holds a hint, and its round will see this request.
        shared.hints.try_send(Hint::MirrorNow).ok();
        let written = match timeout(WRITE_TIMEOUT, made).await {
            Ok(Ok(made)) => made.map_err(BackupError::Unavailable)?,
            Ok(Err(_)) => return Err(BackupError::NoQuorum(ProposeError::Stopping)),
            Err(_) => return Err(BackupError::NoQuorum(ProposeError::TimedOut)),
        };
        Ok(Backup { written, taken, at: 0, sum: crc32fast::Hasher::new(), _permit: permit })
    }
}

impl Backup {
    /// Returns the length in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.written.length + (HEADER_BYTES + CHECKSUM_BYTES) as u64
    }

    /// Returns the store's index.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.written.index
    }

    /// Returns the next bytes, empty at the end. Blocks.
    ///
    /// # Errors
    /// The disk failed.
    pub fn next_chunk(&mut self) -> io::Result<Vec<u8>> {
        let (head, end) = (HEADER_BYTES as u64, HEADER_BYTES as u64 + self.written.length);
        let piece = if self.at == 0 {
            backup_file::head(self.taken)
        } else if self.at < end {
            let mut piece = vec![0; CHUNK_BYTES.min(usize::try_from(end - self.at).unwrap_or(CHUNK_BYTES))];
            self.written.file.read_exact_at(&mut piece, self.at - head)?;
            piece
        } else if self.at == end {
            self.sum.clone().finalize().to_le_bytes().to_vec()
        } else {
            Vec::new()
        };
        self.sum.update(&piece);
        self.at += piece.len() as u64;
        Ok(piece)
    }
}

impl Persister {
    /// Writes the mirror, which was updated after `wanted` was taken, to a file for those requests.
    pub(super) fn back_up(&mut self, mut wanted: Vec<oneshot::Sender<BackupResult>>) {
        wanted.retain(|one| !one.is_closed());
        if wanted.is_empty() {
            return;
        }
        let made = match self.write_file() {
            Ok(Some(written)) => Ok(Arc::new(written)),
            Ok(None) => Err("the mirror is being rebuilt; try again in a few seconds".to_owned()),
            Err(error) => {
                let path = self.folder.backups();
                tracing::warn!("{}: writing a backup: {error}", path.display());
                if error.is_mirror_failure() {
                    self.lose_mirror();
                }
                Err(format!("it cannot be written: {error}"))
            }
        };
        for one in wanted {
            // The receiver is gone when the request timed out.
            one.send(made.clone()).ok();
        }
    }

    fn write_file(&self) -> Result<Option<BackupFile>, MirrorError> {
        let Some(mirror) = &self.mirror else { return Ok(None) };
        let (head, room) = (mirror.head(), data_dir::free_bytes(self.folder.member())?);
        let needed = head.checksum.bytes + head.checksum.bytes / 4 + MIN_FREE_BYTES;
        if room < needed {
            let says = format!(
                "a backup passes through {} and takes up to {} MiB there, but {} MiB are free",
                self.folder.member().display(),
                needed >> 20,
                room >> 20
            );
            return Err(io::Error::other(says).into());
        }
        let folder = self.folder.backups();
        if folder.exists() {
            // Left by a process that was killed while writing.
            fs::remove_dir_all(&folder)?;
        }
        DirBuilder::new().mode(0o700).create(&folder)?;
        let (applied, index) = (head.applied.index, head.index);
        mirror.backup(&folder)?;
        let path = folder.join(snapshot::file_name(applied));
        let file = File::open(&path)?;
        fs::remove_file(&path)?;
        let length = file.metadata()?.len();
        Ok(Some(BackupFile { file, length, index }))
    }
}
