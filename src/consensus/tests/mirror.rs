//! The mirror's size, its batches, and folders in the older format.

use std::fs;

use tempfile::TempDir;

use super::super::log::LogId;
use super::super::mirror::Mirror;
use super::super::mirror_batch::{INCOMPLETE, MAX_BATCH_CHANGES};
use super::super::mirror_delta::delta;
use super::super::snapshot;
use super::super::state::State;
use super::super::state_codec::{self, SetChecksum, StateHead, event_key, event_value, node_value};
use super::*;
use crate::keyspace::auth::WatchRights;
use crate::keyspace::tests::random::apply_random;
use crate::keyspace::{Command, Keyspace, WatchOptions};

/// The most bytes that a node with a short name takes in a snapshot, and packed.
const NODE_BYTES: usize = 48;

/// Returns a state in which `count` keys of `levels` levels were set, and how many bytes their keys have.
fn deep(count: usize, levels: usize) -> (State, usize) {
    let mut state = State { applied: LogId { index: 9, term: 1 }, ..State::default() };
    let mut sent = 0;
    for n in 0..count {
        let key = format!("/{n}{}", "/d".repeat(levels - 1));
        sent += key.len();
        apply(&mut state.keyspace, set(&key, b"v", None));
    }
    (state, sent)
}

fn apply(keyspace: &mut Keyspace, operation: Operation) {
    keyspace.apply(&Command { at: 0, operation }).expect("accepted");
}

/// A mirror beside the state that it follows, as the persister has it.
struct Followed {
    state: State,
    mirror: Mirror,
    newest: u64,
    oldest: u64,
}

impl Followed {
    fn new(state: State, folder: &TempDir) -> Self {
        Self { state, mirror: Mirror::make(&folder.path().join("mirror")).unwrap(), newest: 0, oldest: 1 }
    }

    fn write(&mut self) {
        let keyspace = &mut self.state.keyspace;
        let changes = keyspace.take_changes();
        let delta = delta(keyspace, changes, self.oldest..self.newest + 1);
        (self.newest, self.oldest) = (keyspace.index(), keyspace.oldest_event());
        self.mirror.write(delta, StateHead::of(&self.state, SetChecksum::default())).unwrap();
    }

    /// Returns the digest of the state that the mirror holds.
    fn digest(&self, folder: &TempDir) -> u64 {
        self.mirror.snapshot(folder.path()).unwrap();
        let path = folder.path().join(snapshot::file_name(self.state.applied.index));
        snapshot::read(&path).unwrap().keyspace.digest()
    }
}

/// Opens the mirror in `folder`; sled's threads release its lock a moment after it is closed.
async fn reopened(path: &Path) -> (Option<Mirror>, State) {
    let mut opened = None;
    eventually("the mirror opens", async || {
        opened = Mirror::open(path).ok().flatten();
        opened.is_some()
    })
    .await;
    opened.expect("a mirror")
}

