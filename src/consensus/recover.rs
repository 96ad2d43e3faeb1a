//! Recovers the state of the previous process: from mirror or snapshot, or empty; then from the log's tail.

use std::sync::Arc;

use raft::{GetEntriesContext, Storage as _};

use super::data_dir::{self, DataDir};
use super::error::OpenError;
use super::identity::{Identity, IdentityInit};
use super::log::{Log, LogId};
use super::metrics::Counters;
use super::mirror::Mirror;
use super::mirror_error::MirrorError;
use super::roster::Roster;
use super::settings::Settings;
use super::snapshot;
use super::state::State;
use super::wal_guard::WalMarks;
use crate::keyspace::Keyspace;

/// The log entry that represents the initial state of a new group.
pub(super) const BOOTSTRAP_ENTRY: LogId = LogId { index: 1, term: 1 };

/// Bytes read at once.
const READ_CHUNK_BYTES: u64 = 1 << 20;

/// The recovered state.
pub(super) struct Recovered {
    pub(super) log: Log,
    pub(super) state: State,
    /// `None`: must be rebuilt.
    pub(super) mirror: Option<Mirror>,
    /// Raft index of the newest snapshot; 0 without one.
    pub(super) snapshot: u64,
}

/// Opens the log and state of the member that `identity` names; `beginning` is the initial content of a new folder.
pub(super) fn recover(
    folder: &DataDir,
    identity: &mut Identity,
    beginning: IdentityInit,
    counters: &Arc<Counters>,
) -> Result<Recovered, OpenError> {
    let marks = WalMarks::new(identity.secret);
    if identity.uninitialized {
        return bootstrap_group(folder, identity, beginning, counters);
    }
    let had_log = folder.log().exists();
    let mut log = Log::open(&folder.log(), marks, Arc::clone(counters))?;
    data_dir::sync(folder.member())?;
    let (mut state, mut mirror) = match open_mirror(folder)? {
        Some((mirror, state)) => (Some(state), mirror),
        None => (None, None),
    };
    // A mirror that is older than the log's first entry cannot be brought up to date.
    if let Some(behind) = state.as_ref().filter(|state| state.applied.index < log.start().index) {
        let (at, start) = (behind.applied.index, log.start().index);
        tracing::warn!("the mirror ends at log index {at}, the log starts after {start}: it is rebuilt");
        (state, mirror) = (None, None);
    }
    snapshot::sort_fetched(&folder.snapshots(), log.start().index)?;
    let snapshots = snapshot::list(&folder.snapshots())?;
    let newest = snapshots.first().map_or(0, |path| snapshot::index_of(path));
    let found = match state {
        Some(state) => state,
        None => from_snapshot(folder, &snapshots, &log)?,
    };
    let state = fault!(AppliedTwice, found.forget_last_entry(log.start().index), found);
    if state.applied.index > log.last().index {
        if had_log {
            // Acknowledged entries are missing, and what followed them as well.
            let (at, last) = (state.applied.index, log.last().index);
            let what = format!(
                "it ends at entry {last}, although entries up to {at} were applied, so files are missing; put them \
                 back, or remove the folder to continue without the latest writes"
            );
            return Err(OpenError::Damaged { path: folder.log(), what });
        }
        log.begin(state.applied, state.applied.term).map_err(OpenError::Disk)?;
    }
    log.check_tail(&folder.log(), state.applied.index)?;
    log.raise_commit(state.applied.index);
    log.set_members(state.members());
    Ok(Recovered { log, state, mirror, snapshot: newest })
}

