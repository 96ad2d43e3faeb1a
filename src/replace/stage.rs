//! The staged file: the new bytes beside the old file, ready to be renamed.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{Gid, Uid, fchown};

use super::error::ReplaceError;
use super::folder::{Folder, OUR_UID};
use super::target::name_of;
use super::{Attributes, PERMISSION_BITS, Target};
use crate::disk::is_full;

/// The prefix of the name of every staged file.
pub(super) const PREFIX: &str = ".retune-stage.";
/// How many bytes of the destination's name go into the stage name; common file systems limit a name to 255.
const MAX_BASE_NAME_BYTES: usize = 200;
/// The mode of a new file without an explicit mode, and the most that another user's file leaves of its own.
const DEFAULT_MODE: u32 = 0o644;

/// The new bytes in a separate file beside the destination. Dropping it removes the file.
#[derive(Debug)]
pub struct Staged {
    pub(super) path: PathBuf,
    pub(super) target: Target,
    pub(super) attributes: ResolvedAttributes,
    pub(super) wanted: Attributes,
    pub(super) device: u64,
    inode: u64,
    pub(super) armed: bool,
}

/// Attributes with every field set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ResolvedAttributes {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Whether owner or group were requested, rather than taken from the old file.
    pub(super) owner_asked_for: bool,
}

// Read once: a process keeps its id, and a pass stages thousands of files.
static OUR_PID: LazyLock<u32> = LazyLock::new(std::process::id);
static OUR_GID: LazyLock<u32> = LazyLock::new(|| Gid::effective().as_raw());

impl Target {
    /// Writes `bytes` with all attributes into a new file beside the destination. It is complete but not yet on the
    /// disk: see [`Staged::sync`]. If the owner was not requested and this process may not set the old file's owner,
    /// the new file belongs to this process. So it does if the old file belongs to another user than root:
    /// the new content was not written for that user.
    ///
    /// # Errors
    /// When the file cannot be created, written or given its attributes; it is then removed again.
    pub fn stage(&self, bytes: &[u8], want: &Attributes) -> Result<Staged, ReplaceError> {
        let old = self.found;
        let folder = self.open_folder()?;
        let (path, mut file) = self.create(&folder, bytes.len())?;
        // From here on, the file is removed when anything fails.
        let own = file.metadata().map_err(|error| {
            // If the removal fails too, the first error is the one to report.
            folder.remove(name_of(&path)).unwrap_or_default();
            ReplaceError::io("look at", &path, error)
        })?;
        let old_mode = old.map(|old| if old.is_inherited { old.mode } else { old.mode & DEFAULT_MODE });
        let old = old.filter(|old| old.is_inherited);
        let attributes = ResolvedAttributes {
            mode: want.mode.or(old_mode).unwrap_or(DEFAULT_MODE) & PERMISSION_BITS,
            uid: want.uid.or(old.map(|old| old.uid)).unwrap_or(*OUR_UID),
            gid: want.gid.or(old.map(|old| old.gid)).unwrap_or(*OUR_GID),
            owner_asked_for: want.uid.is_some() || want.gid.is_some(),
        };
        let (device, inode) = (own.dev(), own.ino());
        let staged =
            Staged { path, target: self.clone(), attributes, wanted: *want, device, inode, armed: true };
        file.write_all(bytes).map_err(|error| ReplaceError::writing(self.path(), bytes.len(), error))?;
        attributes.apply(&file, &own, self.path())?;
        Ok(staged)
    }