fn folder_bytes(path: &Path) -> u64 {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(kind) if kind.is_dir() => folder_bytes(&entry.path()),
            Ok(kind) => kind.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Returns a checksum of everything in a state.
fn checksum(keyspace: &Keyspace) -> SetChecksum {
    let mut checksum = SetChecksum::default();
    state_codec::each_pair(keyspace, |key, value| {
        checksum.add(state_codec::pair_checksum(key, value));
        Ok(())
    })
    .unwrap();
    checksum
}

#[test]
fn a_deep_key_takes_as_much_space_as_the_names_of_its_nodes() {
    let folder = TempDir::new().unwrap();
    let (mut state, sent) = deep(3, 2_400);
    let nodes = state.keyspace.node_count();
    assert_eq!((nodes, sent), (7_200, 14_400));
    let older: usize = older_pairs(&state).0.iter().map(|(key, value)| key.len() + value.len()).sum();
    assert!(older > 500 * sent, "with whole paths it was {older} bytes");
    snapshot::write(folder.path(), &state).unwrap();
    let path = folder.path().join(snapshot::file_name(9));
    let size = fs::metadata(&path).unwrap().len() as usize;
    assert!(size < nodes * NODE_BYTES + 3 * sent, "the snapshot takes {size} bytes");
    assert_eq!(checksum(&snapshot::read(&path).unwrap().keyspace), checksum(&state.keyspace));
    let changes = state.keyspace.take_changes();
    let pairs = delta(&state.keyspace, changes, 1..1).pairs;
    let packed = pairs.bytes();
    assert!(packed < nodes * (NODE_BYTES + 8) + 3 * sent, "{packed} bytes are held for the mirror");
    let mut followed = Followed::new(state, &folder);
    let all = super::super::mirror::Delta { pairs, ..Default::default() };
    followed.mirror.write(all, StateHead::of(&followed.state, SetChecksum::default())).unwrap();
    (followed.newest, followed.oldest) = (3, 1);
    assert_eq!(followed.mirror.head().checksum, checksum(&followed.state.keyspace));
    let size = followed.mirror.size_on_disk().unwrap();
    assert!(size < 8 << 20, "the mirror takes {size} bytes on disk");
    for n in 0..3 {
        apply(&mut followed.state.keyspace, delete(&format!("/{n}")));
    }
    followed.write();
    assert!(followed.mirror.bytes() < 4 * sent as u64, "only the events are left");
    assert_eq!(followed.mirror.head().checksum, checksum(&followed.state.keyspace));
}

#[tokio::test]
async fn a_mirror_that_follows_random_changes_reopens_as_the_same_state() {
    let folder = TempDir::new().unwrap();
    let mut rng = rand::SeedableRng::seed_from_u64(8);
    let mut followed = Followed::new(State::default(), &folder);
    followed.state.applied = LogId { index: 7, term: 1 };
    let mut clock = 1_800_000_000_000_000_000;
    for _ in 0..25 {
        apply_random(&mut followed.state.keyspace, &mut rng, 30, &mut clock);
        followed.write();
        assert_eq!(followed.digest(&folder), followed.state.keyspace.digest());
    }
    let wanted = (followed.state.keyspace.digest(), followed.mirror.bytes());
    drop(followed);
    let (mirror, state) = reopened(&folder.path().join("mirror")).await;
    let bytes = mirror.expect("it has the present format").bytes();
    assert_eq!((state.keyspace.digest(), bytes), wanted);
}

#[tokio::test]
async fn an_outsized_change_is_written_in_batches_of_bounded_size() {
    let folder = TempDir::new().unwrap();
    let mut state = State { applied: LogId { index: 9, term: 1 }, ..State::default() };
    let count = MAX_BATCH_CHANGES + 100;
    for n in 0..count {
        apply(&mut state.keyspace, set(&format!("/many/{}/{n:06}", n % 9), b"v", None));
    }
    let mut followed = Followed::new(state, &folder);
    followed.write();
    assert_eq!(followed.mirror.head().checksum, checksum(&followed.state.keyspace));
    assert_eq!(followed.mirror.largest_batch(), MAX_BATCH_CHANGES);
    apply(&mut followed.state.keyspace, delete("/many"));
    apply(&mut followed.state.keyspace, set("/many/again", b"v", None));
    followed.write();
    assert_eq!(followed.mirror.head().checksum, checksum(&followed.state.keyspace));
    assert_eq!(followed.mirror.largest_batch(), MAX_BATCH_CHANGES);
    drop(followed);
    let (_, state) = reopened(&folder.path().join("mirror")).await;
    assert_eq!(state.keyspace.node_count(), 2);
}

/// Returns the head in format 1.
fn older_head(state: &State, checksum: SetChecksum) -> Vec<u8> {
    let mut head = StateHead::of(state, checksum).encode();
    head[0] = 1;
    let body = head.len() - 4;
    let check = crc32fast::hash(&head[..body]).to_le_bytes();
    head[body..].copy_from_slice(&check);
    head
}

type Pair = (Vec<u8>, Vec<u8>);

/// Returns the pairs of `state` in format 1, with each node under its key, and their head.
fn older_pairs(state: &State) -> (Vec<Pair>, Vec<u8>) {
    let nodes = state.keyspace.nodes().map(|(key, record)| ([b"n", &*key].concat(), node_value(&record)));
    let events = state.keyspace.events_since(0);
    let events = events.map(|(index, entry)| (event_key(index), event_value(entry)));
    let pairs: Vec<_> = nodes.chain(events).collect();
    let mut checksum = SetChecksum::default();
    for (key, value) in &pairs {
        checksum.add(state_codec::pair_checksum(key, value));
    }
    (pairs, older_head(state, checksum))
}

fn write_older_mirror(path: &Path, state: &State) {
    let (pairs, head) = older_pairs(state);
    let db = sled::open(path).unwrap();
    for (key, value) in pairs {
        db.insert(key, [&[0], value.as_slice()].concat()).unwrap();
    }
    db.insert(b"h", head).unwrap();
    db.flush().unwrap();
}

fn write_older_snapshot(path: &Path, state: &State) {
    let (pairs, head) = older_pairs(state);
    let mut out = b"retune snapshot 1\n".to_vec();
    let length = |bytes: &[u8]| (bytes.len() as u32).to_le_bytes();
    out.extend(length(&head));
    out.extend(head);
    for (key, value) in pairs {
        out.extend([length(&key), length(&value)].concat());
        out.extend([key, value].concat());
    }
    out.extend(u32::MAX.to_le_bytes());
    out.extend(crc32fast::hash(&out).to_le_bytes());
    fs::write(path, out).unwrap();
}

async fn filled(folder: &TempDir) -> (u64, State) {
    let node = Running::start(settings(folder.path())).await.unwrap();
    node.set("/a/b/c", b"1").await;
    let index = node.set("/a/d", b"2").await.index();
    node.propose(set("/lease", b"x", Some(node.handle.now() + 1_000_000_000_000))).await;
    node.stop().await;
    let (_, state) = reopened(&folder.path().join("member/mirror")).await;
    (index, state)
}

async fn check(folder: &TempDir, index: u64) {
    let mirror = folder.path().join("member/mirror");
    let node = Running::start(settings(folder.path())).await.unwrap();
    assert_eq!(node.value("/a/b/c").as_deref(), Some(b"1".as_slice()));
    assert!(node.handle.view(|keyspace| keyspace.next_expiry()).is_some());
    let what = WatchOptions { recursive: false, stream: false, since: index };
    assert_eq!(
        node.handle.watch(b"/a/d", what, WatchRights::default()).unwrap().ready().unwrap().index(),
        index
    );
    node.set("/later", b"3").await;
    let wanted = node.digest();
    node.stop().await;
    let (rebuilt, state) = reopened(&mirror).await;
    assert!(rebuilt.is_some(), "the mirror has the present format");
    assert_eq!(state.keyspace.digest(), wanted);
    assert!(!folder.path().join("member/mirror.damaged").exists(), "nothing was damaged");
}

#[tokio::test]
async fn a_mirror_in_the_older_format_is_read_and_rebuilt() {
    let folder = TempDir::new().unwrap();
    let (index, state) = filled(&folder).await;
    let mirror = folder.path().join("member/mirror");
    fs::remove_dir_all(&mirror).unwrap();
    write_older_mirror(&mirror, &state);
    // Nothing else holds the state.
    fs::remove_dir_all(folder.path().join("member/log")).unwrap();
    check(&folder, index).await;
}

#[tokio::test]
async fn a_snapshot_in_the_older_format_is_read() {
    let folder = TempDir::new().unwrap();
    let (index, state) = filled(&folder).await;
    let snapshots = folder.path().join("member/snapshots");
    for gone in ["mirror", "log", "snapshots"] {
        fs::remove_dir_all(folder.path().join("member").join(gone)).unwrap();
    }
    fs::create_dir(&snapshots).unwrap();
    write_older_snapshot(&snapshots.join(snapshot::file_name(state.applied.index)), &state);
    check(&folder, index).await;
}

#[tokio::test]
async fn a_mirror_whose_writing_was_interrupted_is_rebuilt_and_not_kept() {
    let folder = TempDir::new().unwrap();
    let (index, _) = filled(&folder).await;
    let mirror = folder.path().join("member/mirror");
    eventually("the mirror opens", async || match sled::open(&mirror) {
        Ok(db) => db.insert(b"h", INCOMPLETE).and_then(|_| db.flush()).is_ok(),
        Err(_) => false,
    })
    .await;
    eventually("it is closed", async || {
        matches!(Mirror::open(&mirror), Err(super::super::mirror_error::MirrorError::Incomplete))
    })
    .await;
    check(&folder, index).await;
}

#[tokio::test]
async fn a_mirror_that_was_only_begun_is_rebuilt_and_not_damaged() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("mirror");
    drop(Mirror::make(&path).unwrap());
    eventually("it is closed", async || {
        matches!(Mirror::open(&path), Err(super::super::mirror_error::MirrorError::Incomplete))
    })
    .await;
}

