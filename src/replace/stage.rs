//! The staged file: the new bytes beside the old file, ready to be renamed.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{Gid, Uid, fchown};

use super::error::ReplaceError;
use super::{Attributes, PERMISSION_BITS, Target};
use crate::disk::is_full;

/// The prefix of the name of every staged file.
pub(super) const PREFIX: &str = ".retune-stage.";
/// How many bytes of the destination's name go into the stage name; common file systems limit a name to 255.
const MAX_BASE_NAME_BYTES: usize = 200;
/// The mode of a new file without an explicit mode.
const DEFAULT_MODE: u32 = 0o644;

/// The new bytes in a separate file beside the destination. Dropping it removes the file.
#[derive(Debug)]
pub struct Staged {
    pub(super) path: PathBuf,
    pub(super) target: Target,
    pub(super) attributes: ResolvedAttributes,
    pub(super) device: u64,
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
static OUR_UID: LazyLock<u32> = LazyLock::new(|| Uid::effective().as_raw());
static OUR_GID: LazyLock<u32> = LazyLock::new(|| Gid::effective().as_raw());

impl Target {
    /// Writes `bytes` with all attributes into a new file beside the destination. It is complete but not yet on the
    /// disk: see [`Staged::sync`]. If the owner was not requested and this process may not set the old file's owner,
    /// the new file belongs to this process.
    ///
    /// # Errors
    /// When the file cannot be created, written or given its attributes; it is then removed again.
    pub fn stage(&self, bytes: &[u8], want: &Attributes) -> Result<Staged, ReplaceError> {
        let old = self.found;
        let (path, mut file) = self.create(bytes.len())?;
        // From here on, the file is removed when anything fails.
        let own = file.metadata().map_err(|error| {
            // If the removal fails too, the first error is the one to report.
            fs::remove_file(&path).unwrap_or_default();
            ReplaceError::io("look at", &path, error)
        })?;
        let attributes = ResolvedAttributes {
            mode: want.mode.or(old.map(|old| old.mode)).unwrap_or(DEFAULT_MODE) & PERMISSION_BITS,
            uid: want.uid.or(old.map(|old| old.uid)).unwrap_or(*OUR_UID),
            gid: want.gid.or(old.map(|old| old.gid)).unwrap_or(*OUR_GID),
            owner_asked_for: want.uid.is_some() || want.gid.is_some(),
        };
        let staged = Staged { path, target: self.clone(), attributes, device: own.dev(), armed: true };
        file.write_all(bytes).map_err(|error| ReplaceError::writing(self.path(), bytes.len(), error))?;
        attributes.apply(&file, &own, self.path())?;
        Ok(staged)
    }

    fn create(&self, needed: usize) -> Result<(PathBuf, File), ReplaceError> {
        let mut last = io::Error::other("no free name");
        for _ in 0..8 {
            let path = self.folder().join(self.stage_name());
            let made = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .custom_flags(OFlag::O_NOFOLLOW.bits())
                .open(&path);
            match made {
                Ok(file) => return Ok((path, file)),
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
        let base = self.path().file_name().map(OsStrExt::as_bytes).unwrap_or_default();
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
        let name = self.path.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
        let rest = name.get(PREFIX.len() + std::process::id().to_string().len()..).unwrap_or_default();
        let mut kept = format!("{PREFIX}kept").into_bytes();
        kept.extend_from_slice(rest);
        let kept = self.path.with_file_name(OsString::from_vec(kept));
        // Under its old name it is kept too, but only until the next sweep.
        if fs::rename(&self.path, &kept).is_ok() { kept } else { self.path.clone() }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove a staged file");
        }
    }
}
