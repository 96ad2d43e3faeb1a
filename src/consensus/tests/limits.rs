//! A full disk, and overload.

use tempfile::TempDir;

use super::super::ProposeError;
use super::*;

#[tokio::test]
async fn beyond_the_quota_only_deletes_are_accepted_until_there_is_space() {
    let folder = TempDir::new().unwrap();
    let node = Running::start(Settings { quota: Some(100_000), ..settings(folder.path()) }).await.unwrap();
    for n in 0..20 {
        node.set(&format!("/big/{n}"), &[b'x'; 10_000]).await;
    }
    let more = async || node.handle.propose(set("/more", b"x", None)).await.err();
    // The size of the state is known once it was mirrored.
    eventually("writes are refused", async || more().await == Some(ProposeError::NoSpace)).await;
    node.propose(delete("/big")).await.result.unwrap();
    eventually("writes are taken again", async || more().await.is_none()).await;
    node.stop().await;
}

#[test]
fn a_change_takes_disk_space_for_each_directory_that_it_may_create() {
    let disk_bytes = |operation: &Operation| super::super::handle::disk_bytes(operation);
    let deep = "/d".repeat(2_400);
    assert!(disk_bytes(&set(&deep, b"v", None)) > 2_400 * 40);
    assert!(disk_bytes(&set("/a/b", b"v", None)) < 200);
    assert!(disk_bytes(&delete(&deep)) < 5_000);
}

#[tokio::test]
async fn proposals_beyond_the_queues_byte_limit_are_refused_at_once() {
    let folder = TempDir::new().unwrap();
    let node = Running::start(settings(folder.path())).await.unwrap();
    let value = vec![b'x'; 8 << 20];
    let all = (0..36).map(|_| node.handle.propose(set("/big", &value, None)));
    let all = futures_util::future::join_all(all).await;
    assert!(all.iter().any(|answer| matches!(answer, Err(ProposeError::Overloaded))), "none was refused");
    assert!(all.iter().any(Result::is_ok), "none was taken");
    node.stop().await;
}

#[tokio::test]
async fn large_values_trigger_a_snapshot_by_their_bytes_and_the_log_stays_bounded() {
    let folder = TempDir::new().unwrap();
    let node = Running::start(settings(folder.path())).await.unwrap();
    let value = vec![b'x'; 4 << 20];
    for round in 0..120 {
        node.set(&format!("/k{}", round % 3), &value).await;
        if round % 20 == 19 {
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
    }
    // On a disk with other users a snapshot may be late, and the last bytes alone cause none: then it takes some
    // more.
    let mut metrics = node.handle.metrics();
    for round in 0..60 {
        if metrics.snapshot_index > 60 && metrics.log_bytes < 400 << 20 {
            break;
        }
        node.set(&format!("/k{}", round % 3), &value).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        metrics = node.handle.metrics();
    }
    assert!(metrics.snapshot_index > 60, "no snapshot but {}", metrics.snapshot_index);
    assert!(metrics.log_bytes < 400 << 20, "the log has {} bytes of the 480 MiB written", metrics.log_bytes);
    node.stop().await;
}

#[tokio::test]
async fn a_heartbeat_of_a_few_milliseconds_does_no_harm() {
    let folder = TempDir::new().unwrap();
    let quick = Settings {
        heartbeat: Duration::from_millis(5),
        election: Duration::from_millis(50),
        ..settings(folder.path())
    };
    let node = Running::start(quick).await.unwrap();
    let expires = Some(crate::keyspace::expiry(node.handle.now(), 1));
    node.propose(set("/lease", b"x", expires)).await.result.unwrap();
    eventually("it expires", async || node.value("/lease").is_none()).await;
    node.stop().await;
}
