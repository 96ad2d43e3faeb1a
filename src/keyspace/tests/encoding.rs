//! The byte forms: encoded bytes are decoded again, and nothing else is accepted.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::random::{apply_random, operation};
use super::*;

fn encoded(command: &Command) -> Vec<u8> {
    let mut bytes = vec![];
    command.encode(&mut bytes);
    bytes
}

fn event_bytes(event: &Event) -> Vec<u8> {
    let mut bytes = vec![];
    event.encode(&mut bytes);
    bytes
}

fn commands(seed: u64, count: usize) -> impl Iterator<Item = Command> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..count).map(move |_| {
        let at = rng.random();
        let index = rng.random::<u64>() >> rng.random_range(0..64);
        let operation =
            if rng.random_bool(0.05) { Operation::Expire } else { operation(&mut rng, NOW, index) };
        Command { at, operation }
    })
}

#[test]
fn a_command_round_trips() {
    for command in commands(1, 20_000) {
        let bytes = encoded(&command);
        assert_eq!(Command::decode(&bytes).as_ref(), Ok(&command));
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(Command::decode(&longer).is_err(), "{command:?} with a byte more");
        for length in 0..bytes.len() {
            assert!(Command::decode(&bytes[..length]).is_err(), "{length} bytes of {command:?}");
        }
    }
}

#[test]
fn a_command_has_one_encoding() {
    let mut rng = StdRng::seed_from_u64(2);
    let mut decoded = 0;
    for command in commands(3, 100_000) {
        let mut bytes = encoded(&command);
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..bytes.len());
            bytes[at] = rng.random();
        }
        bytes.truncate(rng.random_range(0..bytes.len() * 4).max(1));
        if let Ok(command) = Command::decode(&bytes) {
            assert_eq!(encoded(&command), bytes);
            decoded += 1;
        }
    }
    assert!(decoded > 10_000, "the mutations are not all nonsense: {decoded}");
}

#[test]
fn a_length_larger_than_the_input_is_refused_before_allocating() {
    let mut bytes = encoded(&Command { at: NOW, operation: update_op("/k", "v") });
    bytes.truncate(bytes.len() - 2);
    for length in [1 << 40, u64::MAX] {
        let mut bytes = bytes.clone();
        bytes::put_varint(&mut bytes, length);
        bytes.push(b'v');
        assert!(matches!(Command::decode(&bytes), Err(DecodeError::Bytes { what: "cut short", .. })));
    }
}

#[test]
fn a_command_with_an_unclean_key_another_version_or_unknown_flags_is_refused() {
    let good = encoded(&Command { at: NOW, operation: delete_op("/a/b", true, false) });
    assert!(Command::decode(&good).is_ok());
    let place = good.len() - 4;
    assert_eq!(&good[place..], b"/a/b");
    for bad in [b"xa/b", b"/a//", b"/a/.", b"/../", b"//ab"] {
        let mut bytes = good.clone();
        bytes[place..].copy_from_slice(bad);
        assert!(Command::decode(&bytes).is_err(), "{bad:?}");
    }
    for (at, byte) in [(0, 2), (1, 0), (1, 8), (2, 0x80), (2, 1 << 4)] {
        let mut bytes = good.clone();
        bytes[at] = byte;
        assert!(Command::decode(&bytes).is_err(), "byte {at} = {byte}");
    }
}

#[test]
fn numbers_have_one_encoding() {
    for number in (0..64).flat_map(|shift| [(1_u64 << shift) - 1, 1 << shift]).chain([u64::MAX]) {
        let mut bytes = vec![];
        bytes::put_varint(&mut bytes, number);
        assert_eq!(bytes::ByteReader::new(&bytes).varint(), Ok(number));
        let mut bytes = vec![];
        bytes::put_signed(&mut bytes, number as i64);
        assert_eq!(bytes::ByteReader::new(&bytes).signed(), Ok(number as i64));
    }
    for bad in [&[0x80, 0][..], &[0xff; 10], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], &[]]
    {
        assert!(bytes::ByteReader::new(bad).varint().is_err(), "{bad:?}");
    }
}

fn stirred(seed: u64) -> Keyspace {
    let (mut space, mut clock) = (Keyspace::new(), NOW);
    apply_random(&mut space, &mut StdRng::seed_from_u64(seed), 2_000, &mut clock);
    space
}

