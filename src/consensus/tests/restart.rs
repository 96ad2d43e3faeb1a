//! What a restart recovers.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::keyspace::WatchOptions;
use crate::keyspace::auth::WatchRights;

#[tokio::test]
async fn the_first_key_of_a_new_cluster_gets_index_four() {
    let folder = TempDir::new().unwrap();
    let node = Running::start(settings(folder.path())).await.unwrap();
    // The version is settled right after the member publishes its attributes.
    node.handle.read_index().await.unwrap();
    assert_eq!(node.set("/a", b"1").await.index(), 4);
    node.stop().await;
}

#[tokio::test]
async fn everything_survives_a_restart_and_publishing_the_attributes_adds_one_index() {
    let folder = TempDir::new().unwrap();
    let node = Running::start(settings(folder.path())).await.unwrap();
    node.set("/a/b", b"1").await;
    node.set("/a/c", b"2").await;
    node.propose(delete("/a/b")).await;
    let index = node.index();
    node.stop().await;
    let node = Running::start(settings(folder.path())).await.unwrap();
    assert_eq!(node.value("/a/c").as_deref(), Some(b"2".as_slice()));
    assert_eq!(node.value("/a/b"), None);
    assert_eq!(node.index(), index + 1);
    let mut watch = node
        .handle
        .watch(b"/a/b", WatchOptions { recursive: false, stream: false, since: 4 }, WatchRights::default())
        .unwrap();
    assert_eq!(watch.next().await.unwrap().index(), 4, "the history survives");
    node.stop().await;
}

#[tokio::test]
async fn a_copy_taken_under_load_has_every_acknowledged_write() {
    let folder = TempDir::new().unwrap();
    let node = Running::start(Settings { snapshot_count: 20, ..settings(folder.path()) }).await.unwrap();
    for round in 0..5 {
        for n in 0..40 {
            node.set(&format!("/r{round}/k{n}"), format!("{n}").as_bytes()).await;
        }
        // Not at one moment, as a kill would be, but files only grow after an acknowledged write.
        let copied = TempDir::new().unwrap();
        copy(&folder.path().join("member/log"), &copied.path().join("member/log"));
        copy(&folder.path().join("member/snapshots"), &copied.path().join("member/snapshots"));
        fs::copy(folder.path().join("member/identity"), copied.path().join("member/identity")).unwrap();
        let again = Running::start(settings(copied.path())).await.unwrap();
        for n in 0..40 {
            assert!(again.value(&format!("/r{round}/k{n}")).is_some(), "round {round} key {n}");
        }
        again.stop().await;
    }
    node.stop().await;
}

#[tokio::test]
async fn a_missing_mirror_is_rebuilt_from_snapshot_and_log() {
    let folder = TempDir::new().unwrap();
    let node = Running::start(Settings { snapshot_count: 50, ..settings(folder.path()) }).await.unwrap();
    for n in 0..200 {
        node.set(&format!("/k{}", n % 30), &vec![b'x'; n * 300]).await;
    }
    node.stop().await;
    let mirror = folder.path().join("member/mirror");
    let node = Running::start(settings(folder.path())).await.unwrap();
    let wanted = node.digest();
    node.stop().await;
    fs::remove_dir_all(&mirror).unwrap();
    let node = Running::start(settings(folder.path())).await.unwrap();
    node.propose(delete("/none")).await;
    assert_eq!(node.value("/k19").map(|value| value.len()), Some(199 * 300));
    assert_ne!(node.digest(), wanted, "the introduction counts");
    node.stop().await;
    assert!(mirror.join("db").exists(), "made anew");
}

#[tokio::test]
async fn the_log_is_truncated_and_the_rest_is_sufficient() {
    let folder = TempDir::new().unwrap();
    let node = Running::start(Settings { snapshot_count: 25, ..settings(folder.path()) }).await.unwrap();
    for n in 0..400 {
        node.set(&format!("/k{}", n % 7), format!("{n}").as_bytes()).await;
        if n % 40 == 0 {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
    let snapshot = node.handle.metrics().snapshot_index;
    assert!(snapshot > 100, "snapshots were taken: {snapshot}");
    node.stop().await;
    let snapshots = fs::read_dir(folder.path().join("member/snapshots")).unwrap().count();
    assert!(snapshots <= 2, "{snapshots} snapshots");
    fs::remove_dir_all(folder.path().join("member/mirror")).unwrap();
    let node = Running::start(settings(folder.path())).await.unwrap();
    for n in 393..400 {
        assert_eq!(node.value(&format!("/k{}", n % 7)), Some(format!("{n}").into_bytes()));
    }
    node.stop().await;
}

#[tokio::test]
async fn values_of_every_size_are_read_back_from_the_mirror() {
    let folder = TempDir::new().unwrap();
    let sizes = [0, 1, 32_000, 32_768, 32_769, 300_000, 2_000_000];
    let node = Running::start(settings(folder.path())).await.unwrap();
    for round in 0..2 {
        for size in sizes {
            node.set(&format!("/s{size}"), &vec![b'a' + round; size]).await;
        }
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    node.propose(delete("/s300000")).await;
    node.stop().await;
    // Without the log.
    fs::remove_dir_all(folder.path().join("member/log")).unwrap();
    let node = Running::start(settings(folder.path())).await.unwrap();
    for size in sizes.into_iter().filter(|size| *size != 300_000) {
        assert_eq!(node.value(&format!("/s{size}")), Some(vec![b'b'; size]), "size {size}");
    }
    assert_eq!(node.value("/s300000"), None);
    node.stop().await;
}

#[tokio::test]
async fn a_key_expires_without_a_request() {
    let folder = TempDir::new().unwrap();
    let node = Running::start(settings(folder.path())).await.unwrap();
    let expires = Some(crate::keyspace::expiry(node.handle.now(), 1));
    node.propose(set("/lease", b"x", expires)).await.result.unwrap();
    assert!(node.value("/lease").is_some());
    eventually("it expires", async || node.value("/lease").is_none()).await;
    node.stop().await;
}

#[tokio::test]
async fn a_member_starts_from_a_copied_folder_and_a_running_member_is_not_copied() {
    let (folder, target) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let node = Running::start(settings(folder.path())).await.unwrap();
    for n in 0..30 {
        node.set(&format!("/d/k{n}"), format!("{n}").as_bytes()).await;
    }
    let index = node.index();
    assert!(matches!(super::super::copy(folder.path(), target.path()), Err(OpenError::InUse { .. })));
    node.stop().await;
    let copied = super::super::copy(folder.path(), target.path()).unwrap();
    assert_eq!((copied.index, copied.nodes), (index, 31));
    let node = Running::start(settings(target.path())).await.unwrap();
    assert_eq!(node.value("/d/k29").as_deref(), Some(b"29".as_slice()));
    assert_eq!(node.index(), index + 1);
    node.stop().await;
}
