//! The data folder: its layout, its lock, and the free space on its disk.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use super::error::OpenError;
use crate::disk;

/// The data folder, locked until this value is dropped.
#[derive(Debug)]
pub(super) struct DataDir {
    member: PathBuf,
    _lock: Flock<File>,
}

impl DataDir {
    /// Creates the folder when it is missing, and locks it.
    pub(super) fn open(data_dir: &Path) -> Result<Self, OpenError> {
        holds_member(data_dir)?;
        let member = data_dir.join("member");
        for folder in [data_dir, &member] {
            make(folder)?;
        }
        let lock = lock(&data_dir.join("lock"))?;
        let folder = Self { member, _lock: lock };
        folder.make_snapshots()?;
        sync(data_dir)?;
        Ok(folder)
    }

    /// The identity file: who this member is, and the format version of everything else.
    pub(super) fn identity(&self) -> PathBuf {
        self.member.join("identity")
    }

    pub(super) fn make_snapshots(&self) -> Result<(), OpenError> {
        make(&self.snapshots())
    }

    /// Returns whether the folder holds anything of a member besides its identity.
    pub(super) fn holds_something(&self) -> Result<bool, OpenError> {
        let snapshots = self.snapshots();
        let mut found =
            fs::read_dir(&snapshots).map_err(OpenError::io(&snapshots, "listing the snapshots"))?;
        Ok(self.log().exists() || self.mirror().exists() || found.next().is_some())
    }

    pub(super) fn log(&self) -> PathBuf {
        self.member.join("log")
    }

    pub(super) fn mirror(&self) -> PathBuf {
        self.member.join("mirror")
    }

    pub(super) fn snapshots(&self) -> PathBuf {
        self.member.join("snapshots")
    }

    /// Where a backup is written before it is sent.
    pub(super) fn backups(&self) -> PathBuf {
        self.member.join("backup")
    }

    pub(super) fn member(&self) -> &Path {
        &self.member
    }
}

/// Returns how many bytes this process may still write to the disk of `path`.
pub(super) fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = nix::sys::statvfs::statvfs(path)?;
    Ok(stat.blocks_available() * stat.fragment_size())
}

