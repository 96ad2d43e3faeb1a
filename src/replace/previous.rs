//! Keeps the previous file, for a rollback or as a backup.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::error::ReplaceError;
use super::sync::sync_folder;
use super::{Attributes, PERMISSION_BITS, Target};

/// The largest file kept in memory.
const MAX_KEPT_BYTES: u64 = 64 * 1024 * 1024;

/// A saved file.
#[derive(Clone, PartialEq, Eq)]
pub struct Previous {
    bytes: Vec<u8>,
    attributes: Attributes,
}

impl std::fmt::Debug for Previous {
    /// Leaves out the bytes: they may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Previous")
            .field("length", &self.bytes.len())
            .field("attributes", &self.attributes)
            .finish()
    }
}

impl Previous {
    /// Returns its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns its mode and owner, all set.
    #[must_use]
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }
}

impl Target {
    /// Returns the current file, for a rollback; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read or is larger than 64 MiB.
    pub fn save(&self) -> Result<Option<Previous>, ReplaceError> {
        let Some((file, metadata)) = self.open_existing()? else { return Ok(None) };
        let bytes = read_whole(self, file, &metadata)?;
        let attributes = Attributes {
            mode: Some(metadata.mode() & PERMISSION_BITS),
            uid: Some(metadata.uid()),
            gid: Some(metadata.gid()),
        };
        Ok(Some(Previous { bytes, attributes }))
    }

    /// Returns the bytes of the current file; `None` when there is none.
    ///
    /// # Errors
    /// As [`Target::save`].
    pub fn read(&self) -> Result<Option<Vec<u8>>, ReplaceError> {
        read_old(self)
    }

    /// Restores what [`Target::save`] returned, durably: the previous file, or none.
    ///
    /// # Errors
    /// When it cannot be restored; the current file is then unchanged.
    pub fn restore(&self, previous: Option<&Previous>) -> Result<(), ReplaceError> {
        match previous {
            Some(previous) => {
                let staged = self.stage(&previous.bytes, &previous.attributes)?;
                staged.sync().map_err(|error| ReplaceError::io("sync", staged.path(), error))?;
                staged.place()?;
            }
            None => {
                let removed = self.open_folder()?.remove(self.name());
                removed.map_err(|error| ReplaceError::io("remove", self.path(), error))?;
            }
        }
        sync_folder(self.folder()).map_err(|error| ReplaceError::io("sync the folder of", self.path(), error))
    }

    /// Copies the current file to the same name with `suffix` (`.bak`), replaces an older copy, and returns its path;
    /// `None` when there is no file. A hard link would not do: a later write in place would change both.
    ///
    /// # Errors
    /// When it cannot be read or copied.
    pub fn backup(&self, suffix: &str) -> Result<Option<PathBuf>, ReplaceError> {
        let Some(previous) = self.save()? else { return Ok(None) };
        let mut name = OsString::from(self.path());
        name.push(suffix);
        let copy = self.sibling(PathBuf::from(name));
        let staged = copy.stage(&previous.bytes, &previous.attributes)?;
        staged.sync().map_err(|error| ReplaceError::io("sync", staged.path(), error))?;
        staged.place()?;
        Ok(Some(copy.path().to_owned()))
    }
}

/// Returns the current bytes of a destination; `None` when there is no file.
pub(super) fn read_old(target: &Target) -> Result<Option<Vec<u8>>, ReplaceError> {
    let Some((file, metadata)) = target.open_existing()? else { return Ok(None) };
    read_whole(target, file, &metadata).map(Some)
}

fn read_whole(target: &Target, file: File, metadata: &Metadata) -> Result<Vec<u8>, ReplaceError> {
    let path = target.path();
    let read = read_bounded(file, MAX_KEPT_BYTES).map_err(|error| ReplaceError::io("read", path, error))?;
    let (path, size) = (path.to_owned(), metadata.len());
    read.ok_or(ReplaceError::TooLarge { path, size, limit: MAX_KEPT_BYTES })
}

/// Reads all of a reader that should have at most `limit` bytes; returns `None` when it has more.
fn read_bounded(reader: impl Read, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    reader.take(limit + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}
