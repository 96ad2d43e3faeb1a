//! Founds a new group from a backup.

use std::path::Path;
use std::sync::Arc;

use super::backup_file;
use super::data_dir::{self, DataDir};
use super::error::OpenError;
use super::identity::{Identity, IdentityInit};
use super::metrics::Counters;
use super::recover::{BOOTSTRAP_ENTRY, begin};
use super::roster::Roster;
use super::settings::Settings;
use super::state::State;
use crate::keyspace::Time;

/// What was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The store's index.
    pub index: u64,
    /// Files and directories.
    pub nodes: usize,
    /// When the backup was taken, nanoseconds since 1970.
    pub taken: Time,
}

/// Restores the backup `file` into the data folder that `settings` name, as one member of the new group in
/// `settings.initial_cluster`. With the same file and settings on each host, the members agree. Keys keep their
/// indexes and times; users and roles stay. The ids are new, so that a lost member of the old group that comes back
/// is ignored. Blocks.
///
/// # Errors
/// The file is damaged, the folder already holds a member, the disk failed, or the group is invalid. Then
/// the folder is left as it was.
pub fn restore(file: &Path, settings: &Settings) -> Result<Restored, OpenError> {
    let target = &settings.data_dir;
    data_dir::refuse_existing_member(target)?;
    let (saved, taken, sum) = backup_file::read(file)?;
    let token = format!("{} from {sum:08x}", settings.cluster_token);
    let settings = Settings { cluster_token: token, ..settings.clone() };
    let (mut identity, IdentityInit { members, .. }) = Identity::for_new_group(&settings)?;
    let State { mut keyspace, auth, latest_time, .. } = saved;
    for _ in &members {
        keyspace.reserve();
    }
    let roster = Roster { members, ..Roster::default() };
    let state = State { keyspace, roster, auth, applied: BOOTSTRAP_ENTRY, latest_time, ..State::default() };
    let (index, nodes) = (state.keyspace.index(), state.keyspace.node_count());
    let before = data_dir::InitialDataDir::of(target);
    // The identity is written last: a folder that a crash left half-finished does not count as a member's.
    let begun = DataDir::open(target).and_then(|folder| {
        // Another member may have started here while the backup was read. From now on none can.
        data_dir::refuse_existing_member_in(&folder, target)?;
        begin(&folder, &mut identity, state, &Arc::new(Counters::default())).map(drop)
    });
    if let Err(error) = begun {
        // The content belongs to another member.
        if !matches!(error, OpenError::InUse { .. } | OpenError::Foreign { .. }) {
            before.restore();
        }
        return Err(error);
    }
    Ok(Restored { index, nodes, taken })
}
