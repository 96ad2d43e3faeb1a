//! The requests that wait for a backup, and the file that serves them.

use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, oneshot};

/// Backups sent at the same time: each may keep a file as large as the state on disk.
pub(super) const MAX_CONCURRENT_BACKUPS: usize = 4;

/// The result of a request for a backup.
pub(super) type BackupResult = Result<Arc<BackupFile>, String>;

/// The requests that wait for a backup, and the limit on backups.
#[derive(Debug)]
pub(super) struct Backups {
    wanted: Mutex<Vec<oneshot::Sender<BackupResult>>>,
    pub(super) permits: Arc<Semaphore>,
}

impl Default for Backups {
    fn default() -> Self {
        Self { wanted: Mutex::default(), permits: Arc::new(Semaphore::new(MAX_CONCURRENT_BACKUPS)) }
    }
}

impl Backups {
    /// Takes the waiting requests: a mirror written after this is new enough for them.
    pub(super) fn take(&self) -> Vec<oneshot::Sender<BackupResult>> {
        std::mem::take(&mut *self.wanted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn request(&self) -> oneshot::Receiver<BackupResult> {
        let (send, receive) = oneshot::channel();
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).push(send);
        receive
    }
}

/// A snapshot file on disk, private to its readers; removed with the last of them.
#[derive(Debug)]
pub(super) struct BackupFile {
    pub(super) file: File,
    pub(super) length: u64,
    pub(super) index: u64,
}
