//! Events whose values were dropped: what a watch of the past, and one that catches up, receive of them.

use std::pin::pin;
use std::task::{Context, Waker};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::random::{apply_random, key};
use super::*;

/// Returns what a one-shot watch receives at once: an event, the refusal, or nothing yet.
fn sent(space: &mut Keyspace, key: &str, recursive: bool, since: u64) -> String {
    match space.watch(key.as_bytes(), WatchOptions { recursive, stream: false, since }) {
        Err(error) => {
            assert_eq!((error.code, error.index), (Code::HistoryCleared, space.index()));
            let cause = String::from_utf8(error.cause).unwrap();
            cause.strip_prefix("the requested history has been ").unwrap().to_owned()
        }
        Ok(mut watch) => drained(&mut watch)
            .pop()
            .map_or("waits".to_owned(), |(action, key, index)| format!("{action} {key} {index}")),
    }
}

fn set_large(key: &str, length: usize) -> Operation {
    Operation::Set {
        key: bytes(key),
        dir: false,
        value: vec![b'x'; length].into(),
        expires: None,
        refresh: false,
    }
}

fn ended(watch: &mut Watch) -> bool {
    let mut next = pin!(watch.next());
    let context = &mut Context::from_waker(Waker::noop());
    matches!(Future::poll(next.as_mut(), context), std::task::Poll::Ready(None))
}

#[test]
fn a_clear_marker_survives_every_way_of_saving_the_state() {
    let space = Keyspace::with(&["/a", "/big", "/b"]).without_values_of(|index| index == 2);
    let mut again = Keyspace::of_image(&space.image()).unwrap().without_values_of(|_| false);
    assert_eq!(again.digest(), space.digest());
    assert_eq!(sent(&mut again, "/big", false, 1), "cleared [3/1]");
    assert_eq!(sent(&mut again, "/b", false, 1), "set /b 3");
}

#[test]
fn after_any_clear_a_past_watch_gets_the_right_event_or_is_refused() {
    for seed in 0..40 {
        let rng = &mut StdRng::seed_from_u64(5_000 + seed);
        let (mut live, mut clock) = (Keyspace::new(), NOW);
        apply_random(&mut live, rng, 300, &mut clock);
        // A removed directory has no value to drop.
        let removed = |index: u64| {
            let entry = live.events_since(index - 1).next().and_then(|(_, entry)| entry.event());
            entry.is_some_and(|event| event.action.removes() && event.node.dir)
        };
        let gone: Vec<u64> =
            (1..=live.index()).filter(|index| rng.random_bool(0.2) && !removed(*index)).collect();
        let mut kept = live.without_values_of(|index| gone.contains(&index));
        for _ in 0..300 {
            let (key, recursive, since) = (key(rng), rng.random(), rng.random_range(1..=live.index()));
            let whole = sent(&mut live, &key, recursive, since);
            let index = whole.rsplit(' ').next().and_then(|index| index.parse::<u64>().ok());
            let expected = match index {
                Some(index) if gone.contains(&index) => format!("cleared [{}/{since}]", index + 1),
                _ => whole,
            };
            assert_eq!(sent(&mut kept, &key, recursive, since), expected, "seed {seed}: {key} {recursive}");
        }
    }
}

#[test]
fn a_waiting_watch_of_a_cleared_event_ends_and_the_others_continue() {
    let mut behind = Keyspace::with(&["/d/x"]);
    let mut ahead = behind.without_values_of(|_| false);
    for operation in
        [set_op("/d/y", "v"), set_op("/d/big", "v"), delete_op("/d", true, true), set_op("/e", "v")]
    {
        ahead.ok(operation);
    }
    let mut all = behind.watching("/", true, true, 0);
    let mut exact = behind.watching("/d/big", false, true, 0);
    // Begins later, and learns that the key was removed: the marker shows that it existed.
    let mut late = behind.watching("/d/big", false, false, 4);
    let mut other = behind.watching("/e", false, false, 0);
    behind.replace(ahead.without_values_of(|index| index == 3));
    assert_eq!(drained(&mut all), [event_parts("set", "/d/y", 2)], "what came before is not lost");
    assert!(ended(&mut all) && ended(&mut exact));
    assert_eq!(drained(&mut late), [event_parts("delete", "/d", 4)]);
    assert_eq!(drained(&mut other), [event_parts("set", "/e", 5)]);
    assert_eq!((behind.counts().watchers, behind.hub.held()), (0, 0));
    assert_eq!(sent(&mut behind, "/", true, 3), "cleared [4/3]", "so its client is told when it asks again");
}

