//! Allows one daemon for a confdir and state folder: two would each run the other's pending reloads.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::error::ReloaderError;
use super::state_file::{make_folder, name_of};

/// Held as long as the daemon runs; the system releases it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, if the state folder can be used.
    ///
    /// # Errors
    /// Another process holds it.
    pub(super) fn take(state_dir: Option<&Path>, confdir: &Path) -> Result<Option<Self>, ReloaderError> {
        let Some(state_dir) = state_dir else { return Ok(None) };
        let whole = std::path::absolute(confdir).unwrap_or_else(|_| confdir.to_owned());
        let dir = state_dir.join("watch");
        let path = dir.join(format!("{}.lock", name_of(whole.as_os_str().as_encoded_bytes())));
        let opened = make_folder(&dir).and_then(|()| {
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)
        });
        // The journal and the snapshot cache report a folder that cannot be used.
        let Ok(mut file) = opened else { return Ok(None) };
        match file.try_lock() {
            Ok(()) => {
                // The process id is for people; the lock holds without it.
                file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).ok();
                Ok(Some(Self { _file: file }))
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.take(32).read_to_string(&mut holder).ok();
                Err(ReloaderError::Busy {
                    confdir: whole.display().to_string(),
                    holder: holder.trim().to_owned(),
                    lock: path.display().to_string(),
                })
            }
            // Some network file systems do not support locks.
            Err(TryLockError::Error(_)) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confdir_has_one_lock_per_state_folder() {
        let state = tempfile::tempdir().unwrap();
        let take = |confdir: &str| Lock::take(Some(state.path()), Path::new(confdir));
        let first = take("/a").unwrap();
        assert!(first.is_some());
        let said = take("/a").unwrap_err().to_string();
        assert!(
            said.contains(&format!("process {}", std::process::id())) && said.contains(".lock"),
            "{said}"
        );
        assert!(take("/b").unwrap().is_some(), "another confdir has its own");
        assert!(Lock::take(None, Path::new("/a")).unwrap().is_none());
        drop(first);
        assert!(take("/a").unwrap().is_some());
    }
}
