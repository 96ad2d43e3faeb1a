//! A backup of a running member: the persister brings the mirror up to date and writes it down as one file, which is
//! then handed out bit by bit. Writes go on meanwhile.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::timeout;

use super::backup_file::{self, CHECKSUM_BYTES, HEADER_BYTES};
use super::backups::{BackupFile, BackupResult, MAX_CONCURRENT_BACKUPS};
use super::folder;
use super::handle::Handle;
use super::mirror::MirrorError;
use super::outcome::ProposeError;
use super::persister::Persister;
use super::request::Hint;
use super::snapshot;
use crate::keyspace::Time;

/// Writing down even a large state takes no longer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(600);
/// Bytes handed out at once.
const CHUNK_BYTES: usize = 256 << 10;
/// What must be left on the disk beside the file.
const MIN_FREE_BYTES: u64 = 32 << 20;

/// A backup on its way out.
#[derive(Debug)]
pub struct Backup {
    written: Arc<BackupFile>,
    taken: Time,
    at: u64,
    sum: crc32fast::Hasher,
    _place: OwnedSemaphorePermit,
}

/// Why there is no backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoBackup {
    /// The group does not answer, so that nobody knows whether this member's state is the newest.
    Refused(ProposeError),
    /// This member cannot make one now; why, and what to do.
    Hindered(String),
}

impl Handle {
    /// Has the state written down, not older than this call. Several who ask together share the work.
    ///
    /// # Errors
    /// See [`NoBackup`].
    pub async fn backup(&self) -> Result<Backup, NoBackup> {
        let shared = self.shared();
        let place = Arc::clone(&shared.backups.places).acquire_owned();
        let Ok(Ok(place)) = timeout(shared.request_timeout, place).await else {
            let says = format!(
                "{MAX_CONCURRENT_BACKUPS} backups are being fetched already; try again when one is done"
            );
            return Err(NoBackup::Hindered(says));
        };
        self.read_index().await.map_err(NoBackup::Refused)?;
        let taken = self.now();
        let made = shared.backups.request();
        // A full queue holds a hint that brings a round in which this one is seen.
        shared.hints.try_send(Hint::Hurry).ok();
        let written = match timeout(WRITE_TIMEOUT, made).await {
            Ok(Ok(made)) => made.map_err(NoBackup::Hindered)?,
            Ok(Err(_)) => return Err(NoBackup::Refused(ProposeError::Stopping)),
            Err(_) => return Err(NoBackup::Refused(ProposeError::TimedOut)),
        };
        Ok(Backup { written, taken, at: 0, sum: crc32fast::Hasher::new(), _place: place })
    }
}

impl Backup {
    /// How many bytes it is.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.written.length + (HEADER_BYTES + CHECKSUM_BYTES) as u64
    }

    /// The store's index.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.written.index
    }

    /// The next bytes; none at the end. Blocks.
    ///
    /// # Errors
    /// The disk's.
    pub fn next_piece(&mut self) -> io::Result<Vec<u8>> {
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
    /// Writes the mirror, which was brought up to date after `wanted` was taken, down for those who want it.
    pub(super) fn back_up(&mut self, mut wanted: Vec<oneshot::Sender<BackupResult>>) {
        wanted.retain(|one| !one.is_closed());
        if wanted.is_empty() {
            return;
        }
        let made = match self.write_down() {
            Ok(Some(written)) => Ok(Arc::new(written)),
            Ok(None) => Err("the mirror is being made anew; try again in a few seconds".to_owned()),
            Err(error) => {
                let path = self.folder.backups();
                tracing::warn!("{}: writing a backup: {error}", path.display());
                if error.is_of_mirror() {
                    self.lose_mirror();
                }
                Err(format!("it cannot be written: {error}"))
            }
        };
        for one in wanted {
            // Who does not wait any longer has no use for it.
            one.send(made.clone()).ok();
        }
    }

    fn write_down(&self) -> Result<Option<BackupFile>, MirrorError> {
        let Some(mirror) = &self.mirror else { return Ok(None) };
        let (head, room) = (mirror.head(), folder::free(self.folder.member())?);
        let needed = head.tally.bytes + head.tally.bytes / 4 + MIN_FREE_BYTES;
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
            // Left by a process that was killed while it wrote.
            fs::remove_dir_all(&folder)?;
        }
        DirBuilder::new().mode(0o700).create(&folder)?;
        let (applied, index) = (head.applied.index, head.index);
        mirror.snapshot(&folder)?;
        let path = folder.join(snapshot::file_name(applied));
        let file = File::open(&path)?;
        fs::remove_file(&path)?;
        let length = file.metadata()?.len();
        Ok(Some(BackupFile { file, length, index }))
    }
}