#[test]
fn records_and_events_round_trip_and_corrupted_bytes_are_refused() {
    let mut rng = StdRng::seed_from_u64(4);
    let space = stirred(5);
    for (_, record) in space.nodes() {
        let mut bytes = vec![];
        record.encode(&mut bytes);
        assert_eq!(NodeRecord::decode(&bytes), Ok(record));
        for length in 0..bytes.len() {
            assert!(NodeRecord::decode(&bytes[..length]).is_err());
        }
    }
    for event in space.events_since(0).filter_map(|(_, entry)| entry.event()) {
        let bytes = event_bytes(event);
        let back = Event::decode(&bytes).unwrap();
        assert_eq!((&back.node, &back.prev, back.refresh), (&event.node, &event.prev, event.refresh));
        assert_eq!((back.action, &back.key, event_bytes(&back)), (event.action, &event.key, bytes.clone()));
        for _ in 0..20 {
            let mut bytes = bytes.clone();
            let at = rng.random_range(0..bytes.len());
            bytes[at] = rng.random();
            if let Ok(event) = Event::decode(&bytes) {
                assert_eq!(event_bytes(&event), bytes);
            }
        }
    }
}

#[test]
fn a_corrupted_image_is_refused_or_is_another_image() {
    let mut rng = StdRng::seed_from_u64(6);
    let image = stirred(7).image();
    for length in (0..image.len()).step_by(97) {
        assert!(Keyspace::of_image(&image[..length]).is_err(), "{length} bytes");
    }
    let mut longer = image.clone();
    longer.push(0);
    assert!(Keyspace::of_image(&longer).is_err());
    for _ in 0..400 {
        let mut bytes = image.clone();
        let at = rng.random_range(0..bytes.len());
        bytes[at] = rng.random();
        if let Ok(mut space) = Keyspace::of_image(&bytes) {
            assert_eq!(space.image(), bytes);
            apply_random(&mut space, &mut rng, 20, &mut NOW.clone());
        }
    }
}

#[test]
fn a_state_with_too_many_levels_or_an_index_out_of_range_is_refused() {
    let chain = |levels: usize| {
        let mut loader = Loader::default();
        for depth in 1..=levels {
            loader.node("/x".repeat(depth).as_bytes(), NodeRecord { expires: Some(NOW), ..dir(1) })?;
        }
        loader.finish(1)
    };
    assert_eq!(chain(2_000).unwrap().nodes().count(), 2_000);
    assert!(chain(500_000).is_err());
    let mut far = vec![];
    bytes::put_varint(&mut far, u64::MAX);
    far.extend_from_slice(&[0, 0]);
    assert!(Keyspace::of_image(&far).is_err());
    assert!(Loader::default().finish(u64::MAX).is_err());
}

fn file(index: u64) -> NodeRecord {
    NodeRecord { dir: false, value: Some(bytes("v")), created: index, modified: index, expires: None }
}

fn dir(index: u64) -> NodeRecord {
    NodeRecord { dir: true, value: None, ..file(index) }
}

#[test]
fn a_loader_accepts_nodes_in_any_order_and_reports_a_missing_directory_at_the_end() {
    let mut loader = Loader::default();
    loader.node(b"/a/b/c", file(3)).unwrap();
    loader.node(b"/a", dir(1)).unwrap();
    let error = loader.finish(3).unwrap_err();
    assert!(error.to_string().starts_with("/a/b:"), "{error}");
    let mut loader = Loader::default();
    for (key, record) in [(&b"/a/b/c"[..], file(3)), (b"/a/b", dir(2)), (b"/a", dir(1))] {
        loader.node(key, record).unwrap();
    }
    let space = loader.finish(3).unwrap();
    assert_eq!((space.index(), space.nodes().count(), space.node("/a/b").created), (3, 3, 2));
}

