//! Snapshots: fetched, resumed after an interruption, restarted when damaged, given up in the end.

use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use raft::prelude::{Message, MessageType};

use super::super::Inbound;
use super::port::get;
use super::relay::{Fault, TestRelay};
use super::secret::SECRET;
use super::{Side, bind, directory, eventually, message, start_with};
use crate::consensus::log::LogId;
use crate::consensus::snapshot;
use crate::consensus::state::State;
use crate::keyspace::{Command, Operation};

const INDEX: u64 = 40;

/// Writes a snapshot of about four megabytes; returns its length.
fn write(folder: &Path, index: u64) -> u64 {
    let mut state = State { applied: LogId { index, term: 3 }, ..State::default() };
    for nth in 0..64 {
        let operation = Operation::Set {
            key: format!("/{nth}").into_bytes().into(),
            dir: false,
            value: vec![b'a' + (nth % 26); 64 << 10].into(),
            expires: None,
            refresh: false,
        };
        state.keyspace.apply(&Command { at: 1, operation }).unwrap();
    }
    snapshot::write(folder, &state).unwrap();
    std::fs::metadata(folder.join(format!("{index:016x}.snapshot"))).unwrap().len()
}

fn announce(index: u64) -> Message {
    let mut message = message(MessageType::MsgSnapshot, 1, 2);
    message.mut_snapshot().mut_metadata().index = index;
    message.mut_snapshot().mut_metadata().term = 3;
    message
}

/// Starts member 1 with a snapshot, and member 2, which reaches 1 through a relay with these faults.
async fn pair(faults: Vec<Fault>) -> (Side, Side, TestRelay, u64) {
    pair_with(None, faults).await
}

async fn pair_with(secret: Option<&str>, faults: Vec<Fault>) -> (Side, Side, TestRelay, u64) {
    let (first, second) = (bind("http://127.0.0.1:0"), bind("http://127.0.0.1:0"));
    let (to_one, to_two) = (first.urls()[0].clone(), second.urls()[0].clone());
    let relay = TestRelay::to(&to_one, faults).await;
    let one = start_with(secret, directory(1, &[(1, &to_one), (2, &to_two)]), first);
    let two = start_with(secret, directory(2, &[(1, &relay.url), (2, &to_two)]), second);
    one.until("1 speaks to 2", |inbound| matches!(inbound, Inbound::Connected(2))).await;
    two.until("2 speaks to 1", |inbound| matches!(inbound, Inbound::Connected(1))).await;
    let length = write(one.folder.path(), INDEX);
    (one, two, relay, length)
}

async fn fetched(one: &Side, two: &Side) {
    one.peer_sender.send(vec![announce(INDEX)]);
    two.until("it is here", |inbound| matches!(inbound, Inbound::Fetched { .. })).await;
    let name = format!("{INDEX:016x}.fetched");
    let sent = std::fs::read(one.folder.path().join(format!("{INDEX:016x}.snapshot"))).unwrap();
    let came = std::fs::read(two.folder.path().join(&name)).unwrap();
    assert!(sent == came, "the files differ");
    let found = two.take().into_iter().find_map(|inbound| match inbound {
        Inbound::Fetched { message, state, path } => Some((message, state, path)),
        _ => None,
    });
    let (message, state, path) = found.unwrap();
    assert_eq!((*message, state.applied.index), (announce(INDEX), INDEX));
    assert_eq!(path, two.folder.path().join(name));
    assert_eq!(std::fs::read_dir(two.folder.path()).unwrap().count(), 1, "something was left behind");
}

fn carried(relay: &TestRelay) -> Vec<u64> {
    relay.carried.lock().unwrap().iter().map(|count| count.load(Relaxed)).collect()
}

#[tokio::test]
async fn an_announced_snapshot_is_fetched_and_its_file_is_kept() {
    let (one, two, relay, length) = pair(Vec::new()).await;
    assert_eq!(one.hub.pins.held(), None);
    fetched(&one, &two).await;
    assert_eq!(one.hub.pins.held(), Some(INDEX));
    assert_eq!(one.hub.served.load(Relaxed), length);
    assert_eq!(carried(&relay).len(), 1);
    // Announced again, it has already been fetched.
    one.peer_sender.send(vec![announce(INDEX)]);
    two.until("it is told again", |inbound| matches!(inbound, Inbound::Fetched { .. })).await;
    assert_eq!(carried(&relay).len(), 1);
}

#[tokio::test]
async fn an_interrupted_transfer_is_resumed() {
    let (one, two, relay, length) = pair(vec![Fault::Cut(3 << 20), Fault::Cut(600_000)]).await;
    fetched(&one, &two).await;
    let carried = carried(&relay);
    assert_eq!(carried.len(), 3, "{carried:?}");
    let last = *carried.last().unwrap();
    assert!(last < length - (3 << 20), "{carried:?} of {length}");
}

