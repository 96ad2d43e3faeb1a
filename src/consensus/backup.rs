//! Copies the state of a stopped member: to another data folder with the same identity, or to a backup file.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::backup_file::{self, BackupWriter};
use super::clock::Clock;
use super::data_dir::{self, DataDir};
use super::error::OpenError;
use super::identity::{Identity, IdentityInit};
use super::metrics::Counters;
use super::recover::{recover, replay_tail};
use super::session::Sessions;
use super::snapshot;
use super::state::State;

/// What a copy contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupSummary {
    /// The store's index.
    pub index: u64,
    /// Files and directories.
    pub nodes: usize,
}

/// Copies the state of the stopped member in `data_dir` to the new folder `target`, from which a member can start.
/// Blocks.
///
/// # Errors
/// The member is running, its folder is damaged or not a member's, or `target` already holds a member.
pub fn copy(data_dir: &Path, target: &Path) -> Result<BackupSummary, OpenError> {
    data_dir::refuse_existing_member(target)?;
    let (_folder, mut identity, state) = open_stopped(data_dir)?;
    let copy = DataDir::open(target)?;
    let snapshots = copy.snapshots();
    snapshot::write(&snapshots, &state).map_err(OpenError::io(&snapshots, "writing the snapshot"))?;
    // Last: a folder without an identity file does not count as a member's.
    identity.mark_created(&copy)?;
    Ok(BackupSummary { index: state.keyspace.index(), nodes: state.keyspace.node_count() })
}

/// Writes the state of the stopped member in `data_dir` to a backup file; returns a summary and the file's length.
/// Blocks.
///
/// # Errors
/// The member is running, its folder is damaged or not a member's, or the file cannot be written.
pub fn save(data_dir: &Path, saving: BackupWriter) -> Result<(BackupSummary, u64), OpenError> {
    let (folder, _, mut state) = open_stopped(data_dir)?;
    // As in the backup of a running member.
    state.roster = state.roster.without_incarnations();
    state.sessions = Sessions::default();
    let copied = BackupSummary { index: state.keyspace.index(), nodes: state.keyspace.node_count() };
    let taken = Clock::start(state.latest_time).now();
    let aside = folder.backups();
    fs::create_dir_all(&aside).map_err(OpenError::io(&aside, "making the folder"))?;
    let length = backup_file::save(&state, &aside, taken, saving)?;
    Ok((copied, length))
}

/// Returns the state and the identity of the stopped member in `data_dir`. The returned [`DataDir`] holds the lock.
fn open_stopped(data_dir: &Path) -> Result<(DataDir, Identity, State), OpenError> {
    if !data_dir.join("member/identity").exists() {
        return Err(OpenError::Foreign {
            path: data_dir.to_path_buf(),
            what: "it is not a member's data folder: the file member/identity is missing".to_owned(),
        });
    }
    let folder = DataDir::open(data_dir)?;
    let mut identity = Identity::load(&folder)?;
    let recovered = recover(&folder, &mut identity, IdentityInit::default(), &Arc::new(Counters::default()))?;
    let state = replay_tail(recovered, &folder)?;
    Ok((folder, identity, state))
}