#[test]
fn a_loader_refuses_impossible_states() {
    let inconsistent = |nodes: &[(&str, NodeRecord)]| {
        let mut loader = Loader::default();
        nodes.iter().any(|(key, record)| loader.node(key.as_bytes(), record.clone()).is_err())
    };
    assert!(!inconsistent(&[("/a", dir(1)), ("/a/b", file(1))]));
    assert!(inconsistent(&[("/a", file(1)), ("/a/b", file(1))]));
    assert!(inconsistent(&[("/a/b", file(1)), ("/a", file(1))]));
    assert!(inconsistent(&[("/a", file(1)), ("/a", file(1))]));
    assert!(inconsistent(&[("/", dir(1))]));
    assert!(inconsistent(&[("/a/", file(1))]));
    assert!(inconsistent(&[("/a", file(0))]));
    assert!(inconsistent(&[("/a", NodeRecord { created: 2, ..file(1) })]));
    assert!(inconsistent(&[("/a", NodeRecord { value: None, ..file(1) })]));
    assert!(inconsistent(&[("/a", NodeRecord { dir: true, ..file(1) })]));
    let mut loader = Loader::default();
    loader.node(b"/a", file(5)).unwrap();
    assert!(loader.finish(4).is_err());
    let entry = HistoryEntry::Event(Keyspace::new().ok(set_op("/k", "v")));
    let mut loader = Loader::default();
    assert!(loader.event(2, entry.clone()).is_err() && loader.event(2, entry.cleared()).is_err());
    assert!(loader.event(1, entry).is_ok());
    assert!(loader.finish(0).is_err());
}

#[test]
fn a_loader_builds_a_tree_of_any_depth_from_places_and_finds_what_expires() {
    let mut loader = Loader::default();
    let levels = 100_000;
    for depth in (0..levels).rev() {
        let parent = DirId { created: u64::from(depth > 0), depth };
        let record = if depth + 1 == levels { NodeRecord { expires: Some(NOW), ..file(2) } } else { dir(1) };
        loader.child(NodePlace { parent, name: b"x" }, record).unwrap();
    }
    let mut space = loader.finish(2).unwrap();
    assert_eq!((space.node_count(), space.next_expiry()), (levels as usize, Some(NOW)));
    assert_eq!((space.expire(NOW), space.node_count()), (1, levels as usize - 1));
}

#[test]
fn a_loader_refuses_impossible_places() {
    let root = |name| NodePlace { parent: DirId::ROOT, name };
    let below = |created| NodePlace { parent: DirId::ROOT.child(created), name: b"b" };
    let loaded = |nodes: &[(NodePlace<'_>, NodeRecord)]| {
        let mut loader = Loader::default();
        nodes.iter().try_for_each(|(place, record)| loader.child(*place, record.clone()))?;
        loader.finish(9)
    };
    assert!(loaded(&[(below(1), file(2)), (root(b"a"), dir(1))]).is_ok());
    for (nodes, why) in [
        (vec![(root(b"a"), file(1)), (root(b"a"), file(2))], "twice"),
        (vec![(root(b"a"), dir(1)), (below(1), file(2))], "without their directory"),
        (vec![(below(3), file(3)), (root(b"a"), dir(1))], "without their directory"),
        (vec![(below(1), file(2)), (root(b"a"), file(1))], "without their directory"),
        (vec![(root(b"a/b"), file(1))], "no name"),
        (vec![(root(b".."), file(1))], "no name"),
        (vec![(root(b""), file(1))], "no name"),
        (vec![(root(b"a"), file(0))], "impossible indexes"),
        (vec![(root(b"a"), file(10))], "newer"),
    ] {
        let error = loaded(&nodes).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    let mut loader = Loader::default();
    loader.node(b"/a", file(1)).unwrap();
    loader.child(root(b"b"), file(1)).unwrap();
    assert!(loader.finish(9).unwrap_err().to_string().contains("two formats"));
}

#[test]
fn a_state_without_history_has_no_past_events() {
    let mut space = Loader::default().finish(50).unwrap();
    let what = |since| WatchOptions { recursive: true, stream: false, since };
    assert_eq!(
        space.watch(b"/", what(50)).unwrap_err().cause,
        b"the requested history has been cleared [51/50]"
    );
    assert!(space.watch(b"/", what(51)).is_ok());
    let mut loader = Loader::default();
    loader.event(40, HistoryEntry::NoKey).unwrap();
    let mut space = loader.finish(50).unwrap();
    assert!(space.watch(b"/", what(39)).is_err() && space.watch(b"/", what(40)).is_ok());
    assert_eq!(space.events_since(0).count(), 11);
}