    fn create(&self, folder: &Folder, needed: usize) -> Result<(PathBuf, File), ReplaceError> {
        let mut last = io::Error::other("no free name");
        for _ in 0..8 {
            let name = self.stage_name();
            match folder.create(&name) {
                Ok(file) => return Ok((self.folder().join(name), file)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
                Err(error) if is_full(&error) => {
                    return Err(ReplaceError::writing(self.path(), needed, error));
                }
                Err(error) => return Err(ReplaceError::creating(self.path(), error)),
            }
        }
        Err(ReplaceError::creating(self.path(), last))
    }

    /// Returns a name that ends in digits, so that no `include *.conf` of a running service reads it.
    fn stage_name(&self) -> OsString {
        let base = self.name().as_bytes();
        let mut name = format!("{PREFIX}{}.", *OUR_PID).into_bytes();
        name.extend_from_slice(&base[..base.len().min(MAX_BASE_NAME_BYTES)]);
        name.extend_from_slice(format!(".{:08x}", rand::random::<u32>()).as_bytes());
        OsString::from_vec(name)
    }
}

impl ResolvedAttributes {
    /// Applies these attributes to an open file that has those of `have`. Errors name `dest`.
    pub(super) fn apply(&self, file: &File, have: &Metadata, dest: &Path) -> Result<(), ReplaceError> {
        let uid = (have.uid() != self.uid).then(|| Uid::from_raw(self.uid));
        let gid = (have.gid() != self.gid).then(|| Gid::from_raw(self.gid));
        // Owner before mode: a change of owner clears setuid and setgid.
        if uid.is_some() || gid.is_some() {
            match fchown(file, uid, gid) {
                Ok(()) => {}
                Err(Errno::EPERM) if !self.owner_asked_for => {
                    tracing::warn!(path = %dest.display(), "cannot keep the owner of the old file; the new one is ours");
                }
                Err(error) => {
                    let path = dest.to_owned();
                    return Err(ReplaceError::Owner {
                        path,
                        uid: self.uid,
                        gid: self.gid,
                        source: error.into(),
                    });
                }
            }
        }
        file.set_permissions(Permissions::from_mode(self.mode))
            .map_err(|error| ReplaceError::io("set the mode of", dest, error))?;
        // The system silently drops setgid when the process is not in the group.
        if self.mode & 0o7000 == 0 {
            return Ok(());
        }
        let have = file.metadata().map_err(|error| ReplaceError::io("look at", dest, error))?;
        let have = have.mode() & PERMISSION_BITS;
        if have != self.mode {
            return Err(ReplaceError::Mode { path: dest.to_owned(), want: self.mode, have });
        }
        Ok(())
    }
}

impl Staged {
    /// Returns the path of the staged file, for a check command.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the file that it will replace.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Keeps the staged file for inspection and returns its path. Its new name has no process id, so
    /// [`super::sweep()`] does not remove it.
    #[must_use]
    pub fn keep(mut self) -> PathBuf {
        self.armed = false;
        let kept = self.kept_name();
        let renamed = self.target.open_folder().is_ok_and(|folder| folder.rename(self.name(), &kept).is_ok());
        // Under its old name it is kept too, but only until the next sweep.
        if renamed { self.path.with_file_name(kept) } else { self.path.clone() }
    }

    /// Copies the staged file for inspection and returns the path of the copy, which [`super::sweep()`] does not
    /// remove.
    ///
    /// # Errors
    /// When it cannot be read or copied.
    pub fn keep_copy(&self) -> Result<PathBuf, ReplaceError> {
        let folder = self.target.open_folder()?;
        let (kept, mut bytes) = (self.kept_name(), Vec::new());
        let path = self.path.with_file_name(&kept);
        let mut staged = self.open(&folder, OFlag::O_RDONLY)?;
        staged.read_to_end(&mut bytes).map_err(|error| ReplaceError::io("read", &self.path, error))?;
        let mut copy = folder.create(&kept).map_err(|error| ReplaceError::creating(&path, error))?;
        copy.write_all(&bytes).map_err(|error| ReplaceError::writing(&path, bytes.len(), error))?;
        let own = copy.metadata().map_err(|error| ReplaceError::io("look at", &path, error))?;
        self.attributes.apply(&copy, &own, &path)?;
        Ok(path)
    }

    fn kept_name(&self) -> OsString {
        let name = self.name().as_bytes();
        let rest = name.get(PREFIX.len() + OUR_PID.to_string().len()..).unwrap_or_default();
        let mut kept = format!("{PREFIX}kept").into_bytes();
        kept.extend_from_slice(rest);
        OsString::from_vec(kept)
    }

    pub(super) fn name(&self) -> &OsStr {
        name_of(&self.path)
    }

    /// Opens the staged file in its folder. Another file of that name is refused.
    pub(super) fn open(&self, folder: &Folder, flags: OFlag) -> Result<File, ReplaceError> {
        let failed = |error| ReplaceError::io("open the staged file", &self.path, error);
        let file = folder.file(self.name(), flags).map_err(failed)?;
        let own = file.metadata().map_err(failed)?;
        if (own.dev(), own.ino()) != (self.device, self.inode) {
            return Err(failed(io::Error::other("another file has taken its place")));
        }
        Ok(file)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let removed = match self.target.open_folder() {
            Ok(folder) => folder.remove(self.name()).map_err(|error| error.to_string()),
            // It went with its folder.
            Err(ReplaceError::FolderMissing { .. }) => Ok(()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = removed {
            tracing::warn!(path = %self.path.display(), error, "cannot remove a staged file");
        }
    }
}
