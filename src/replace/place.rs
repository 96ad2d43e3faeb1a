//! Moves the staged file to the destination.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, OFlag, fallocate};

use super::Target;
use super::error::{ReplaceError, is_mount_point};
use super::previous::read_old;
use super::stage::{ResolvedAttributes, Staged};

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
        match fs::rename(&self.path, self.target.path()) {
            Ok(()) => {
                self.armed = false;
                Ok(WriteMethod::Renamed)
            }
            Err(error) if is_mount_point(&error) => {
                let bytes = self.read_back()?;
                write_in_place(&self.target, &bytes, &self.attributes)?;
                Ok(WriteMethod::InPlace)
            }
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                Err(ReplaceError::IsFolder { path: self.target.path().to_owned() })
            }
            Err(error) => Err(ReplaceError::io("rename the staged file to", self.target.path(), error)),
        }
    }

    fn read_back(&self) -> Result<Vec<u8>, ReplaceError> {
        // Its wanted mode may forbid reading it; it is ours and about to be removed.
        fs::set_permissions(&self.path, Permissions::from_mode(0o600))
            .and_then(|()| fs::read(&self.path))
            .map_err(|error| ReplaceError::io("read", &self.path, error))
    }
}

/// Overwrites the bytes of an existing file so that a failure leaves, or restores, the old ones.
fn write_in_place(target: &Target, bytes: &[u8], wanted: &ResolvedAttributes) -> Result<(), ReplaceError> {
    let path = target.path();
    let old = read_old(target)?.unwrap_or_default();
    let mut file = OpenOptions::new()
        .write(true)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path)
        .map_err(|error| ReplaceError::io("write in place", path, error))?;
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
    let have = file.metadata().map_err(|error| ReplaceError::io("look at", path, error))?;
    wanted.apply(file, &have, path)
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
