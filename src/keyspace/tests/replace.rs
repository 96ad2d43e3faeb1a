//! Replacing the whole state under waiting watches.

use std::pin::pin;
use std::task::{Context, Waker};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::random::{apply_random, key, operation};
use super::*;

/// Returns the state after a snapshot of `space`.
fn snapshot(space: &Keyspace) -> Keyspace {
    Keyspace::of_image(&space.image()).unwrap()
}

/// Returns a state, and a copy of it that continued with `more`.
fn apart(keys: &[&str], more: &[Operation]) -> (Keyspace, Keyspace) {
    let behind = Keyspace::with(keys);
    let mut ahead = snapshot(&behind);
    for operation in more {
        ahead.ok(operation.clone());
    }
    (behind, ahead)
}

fn ended(watch: &mut Watch) -> bool {
    let mut next = pin!(watch.next());
    matches!(
        Future::poll(next.as_mut(), &mut Context::from_waker(Waker::noop())),
        std::task::Poll::Ready(None)
    )
}

#[test]
fn watches_get_the_same_events_over_a_replacement_as_live() {
    for seed in 0..60 {
        let rng = &mut StdRng::seed_from_u64(4_000 + seed);
        let (mut live, mut clock) = (Keyspace::new(), NOW);
        apply_random(&mut live, rng, 200, &mut clock);
        let mut lagging = snapshot(&live);
        for round in 0..5 {
            let mut pairs = vec![];
            for _ in 0..40 {
                let since = rng.random_range(0..2) * (live.index() + rng.random_range(1..20));
                let what = WatchOptions { recursive: rng.random(), stream: rng.random(), since };
                let key = key(rng);
                let [one, other] =
                    [&mut live, &mut lagging].map(|space| space.watch(key.as_bytes(), what).unwrap());
                pairs.push((key, what, one, other));
            }
            for _ in 0..80 {
                clock += rng.random_range(0..SECOND);
                let operation = if rng.random_bool(0.05) {
                    Operation::Expire
                } else {
                    operation(rng, clock, live.index())
                };
                drop(live.apply(&Command { at: clock, operation }));
            }
            lagging.replace(snapshot(&live));
            assert_eq!(lagging.digest(), live.digest());
            assert_eq!(lagging.next_expiry(), live.next_expiry());
            for (key, what, one, other) in &mut pairs {
                assert_eq!(drained(other), drained(one), "seed {seed}, round {round}: {key} {what:?}");
            }
            assert_eq!(lagging.counts().watchers, live.counts().watchers);
            // Waiting watches continue live.
            for space in [&mut live, &mut lagging] {
                apply_random(space, &mut StdRng::seed_from_u64(seed), 30, &mut clock.clone());
            }
            clock += 30 * SECOND;
            for (key, what, one, other) in &mut pairs {
                assert_eq!(drained(other), drained(one), "seed {seed}, round {round}: {key} {what:?}");
                assert_eq!(ended(other), ended(one));
            }
        }
    }
}

#[test]
fn a_watch_ends_when_the_new_window_lacks_its_events() {
    let (mut behind, mut ahead) = apart(&["/k"], &[]);
    let mut stream = behind.watching("/other", true, true, 0);
    let mut poll = behind.watching("/other", false, false, 0);
    let mut later = behind.watching("/k", false, false, 1_500);
    for _ in 0..2_000 {
        ahead.ok(set_op("/k", "v"));
    }
    behind.replace(ahead);
    assert_eq!((drained(&mut stream), drained(&mut poll)), (vec![], vec![]));
    assert!(ended(&mut stream) && ended(&mut poll));
    assert_eq!(
        drained(&mut later),
        [event_parts("set", "/k", 1_500)],
        "one that begins within the window misses nothing"
    );
    assert_eq!((behind.counts().watchers, behind.hub.held()), (0, 0));
    let error =
        behind.watch(b"/other", WatchOptions { recursive: true, stream: true, since: 2 }).unwrap_err();
    assert_eq!(error.code, Code::HistoryCleared);
}

#[test]
fn a_window_that_reaches_back_to_the_next_event_is_sufficient() {
    let (mut behind, mut ahead) = apart(&["/k"], &[]);
    let mut stream = behind.watching("/k", false, true, 0);
    for _ in 0..1_000 {
        ahead.ok(set_op("/k", "v"));
    }
    behind.replace(ahead);
    let heard = drained(&mut stream);
    assert_eq!((heard.len(), heard[0].2, heard[999].2), (1_000, 2, 1_001));
    behind.ok(set_op("/k", "v"));
    assert_eq!(drained(&mut stream), [event_parts("set", "/k", 1_002)]);
}

#[test]
fn a_stream_that_catches_up_with_a_whole_window_is_not_overrun_by_the_next_event() {
    let (mut behind, mut ahead) = apart(&["/k"], &[]);
    let mut stream = behind.watching("/k", false, true, 0);
    for _ in 0..1_000 {
        ahead.ok(set_op("/k", "v"));
    }
    behind.replace(ahead);
    for _ in 0..1_000 {
        behind.ok(set_op("/k", "v"));
    }
    assert_eq!(behind.counts().watchers, 1);
    behind.ok(set_op("/k", "v"));
    assert_eq!(behind.counts().watchers, 0, "for ever it does not gather either");
    assert_eq!(drained(&mut stream).len(), 2_000);
}

#[test]
fn a_waiting_task_is_woken() {
    let (mut behind, ahead) = apart(&["/k"], &[set_op("/k", "w")]);
    let mut watch = behind.watching("/k", false, false, 0);
    let mut next = pin!(watch.next());
    let context = &mut Context::from_waker(Waker::noop());
    assert!(Future::poll(next.as_mut(), context).is_pending());
    behind.replace(ahead);
    assert!(Future::poll(next.as_mut(), context).is_ready());
}

#[test]
fn changes_are_cleared_and_counters_continue() {
    let (mut behind, ahead) = apart(&["/a", "/b"], &[delete_op("/a", false, false), set_op("/c", "v")]);
    behind.note_get(true);
    let before = behind.counts();
    assert_eq!(behind.changed(), 2);
    behind.replace(ahead);
    assert_eq!((behind.counts(), behind.index(), behind.changed()), (before, 4, 0));
    let Changes { removed, written, .. } = behind.take_changes();
    assert_eq!((removed.len(), written.len()), (0, 0));
    behind.ok(set_op("/d", "v"));
    assert_eq!((behind.changed(), behind.counts().sets_success), (1, before.sets_success + 1));
}

#[test]
fn the_expiry_is_that_of_the_new_state() {
    let mut behind = Keyspace::with(&["/gone"]);
    behind.ok(lasting(set_op("/gone", "v"), 5));
    let mut ahead = snapshot(&behind);
    ahead.ok(set_op("/gone", "v"));
    ahead.ok(lasting(set_op("/new", "v"), 9));
    behind.replace(ahead);
    assert_eq!(behind.next_expiry(), Some(NOW + 9 * SECOND));
    assert_eq!(behind.expire(NOW + 9 * SECOND), 1);
}
