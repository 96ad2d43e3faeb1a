//! Opens the folder of a destination so that no other user can lead a write elsewhere.
//!
//! A folder is private when only root and this process's user can write it. In any other folder, another user may have
//! planted a link or a file, or may swap one at any moment. So a link there is not followed, and the folder stays open
//! while names in it are used: nothing that happens to its path matters.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

use nix::errno::Errno;
use nix::fcntl::{
    AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, open, openat, openat2, readlinkat, renameat,
};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, fchmodat, fstat, fstatat, mkdirat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use nix::unistd::{AccessFlags, Uid, UnlinkatFlags, faccessat, unlinkat};

use super::error::{ReplaceError, folder_of};

/// The user of this process; read once, because every file needs it.
pub(super) static OUR_UID: LazyLock<u32> = LazyLock::new(|| Uid::effective().as_raw());

/// The number of links that Linux follows.
pub(super) const MAX_LINKS: usize = 40;

/// Which links and files of other users a destination may meet in a folder that they can write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Whether links are followed and any file is replaced there.
    pub follow: bool,
    /// A user whose file is replaced there: the wanted owner.
    pub owner: Option<u32>,
}

/// An open folder.
#[derive(Debug)]
pub(super) struct Folder {
    fd: OwnedFd,
    pub(super) path: PathBuf,
    /// Whether only root and this process's user can write it.
    pub(super) is_private: bool,
}

/// Whether the folders of a path are created.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Fails,
    IsMade,
}

impl Folder {
    /// Opens an absolute path. Errors name `dest`, the file that is wanted in it.
    pub(super) fn open(path: &Path, trust: Trust, dest: &Path) -> Result<Self, ReplaceError> {
        // Without a link anywhere on the path there is nothing to judge before its end.
        match without_links(AT_FDCWD, path) {
            Ok(fd) => Self::new(fd, path.to_owned()),
            Err(_) => Self::walk(path, trust, dest, Missing::Fails),
        }
    }

    /// Opens an absolute path, and creates the folders that are missing.
    pub(super) fn make(path: &Path, trust: Trust, dest: &Path) -> Result<Self, ReplaceError> {
        Self::walk(path, trust, dest, Missing::IsMade)
    }

    /// Opens a path step by step, and judges each link where it lies.
    fn walk(path: &Path, trust: Trust, dest: &Path, missing: Missing) -> Result<Self, ReplaceError> {
        let mut folder = Self::root()?;
        let mut rest = parts(path);
        // Also bounds a race with somebody who removes what is made.
        let mut left = MAX_LINKS + rest.len();
        while let Some(name) = rest.pop() {
            let error = match without_links(&folder.fd, Path::new(&name)) {
                Ok(fd) => {
                    folder = Self::new(fd, folder.path.join(&name))?;
                    continue;
                }
                Err(error) => error,
            };
            let Some(fewer) = left.checked_sub(1) else {
                return Err(ReplaceError::LinkLoop { path: dest.to_owned() });
            };
            left = fewer;
            let found = folder.stat(&name);
            let failed =
                |error: Errno| Err(ReplaceError::io("open the folder", &folder.path.join(&name), error));
            match found {
                Ok(Some(stat)) if is_link(&stat) => {
                    folder.check_link(&name, trust)?;
                    if folder.is_proc() {
                        folder = folder.enter_magic_link(&name)?;
                        continue;
                    }
                    let link = folder.read_link(&name)?;
                    if link.is_absolute() {
                        folder = Self::root()?;
                    }
                    rest.extend(parts(&link));
                }
                Ok(Some(_)) if error == Errno::ENOTDIR => {
                    return Err(ReplaceError::NotAFolder {
                        folder: folder.path.join(&name),
                        path: dest.to_owned(),
                    });
                }
                Ok(None) if missing == Missing::IsMade => {
                    match mkdirat(&folder.fd, name.as_os_str(), Mode::from_bits_truncate(0o777)) {
                        Ok(()) | Err(Errno::EEXIST) => rest.push(name),
                        Err(error) => {
                            return Err(ReplaceError::io("make the folder", &folder.path.join(&name), error));
                        }
                    }
                }
                Ok(None) => {
                    return Err(ReplaceError::FolderMissing {
                        folder: path.to_owned(),
                        path: dest.to_owned(),
                    });
                }
                Ok(Some(_)) => return failed(error),
                Err(error) => return failed(error),
            }
        }
        Ok(folder)
    }