#[test]
fn large_values_evict_only_the_oldest_large_values() {
    let mut space = Keyspace::new();
    space.ok(set_op("/small", "v"));
    // Each but the first has the new and the previous value.
    for _ in 0..100 {
        space.ok(set_large("/big", 1 << 20));
        space.ok(set_op("/small", "v"));
    }
    assert_eq!(
        (space.oldest_event(), space.events_since(0).count()),
        (1, 201),
        "the window is as long as ever"
    );
    let whole = |space: &Keyspace, key: &[u8]| {
        let events = space.events_since(0).filter_map(|(_, entry)| entry.event());
        events.filter(|event| *event.key == *key).count()
    };
    assert_eq!((whole(&space, b"/small"), whole(&space, b"/big")), (101, HISTORY_BYTES / (2 << 20) - 1));
    assert_eq!(space.take_changes().cleared.len(), 101 - HISTORY_BYTES / (2 << 20));
    assert_eq!(space.take_changes().cleared, [0; 0], "each is told once");
    assert_eq!(sent(&mut space, "/small", false, 1), "set /small 1");
    assert_eq!(sent(&mut space, "/big", false, 1), "cleared [3/1]");
    assert_eq!(sent(&mut space, "/big", false, 200), "set /big 200");
    // The same result when all are added at once, as at a start.
    let again = space.without_values_of(|_| false);
    assert_eq!(again.digest(), space.digest());
}

#[test]
fn a_thousand_small_events_are_kept_whatever_else_there_is() {
    let mut space = Keyspace::new();
    for number in 0..500 {
        space.ok(set_large(&format!("/mid/{number}"), HISTORY_BYTES / HISTORY_EVENTS));
        space.ok(set_op("/small", "v"));
        let length = if number < 20 { 10 << 20 } else { HISTORY_BYTES / HISTORY_EVENTS + 1 };
        space.ok(set_large(&format!("/big/{number}"), length));
    }
    let held = |space: &Keyspace| {
        space
            .events_since(0)
            .filter_map(|(_, entry)| entry.event())
            .map(|event| event.weight())
            .sum::<usize>()
    };
    assert!(held(&space) <= HISTORY_BYTES);
    for number in 200..500 {
        let key = format!("/mid/{number}");
        let index = 3 * number + 1;
        assert_eq!(sent(&mut space, &key, false, index), format!("set {key} {index}"));
    }
    // An event larger than the limit is kept until the next one.
    let last = space.ok(set_large("/huge", HISTORY_BYTES + 1)).index();
    assert_eq!(sent(&mut space, "/huge", false, last), format!("set /huge {last}"));
    space.ok(set_op("/small", "v"));
    assert_eq!(sent(&mut space, "/huge", false, last), format!("cleared [{}/{last}]", last + 1));
    assert!(held(&space) <= HISTORY_BYTES);
}

#[test]
fn an_entry_has_one_encoding() {
    let mut rng = StdRng::seed_from_u64(8);
    let space = Keyspace::with(&["/a", "/b/c"]);
    for (_, entry) in space.events_since(0) {
        let (mut good, mut decoded) = (vec![], 0);
        entry.cleared().encode(&mut good);
        for length in 1..good.len() {
            assert!(HistoryEntry::decode(&good[..length]).is_err(), "{length} bytes");
        }
        for _ in 0..2_000 {
            let mut bytes = good.clone();
            let at = rng.random_range(0..bytes.len());
            bytes[at] = rng.random();
            if let Ok(entry) = HistoryEntry::decode(&bytes) {
                let mut again = vec![];
                entry.encode(&mut again);
                assert_eq!(again, bytes);
                decoded += 1;
            }
        }
        assert!(decoded > 100);
    }
}
