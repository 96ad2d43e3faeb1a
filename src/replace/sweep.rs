//! Removes staged files that a killed process left behind.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::stage::PREFIX;

/// A staged file older than this is removed even if a process with its id exists: ids are reused.
const MAX_STAGE_FILE_AGE: Duration = Duration::from_secs(24 * 3600);

/// Removes the staged files in `folder` whose process is gone, and returns them. Files with this process's own id
/// count as gone, because a container's process has the same id at every start: call it before anything is staged.
/// Files younger than `older_than` stay; that matters where several containers share the folder and cannot see each
/// other's processes.
///
/// # Errors
/// When the folder cannot be read. A file that cannot be removed is logged and left.
pub fn sweep(folder: &Path, older_than: Duration) -> io::Result<Vec<PathBuf>> {
    let mut removed = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(owner) else { continue };
        let Ok(metadata) = entry.metadata() else { continue };
        // A time in the future means that the clock was set back; such a file counts as new.
        let age = metadata.modified().ok().and_then(|made| made.elapsed().ok()).unwrap_or_default();
        if !metadata.is_file() || age < older_than || (is_running(pid) && age < MAX_STAGE_FILE_AGE) {
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

/// Returns the process id in a stage name.
fn owner(name: &str) -> Option<i32> {
    let (pid, _) = name.strip_prefix(PREFIX)?.split_once('.')?;
    // Zero and below mean process groups.
    pid.parse().ok().filter(|pid| *pid > 0)
}

fn is_running(pid: i32) -> bool {
    let own = i32::try_from(std::process::id()).is_ok_and(|own| own == pid);
    // EPERM: the process exists and belongs to another user.
    !own && kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH)
}