#[tokio::test]
async fn a_partial_file_of_an_earlier_run_is_resumed_and_one_of_another_snapshot_is_not() {
    let (one, two, relay, length) = pair(Vec::new()).await;
    let bytes = std::fs::read(one.folder.path().join(format!("{INDEX:016x}.snapshot"))).unwrap();
    let sum = u32::from_le_bytes(bytes[bytes.len() - 4..].try_into().unwrap());
    let part = |tag: &str| two.folder.path().join(format!("{INDEX:016x}.{tag}.part"));
    std::fs::write(part(&format!("{sum:08x}-{length:x}")), &bytes[..2 << 20]).unwrap();
    fetched(&one, &two).await;
    let came = carried(&relay)[0];
    assert!(came < length - (2 << 20) + 2000, "{came} of {length}");
    std::fs::remove_file(two.folder.path().join(format!("{INDEX:016x}.fetched"))).unwrap();
    std::fs::write(part("00000000-1"), &bytes[..1 << 20]).unwrap();
    fetched(&one, &two).await;
    assert!(carried(&relay)[1] > length);
}

#[tokio::test]
async fn a_damaged_snapshot_is_fetched_again_from_the_beginning() {
    let (one, two, relay, length) = pair(vec![Fault::Change(1 << 20)]).await;
    fetched(&one, &two).await;
    let carried = carried(&relay);
    assert!(carried.len() == 2 && carried[1] > length, "{carried:?}");
}

#[tokio::test]
async fn a_snapshot_damaged_each_time_is_given_up_and_its_sender_is_notified() {
    let (one, two, relay, _) = pair(vec![Fault::Change(1 << 20); 3]).await;
    one.peer_sender.send(vec![announce(INDEX)]);
    one.until("it is told", |inbound| matches!(inbound, Inbound::SnapshotFailed(2))).await;
    assert_eq!(carried(&relay).len(), 3);
    assert!(!two.has(|inbound| matches!(inbound, Inbound::Fetched { .. })));
    assert_eq!(std::fs::read_dir(two.folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_missing_snapshot_is_given_up_at_once() {
    let (one, _two, relay, _) = pair(Vec::new()).await;
    one.peer_sender.send(vec![announce(INDEX + 1)]);
    one.until("it is told", |inbound| matches!(inbound, Inbound::SnapshotFailed(2))).await;
    assert_eq!(carried(&relay).len(), 1);
}

#[tokio::test]
async fn another_leaders_announcement_replaces_the_current_fetch_and_the_same_leaders_does_not() {
    // The first one's connection stalls: it has used up the pace.
    let (one, two, relay, _) = pair(Vec::new()).await;
    for _ in 0..50 {
        let wait = one.hub.rate_limiter.wait(200 << 20);
        tokio::time::timeout(std::time::Duration::ZERO, wait).await.ok();
    }
    one.peer_sender.send(vec![announce(INDEX)]);
    eventually("it is asked for", || carried(&relay).len() == 1).await;
    let newer = write(two.folder.path(), INDEX + 5);
    assert!(newer > 0);
    let own = two.folder.path().join(format!("{:016x}.snapshot", INDEX + 5));
    std::fs::rename(&own, own.with_extension(snapshot::FETCHED)).unwrap();
    one.peer_sender.send(vec![announce(INDEX + 5)]);
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!two.has(|inbound| matches!(inbound, Inbound::Fetched { .. })), "begun anew for nothing");
    let mut later = announce(INDEX + 5);
    later.term += 1;
    one.peer_sender.send(vec![later]);
    let is_newer = |inbound: &Inbound| match inbound {
        Inbound::Fetched { message, .. } => message.get_snapshot().get_metadata().index == INDEX + 5,
        _ => false,
    };
    two.until("the newer one is here", is_newer).await;
}

#[tokio::test]
async fn a_partial_file_that_was_not_resumed_for_long_is_removed() {
    let folder = tempfile::TempDir::new().unwrap();
    let (old, new) = (folder.path().join("1.a.part"), folder.path().join("2.b.part"));
    for path in [&old, &new] {
        std::fs::write(path, b"x").unwrap();
    }
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(4000);
    std::fs::File::options().write(true).open(&old).unwrap().set_modified(then).unwrap();
    super::super::partial_snapshot::remove_old(folder.path()).await;
    assert!(!old.exists() && new.exists());
}

#[tokio::test]
async fn with_a_secret_a_forged_part_is_never_stored_and_the_parts_before_it_are_kept() {
    // The first connection is the stream.
    let faults = vec![Fault::Cut(u64::MAX), Fault::Change(3 << 20)];
    let (one, two, relay, length) = pair_with(Some(SECRET), faults).await;
    fetched(&one, &two).await;
    let carried = carried(&relay);
    assert!(carried.len() == 3 && carried[2] < length - (2 << 20), "{carried:?} of {length}");
    // A stranger gets none.
    let refused = get(&one, &format!("/retune/peers/snapshot/{INDEX:016x}")).await;
    assert!(refused.starts_with("HTTP/1.1 400"), "{refused}");
}
