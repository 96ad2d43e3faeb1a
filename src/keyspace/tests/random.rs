//! Random operations: against the model, through images and mirrors, between two members.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::model::{Model, ModelEvent, ModelNode};
use super::*;

const SEGMENTS: [&str; 7] = ["a", "b", "ab", "_h", "a!", "z", "a-name-of-more-than-twenty-two-bytes"];
const VALUES: [&str; 4] = ["", "v", "w", "a longer value"];

pub(super) fn key(rng: &mut StdRng) -> String {
    let depth = *[0, 1, 1, 2, 2, 2, 3, 3, 4].choose(rng).unwrap();
    let path: String = (0..depth).map(|_| format!("/{}", SEGMENTS.choose(rng).unwrap())).collect();
    if path.is_empty() { "/".to_owned() } else { path }
}

pub(super) fn operation(rng: &mut StdRng, clock: Time, index: u64) -> Operation {
    let value = bytes(VALUES.choose(rng).unwrap());
    let key = bytes(&key(rng));
    let expires = rng.random_bool(0.3).then(|| clock + rng.random_range(0..40) * SECOND / 2);
    let refresh = rng.random_bool(0.2);
    let dir = rng.random_bool(0.2);
    let prev_value = rng.random_bool(0.5).then(|| bytes(VALUES.choose(rng).unwrap()));
    let prev_index = rng.random_bool(0.5).then(|| rng.random_range(index.saturating_sub(9)..=index));
    match rng.random_range(0..100) {
        0..40 => Operation::Set { key, dir, value, expires, refresh },
        40..55 => Operation::Create { key, dir, value, expires, in_order: rng.random_bool(0.2) },
        55..70 => Operation::Update { key, value, expires, refresh },
        70..80 => Operation::CompareAndSwap { key, prev_value, prev_index, value, expires, refresh },
        80..90 => Operation::Delete { key, dir, recursive: rng.random_bool(0.3) },
        _ => Operation::CompareAndDelete { key, prev_value, prev_index },
    }
}

fn plain(node: &EventNode, at: Time) -> ModelNode {
    assert_eq!(node.ttl, node.expires.map_or(0, |expires| remaining(at, expires)));
    ModelNode {
        value: node.value.as_ref().map(|value| String::from_utf8(value.to_vec()).unwrap()),
        created: node.created,
        modified: node.modified,
        expires: node.expires,
    }
}

fn assert_same(event: &Event, news: &ModelEvent, at: Time) {
    assert_eq!((event.action, &*event.key), (news.action, news.key.as_bytes()));
    assert_eq!(plain(&event.node, at), news.node, "{news:?}");
    assert_eq!(event.prev.as_ref().map(|prev| plain(prev, at)), news.prev);
    assert_eq!((event.node.dir, event.refresh), (news.dir, news.refresh));
}

fn assert_same_nodes(space: &Keyspace, model: &Model) {
    let nodes: BTreeMap<_, _> = space
        .nodes()
        .map(|(key, record)| {
            let NodeRecord { value, created, modified, expires, dir } = record;
            let value = value.map(|value| String::from_utf8(value.to_vec()).unwrap());
            assert_eq!(dir, value.is_none());
            (String::from_utf8(key.to_vec()).unwrap(), ModelNode { value, created, modified, expires })
        })
        .collect();
    assert_eq!(nodes, model.nodes);
    assert_eq!(space.next_expiry(), model.nodes.values().filter_map(|node| node.expires).min());
}

#[test]
fn random_operations_match_a_plain_model() {
    for seed in 0..20 {
        let rng = &mut StdRng::seed_from_u64(seed);
        let (mut space, mut model, mut clock) = (Keyspace::new(), Model::default(), NOW);
        for _ in 0..1_000 {
            clock += rng.random_range(0..SECOND);
            if rng.random_bool(0.02) {
                assert_eq!(space.expire(clock), model.expire(clock).len());
            } else if rng.random_bool(0.02) {
                model.past.push(None);
                assert_eq!(space.reserve(), model.index());
            } else {
                let operation = operation(rng, clock, model.index());
                let outcome = space.apply(&Command { at: clock, operation: operation.clone() });
                match (&outcome, &model.apply(&operation)) {
                    (Ok(event), Ok(news)) => assert_same(event, news, clock),
                    (Err(error), Err((code, cause))) => {
                        assert_eq!((error.code, &*error.cause), (*code, cause.as_bytes()), "{operation:?}");
                        assert_eq!(error.index, model.index());
                    }
                    (real, plain) => panic!("seed {seed}: {operation:?}: {real:?} but {plain:?}"),
                }
            }
            assert_eq!(space.index(), model.index());
            assert_same_nodes(&space, &model);
        }
    }
}

