//! Resolves a destination to its real file.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, SFlag};

use super::PERMISSION_BITS;
use super::error::{ReplaceError, folder_of};
use super::folder::{Folder, MAX_LINKS, Trust, is_link, is_trusted, kind};

/// A resolved destination: an absolute path whose last part is not a symbolic link.
///
/// Each operation opens the folder again, and judges its path again: an open folder for each of thousands of files would
/// run out of descriptors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    path: PathBuf,
    trust: Trust,
    /// The existing file when the destination was resolved, so that it is read only once.
    pub(super) found: Option<ExistingFile>,
}

/// The metadata kept of an existing file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExistingFile {
    pub(super) len: u64,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Whether a new file may get its owner and mode: it belongs to root or to us, and is not another file's second
    /// name that another user made.
    pub(super) is_inherited: bool,
}

impl ExistingFile {
    fn new(stat: &FileStat, folder: &Folder) -> Self {
        Self {
            len: u64::try_from(stat.st_size).unwrap_or_default(),
            mode: stat.st_mode & PERMISSION_BITS,
            uid: stat.st_uid,
            gid: stat.st_gid,
            is_inherited: is_trusted(stat.st_uid) && (folder.is_private || stat.st_nlink == 1),
        }
    }
}

impl Target {
    /// Resolves `dest`. A relative path starts at the working folder. A symbolic link is followed to its end, even if
    /// that is missing, so that the link stays and its file is replaced.
    ///
    /// # Errors
    /// When no file can be placed there: it is a folder or a device; or when another user may have planted the link or
    /// the file.
    pub fn resolve(dest: &Path) -> Result<Self, ReplaceError> {
        Self::resolve_with(dest, Trust::default())
    }

    /// Like [`Target::resolve`], with what may be met in folders that other users can write.
    ///
    /// # Errors
    /// As [`Target::resolve`].
    pub fn resolve_with(dest: &Path, trust: Trust) -> Result<Self, ReplaceError> {
        let mut path = std::path::absolute(dest).map_err(|error| ReplaceError::io("resolve", dest, error))?;
        for _ in 0..=MAX_LINKS {
            // A name ending in `/` or `..` means a folder.
            let is_folder = path.as_os_str().as_encoded_bytes().ends_with(b"/");
            let Some(name) = path.file_name().filter(|_| !is_folder) else {
                return Err(ReplaceError::IsFolder { path });
            };
            let folder = match Folder::open(folder_of(&path), trust, &path) {
                Ok(folder) => folder,
                // Staging reports it.
                Err(ReplaceError::FolderMissing { .. }) => return Ok(Self { path, trust, found: None }),
                Err(error) => return Err(error),
            };
            let found = folder.stat(name).map_err(|error| ReplaceError::io("look at", &path, error))?;
            match found {
                Some(stat) if is_link(&stat) => {
                    folder.check_link(name, trust)?;
                    // A relative link starts at the link's folder; an absolute one replaces the whole path.
                    path = folder.path.join(folder.read_link(name)?);
                }
                found => {
                    let real = folder.path.join(name);
                    let found = found.map(|stat| existing(&stat, &folder, &real, trust)).transpose()?;
                    return Ok(Self { path: real, trust, found });
                }
            }
        }
        Err(ReplaceError::LinkLoop { path: dest.to_owned() })
    }

    /// Returns the absolute path of the file itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the folder of the file and of its staged files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        folder_of(&self.path)
    }

    /// Returns the name of the file in its folder.
    pub(super) fn name(&self) -> &OsStr {
        name_of(&self.path)
    }

    /// Opens the folder, anew and by the same rules.
    pub(super) fn open_folder(&self) -> Result<Folder, ReplaceError> {
        Folder::open(self.folder(), self.trust, &self.path)
    }

    /// Returns the target of a file beside this one.
    pub(super) fn sibling(&self, path: PathBuf) -> Self {
        Self { path, found: None, trust: self.trust }
    }

    /// Opens the existing file for reading; `None` when there is none.
    pub(super) fn open_existing(&self) -> Result<Option<(File, Metadata)>, ReplaceError> {
        let folder = match self.open_folder() {
            Ok(folder) => folder,
            Err(ReplaceError::FolderMissing { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let path = &self.path;
        let file = match folder.file(self.name(), OFlag::O_RDONLY) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => {
                let source = io::Error::other("it became a symbolic link after it was looked up");
                return Err(ReplaceError::io("read", path, source));
            }
            Err(error) => return Err(ReplaceError::io("read", path, error)),
        };
        let metadata = file.metadata().map_err(|error| ReplaceError::io("look at", path, error))?;
        if metadata.is_dir() {
            return Err(ReplaceError::IsFolder { path: path.clone() });
        }
        if !metadata.is_file() {
            return Err(ReplaceError::NotAFile { path: path.clone() });
        }
        folder.check_file(self.name(), metadata.uid(), self.trust)?;
        Ok(Some((file, metadata)))
    }

    /// Checks whether a file can be created here. A plan needs this; staging would fail by itself.
    ///
    /// # Errors
    /// When the folder is missing, not a folder or not writable.
    pub fn check_folder(&self) -> Result<(), ReplaceError> {
        let folder = self.folder().to_owned();
        self.open_folder()?.is_writable().map_err(|source| ReplaceError::NotWritable { folder, source })
    }
}

fn existing(
    stat: &FileStat,
    folder: &Folder,
    path: &Path,
    trust: Trust,
) -> Result<ExistingFile, ReplaceError> {
    match kind(stat) {
        SFlag::S_IFREG => {
            folder.check_file(name_of(path), stat.st_uid, trust)?;
            Ok(ExistingFile::new(stat, folder))
        }
        SFlag::S_IFDIR => Err(ReplaceError::IsFolder { path: path.to_owned() }),
        _ => Err(ReplaceError::NotAFile { path: path.to_owned() }),
    }
}

/// Returns the last name of a path; a path to a file has one.
pub(super) fn name_of(path: &Path) -> &OsStr {
    path.file_name().unwrap_or_default()
}

/// Creates the missing folders above `dest`. No link is followed that another user may have planted.
///
/// # Errors
/// When one cannot be created or entered.
pub fn make_folder_of(dest: &Path, trust: Trust) -> Result<(), ReplaceError> {
    let dest = std::path::absolute(dest).map_err(|error| ReplaceError::io("resolve", dest, error))?;
    Folder::make(folder_of(&dest), trust, &dest).map(drop)
}

/// Removes a file by its own name; a link is removed, not its target. A missing file counts as removed.
///
/// # Errors
/// When it cannot be removed, or when another user may have planted it.
pub fn remove(dest: &Path, trust: Trust) -> Result<(), ReplaceError> {
    let path = std::path::absolute(dest).map_err(|error| ReplaceError::io("resolve", dest, error))?;
    let folder = match Folder::open(folder_of(&path), trust, &path) {
        Ok(folder) => folder,
        Err(ReplaceError::FolderMissing { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    let name = name_of(&path);
    match folder.stat(name).map_err(|error| ReplaceError::io("look at", &path, error))? {
        None => return Ok(()),
        Some(stat) if is_link(&stat) => folder.check_link(name, trust)?,
        Some(stat) => folder.check_file(name, stat.st_uid, trust)?,
    }
    folder.remove(name).map_err(|error| ReplaceError::io("remove", &path, error))
}
