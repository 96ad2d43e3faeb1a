//! The event history over restarts and backups: a large event affects only the watches of its key.

use tempfile::TempDir;

use super::super::{BackupWriter, restore, save};
use super::*;
use crate::keyspace::auth::WatchRights;
use crate::keyspace::{Code, WatchOptions};

const LARGE: usize = 200_000;

/// Returns what a one-shot watch receives at once.
fn sent(node: &Running, key: &str, recursive: bool, since: u64) -> Result<u64, Code> {
    let what = WatchOptions { recursive, stream: false, since };
    match node.handle.watch(key.as_bytes(), what, WatchRights::default()) {
        Ok(mut watch) => Ok(watch.ready().expect("an event of the past").index()),
        Err(error) => Err(error.code),
    }
}

/// Writes some keys around a large one; returns the large one's index.
async fn write(node: &Running) -> u64 {
    for n in 0..5 {
        node.set(&format!("/before/{n}"), b"v").await;
    }
    let index = node.set("/large/k", &vec![b'x'; LARGE]).await.index();
    for n in 0..5 {
        node.set(&format!("/behind/{n}"), b"v").await;
    }
    index
}

/// Checks that everything exists except the large event at `index`.
#[track_caller]
fn check(node: &Running, index: u64) {
    for n in 0..5 {
        assert_eq!(sent(node, &format!("/before/{n}"), false, index - 5), Ok(index - 5 + n));
        assert_eq!(sent(node, &format!("/behind/{n}"), false, index - 5), Ok(index + 1 + n));
    }
    assert_eq!(sent(node, "/", true, index - 5), Ok(index - 5), "what comes before the marker");
    assert_eq!(sent(node, "/", true, index + 1), Ok(index + 1), "and what comes behind it");
    for (key, recursive) in [("/large/k", false), ("/large", true), ("/", true)] {
        assert_eq!(sent(node, key, recursive, index), Err(Code::HistoryCleared), "{key}");
    }
    assert_eq!(node.value("/large/k").map(|value| value.len()), Some(LARGE), "the key itself is untouched");
}

#[tokio::test]
async fn a_large_event_costs_only_its_own_watchers_their_position_across_restarts() {
    let folder = TempDir::new().unwrap();
    let node = Running::start(settings(folder.path())).await.unwrap();
    let index = write(&node).await;
    assert_eq!(sent(&node, "/large/k", false, index), Ok(index), "a running member has it");
    node.stop().await;
    for _ in 0..3 {
        let node = Running::start(settings(folder.path())).await.unwrap();
        check(&node, index);
        node.stop().await;
    }
}

#[tokio::test]
async fn a_snapshot_has_the_same_history_as_the_mirror() {
    let folder = TempDir::new().unwrap();
    // Each round writes a snapshot and has the log truncated, so that nothing is replayed from it.
    let few = || Settings { snapshot_count: 1, ..settings(folder.path()) };
    let node = Running::start(few()).await.unwrap();
    let index = write(&node).await;
    node.stop().await;
    let node = Running::start(few()).await.unwrap();
    check(&node, index);
    node.stop().await;
    std::fs::remove_dir_all(folder.path().join("member/mirror")).unwrap();
    let node = Running::start(few()).await.unwrap();
    check(&node, index);
    node.stop().await;
}

#[tokio::test]
async fn a_backup_contains_the_history() {
    let (folder, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let node = Running::start(settings(folder.path())).await.unwrap();
    let index = write(&node).await;
    node.stop().await;
    let file = to.path().join("saved");
    save(folder.path(), BackupWriter::begin(&file, true).unwrap()).unwrap();
    let restored = settings(&to.path().join("restored"));
    restore(&file, &restored).unwrap();
    let node = Running::start(restored).await.unwrap();
    check(&node, index);
    node.stop().await;
}

#[tokio::test]
async fn values_evicted_for_space_are_evicted_in_the_mirror_as_well() {
    let folder = TempDir::new().unwrap();
    let node = Running::start(settings(folder.path())).await.unwrap();
    let small = node.set("/small", b"v").await.index();
    // Large enough to be cleared when there are too many, small enough to be mirrored in full.
    let value = vec![b'x'; 120_000];
    for n in 0..600 {
        node.set(&format!("/k{n}"), &value).await;
        // The first of them are mirrored before they are cleared.
        if n == 300 {
            tokio::time::sleep(Duration::from_millis(1500)).await;
        }
    }
    let kept = |node: &Running| {
        node.handle
            .view(|keyspace| keyspace.events_since(0).filter(|(_, entry)| entry.event().is_some()).count())
    };
    let before = kept(&node);
    node.stop().await;
    let mirror = folder.path().join("member/mirror");
    let mut opened = None;
    // sled's threads release its lock a moment after it is closed.
    eventually("the mirror opens", async || {
        opened = super::super::mirror::Mirror::open(&mirror).ok();
        opened.is_some()
    })
    .await;
    let (_, mut state) = opened.flatten().expect("a mirror with a state");
    assert_eq!(state.keyspace.take_changes().cleared, [0; 0], "the mirror has no more than there may be");
    let node = Running::start(settings(folder.path())).await.unwrap();
    // This start's attributes are not an event of a key.
    assert_eq!(kept(&node), before);
    assert_eq!(sent(&node, "/small", false, small), Ok(small));
    assert_eq!(sent(&node, "/k0", false, small), Err(Code::HistoryCleared));
    node.stop().await;
}