#[test]
fn watches_get_the_events_of_a_plain_model() {
    for seed in 0..40 {
        let rng = &mut StdRng::seed_from_u64(1_000 + seed);
        let (mut space, mut model, mut clock) = (Keyspace::new(), Model::default(), NOW);
        let mut watches: Vec<Option<Watch>> = vec![];
        for _ in 0..3_000 {
            clock += rng.random_range(0..SECOND);
            match rng.random_range(0..100) {
                0..3 => assert_eq!(space.expire(clock), model.expire(clock).len()),
                3..15 => {
                    let since = match rng.random_range(0..4) {
                        0 => rng.random_range(0..model.index() + 5),
                        1 => rng.random_range(model.index().saturating_sub(20)..model.index() + 5),
                        _ => 0,
                    };
                    let what = WatchOptions { recursive: rng.random(), stream: rng.random(), since };
                    let key = key(rng);
                    match (space.watch(key.as_bytes(), what), model.watch(&key, what)) {
                        (Ok(watch), Ok(number)) => {
                            assert_eq!((number, watch.index), (watches.len(), model.index()));
                            watches.push(Some(watch));
                        }
                        (Err(error), Err(cause)) => assert_eq!(error.cause, cause.as_bytes()),
                        (real, plain) => panic!("seed {seed}: {key} {what:?}: {real:?} but {plain:?}"),
                    }
                }
                15..20 if !watches.is_empty() => {
                    let number = rng.random_range(0..watches.len());
                    watches[number] = None;
                    model.listeners[number].leave();
                }
                20..25 if !watches.is_empty() => {
                    let number = rng.random_range(0..watches.len());
                    let Some(watch) = &mut watches[number] else { continue };
                    let heard: Vec<_> = drained(watch).into_iter().map(|(_, _, index)| index).collect();
                    assert_eq!(heard, model.listeners[number].take(), "seed {seed}");
                }
                _ => {
                    let operation = operation(rng, clock, model.index());
                    let outcome = space.apply(&Command { at: clock, operation: operation.clone() });
                    assert_eq!(outcome.is_ok(), model.apply(&operation).is_ok());
                }
            }
            assert_eq!(space.counts().watchers, model.hooked() as u64, "seed {seed}");
        }
        for (watch, listener) in watches.iter_mut().zip(&mut model.listeners) {
            let Some(watch) = watch else { continue };
            let heard: Vec<_> = drained(watch).into_iter().map(|(_, _, index)| index).collect();
            assert_eq!(heard, listener.take(), "seed {seed}");
        }
        watches.clear();
        assert_eq!(space.counts().watchers, 0);
        drop(space.watching("/", true, true, 0));
        assert_eq!(space.hub.held(), 1, "what left is forgotten when the next one comes");
    }
}

/// Applies random operations, expiries and reservations.
pub(crate) fn apply_random(space: &mut Keyspace, rng: &mut StdRng, rounds: usize, clock: &mut Time) {
    for _ in 0..rounds {
        *clock += rng.random_range(0..SECOND);
        match rng.random_range(0..50) {
            0 => _ = space.expire(*clock),
            1 => _ = space.reserve(),
            _ => {
                let operation = operation(rng, *clock, space.index());
                drop(space.apply(&Command { at: *clock, operation }));
            }
        }
    }
}

#[test]
fn a_mirror_that_applies_the_changes_rebuilds_the_same_state() {
    for seed in 0..20 {
        let rng = &mut StdRng::seed_from_u64(2_000 + seed);
        let (mut space, mut clock) = (Keyspace::new(), NOW);
        let mut mirror: BTreeMap<(DirId, Vec<u8>), Vec<u8>> = BTreeMap::new();
        let mut events: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for _ in 0..60 {
            let before = space.index();
            let rounds = rng.random_range(0..40);
            apply_random(&mut space, rng, rounds, &mut clock);
            let changes = space.take_changes();
            for RemovedNode { parent, name, dir } in &changes.removed {
                mirror.remove(&(*parent, name.to_vec()));
                let mut gone: Vec<DirId> = dir.iter().copied().collect();
                while let Some(dir) = gone.pop() {
                    for (_, bytes) in mirror.extract_if(.., |(parent, _), _| *parent == dir) {
                        gone.extend(NodeRecord::dir_created(&bytes).unwrap().map(|id| dir.child(id)));
                    }
                }
            }
            space.each_written(&changes, |place, record| {
                let mut bytes = vec![];
                record.encode(&mut bytes);
                mirror.insert((place.parent, place.name.to_vec()), bytes);
            });
            for (index, entry) in space.events_since(before) {
                let mut bytes = vec![];
                entry.encode(&mut bytes);
                events.insert(index, bytes);
            }
            // What is in a directory comes before the directory: it is younger, or deeper.
            let mut loader = Loader::default();
            for ((parent, name), bytes) in mirror.iter().rev() {
                let place = NodePlace { parent: *parent, name };
                loader.child(place, NodeRecord::decode(bytes).unwrap()).unwrap();
            }
            for (index, bytes) in &events {
                loader.event(*index, HistoryEntry::decode(bytes).unwrap()).unwrap();
            }
            let mut rebuilt = loader.finish(space.index()).unwrap();
            assert_eq!(rebuilt.digest(), space.digest(), "seed {seed}");
            let onward = |space: &mut Keyspace| {
                apply_random(space, &mut StdRng::seed_from_u64(seed), 20, &mut clock.clone());
            };
            onward(&mut rebuilt);
            let mut copy = Keyspace::of_image(&space.image()).unwrap();
            assert_eq!(copy.digest(), space.digest(), "seed {seed}");
            onward(&mut copy);
            assert_eq!(rebuilt.digest(), copy.digest(), "seed {seed}: they also go on alike");
        }
    }
}

#[test]
fn members_that_apply_the_same_bytes_hold_the_same_state() {
    let rng = &mut StdRng::seed_from_u64(3_000);
    let (mut one, mut other, mut clock) = (Keyspace::new(), Keyspace::new(), NOW);
    for _ in 0..5_000 {
        clock += rng.random_range(0..SECOND / 4);
        let operation =
            if rng.random_bool(0.02) { Operation::Expire } else { operation(rng, clock, one.index()) };
        let command = Command { at: clock, operation };
        let mut bytes = vec![];
        command.encode(&mut bytes);
        drop(one.apply(&command));
        drop(other.apply(&Command::decode(&bytes).unwrap()));
    }
    assert_eq!(one.digest(), other.digest());
    other.reserve();
    assert_ne!(one.digest(), other.digest());
}
