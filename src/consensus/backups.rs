//! Who waits for a backup, and the file that they are waiting for.

use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, oneshot};

/// So many are handed out at once: each may keep a file as large as the state on the disk.
pub(super) const MAX_CONCURRENT_BACKUPS: usize = 4;

/// What comes of asking for a backup.
pub(super) type BackupResult = Result<Arc<BackupFile>, String>;

/// Who waits for a backup, and how many there may be.
#[derive(Debug)]
pub(super) struct Backups {
    wanted: Mutex<Vec<oneshot::Sender<BackupResult>>>,
    pub(super) places: Arc<Semaphore>,
}

impl Default for Backups {
    fn default() -> Self {
        Self { wanted: Mutex::default(), places: Arc::new(Semaphore::new(MAX_CONCURRENT_BACKUPS)) }
    }
}

impl Backups {
    /// Those who wait now: whatever is mirrored after this has all that they were promised.
    pub(super) fn take(&self) -> Vec<oneshot::Sender<BackupResult>> {
        std::mem::take(&mut *self.wanted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn request(&self) -> oneshot::Receiver<BackupResult> {
        let (send, receive) = oneshot::channel();
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).push(send);
        receive
    }
}

/// A snapshot on the disk, which nobody else can see: it goes with the last who reads it.
#[derive(Debug)]
pub(super) struct BackupFile {
    pub(super) file: File,
    pub(super) length: u64,
    pub(super) index: u64,
}