    fn root() -> Result<Self, ReplaceError> {
        let path = PathBuf::from("/");
        match open(&path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()) {
            Ok(fd) => Self::new(fd, path),
            Err(error) => Err(ReplaceError::io("open the folder", &path, error)),
        }
    }

    fn new(fd: OwnedFd, path: PathBuf) -> Result<Self, ReplaceError> {
        let stat = fstat(&fd).map_err(|error| ReplaceError::io("look at", &path, error))?;
        let is_private = is_trusted(stat.st_uid) && stat.st_mode & 0o022 == 0;
        Ok(Self { fd, path, is_private })
    }

    /// The links of /proc are not texts: `/proc/PID/root` leads into another mount namespace.
    fn is_proc(&self) -> bool {
        fstatfs(&self.fd).is_ok_and(|stat| stat.filesystem_type() == PROC_SUPER_MAGIC)
    }

    fn enter_magic_link(&self, name: &OsStr) -> Result<Self, ReplaceError> {
        let path = self.path.join(name);
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        match openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => Self::new(fd, path),
            Err(error) => Err(ReplaceError::io("open the folder", &path, error)),
        }
    }

    /// Refuses a link that another user may have planted.
    pub(super) fn check_link(&self, name: &OsStr, trust: Trust) -> Result<(), ReplaceError> {
        if self.is_private || trust.follow {
            return Ok(());
        }
        Err(ReplaceError::ForeignLink { path: self.path.join(name) })
    }

    /// Refuses a file that another user may have planted.
    pub(super) fn check_file(&self, name: &OsStr, uid: u32, trust: Trust) -> Result<(), ReplaceError> {
        if self.is_private || trust.follow || is_trusted(uid) || trust.owner == Some(uid) {
            return Ok(());
        }
        Err(ReplaceError::ForeignFile { path: self.path.join(name), uid })
    }

    /// Returns the state of a name, links not followed; `None` when it is missing.
    pub(super) fn stat(&self, name: &OsStr) -> Result<Option<FileStat>, Errno> {
        match fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn read_link(&self, name: &OsStr) -> Result<PathBuf, ReplaceError> {
        let read = readlinkat(&self.fd, name).map(PathBuf::from);
        read.map_err(|error| ReplaceError::io("read the link", &self.path.join(name), error))
    }

    /// Opens a file, never through a link; a pipe does not make it wait.
    pub(super) fn file(&self, name: &OsStr, flags: OFlag) -> io::Result<File> {
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        Ok(File::from(openat(&self.fd, name, flags, Mode::from_bits_truncate(0o600))?))
    }

    /// Creates a file that only its owner can read.
    pub(super) fn create(&self, name: &OsStr) -> io::Result<File> {
        self.file(name, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL)
    }

    /// Opens the folder itself, for syncing.
    pub(super) fn readable(&self) -> io::Result<File> {
        self.file(OsStr::new("."), OFlag::O_RDONLY | OFlag::O_DIRECTORY)
    }

    pub(super) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(renameat(&self.fd, from, &self.fd, to)?)
    }

    /// Removes a file; a missing one counts as removed.
    pub(super) fn remove(&self, name: &OsStr) -> io::Result<()> {
        match unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Sets a mode by name, which is safe in a private folder only.
    pub(super) fn set_mode(&self, name: &OsStr, mode: u32) -> io::Result<()> {
        let mode = Mode::from_bits_truncate(mode);
        Ok(fchmodat(&self.fd, name, mode, FchmodatFlags::FollowSymlink)?)
    }

    /// Returns whether files can be created in it.
    pub(super) fn is_writable(&self) -> io::Result<()> {
        // The effective ids: the plain call would ignore capabilities that a service manager granted.
        let needed = AccessFlags::W_OK | AccessFlags::X_OK;
        Ok(faccessat(&self.fd, ".", needed, AtFlags::AT_EACCESS)?)
    }
}

