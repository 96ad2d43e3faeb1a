//! Why a file could not be replaced, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::disk;

/// Why a file could not be replaced. Unless a variant says otherwise, the old file is unchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplaceError {
    /// The destination is a folder.
    #[error("{path} is a folder; a destination names a file")]
    IsFolder {
        /// The destination.
        path: PathBuf,
    },
    /// The destination is a device, a socket or a pipe.
    #[error("{path} is a device, a socket or a pipe; replacing it would break the programs that use it")]
    NotAFile {
        /// The destination.
        path: PathBuf,
    },
    /// The destination is a circular symbolic link.
    #[error("{path} is a symbolic link that leads in a circle; remove it or point it at a file")]
    LinkLoop {
        /// The destination.
        path: PathBuf,
    },
    /// A link that another user may have planted.
    #[error(
        "{path} is a symbolic link in a folder that other users can write, so it is not followed; remove it, or make \
         the folder root's or this user's and writable by its owner only; `follow = true` in the resource accepts it"
    )]
    ForeignLink {
        /// The link.
        path: PathBuf,
    },
    /// A file of another user, which that user may have planted.
    #[error(
        "{path} belongs to user {uid}, in a folder that other users can write, so it is not used; remove it, or name \
         that user as `owner` in the resource; `follow = true` accepts every file there"
    )]
    ForeignFile {
        /// The file.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// Other users can write a folder that must be private.
    #[error(
        "other users can write the folder {folder}, and could plant what is read from it; make it root's or this \
         user's, with mode 0700"
    )]
    NotPrivate {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder of the destination is missing.
    #[error("the folder {folder} is missing; create it or change the destination {path}")]
    FolderMissing {
        /// The missing folder.
        folder: PathBuf,
        /// The destination.
        path: PathBuf,
    },
    /// A parent of the destination is not a folder.
    #[error("{folder} is not a folder, so {path} cannot be in it")]
    NotAFolder {
        /// What should be a folder.
        folder: PathBuf,
        /// The destination.
        path: PathBuf,
    },
    /// No new file can be created in the folder.
    #[error(
        "cannot write into the folder {folder}: {why}; the new file is made beside the old one, so the folder \
         itself must be writable",
        why = disk::cause(source)
    )]
    NotWritable {
        /// The folder.
        folder: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The wanted owner or group could not be set.
    #[error(
        "cannot give {path} the owner {uid}:{gid}: {source}; run as root or with CAP_CHOWN, or leave uid and gid unset"
    )]
    Owner {
        /// The destination.
        path: PathBuf,
        /// The wanted owner.
        uid: u32,
        /// The wanted group.
        gid: u32,
        /// The system's error.
        source: io::Error,
    },
    /// The system accepted the mode but changed it.
    #[error(
        "{path} should have mode {want:04o} but the system made it {have:04o}; setgid needs membership in the group"
    )]
    Mode {
        /// The destination.
        path: PathBuf,
        /// The wanted permission bits.
        want: u32,
        /// The permission bits it has.
        have: u32,
    },
    /// The disk or the quota is full.
    #[error(
        "no space left in {folder}: {needed} bytes needed: {why}; the old file is untouched",
        why = disk::cause(source)
    )]
    NoSpace {
        /// The folder.
        folder: PathBuf,
        /// The size of the new file.
        needed: u64,
        /// The system's error.
        source: io::Error,
    },
    /// The existing file is too large to be kept in memory for a rollback.
    #[error("{path} has {size} bytes, more than the {limit} bytes that a rollback can keep")]
    TooLarge {
        /// The destination.
        path: PathBuf,
        /// Its size.
        size: u64,
        /// The largest size kept.
        limit: u64,
    },
    /// Writing in place failed, and so did restoring the old bytes: the file is damaged.
    #[error(
        "{path} is HALF WRITTEN: {source}; the old bytes could not be restored ({again}); restore it by hand"
    )]
    HalfWritten {
        /// The destination.
        path: PathBuf,
        /// Why writing failed.
        source: io::Error,
        /// Why restoring failed.
        again: io::Error,
    },
    /// Anything else.
    #[error("cannot {doing} {path}: {why}", why = disk::cause(source))]
    Io {
        /// The operation.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl ReplaceError {
    pub(super) fn io(doing: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io { doing, path: path.to_owned(), source: source.into() }
    }

    /// Returns the error of writing `needed` bytes for `path`.
    pub(super) fn writing(path: &Path, needed: usize, source: io::Error) -> Self {
        if disk::is_full(&source) {
            Self::NoSpace { folder: folder_of(path).to_owned(), needed: needed as u64, source }
        } else {
            Self::io("write", path, source)
        }
    }

    /// Returns the error of creating a file in the folder of `path`.
    pub(super) fn creating(path: &Path, source: io::Error) -> Self {
        let folder = folder_of(path).to_owned();
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::FolderMissing { folder, path },
            io::ErrorKind::NotADirectory => Self::NotAFolder { folder, path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotWritable { folder, source }
            }
            _ => Self::io("create a file beside", &path, source),
        }
    }
}

/// Returns whether the error means that the file is a mount point, which cannot be renamed over.
pub(super) fn is_mount_point(error: &io::Error) -> bool {
    matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::EBUSY | Errno::EXDEV))
}

/// Returns the folder of a file; an absolute path to a file always has one.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}