/// Returns whether `data_dir` holds one of our members. Only this decides where a member may be started or restored.
/// Files that are not a store's do not count, such as `lost+found` on a fresh volume.
///
/// # Errors
/// It holds etcd's own files, which mean other things under the same names.
pub(super) fn holds_member(data_dir: &Path) -> Result<bool, OpenError> {
    let found = ["member/wal", "member/snap", "proxy"].into_iter().find(|name| data_dir.join(name).exists());
    match found {
        None => match fs::read_dir(data_dir.join("member")) {
            Ok(mut entries) => Ok(entries.next().is_some()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            // The folder may hold a member, so no other may start here.
            Err(error) => Err(OpenError::io(&data_dir.join("member"), "listing it")(error)),
        },
        Some(name) => Err(OpenError::Foreign {
            path: data_dir.to_path_buf(),
            what: format!(
                "it holds {name}, which is etcd's own: give this member an empty --data-dir and copy the keys over \
                 from the running etcd (retune ctl import --from URL)"
            ),
        }),
    }
}

/// Refuses a folder that already holds a member.
pub(super) fn refuse_existing_member(data_dir: &Path) -> Result<(), OpenError> {
    if holds_member(data_dir)? { Err(has_member(data_dir)) } else { Ok(()) }
}

/// The same for a folder that is open, and therefore locked.
pub(super) fn refuse_existing_member_in(folder: &DataDir, data_dir: &Path) -> Result<(), OpenError> {
    if folder.identity().exists() || folder.holds_something()? { Err(has_member(data_dir)) } else { Ok(()) }
}

fn has_member(data_dir: &Path) -> OpenError {
    OpenError::Foreign {
        path: data_dir.to_path_buf(),
        what: "it holds something already (the folder member of a store): name a new folder, or move that one away"
            .to_owned(),
    }
}

/// What existed of a data folder before a member was created in it.
#[derive(Debug)]
pub(super) struct InitialDataDir {
    data_dir: PathBuf,
    existed: bool,
    had_member: bool,
    had_lock: bool,
}

impl InitialDataDir {
    pub(super) fn of(data_dir: &Path) -> Self {
        let is_there = |path: &Path| fs::symlink_metadata(path).is_ok();
        Self {
            data_dir: data_dir.to_path_buf(),
            existed: data_dir.exists(),
            had_member: is_there(&data_dir.join("member")),
            had_lock: is_there(&data_dir.join("lock")),
        }
    }

    /// Removes what was created for a member that failed to start, so that the next attempt finds the folder as it
    /// was. The user's own folder `member`, possibly a link, was empty and is emptied again.
    pub(super) fn restore(&self) {
        let member = self.data_dir.join("member");
        let mut made = Vec::new();
        if self.had_member {
            made.extend(fs::read_dir(&member).into_iter().flatten().flatten().map(|entry| entry.path()));
        } else {
            made.push(member);
        }
        if !self.had_lock {
            made.push(self.data_dir.join("lock"));
        }
        for made in made {
            let removed = match fs::symlink_metadata(&made) {
                Ok(kind) if kind.is_dir() => fs::remove_dir_all(&made),
                Ok(_) => fs::remove_file(&made),
                Err(_) => continue,
            };
            if let Err(error) = removed {
                tracing::warn!("{}: removing the new files: {}", made.display(), disk::explain(&error));
            }
        }
        if !self.existed {
            // Fails, as it should, when somebody else put something into it meanwhile.
            fs::remove_dir(&self.data_dir).ok();
        }
    }
}

fn make(path: &Path) -> Result<(), OpenError> {
    let make = || DirBuilder::new().mode(0o700).create(path);
    let made = match make() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Only the last folder is this member's own; its parents get the usual mode.
            let above = path.parent().unwrap_or(Path::new("/"));
            fs::create_dir_all(above).map_err(OpenError::io(above, "making the data folder"))?;
            make()
        }
        made => made,
    };
    made.map_err(OpenError::io(path, "making the data folder"))?;
    sync_parent(path)
}

/// Makes the names in a folder durable.
pub(super) fn sync(path: &Path) -> Result<(), OpenError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(OpenError::io(path, "syncing the folder"))
}

/// Makes the name `path` durable.
pub(super) fn sync_parent(path: &Path) -> Result<(), OpenError> {
    sync(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

fn lock(path: &Path) -> Result<Flock<File>, OpenError> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(path).map_err(OpenError::io(path, "opening the lock file"))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut held) => {
            // Only for the error message of the next process; the lock itself is the kernel's.
            let note = format!("{}\n", std::process::id());
            held.set_len(0)
                .and_then(|()| held.write_all(note.as_bytes()))
                .map_err(OpenError::io(path, "writing"))?;
            Ok(held)
        }
        Err((mut file, _)) => {
            let mut holder = String::new();
            let read = file.read_to_string(&mut holder);
            let holder = match holder.trim() {
                pid if read.is_ok() && pid.parse::<u32>().is_ok() => pid.to_owned(),
                _ => "unknown".to_owned(),
            };
            Err(OpenError::InUse { path: path.parent().unwrap_or(path).to_path_buf(), holder })
        }
    }
}

/// Writes `bytes` to `path` so that a power cut leaves either the old file or the complete new one.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), OpenError> {
    let temporary = path.with_extension("new");
    disk::write_whole(path, &temporary, 0o600, |file| file.write_all(bytes))
        .map_err(OpenError::io(path, "writing"))?;
    sync_parent(path)
}

/// Moves something aside for later inspection and returns its new path. An older such copy is removed.
pub(super) fn set_aside(path: &Path) -> Result<PathBuf, OpenError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = path.with_file_name(format!("{name}.damaged"));
    if aside.exists() {
        // One copy is enough for an investigation, and each is as large as the state.
        fs::remove_dir_all(&aside).map_err(OpenError::io(&aside, "removing what was moved aside before"))?;
    }
    fs::rename(path, &aside).map_err(OpenError::io(path, "moving it aside"))?;
    sync_parent(path)?;
    Ok(aside)
}