/// Creates an empty log and a snapshot of the empty state, then records that the log exists. A new group's log
/// starts after its bootstrap entry; a joining member's log starts empty, since the others send everything.
fn bootstrap_group(
    folder: &DataDir,
    identity: &mut Identity,
    beginning: IdentityInit,
    counters: &Arc<Counters>,
) -> Result<Recovered, OpenError> {
    for leftover in [folder.log(), folder.mirror(), folder.snapshots()] {
        if leftover.exists() {
            std::fs::remove_dir_all(&leftover)
                .map_err(OpenError::io(&leftover, "removing an unfinished data folder"))?;
        }
    }
    folder.make_snapshots()?;
    let applied = if beginning.joins { LogId::default() } else { BOOTSTRAP_ENTRY };
    let mut keyspace = Keyspace::new();
    for _ in beginning.members.iter().filter(|_| !beginning.joins) {
        keyspace.reserve();
    }
    let roster = Roster { members: beginning.members, ..Roster::default() };
    let state = State { keyspace, roster, applied, ..State::default() };
    begin(folder, identity, state, counters)
}

/// Fills an empty folder: an empty log that continues from `state`.
pub(super) fn begin(
    folder: &DataDir,
    identity: &mut Identity,
    state: State,
    counters: &Arc<Counters>,
) -> Result<Recovered, OpenError> {
    let (marks, applied) = (WalMarks::new(identity.secret), state.applied);
    let snapshots = folder.snapshots();
    snapshot::write(&snapshots, &state).map_err(OpenError::io(&snapshots, "writing the first snapshot"))?;
    let mut log = Log::open(&folder.log(), marks, Arc::clone(counters))?;
    log.begin(applied, applied.term).map_err(OpenError::Disk)?;
    log.set_members(state.members());
    data_dir::sync(folder.member())?;
    identity.mark_created(folder)?;
    Ok(Recovered { log, state, mirror: None, snapshot: applied.index })
}

/// Returns the state with the log's tail applied. In a group of one, everything in the log is committed; in a
/// larger group, the other members may have overruled what follows the last known commit, so it is left out.
pub(super) fn replay_tail(recovered: Recovered, folder: &DataDir) -> Result<State, OpenError> {
    let Recovered { log, mut state, .. } = recovered;
    let alone = |state: &State| state.members().voters.len() == 1;
    if !alone(&state) {
        replay(&log, &mut state, log.commit(), folder)?;
    }
    if alone(&state) {
        replay(&log, &mut state, log.last().index, folder)?;
    }
    Ok(state)
}

/// Applies the log's entries up to `end`.
fn replay(log: &Log, state: &mut State, end: u64, folder: &DataDir) -> Result<(), OpenError> {
    let damaged = |what: String| OpenError::Damaged { path: folder.log(), what };
    while state.applied.index < end {
        let entries =
            log.entries(state.applied.index + 1, end + 1, READ_CHUNK_BYTES, GetEntriesContext::empty(false));
        let entries = entries.map_err(|error| damaged(error.to_string()))?;
        if let Some(failure) = log.failure() {
            return Err(OpenError::Disk(failure));
        }
        for entry in entries {
            state.apply(&entry, None).map_err(|failure| damaged(failure.to_string()))?;
        }
    }
    Ok(())
}

/// Makes a member's state into a group of one. It keeps every entry of its log, even one not known to be committed:
/// another member may have acknowledged it.
pub(super) fn force_single_member(
    recovered: Recovered,
    folder: &DataDir,
    id: u64,
) -> Result<Recovered, OpenError> {
    let Recovered { mut log, mut state, .. } = recovered;
    let (committed, end) = (log.commit(), log.last().index);
    replay(&log, &mut state, end, folder)?;
    let others: Vec<u64> = state.roster.members.keys().copied().filter(|other| *other != id).collect();
    for other in &others {
        state.roster.members.remove(other);
        state.roster.removed.insert(*other);
    }
    state.roster.removed.remove(&id);
    let own = state.roster.members.entry(id).or_default();
    (own.id, own.learner) = (id, false);
    // No member ever proposed this entry, so no other member can have a different one with this index and term.
    state.applied = LogId { index: state.applied.index + 1, term: state.applied.term + 1 };
    let snapshots = folder.snapshots();
    // Treated like a snapshot fetched from another member: it does not count until the log continues from it.
    let written = snapshot::write_fetched(&snapshots, &state);
    let written = written.map_err(OpenError::io(&snapshots, "writing the snapshot"))?;
    // No client is served yet: on a full disk the start fails instead of waiting.
    log.begin(state.applied, state.applied.term).map_err(OpenError::Disk)?;
    snapshot::adopt(&written)?;
    log.set_members(state.members());
    // Last: until the log is replaced, only the mirror matches it.
    if let Ok(aside) = data_dir::set_aside(&folder.mirror()) {
        tracing::debug!("the mirror is rebuilt; the previous one is {}", aside.display());
    }
    tracing::warn!(
        "--force-new-cluster: this member {id:x} is the only one of its cluster now; {} left. It continues from log \
         entry {end}, {} of which were not known to be committed here; what the others had beyond that is lost. Start it without \
         this flag from now on, and add new members (ctl member add)",
        match others.len() {
            1 => "1 member was".to_owned(),
            count => format!("{count} members were"),
        },
        end.saturating_sub(committed)
    );
    let snapshot = state.applied.index;
    Ok(Recovered { log, state, mirror: None, snapshot })
}