/// Opens a folder on a path without links.
fn without_links(from: impl AsFd, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    // The dot makes the last part a folder on the way, so that it is mounted if it is an automount.
    match openat2(from.as_fd(), &path.join("."), how) {
        // An old kernel, or a container's filter of system calls. One name needs no more than this.
        Err(Errno::ENOSYS | Errno::EPERM) if path.components().count() == 1 && path.is_relative() => {
            openat(from, path, flags | OFlag::O_NOFOLLOW, Mode::empty())
        }
        opened => opened,
    }
}

/// Returns the names on a path, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let names = path.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    names.rev().map(|part| part.as_os_str().to_owned()).collect()
}

/// Returns whether a user is root or this process's own.
pub(super) fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == *OUR_UID
}

pub(super) fn is_link(stat: &FileStat) -> bool {
    kind(stat) == SFlag::S_IFLNK
}

pub(super) fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

/// Checks that only root and this process's user can write a folder, and that no link leads to it which another user
/// may have planted: what is read from it is then what was written.
///
/// # Errors
/// When it is not so, or the folder cannot be opened.
pub fn check_private(folder: &Path) -> Result<(), ReplaceError> {
    let path = std::path::absolute(folder).map_err(|error| ReplaceError::io("resolve", folder, error))?;
    match Folder::open(&path, Trust::default(), &path) {
        Ok(folder) if folder.is_private => Ok(()),
        Ok(_) => Err(ReplaceError::NotPrivate { folder: path }),
        Err(ReplaceError::ForeignLink { path: link }) => {
            Err(ReplaceError::NotPrivate { folder: folder_of(&link).to_owned() })
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// The step by step way must reach what the short way reaches, links included.
    #[test]
    fn both_ways_to_open_a_folder_agree() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("real/deep");
        fs::create_dir_all(&real).unwrap();
        symlink("real", dir.path().join("near")).unwrap();
        symlink(dir.path().join("near"), dir.path().join("far")).unwrap();
        let inode = |folder: &Folder| fstat(&folder.fd).unwrap().st_ino;
        let wanted = inode(&Folder::open(&real, Trust::default(), &real).unwrap());
        for name in ["real/deep", "near/deep", "far/deep", "far/../real/./deep", "real/deep/../deep"] {
            let path = dir.path().join(name);
            let stepped = Folder::walk(&path, Trust::default(), &path, Missing::Fails).unwrap();
            assert_eq!(inode(&stepped), wanted, "{name}");
            assert_eq!(inode(&Folder::open(&path, Trust::default(), &path).unwrap()), wanted, "{name}");
            assert!(fs::metadata(&stepped.path).is_ok(), "{}", stepped.path.display());
        }
        let own = Path::new("/proc/self/root/tmp");
        assert_eq!(
            inode(&Folder::open(own, Trust::default(), own).unwrap()),
            inode(&Folder::open(Path::new("/tmp"), Trust::default(), own).unwrap())
        );
    }

    #[test]
    fn links_in_a_circle_end() {
        let dir = tempfile::tempdir().unwrap();
        symlink("b", dir.path().join("a")).unwrap();
        symlink("a", dir.path().join("b")).unwrap();
        let path = dir.path().join("a/x");
        let error = Folder::open(&path, Trust::default(), &path).unwrap_err();
        assert!(matches!(error, ReplaceError::LinkLoop { .. }), "{error}");
    }
}
