//! Moves the staged file to the destination.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, OFlag, fallocate};

use super::error::{ReplaceError, is_mount_point};
use super::folder::Folder;
use super::previous::read_old;
use super::stage::{ResolvedAttributes, Staged};
use super::{Attributes, PERMISSION_BITS, Target};

/// How the new bytes were written to the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteMethod {
    /// By a rename: readers see the old file or the new one.
    Renamed,
    /// In place, because it is a mount point, like files bound into containers. A reader may briefly have seen a
    /// mixture. The bytes are already on the disk.
    InPlace,
}

impl Staged {
    /// Moves the staged file to the destination. To survive a power cut, call [`Staged::sync`] before and
    /// [`super::sync_folder`] after.
    ///
    /// # Errors
    /// When it cannot; the old file is then unchanged, except for [`ReplaceError::HalfWritten`].
    pub fn place(mut self) -> Result<WriteMethod, ReplaceError> {
        let folder = self.target.open_folder()?;
        match folder.rename(self.name(), self.target.name()) {
            Ok(()) => {
                self.armed = false;
                self.log_owner();
                Ok(WriteMethod::Renamed)
            }
            Err(error) if is_mount_point(&error) => {
                let bytes = self.read_back(&folder)?;
                write_in_place(&self.target, &folder, &bytes, &self.wanted)?;
                Ok(WriteMethod::InPlace)
            }
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                Err(ReplaceError::IsFolder { path: self.target.path().to_owned() })
            }
            Err(error) => Err(ReplaceError::io("rename the staged file to", self.target.path(), error)),
        }
    }

    fn read_back(&self, folder: &Folder) -> Result<Vec<u8>, ReplaceError> {
        if folder.is_private {
            // Its wanted mode may forbid reading it; it is ours and about to be removed.
            folder
                .set_mode(self.name(), 0o600)
                .map_err(|error| ReplaceError::io("set the mode of", self.path(), error))?;
        }
        let mut bytes = Vec::new();
        let mut file = self.open(folder, OFlag::O_RDONLY)?;
        file.read_to_end(&mut bytes).map_err(|error| ReplaceError::io("read", self.path(), error))?;
        Ok(bytes)
    }

    /// Logs that the new file does not have the owner of the old one.
    fn log_owner(&self) {
        let Some(old) = self.target.found.filter(|old| !old.is_inherited && self.wanted.uid.is_none()) else {
            return;
        };
        tracing::warn!(
            "{} belonged to user {}; the new file belongs to this process's user, with mode {:04o}: `owner` and `mode` \
             in the resource set others",
            self.target.path().display(),
            old.uid,
            self.attributes.mode
        );
    }
}

/// Overwrites the bytes of an existing file so that a failure leaves, or restores, the old ones. It is the same file, so
/// it keeps its owner and mode where no others are wanted.
fn write_in_place(
    target: &Target,
    folder: &Folder,
    bytes: &[u8],
    wanted: &Attributes,
) -> Result<(), ReplaceError> {
    let path = target.path();
    let old = read_old(target)?.unwrap_or_default();
    let mut file = folder
        .file(target.name(), OFlag::O_WRONLY)
        .map_err(|error| ReplaceError::io("write in place", path, error))?;
    let wanted = &in_place(wanted, &metadata(&file, path)?);
    reserve(&file, bytes.len()).map_err(|error| ReplaceError::writing(path, bytes.len(), error))?;
    // Before the bytes: a secret must not be readable even for a moment, and an error must come before anything is
    // lost.
    apply(wanted, &file, path)?;
    if let Err(error) = overwrite(&mut file, bytes) {
        return Err(match overwrite(&mut file, &old) {
            Ok(()) => ReplaceError::writing(path, bytes.len(), error),
            Err(again) => ReplaceError::HalfWritten { path: path.to_owned(), source: error, again },
        });
    }
    // Writing clears setuid and setgid.
    apply(wanted, &file, path)
}

fn apply(wanted: &ResolvedAttributes, file: &File, path: &Path) -> Result<(), ReplaceError> {
    wanted.apply(file, &metadata(file, path)?, path)
}

fn metadata(file: &File, path: &Path) -> Result<Metadata, ReplaceError> {
    file.metadata().map_err(|error| ReplaceError::io("look at", path, error))
}

fn in_place(wanted: &Attributes, have: &Metadata) -> ResolvedAttributes {
    ResolvedAttributes {
        mode: wanted.mode.unwrap_or(have.mode()) & PERMISSION_BITS,
        uid: wanted.uid.unwrap_or(have.uid()),
        gid: wanted.gid.unwrap_or(have.gid()),
        owner_asked_for: wanted.uid.is_some() || wanted.gid.is_some(),
    }
}

/// Reserves the space before the first old byte is lost, where the file system can.
fn reserve(file: &File, length: usize) -> io::Result<()> {
    let Ok(length) = i64::try_from(length) else { return Err(io::ErrorKind::FileTooLarge.into()) };
    if length == 0 {
        return Ok(());
    }
    match fallocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, length) {
        Ok(()) | Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn overwrite(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    file.rewind()?;
    file.write_all(bytes)?;
    file.set_len(bytes.len() as u64)?;
    file.sync_all()
}
