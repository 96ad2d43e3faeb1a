//! What a stopped member holds: as another data folder under the same identity, or as a backup file.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::backup_file::{self, BackupWriter};
use super::clock::Clock;
use super::error::OpenError;
use super::figures::Counters;
use super::folder::{self, Folder};
use super::identity::{Identity, IdentityInit};
use super::recover::{caught_up, recover};
use super::snapshot;
use super::state::State;

/// What a copy holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupSummary {
    /// The store's index.
    pub index: u64,
    /// Files and directories.
    pub nodes: usize,
}

/// Copies what the stopped member in `data_dir` holds to the new folder `target`, from which a member can be started.
/// Blocks.
///
/// # Errors
/// The member runs, its folder is damaged or another's, or a member lives in `target`.
pub fn copy(data_dir: &Path, target: &Path) -> Result<BackupSummary, OpenError> {
    folder::refuse_lived_in(target)?;
    let (_folder, mut identity, state) = held(data_dir)?;
    let copy = Folder::open(target)?;
    let snapshots = copy.snapshots();
    snapshot::write(&snapshots, &state).map_err(OpenError::io(&snapshots, "writing the snapshot"))?;
    // Last, since a folder without it is taken for no member at all.
    identity.begun(&copy)?;
    Ok(BackupSummary { index: state.keyspace.index(), nodes: state.keyspace.nodes().count() })
}

/// Writes what the stopped member in `data_dir` holds to a backup file; answers what it holds, and the file's length.
/// Blocks.
///
/// # Errors
/// The member runs, its folder is damaged or another's, or the file cannot be written.
pub fn save(data_dir: &Path, saving: BackupWriter) -> Result<(BackupSummary, u64), OpenError> {
    let (folder, _, state) = held(data_dir)?;
    let copied = BackupSummary { index: state.keyspace.index(), nodes: state.keyspace.nodes().count() };
    let taken = Clock::start(state.seen).now();
    let aside = folder.backups();
    fs::create_dir_all(&aside).map_err(OpenError::io(&aside, "making the folder"))?;
    let length = backup_file::save(&state, &aside, taken, saving)?;
    Ok((copied, length))
}

/// What the stopped member in `data_dir` holds, and who it is; the folder is locked as long as the answer lives.
fn held(data_dir: &Path) -> Result<(Folder, Identity, State), OpenError> {
    if !data_dir.join("member/identity").exists() {
        return Err(OpenError::Foreign {
            path: data_dir.to_path_buf(),
            what: "it is no data folder of a member: there is no member/identity in it".to_owned(),
        });
    }
    let folder = Folder::open(data_dir)?;
    let mut identity = Identity::known(&folder)?;
    let recovered = recover(&folder, &mut identity, IdentityInit::default(), &Arc::new(Counters::default()))?;
    let state = caught_up(recovered, &folder)?;
    Ok((folder, identity, state))
}