/// As [`eventually`], for what takes a busy disk long.
async fn eventually_on_disk(what: &str, so: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !so() {
        assert!(begun.elapsed() < Duration::from_secs(90), "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn the_space_of_removed_keys_is_given_back() {
    let folder = TempDir::new().unwrap();
    // A snapshot is written while the keys are there.
    let node = Running::start(Settings { snapshot_count: 50, ..settings(folder.path()) }).await.unwrap();
    let value = vec![b'x'; 1 << 20];
    for _ in 0..2 {
        let all = (0..70).map(|n| node.handle.propose(set(&format!("/large/{n}"), &value, None)));
        futures_util::future::join_all(all).await;
        tokio::time::sleep(Duration::from_millis(1200)).await;
    }
    let member = folder.path().join("member");
    let size = || folder_bytes(&member.join("mirror")) + folder_bytes(&member.join("snapshots"));
    eventually_on_disk("it is mirrored", || size() > 130 << 20).await;
    node.propose(delete("/large")).await.result.unwrap();
    eventually_on_disk("it takes little", || size() < 16 << 20).await;
    let index = node.set("/a", b"1").await.index();
    node.stop().await;
    let (_, state) = reopened(&member.join("mirror")).await;
    assert_eq!((state.keyspace.node_count(), state.keyspace.index()), (1, index));
}
