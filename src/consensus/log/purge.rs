//! Removes log files that hold nothing, or only removed entries.

use std::path::Path;
use std::sync::Arc;

use raft_engine::Engine;

use super::super::error::OpenError;
use super::super::panics;
use super::files::LogFileSystem;
use crate::disk;

/// A file of the log begins with a name and a version of at least this many bytes.
const MIN_HEADER_BYTES: usize = 40;

/// The part of the log that the persister's thread may use: deleting files that are no longer needed.
#[derive(Clone)]
pub(in super::super) struct Purger {
    pub(super) engine: Arc<Engine<LogFileSystem>>,
    pub(super) files: Arc<LogFileSystem>,
}

impl Purger {
    /// Deletes the files that hold only removed entries.
    ///
    /// # Errors
    /// A sync failed: nothing in the log may be relied on.
    pub(in super::super) fn purge(&self) -> Result<(), String> {
        let purged = panics::catch(|| self.engine.purge_expired_files());
        if let Some(broken) = self.files.broken() {
            return Err(broken.to_owned());
        }
        let why = match purged {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(raft_engine::Error::Io(error))) => {
                self.files.failed().unwrap_or_else(|| disk::explain(&error))
            }
            Ok(Err(error)) => error.to_string(),
            // The folder could not be synced: a new file may be lost.
            Err(panic) => return Err(format!("{}: cleaning up the log: {panic}", self.engine.path())),
        };
        tracing::warn!("{why}; old files of the log stay and take space");
        Ok(())
    }
}

/// Removes the newest file if it has no header yet. Such a file is left when the disk was full as the log started a new
/// file. The library would consider the previous file, still in use, as closed, and its end as damage. A header is
/// synced before anything follows it, so such a file is empty.
pub(super) fn remove_headerless(path: &Path) -> Result<(), OpenError> {
    let mut files = match std::fs::read_dir(path) {
        Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect::<Vec<_>>(),
        Err(_) => return Ok(()),
    };
    files.retain(|file| file.extension().is_some_and(|extension| extension == "raftlog"));
    files.sort();
    // An only file without a header is different: its content is lost.
    while files.len() > 1
        && let Some(newest) = files.pop()
    {
        let bytes = std::fs::read(&newest).map_err(OpenError::io(&newest, "reading"))?;
        if bytes.len() >= MIN_HEADER_BYTES && bytes.iter().any(|byte| *byte != 0) {
            break;
        }
        std::fs::remove_file(&newest)
            .map_err(OpenError::io(&newest, "removing a log file without a header"))?;
        tracing::info!("{}: removed a log file without a header", newest.display());
    }
    Ok(())
}
