//! The file a destination really means.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat};

use super::PERMISSION_BITS;
use super::error::{ReplaceError, folder_of};

/// As many links as Linux itself follows.
const MAX_LINKS: usize = 40;

/// A resolved destination: an absolute path whose last part is no symbolic link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    path: PathBuf,
    /// The existing file as it was when the destination was resolved, so that it is looked at once.
    pub(super) found: Option<ExistingFile>,
}

/// What is kept of an existing file's description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExistingFile {
    pub(super) len: u64,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Target {
    /// Finds the file that `dest` means. A relative path starts at the working folder. A symbolic link is followed
    /// to its end, also when nothing is there yet, so that the link stays and its file is replaced.
    ///
    /// # Errors
    /// When no file can be put there: it is a folder or a device.
    pub fn resolve(dest: &Path) -> Result<Self, ReplaceError> {
        let path = follow_links(dest)?;
        let mut target = Self { path, found: None };
        // Tells a folder and a device apart from a file before anything is rendered for it.
        target.found = target.metadata()?.map(|metadata| ExistingFile {
            len: metadata.len(),
            mode: metadata.mode() & PERMISSION_BITS,
            uid: metadata.uid(),
            gid: metadata.gid(),
        });
        Ok(target)
    }

    /// The absolute path of the file itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder the file is in, and staged files beside it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        folder_of(&self.path)
    }

    /// A file beside this one.
    pub(super) fn sibling(&self, path: PathBuf) -> Self {
        Self { path, found: None }
    }

    /// What the system knows of the existing file; `None` when there is none.
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

    /// Whether a file can be made here: staging finds that out by itself, a plan has to ask.
    ///
    /// # Errors
    /// When the folder is missing, is none or is not writable.
    pub fn check_folder(&self) -> Result<(), ReplaceError> {
        let (folder, path) = (self.folder().to_owned(), self.path.clone());
        match fs::metadata(&folder) {
            Ok(metadata) if !metadata.is_dir() => return Err(ReplaceError::NotAFolder { folder, path }),
            Ok(_) => {}
            Err(error) => return Err(ReplaceError::creating(&path, error)),
        }
        // The effective ids: the plain call would overlook capabilities a service manager granted.
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
            // A relative link starts at the folder of the link; an absolute one replaces all of it.
            Ok(link) => path = folder_of(&path).join(link),
            // Not a link, or nothing there: this is the file. Other errors show when its folder is looked at.
            Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => break,
            Err(_) => return Ok(path),
        }
    }
    Err(ReplaceError::LinkLoop { path: dest.to_owned() })
}
