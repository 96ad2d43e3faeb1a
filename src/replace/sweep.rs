//! Removing staged files that a killed process left behind.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::stage::PREFIX;

/// After this long a staged file is left over even if a process with its number lives: numbers come again.
const MAX_STAGE_FILE_AGE: Duration = Duration::from_secs(24 * 3600);

/// Removes the staged files in `folder` whose process is gone and says which. Files with this process's own number
/// count as gone, because in a container every start has the same number: call it before anything is staged.
/// Files younger than `older_than` stay; that matters where several containers share the folder and cannot see
/// each other's processes.
///
/// # Errors
/// When the folder cannot be read. A file that cannot be removed is logged and left.
pub fn sweep(folder: &Path, older_than: Duration) -> io::Result<Vec<PathBuf>> {
    let mut removed = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(owner) else { continue };
        let Ok(metadata) = entry.metadata() else { continue };
        // A time in the future means a clock that was set back; such a file counts as new.
        let age = metadata.modified().ok().and_then(|made| made.elapsed().ok()).unwrap_or_default();
        if !metadata.is_file() || age < older_than || (lives(pid) && age < MAX_STAGE_FILE_AGE) {
            continue;
        }
        let path = entry.path();
        match fs::remove_file(&path) {
            Ok(()) => removed.push(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot remove a left-over staged file");
            }
        }
    }
    Ok(removed)
}

/// The process number in a stage name.
fn owner(name: &str) -> Option<i32> {
    let (pid, _) = name.strip_prefix(PREFIX)?.split_once('.')?;
    // Zero and below mean groups of processes, not one.
    pid.parse().ok().filter(|pid| *pid > 0)
}

fn lives(pid: i32) -> bool {
    let own = i32::try_from(std::process::id()).is_ok_and(|own| own == pid);
    // EPERM: it lives and belongs to someone else.
    !own && kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH)
}
