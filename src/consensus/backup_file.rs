//! The backup file: a line that names the format, the time it was taken, an unchanged snapshot, and a checksum of
//! all that. Numbers are little endian.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::entry::DecodeError;
use super::error::OpenError;
use super::snapshot;
use super::state::State;
use crate::keyspace::Time;

const FORMAT: &[u8] = b"retune backup 1\n";
/// The format and the time.
pub(super) const HEADER_BYTES: usize = FORMAT.len() + 8;
/// The checksum.
pub(super) const CHECKSUM_BYTES: usize = 4;

/// What comes before the snapshot.
pub(super) fn head(taken: Time) -> Vec<u8> {
    [FORMAT, &taken.to_le_bytes()].concat()
}

/// A backup that is being written. It gets its final name only when it is complete and verified.
#[derive(Debug)]
pub struct BackupWriter {
    file: File,
    path: PathBuf,
    temporary: PathBuf,
    head: Vec<u8>,
    /// The last bytes received: they may be the checksum, which is not part of its own sum.
    held: Vec<u8>,
    sum: crc32fast::Hasher,
    length: u64,
    kept: bool,
}

impl BackupWriter {
    /// Creates the file, readable only by its owner. An existing file is replaced only with `force`, and only once
    /// the new one is complete.
    ///
    /// # Errors
    /// It already exists, or cannot be written.
    pub fn begin(path: &Path, force: bool) -> Result<Self, OpenError> {
        if !force && path.symlink_metadata().is_ok() {
            return Err(OpenError::Foreign {
                path: path.to_path_buf(),
                what: "it already exists: name another file, or add --force to replace it".to_owned(),
            });
        }
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(".partial");
        let temporary = path.with_file_name(name);
        // A file left by a run that was killed may have another mode.
        fs::remove_file(&temporary).ok();
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
        Ok(Self {
            file: file.map_err(OpenError::io(&temporary, "making the file"))?,
            path: path.to_path_buf(),
            temporary,
            head: Vec::new(),
            held: Vec::new(),
            sum: crc32fast::Hasher::new(),
            length: 0,
            kept: false,
        })
    }

    /// Appends the next bytes.
    ///
    /// # Errors
    /// The disk failed.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), OpenError> {
        self.file.write_all(bytes).map_err(OpenError::io(&self.temporary, "writing"))?;
        self.length += bytes.len() as u64;
        let missing = HEADER_BYTES.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..missing]);
        self.held.extend_from_slice(bytes);
        let sure = self.held.len().saturating_sub(CHECKSUM_BYTES);
        self.sum.update(&self.held[..sure]);
        self.held.drain(..sure);
        Ok(())
    }

    /// Verifies the complete file and gives it its name. Returns its length and when it was taken.
    ///
    /// # Errors
    /// The backup is damaged or cut off, or the disk failed.
    pub fn finish(mut self) -> Result<(u64, Time), OpenError> {
        let sum = self.sum.clone().finalize();
        let taken = taken(&self.head).filter(|_| self.held == sum.to_le_bytes()).ok_or_else(|| {
            let what = "the received backup is incomplete; it was not kept".to_owned();
            OpenError::Damaged { path: self.path.clone(), what }
        })?;
        self.file.sync_all().map_err(OpenError::io(&self.temporary, "syncing"))?;
        fs::rename(&self.temporary, &self.path).map_err(OpenError::io(&self.path, "giving it its name"))?;
        self.kept = true;
        super::data_dir::sync_parent(&self.path)?;
        Ok((self.length, taken))
    }
}

impl Drop for BackupWriter {
    fn drop(&mut self) {
        if !self.kept {
            fs::remove_file(&self.temporary).ok();
        }
    }
}

fn taken(head: &[u8]) -> Option<Time> {
    let time = head.strip_prefix(FORMAT)?.first_chunk()?;
    Some(Time::from_le_bytes(*time))
}

/// Writes `state`, which must not change meanwhile, as a backup. `folder` takes the intermediate snapshot.
pub(super) fn save(
    state: &State,
    folder: &Path,
    taken: Time,
    mut saving: BackupWriter,
) -> Result<u64, OpenError> {
    let mut sum = crc32fast::Hasher::new();
    let mut put = |bytes: &[u8]| {
        sum.update(bytes);
        saving.write(bytes)
    };
    put(&head(taken))?;
    let path = folder.join(snapshot::file_name(state.applied.index));
    snapshot::write(folder, state).map_err(OpenError::io(folder, "writing the snapshot"))?;
    let copied = (|| {
        let mut file = File::open(&path).map_err(OpenError::io(&path, "opening"))?;
        let mut buffer = vec![0; 1 << 18];
        loop {
            let read = io::Read::read(&mut file, &mut buffer).map_err(OpenError::io(&path, "reading"))?;
            if read == 0 {
                return Ok(());
            }
            put(&buffer[..read])?;
        }
    })();
    fs::remove_file(&path).ok();
    copied?;
    let sum = sum.finalize();
    saving.write(&sum.to_le_bytes())?;
    Ok(saving.finish()?.0)
}

/// Describes a file that is not a backup.
fn foreign(bytes: &[u8]) -> &'static str {
    // The first page of a bolt database: etcd's v3 snapshots are such databases.
    let bolt = bytes.get(16..20) == Some(&0xED0C_DAED_u32.to_le_bytes());
    if bolt {
        "it is not a backup of this store but a snapshot of etcd's v3 keys: copy keys from the running etcd (retune \
         ctl import --from URL)"
    } else if snapshot::is_snapshot(bytes) {
        "it is not a backup but a snapshot from a member's data folder: name a file that retune store backup wrote"
    } else if bytes.trim_ascii_start().starts_with(b"{") {
        "it is not a backup but looks like a document of keys: retune ctl import reads those that retune ctl export wrote"
    } else {
        "it is not a backup that this version knows: retune store backup writes them"
    }
}

/// Reads a backup: returns the state, when it was taken, and its checksum.
pub(super) fn read(path: &Path) -> Result<(State, Time, u32), OpenError> {
    let reading = || OpenError::io(path, "reading the backup");
    let kind = fs::metadata(path).map_err(reading())?;
    if !kind.is_file() && !kind.is_dir() {
        // Reading such a file may never end.
        let what =
            "it is a device, a pipe or a socket: name a file that retune store backup wrote".to_owned();
        return Err(OpenError::Foreign { path: path.to_path_buf(), what });
    }
    let bytes = fs::read(path).map_err(reading())?;
    let refused = |error: DecodeError| OpenError::Damaged {
        path: path.to_path_buf(),
        what: format!("{error}: it cannot be restored from; take another backup"),
    };
    if FORMAT.starts_with(&bytes) {
        let what = if bytes.is_empty() { "it is empty" } else { "it is cut off" };
        return Err(refused(DecodeError(what)));
    }
    if !bytes.starts_with(FORMAT) {
        return Err(OpenError::Foreign { path: path.to_path_buf(), what: foreign(&bytes).to_owned() });
    }
    let body = bytes.len().checked_sub(CHECKSUM_BYTES).filter(|length| *length >= HEADER_BYTES);
    let (body, sum) = bytes.split_at(body.ok_or_else(|| refused(DecodeError("it is cut off")))?);
    let own = crc32fast::hash(body);
    if own.to_le_bytes() != sum {
        return Err(refused(DecodeError("its checksum does not match, so it is cut off or was changed")));
    }
    let taken = taken(body).ok_or_else(|| refused(DecodeError("it is cut off")))?;
    Ok((snapshot::parse(&body[HEADER_BYTES..]).map_err(refused)?, taken, own))
}
