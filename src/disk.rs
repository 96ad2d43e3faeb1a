//! Names of disk errors and their remedies, and writing small files completely.
//!
//! Owns: the description of a failed file operation: the system's text, the name of its number, and a remedy. The
//! caller adds the path and the operation. Also the writing of the program's own small files, so that a crash leaves
//! the old one or the new one. Leaves out: the users' files (`replace`).

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::errno::Errno;

/// The system's text and the name of its number, as in `Read-only file system (EROFS)`.
#[must_use]
pub fn cause(error: &io::Error) -> String {
    match errno(error) {
        Some(errno) => format!("{} ({errno:?})", errno.desc()),
        None => error.to_string(),
    }
}

/// The cause, and what to do where that is known.
#[must_use]
pub fn explain(error: &io::Error) -> String {
    match errno(error).and_then(remedy) {
        Some(remedy) => format!("{}: {remedy}", cause(error)),
        None => cause(error),
    }
}

/// Adds the path and the description to an I/O error.
pub fn at(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {}", path.display(), explain(&error)))
}

/// Returns whether an error means a full disk or an exhausted quota, which may be temporary.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(errno(error), Some(Errno::ENOSPC | Errno::EDQUOT))
        || matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Writes a file through `temporary`, a path beside it, with these permission bits. The content is on the disk before
/// the file gets its name; the name is durable after [`sync_folder_of`].
///
/// # Errors
/// When the disk fails or is full, or when `content` does.
pub fn write_whole(
    path: &Path,
    temporary: &Path,
    mode: u32,
    content: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    // A file that a crash left may have other permissions.
    match fs::remove_file(temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(temporary)?;
    let written =
        content(&mut file).and_then(|()| file.sync_all()).and_then(|()| fs::rename(temporary, path));
    if written.is_err() {
        // On a full disk it would take the room that the next attempt needs.
        fs::remove_file(temporary).ok();
    }
    written
}

/// Waits until the name of a file is on the disk.
///
/// # Errors
/// When its folder cannot be opened or the disk fails.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Returns the number, also of an error that is wrapped or only a text, as in sled.
fn errno(error: &io::Error) -> Option<Errno> {
    if let Some(code) = error.raw_os_error() {
        return Some(Errno::from_raw(code));
    }
    let mut inner = error.get_ref().map(|inner| inner as &(dyn Error + 'static));
    while let Some(next) = inner {
        if let Some(code) = next.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return Some(Errno::from_raw(code));
        }
        inner = next.source();
    }
    let text = error.to_string();
    let (_, code) = text.split_once("Os { code: ")?;
    Some(Errno::from_raw(code.split(',').next()?.parse().ok()?))
}

fn remedy(errno: Errno) -> Option<&'static str> {
    Some(match errno {
        Errno::EROFS => {
            "find out why it is read-only (after a disk error the kernel does this, and the kernel's log says so), repair \
             that, and mount it writable"
        }
        Errno::EIO => "the disk or its connection fails: see the kernel's log; replace or reconnect the disk",
        Errno::ENOSPC => "make room on its disk (bytes or inodes)",
        Errno::EDQUOT => "raise the quota, or delete files",
        Errno::ENOENT | Errno::ENOTDIR | Errno::ESTALE => {
            "check the path, whether its disk is mounted, and whether it was removed"
        }
        Errno::EISDIR => "give the path of a file in it",
        Errno::ENODEV | Errno::ENXIO | Errno::ESHUTDOWN => {
            "its device or file system is gone: reconnect and mount it again"
        }
        Errno::EACCES | Errno::EPERM => "give the user of this process permission to do that",
        Errno::EMFILE | Errno::ENFILE => "raise the limit of open files",
        Errno::EFBIG => "raise the file size limit (ulimit -f), or use another file system",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_leftovers() {
        let dir = tempfile::tempdir().unwrap();
        let (path, temporary) = (dir.path().join("state"), dir.path().join("state.new"));
        write_whole(&path, &temporary, 0o600, |file| file.write_all(b"old")).unwrap();
        let full = |file: &mut File| {
            file.write_all(b"ne")?;
            Err(io::Error::from_raw_os_error(Errno::ENOSPC as i32))
        };
        assert!(is_full(&write_whole(&path, &temporary, 0o600, full).unwrap_err()));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert!(!temporary.exists());
    }

    #[test]
    fn an_error_has_its_message_its_code_and_a_remedy() {
        let text = explain(&io::Error::from_raw_os_error(30));
        assert!(text.starts_with("Read-only file system (EROFS): "), "{text}");
        for code in [2, 5, 13, 28, 122] {
            let text = explain(&io::Error::from_raw_os_error(code));
            assert!(text.contains(" (E") && text.contains("): "), "{text}");
        }
        assert_eq!(explain(&io::Error::other("its own words")), "its own words");
    }

    #[test]
    fn a_file_is_written_completely_or_not_at_all() {
        use std::io::Write as _;
        use std::os::unix::fs::PermissionsExt as _;

        let dir = tempfile::tempdir().unwrap();
        let (path, temporary) = (dir.path().join("a"), dir.path().join("a.new"));
        fs::write(&path, "old").unwrap();
        fs::write(&temporary, "left by a crash").unwrap();
        let half = |file: &mut File| file.write_all(b"ne").and(Err(io::Error::other("full")));
        write_whole(&path, &temporary, 0o600, half).unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        write_whole(&path, &temporary, 0o600, |file| file.write_all(b"new")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert!(!temporary.exists());
        sync_folder_of(&path).unwrap();
        sync_folder_of(Path::new("a")).unwrap();
    }

    #[test]
    fn the_error_number_is_found_inside_wrapped_errors() {
        let wrapped = io::Error::other(io::Error::from_raw_os_error(5));
        assert!(cause(&wrapped).ends_with("(EIO)"), "{}", cause(&wrapped));
        // As sled keeps it when it hands an error out a second time.
        let kept = io::Error::other(format!("{:?}", io::Error::from_raw_os_error(122)));
        assert!(cause(&kept).ends_with("(EDQUOT)") && is_full(&kept), "{}", cause(&kept));
    }
}
