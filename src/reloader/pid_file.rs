//! The process id in a file, for a reload by signal.
//!
//! Who can write the file chooses who is signalled. So the file of another user names only a process of that user.

use std::fs::{self, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::unistd::{Pid, Uid};

use crate::replace::{ReplaceError, Target};

/// How much of the file is read; a process id is shorter.
const MAX_BYTES: u64 = 64;

/// Returns the process id in a file.
///
/// # Errors
/// When there is none, or when another user may have chosen the process.
pub(super) fn read(path: &Path) -> Result<Pid, String> {
    let real = match Target::resolve(path) {
        Ok(target) => target.path().to_owned(),
        // Its process is judged below.
        Err(ReplaceError::ForeignFile { path, .. }) => path,
        Err(ReplaceError::ForeignLink { path: link }) => {
            return Err(format!(
                "{} is a symbolic link in a folder that other users can write, so it is not followed; name the file \
                 itself as pid_file",
                link.display()
            ));
        }
        Err(error) => return Err(error.to_string()),
    };
    let unreadable = |error| format!("cannot read {}: {error}", path.display());
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(real).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(format!("{} is not a regular file", path.display()));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
    let text = String::from_utf8_lossy(&bytes);
    let pid = text.trim().parse().ok().filter(|pid: &i32| *pid > 1);
    let pid =
        pid.ok_or_else(|| format!("{} contains {:?}, not a process id", path.display(), text.trim()))?;
    let owner = metadata.uid();
    let is_trusted = owner == 0 || owner == Uid::effective().as_raw();
    if !is_trusted && fs::metadata(format!("/proc/{pid}")).map_or(true, |process| process.uid() != owner) {
        return Err(format!(
            "{} belongs to user {owner} and names process {pid}, which is not that user's; it is not signalled",
            path.display()
        ));
    }
    Ok(Pid::from_raw(pid))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use super::*;

    #[test]
    fn a_process_id_is_read_and_anything_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        fs::write(&file, " 4242\n").unwrap();
        assert_eq!(read(&file), Ok(Pid::from_raw(4242)));
        for wrong in ["", "x", "1", "0", "-7", &"9".repeat(100_000)] {
            fs::write(&file, wrong).unwrap();
            let says = read(&file).unwrap_err();
            assert!(says.contains("not a process id") && says.len() < 300, "{says}");
        }
        assert!(read(&dir.path().join("missing")).unwrap_err().contains("cannot read"));
        assert!(read(Path::new("/dev/zero")).is_err());
    }

    #[test]
    fn another_users_file_names_no_process_of_root() {
        if !Uid::effective().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        fs::write(&file, std::process::id().to_string()).unwrap();
        assert!(read(&file).is_ok());
        chown(&file, Some(12_345), None).unwrap();
        let says = read(&file).unwrap_err();
        assert!(says.contains("user 12345") && says.contains("not signalled"), "{says}");
        let mut command = std::process::Command::new("sleep");
        let mut child = std::os::unix::process::CommandExt::uid(command.arg("30"), 12_345).spawn().unwrap();
        fs::write(&file, child.id().to_string()).unwrap();
        let own = read(&file);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(own.is_ok(), "{own:?}");
        chown(dir.path(), Some(12_345), None).unwrap();
        symlink("pid", dir.path().join("link")).unwrap();
        assert!(read(&dir.path().join("link")).unwrap_err().contains("symbolic link"));
    }
}
