//! Saving a member's state, and bootstrapping a group from it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use raft::prelude::{Entry, HardState};
use tempfile::TempDir;

use super::super::backup_file::read as read_backup;
use super::super::data_dir::{DataDir, InitialDataDir};
use super::super::entry::RaftCommand;
use super::super::identity::Identity;
use super::super::metrics::Counters;
use super::super::recover::{BOOTSTRAP_ENTRY, begin};
use super::super::roster::Roster;
use super::super::session::Sessions;
use super::super::state::State;
use super::super::{BackupSummary, BackupWriter, Member, copy as copy_folder, restore, save};
use super::*;
use crate::keyspace::{Command, Keyspace};

/// Makes a stopped member's folder: a group of `members`, and a log of three writes of which the first is known to
/// be committed.
fn member_of(members: usize) -> TempDir {
    let folder = TempDir::new().unwrap();
    let (mut identity, beginning) = Identity::for_new_group(&settings(folder.path())).unwrap();
    let mut members: BTreeMap<u64, Member> = (1..members as u64)
        .map(|id| (id, Member { id, name: format!("m{id}"), ..Member::default() }))
        .collect();
    members.extend(beginning.members);
    let roster = Roster { members, ..Roster::default() };
    let state = State { keyspace: Keyspace::new(), roster, applied: BOOTSTRAP_ENTRY, ..State::default() };
    let opened = DataDir::open(folder.path()).unwrap();
    let mut begun = begin(&opened, &mut identity, state, &Arc::new(Counters::default())).unwrap();
    let entry = |index: u64| {
        let operation = set(&format!("/{index}"), b"v", None);
        let data = RaftCommand::Key(Command { at: 1, operation }).encode();
        Entry { index, term: 1, data: data.into(), ..Entry::default() }
    };
    let hard = HardState { term: 1, commit: 2, ..HardState::default() };
    begun.log.set_hard_state(hard);
    begun.log.append((2..=4).map(entry).collect()).unwrap();
    folder
}

fn saved(data_dir: &Path, to: &TempDir) -> (BackupSummary, PathBuf) {
    let file = to.path().join("saved");
    let (copied, length) = save(data_dir, BackupWriter::begin(&file, true).unwrap()).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().len(), length);
    (copied, file)
}

#[test]
fn of_several_members_only_what_is_known_to_be_committed_is_saved() {
    let to = TempDir::new().unwrap();
    assert_eq!(saved(member_of(1).path(), &to).0.nodes, 3, "alone, what is in the log is committed");
    assert_eq!(saved(member_of(3).path(), &to).0.nodes, 1);
    let copied = copy_folder(member_of(3).path(), &to.path().join("copy")).unwrap();
    assert_eq!(copied.nodes, 1);
}

#[tokio::test]
async fn restoring_twice_gives_the_same_data_under_new_ids() {
    let (folder, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let node = Running::start(settings(folder.path())).await.unwrap();
    node.set("/k", b"v").await;
    let (old, index) = (node.handle.members(), node.index());
    node.stop().await;
    let (_, file) = saved(folder.path(), &to);
    let mut restored = vec![];
    for name in ["one", "two"] {
        let settings = settings(&to.path().join(name));
        let told = restore(&file, &settings).unwrap();
        assert_eq!((told.index, told.nodes), (index + 1, 1), "the founding of a member counts");
        let node = Running::start(settings).await.unwrap();
        let members = node.handle.members();
        restored.push((node.digest(), members.cluster_id, members.own_id));
        assert_eq!(node.value("/k").as_deref(), Some(b"v".as_slice()));
        node.stop().await;
    }
    assert_eq!(restored[0], restored[1]);
    assert!(restored[0].1 != old.cluster_id && restored[0].2 != old.own_id);
}

/// The folder of the member may be on another disk, behind the user's own link.
#[test]
fn a_failed_restore_leaves_the_data_folder_unchanged() {
    for linked in [false, true] {
        let dir = TempDir::new().unwrap();
        let (data, elsewhere) = (dir.path().join("data"), dir.path().join("elsewhere"));
        let member = data.join("member");
        std::fs::create_dir_all(&elsewhere).unwrap();
        std::fs::create_dir(&data).unwrap();
        if linked {
            std::os::unix::fs::symlink(&elsewhere, &member).unwrap();
        } else {
            std::fs::create_dir(&member).unwrap();
        }
        let before = InitialDataDir::of(&data);
        let folder = DataDir::open(&data).unwrap();
        std::fs::write(folder.identity(), "half").unwrap();
        drop(folder);
        before.restore();
        let kind = std::fs::symlink_metadata(&member).unwrap();
        assert_eq!(kind.is_symlink(), linked);
        assert_eq!(std::fs::read_dir(&member).unwrap().count(), 0, "what was made is gone");
        assert!(!data.join("lock").exists());
    }
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let before = InitialDataDir::of(&data);
    drop(DataDir::open(&data).unwrap());
    before.restore();
    assert!(!data.exists());
}

/// With them a stranger could pose as a member of the group.
#[tokio::test]
async fn a_backup_contains_nothing_that_only_members_know_of_each_other() {
    let (folder, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let node = Running::start(settings(folder.path())).await.unwrap();
    node.set("/k", b"v").await;
    assert!(node.handle.members().all[0].incarnation != 0);
    let live = to.path().join("live");
    let mut backup = node.handle.backup().await.unwrap();
    let mut bytes = Vec::new();
    loop {
        let chunk = backup.next_chunk().unwrap();
        if chunk.is_empty() {
            break;
        }
        bytes.extend(chunk);
    }
    std::fs::write(&live, bytes).unwrap();
    node.stop().await;
    for file in [live, saved(folder.path(), &to).1] {
        let state = read_backup(&file).unwrap().0;
        assert_eq!(state.roster.members.len(), 1);
        assert!(state.roster.members.values().all(|member| member.incarnation == 0), "{}", file.display());
        assert_eq!(state.sessions, Sessions::default(), "{}", file.display());
    }
}
