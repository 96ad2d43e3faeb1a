//! Snapshot files: the whole state at one log entry, protected by a checksum, and written so that a crash leaves no
//! partial one.
//!
//! Layout: a line that names the format, the head's length and bytes, then each pair as two lengths and two byte
//! strings, an end mark, and a checksum of everything before it. Numbers are little endian, 32 bits.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::data_dir;
use super::entry::{DecodeError, FieldReader};
use super::error::OpenError;
use super::state::State;
use super::state_codec::{self, SetChecksum, StateBuilder, StateHead};
use crate::disk;

pub(super) const FORMAT: &[u8] = b"retune snapshot 2\n";
/// The format in which nodes are stored under their keys. It is only read.
const PATHS_FORMAT: &[u8] = b"retune snapshot 1\n";
const END_MARKER: u32 = u32::MAX;
/// Snapshots kept: the one in use, and the one before it.
const MAX_SNAPSHOTS: usize = 2;
/// Files are oversized when they are larger than this and than so many times what they hold. For the mirror: sled
/// rarely returns the space of removed pairs.
const MAX_UNUSED_BYTES: u64 = 64 << 20;
const MAX_AMPLIFICATION: u64 = 8;

/// Returns whether files of `size` bytes take much more space than the `bytes` in them need.
pub(super) fn is_oversized(size: u64, bytes: u64) -> bool {
    size > MAX_UNUSED_BYTES && size / MAX_AMPLIFICATION > bytes
}

/// A snapshot that is being written.
pub(super) struct SnapshotWriter {
    file: BufWriter<ChecksumWriter>,
    temporary: PathBuf,
    path: PathBuf,
}

/// Writes through and updates the checksum.
struct ChecksumWriter {
    file: File,
    sum: crc32fast::Hasher,
}

impl Write for ChecksumWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl SnapshotWriter {
    pub(super) fn begin(folder: &Path, head: &StateHead) -> io::Result<Self> {
        Self::begin_at(folder.join(file_name(head.applied.index)), head)
    }

    fn begin_at(path: PathBuf, head: &StateHead) -> io::Result<Self> {
        let temporary = path.with_extension("new");
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        let mut file =
            BufWriter::with_capacity(1 << 18, ChecksumWriter { file, sum: crc32fast::Hasher::new() });
        let head = head.encode();
        file.write_all(FORMAT)?;
        file.write_all(&(head.len() as u32).to_le_bytes())?;
        file.write_all(&head)?;
        Ok(Self { file, temporary, path })
    }

    pub(super) fn pair(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.file.write_all(&(key.len() as u32).to_le_bytes())?;
        self.file.write_all(&(value.len() as u32).to_le_bytes())?;
        self.file.write_all(key)?;
        self.file.write_all(value)
    }

    /// Makes the file durable and gives it its name.
    pub(super) fn finish(mut self) -> io::Result<()> {
        let finished = self.write_end();
        if finished.is_err() {
            self.discard();
        }
        finished
    }

    fn write_end(&mut self) -> io::Result<()> {
        self.file.write_all(&END_MARKER.to_le_bytes())?;
        self.file.flush()?;
        let sum = self.file.get_ref().sum.clone().finalize();
        let file = &mut self.file.get_mut().file;
        file.write_all(&sum.to_le_bytes())?;
        file.sync_all()?;
        fs::rename(&self.temporary, &self.path)?;
        disk::sync_folder_of(&self.path)
    }

    /// Removes the unfinished file.
    pub(super) fn discard(self) {
        fs::remove_file(&self.temporary).ok();
    }
}

/// Returns the file name of the snapshot at a raft index.
pub(super) fn file_name(applied: u64) -> String {
    format!("{applied:016x}.snapshot")
}

/// The name of a snapshot from another member until the log continues from it.
pub(super) const FETCHED: &str = "fetched";

/// Renames a fetched snapshot so that it becomes one of this member's own.
pub(super) fn adopt(path: &Path) -> Result<(), OpenError> {
    fs::rename(path, path.with_extension("snapshot"))
        .map_err(OpenError::io(path, "giving the fetched snapshot its name"))?;
    data_dir::sync_parent(path)
}

/// Handles a snapshot fetched before a crash: if the log continues from it, it becomes this member's own; any other
/// was not installed, and is removed.
pub(super) fn sort_fetched(folder: &Path, start: u64) -> Result<(), OpenError> {
    for entry in fs::read_dir(folder).map_err(OpenError::io(folder, "listing the snapshots"))? {
        let path = entry.map_err(OpenError::io(folder, "listing the snapshots"))?.path();
        if path.extension().is_none_or(|extension| extension != FETCHED) {
            continue;
        }
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if u64::from_str_radix(name, 16) == Ok(start) {
            adopt(&path)?;
        } else {
            fs::remove_file(&path)
                .map_err(OpenError::io(&path, "removing a snapshot that was not installed"))?;
        }
    }
    Ok(())
}