/// Checks that the folder belongs to the member that the settings name.
pub(super) fn check_identity(state: &State, id: u64, settings: &Settings) -> Result<(), OpenError> {
    if state.roster.removed.contains(&id) {
        return Err(OpenError::Removed { path: settings.data_dir.clone(), id });
    }
    let own = state.roster.members.get(&id).map(|member| member.name.as_str()).unwrap_or_default();
    let known = state.roster.members.get(&id).map(|member| member.peer_urls.as_slice()).unwrap_or_default();
    let mut own_urls: Vec<&String> = settings.peer_urls.iter().collect();
    own_urls.sort();
    if !settings.listen_peer_urls.is_empty()
        && !known.is_empty()
        && !known.iter().eq(own_urls.iter().copied())
    {
        tracing::warn!(
            "the cluster knows this member {id:x} at {}, but its settings say {}: if it has moved, update the cluster \
             (ctl member update {id:x} {})",
            known.join(","),
            settings.peer_urls.join(","),
            settings.peer_urls.join(",")
        );
    }
    let other = state.roster.members.values().find(|member| member.id != id && member.name == settings.name);
    match other {
        Some(other) if own != settings.name => Err(OpenError::Foreign {
            path: settings.data_dir.clone(),
            what: format!(
                "it is the data folder of {own:?} (member {id:x}), but --name is {:?}, which is member {:x} of the same \
                 cluster: give each member its own --data-dir",
                settings.name, other.id
            ),
        }),
        _ => Ok(()),
    }
}

/// Opens the mirror and its state; an unusable mirror is moved aside, since it can be rebuilt.
fn open_mirror(folder: &DataDir) -> Result<Option<(Option<Mirror>, State)>, OpenError> {
    let path = folder.mirror();
    match Mirror::open(&path) {
        Ok(opened) => Ok(opened),
        Err(error @ MirrorError::Incomplete) => {
            tracing::info!("{}: {error}; it is rebuilt from snapshot and log", path.display());
            std::fs::remove_dir_all(&path).map_err(OpenError::io(&path, "removing the mirror"))?;
            Ok(None)
        }
        Err(error) => {
            let aside = data_dir::set_aside(&path)?;
            tracing::warn!(
                "{} cannot be used ({error}); it is rebuilt from snapshot and log, and kept as {}",
                path.display(),
                aside.display()
            );
            Ok(None)
        }
    }
}

/// Reads the newest snapshot that the log continues from.
fn from_snapshot(folder: &DataDir, snapshots: &[std::path::PathBuf], log: &Log) -> Result<State, OpenError> {
    let mut first_error = None;
    for path in snapshots {
        match snapshot::read(path) {
            Ok(state) if state.applied.index >= log.start().index => return Ok(state),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!("{error}");
                first_error.get_or_insert(error);
            }
        }
    }
    Err(first_error.unwrap_or_else(|| OpenError::Damaged {
        path: folder.snapshots(),
        what: format!(
            "no snapshot reaches log index {}, where the log begins, and there is no mirror: put the data folder back \
             from a backup",
            log.start().index
        ),
    }))
}
