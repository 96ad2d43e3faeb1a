//! Resolves a destination to its real file.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat};

use super::PERMISSION_BITS;
use super::error::{ReplaceError, folder_of};

/// The number of links that Linux follows.
const MAX_LINKS: usize = 40;

/// A resolved destination: an absolute path whose last part is not a symbolic link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    path: PathBuf,
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
}

impl Target {
    /// Resolves `dest`. A relative path starts at the working folder. A symbolic link is followed to its end, even if
    /// that is missing, so that the link stays and its file is replaced.
    ///
    /// # Errors
    /// When no file can be placed there: it is a folder or a device.
    pub fn resolve(dest: &Path) -> Result<Self, ReplaceError> {
        let path = follow_links(dest)?;
        let mut target = Self { path, found: None };
        // Finds a folder or a device before anything is rendered for it.
        target.found = target.metadata()?.map(|metadata| ExistingFile {
            len: metadata.len(),
            mode: metadata.mode() & PERMISSION_BITS,
            uid: metadata.uid(),
            gid: metadata.gid(),
        });
        Ok(target)
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

    /// Returns the target of a file beside this one.
    pub(super) fn sibling(&self, path: PathBuf) -> Self {
        Self { path, found: None }
    }

    /// Returns the metadata of the existing file; `None` when there is none.
    pub(super) fn metadata(&self) -> Result<Option<Metadata>, ReplaceError> {
        let path = &self.path;
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => Err(ReplaceError::IsFolder { path: path.clone() }),
            Ok(metadata) if metadata.is_file() => Ok(Some(metadata)),
            Ok(metadata) if metadata.is_symlink() => {
                let source = io::Error::other("it became a symbolic link after it was looked up");
                Err(ReplaceError::io("replace", path, source))
            }
            Ok(_) => Err(ReplaceError::NotAFile { path: path.clone() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                Err(ReplaceError::NotAFolder { folder: self.folder().to_owned(), path: path.clone() })
            }
            Err(error) => Err(ReplaceError::io("look at", path, error)),
        }
    }

    /// Checks whether a file can be created here. A plan needs this; staging would fail by itself.
    ///
    /// # Errors
    /// When the folder is missing, not a folder or not writable.
    pub fn check_folder(&self) -> Result<(), ReplaceError> {
        let (folder, path) = (self.folder().to_owned(), self.path.clone());
        match fs::metadata(&folder) {
            Ok(metadata) if !metadata.is_dir() => return Err(ReplaceError::NotAFolder { folder, path }),
            Ok(_) => {}
            Err(error) => return Err(ReplaceError::creating(&path, error)),
        }
        // The effective ids: the plain call would ignore capabilities that a service manager granted.
        let needed = AccessFlags::W_OK | AccessFlags::X_OK;
        faccessat(AT_FDCWD, &folder, needed, AtFlags::AT_EACCESS)
            .map_err(|error| ReplaceError::NotWritable { folder, source: error.into() })
    }
}

fn follow_links(dest: &Path) -> Result<PathBuf, ReplaceError> {
    let mut path = std::path::absolute(dest).map_err(|error| ReplaceError::io("resolve", dest, error))?;
    for _ in 0..=MAX_LINKS {
        // A name ending in `/` or `..` means a folder.
        if path.as_os_str().as_encoded_bytes().ends_with(b"/") || path.file_name().is_none() {
            return Err(ReplaceError::IsFolder { path });
        }
        match fs::read_link(&path) {
            // A relative link starts at the link's folder; an absolute one replaces the whole path.
            Ok(link) => path = folder_of(&path).join(link),
            // Not a link, or missing: this is the file. Other errors appear when its folder is checked.
            Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => break,
            Err(_) => return Ok(path),
        }
    }
    Err(ReplaceError::LinkLoop { path: dest.to_owned() })
}