/// Lists the snapshots, newest first; removes leftovers of a crash.
pub(super) fn list(folder: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(OpenError::io(folder, "listing the snapshots"))? {
        let path = entry.map_err(OpenError::io(folder, "listing the snapshots"))?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("snapshot") => found.push(path),
            Some("new") => {
                fs::remove_file(&path).map_err(OpenError::io(&path, "removing a half-written snapshot"))?;
            }
            _ => {}
        }
    }
    found.sort();
    found.reverse();
    Ok(found)
}

/// Removes all snapshots but the newest ones and those at the log indexes `held`. An older one of a state that was
/// much larger is removed too.
pub(super) fn prune(folder: &Path, held: &BTreeSet<u64>) {
    let Ok(found) = list(folder) else { return };
    let newest = found.first().map_or(0, |path| length(path));
    let kept = |position: usize, path: &Path| {
        position == 0 || position < MAX_SNAPSHOTS && !is_oversized(length(path), newest)
    };
    let free =
        |(position, path): &(usize, &PathBuf)| !kept(*position, path) && !held.contains(&index_of(path));
    for (_, path) in found.iter().enumerate().filter(free) {
        if let Err(error) = fs::remove_file(path) {
            tracing::warn!("{}: an old snapshot could not be removed: {error}", path.display());
        }
    }
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Returns the length of the newest snapshot.
pub(super) fn newest_bytes(folder: &Path) -> u64 {
    list(folder).ok().and_then(|found| found.first().map(|path| length(path))).unwrap_or(0)
}

/// Returns the log index in a snapshot's name; 0 when it is not a snapshot.
pub(super) fn index_of(path: &Path) -> u64 {
    let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    u64::from_str_radix(name, 16).unwrap_or(0)
}

/// Reads a snapshot, including the pairs.
pub(super) fn read(path: &Path) -> Result<State, OpenError> {
    let bytes = fs::read(path).map_err(OpenError::io(path, "reading the snapshot"))?;
    parse(&bytes).map_err(|error| OpenError::Damaged {
        path: path.to_path_buf(),
        what: format!("{error}: put it back from a backup of the data folder"),
    })
}

/// Returns whether `bytes` begin like a snapshot.
pub(super) fn is_snapshot(bytes: &[u8]) -> bool {
    bytes.starts_with(FORMAT) || bytes.starts_with(PATHS_FORMAT)
}

/// Decodes the state from a snapshot's bytes.
pub(super) fn parse(bytes: &[u8]) -> Result<State, DecodeError> {
    let length = bytes.len().checked_sub(4).ok_or(DecodeError("it is too short"))?;
    let (body, sum) = bytes.split_at(length);
    let body_sum = crc32fast::hash(body).to_le_bytes();
    if body_sum != sum {
        return Err(DecodeError("its checksum does not match"));
    }
    let known = [FORMAT, PATHS_FORMAT].into_iter().find_map(|format| body.strip_prefix(format));
    let body = known.ok_or(DecodeError("it has a format that this version does not know"))?;
    let mut read = FieldReader::new(body);
    let head = StateHead::decode(read.bytes()?)?;
    let mut builder = StateBuilder::default();
    loop {
        let key = read.length()?;
        if key == END_MARKER {
            break;
        }
        let value = read.length()? as usize;
        let key = read.take(key as usize)?;
        builder.pair(key, read.take(value)?)?;
    }
    read.end()?;
    builder.finish(&head)
}

/// Writes `state` as a snapshot, for a state that no mirror holds.
pub(super) fn write(folder: &Path, state: &State) -> io::Result<()> {
    let path = folder.join(file_name(state.applied.index));
    write_to(path, state)
}

/// Writes `state` as a snapshot that counts only once it is adopted; returns its path.
pub(super) fn write_fetched(folder: &Path, state: &State) -> io::Result<PathBuf> {
    let path = folder.join(file_name(state.applied.index)).with_extension(FETCHED);
    write_to(path.clone(), state)?;
    Ok(path)
}

/// The head needs the checksum, so the pairs are made twice: all of them in memory would double its use.
fn write_to(path: PathBuf, state: &State) -> io::Result<()> {
    let mut checksum = SetChecksum::default();
    state_codec::each_pair(&state.keyspace, |key, value| {
        checksum.add(state_codec::pair_checksum(key, value));
        Ok(())
    })?;
    let mut writing = SnapshotWriter::begin_at(path, &StateHead::of(state, checksum))?;
    match state_codec::each_pair(&state.keyspace, |key, value| writing.pair(key, value)) {
        Ok(()) => writing.finish(),
        Err(error) => {
            writing.discard();
            Err(error)
        }
    }
}
