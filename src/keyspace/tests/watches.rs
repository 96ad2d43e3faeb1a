//! Live delivery.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::*;

#[test]
fn an_exact_watch_hears_of_its_key_and_a_recursive_one_of_all_below() {
    let mut space = Keyspace::new();
    let mut exact = space.watching("/a", false, true, 0);
    let mut recursive = space.watching("/a", true, true, 0);
    let mut root = space.watching("/", true, true, 0);
    space.ok(set_op("/a/b/c", "v"));
    space.ok(set_op("/ab", "v"));
    space.ok(lasting(update_op("/a", ""), 5));
    assert_eq!(drained(&mut exact), [told("update", "/a", 3)]);
    assert_eq!(drained(&mut recursive), [told("set", "/a/b/c", 1), told("update", "/a", 3)]);
    assert_eq!(drained(&mut root).len(), 3);
}

#[test]
fn a_one_shot_watch_ends_with_its_first_event() {
    let mut space = Keyspace::new();
    let mut watch = space.watching("/a", false, false, 0);
    assert_eq!(space.counts().watchers, 1);
    space.ok(set_op("/a", "v"));
    space.ok(set_op("/a", "v"));
    assert_eq!((drained(&mut watch), space.counts().watchers), (vec![told("set", "/a", 1)], 0));
}

#[test]
fn a_removed_directory_is_told_to_those_at_and_below_it_that_watch_something_that_was_there() {
    let mut space = Keyspace::with(&["/d/e/f", "/d/_h/k", "/dx"]);
    let keys = ["/d", "/d/e", "/d/e/f", "/d/_h/k", "/d/none", "/d/e/f/below", "/dx", "/"];
    let mut watches = keys.map(|key| space.watching(key, false, false, 0));
    space.ok(delete_op("/d", false, true));
    let heard = watches.each_mut().map(|watch| drained(watch) == [told("delete", "/d", 4)]);
    assert_eq!(heard, [true, true, true, true, false, false, false, false]);
    assert_eq!(space.counts().watchers, 4);
}

#[test]
fn expiry_of_a_directory_is_told_like_its_removal() {
    let mut space = Keyspace::with(&["/d/e/f"]);
    space.ok(lasting(update_op("/d", ""), 5));
    let mut below = space.watching("/d/e", true, false, 0);
    space.expire(NOW + 5 * SECOND);
    assert_eq!(drained(&mut below), [told("expire", "/d", 3)]);
}

#[test]
fn replacing_a_file_by_a_directory_is_an_event_of_that_key_only() {
    let mut space = Keyspace::with(&["/k"]);
    let mut below = space.watching("/k/x", true, true, 0);
    let mut at = space.watching("/k", false, true, 0);
    space.ok(set_dir_op("/k"));
    assert_eq!((drained(&mut below), drained(&mut at)), (vec![], vec![told("set", "/k", 2)]));
}

#[test]
fn what_is_hidden_below_a_recursive_watch_is_withheld() {
    let mut space = Keyspace::new();
    let keys = ["/", "/_g", "/_g/_i", "/_g/_i/k"];
    let mut watches = keys.map(|key| space.watching(key, true, true, 0));
    space.ok(set_op("/_g/_i/k", "v"));
    space.ok(set_op("/_g/a_b", "v"));
    let heard = watches.each_mut().map(|watch| drained(watch).len());
    assert_eq!(heard, [0, 1, 1, 1]);
    space.ok(delete_op("/_g", false, true));
    let heard = watches.each_mut().map(|watch| drained(watch).len());
    assert_eq!(heard, [0, 2, 1, 1]);
}

#[test]
fn nobody_is_told_of_a_refresh() {
    let mut space = Keyspace::with(&["/k"]);
    let mut watch = space.watching("/", true, true, 0);
    space.ok(lasting(refreshing(set_op("/k", "")), 5));
    space.ok(lasting(refreshing(update_op("/k", "")), 5));
    space.ok(lasting(refreshing(swap_op("/k", Some("v"), None, "")), 5));
    assert_eq!(drained(&mut watch), []);
}

#[test]
fn a_stream_on_the_removed_node_hears_of_it_twice_and_goes_on() {
    let mut space = Keyspace::with(&["/d/k"]);
    let mut streams = ["/d/k", "/d", "/"].map(|key| space.watching(key, true, true, 0));
    space.ok(delete_op("/d/k", false, false));
    space.ok(set_op("/d/k", "v"));
    space.ok(compare_delete_op("/d/k", Some("v"), None));
    space.ok(lasting(set_op("/d/k", "v"), 5));
    space.expire(NOW + 5 * SECOND);
    let delete = || told("delete", "/d/k", 2);
    let compared = || told("compareAndDelete", "/d/k", 4);
    let expired = || told("expire", "/d/k", 6);
    let [set, again] = [told("set", "/d/k", 3), told("set", "/d/k", 5)];
    let twice =
        vec![delete(), delete(), set.clone(), compared(), compared(), again.clone(), expired(), expired()];
    let once = vec![delete(), set, compared(), again, expired()];
    assert_eq!(streams.each_mut().map(drained), [twice, once.clone(), once]);
}

#[tokio::test(start_paused = true)]
async fn an_overrun_stream_hands_out_what_was_buffered_and_ends() {
    let mut space = Keyspace::new();
    let mut stream = space.watching("/k", false, true, 0);
    for _ in 0..1_000 {
        space.ok(set_op("/k", "v"));
    }
    assert_eq!(space.counts().watchers, 1);
    space.ok(set_op("/k", "v"));
    assert_eq!((space.counts().watchers, space.hub.held()), (0, 0));
    for index in 1..=1_000 {
        assert_eq!(stream.next().await.map(|event| event.index()), Some(index));
    }
    space.ok(set_op("/k", "v"));
    assert!(stream.next().await.is_none(), "so that its client asks again");
    drop(stream);
    assert_eq!(space.counts().watchers, 0);
}

#[test]
fn a_stream_that_holds_64_mib_of_values_ends_with_the_next_event() {
    let mut space = Keyspace::new();
    let mut streams = [(); 2].map(|()| space.watching("/", true, true, 0));
    let mut write = |number: u32| {
        let (key, value) = (bytes(&format!("/{number}")), vec![b'x'; 8 << 20].into());
        space.ok(Operation::Set { key, dir: false, value, expires: None, refresh: false });
        space.counts().watchers
    };
    for number in 0..8 {
        assert_eq!(write(number), 2);
    }
    assert!(streams[1].ready().is_some(), "this one is read");
    assert_eq!(write(8), 1);
    assert_eq!(streams.each_mut().map(|stream| drained(stream).len()), [8, 8]);
}

#[test]
fn a_dropped_watch_is_not_counted_and_the_next_registration_forgets_it() {
    let mut space = Keyspace::new();
    for round in 0..1_000 {
        let watch = space.watching(&format!("/{round}"), false, true, 0);
        assert_eq!((space.counts().watchers, space.hub.held()), (1, 1));
        drop(watch);
        assert_eq!(space.counts().watchers, 0);
    }
    let kept = space.watching("/same", false, false, 0);
    let leaving: Vec<_> = (0..100).map(|_| space.watching("/same", false, false, 0)).collect();
    drop(leaving);
    assert_eq!(space.counts().watchers, 1);
    space.ok(set_op("/other", "v"));
    assert_eq!(space.hub.held(), 1);
    drop(kept);
    assert_eq!(space.counts().watchers, 0);
}

#[test]
fn a_watch_may_outlive_the_keyspace() {
    let mut space = Keyspace::new();
    let mut watch = space.watching("/k", false, true, 0);
    space.ok(set_op("/k", "v"));
    drop(space);
    assert!(watch.ready().is_some() && watch.ready().is_none());
}

#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_waiting_task_is_woken_and_a_given_up_wait_loses_no_event() {
    let mut space = Keyspace::new();
    let mut watch = space.watching("/k", false, true, 0);
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    let mut context = Context::from_waker(&waker);
    {
        let mut next = pin!(watch.next());
        assert!(next.as_mut().poll(&mut context).is_pending());
        space.ok(set_op("/k", "v"));
        assert_eq!(bell.0.load(Ordering::Relaxed), 1);
    }
    let mut next = pin!(watch.next());
    assert!(matches!(next.as_mut().poll(&mut context), Poll::Ready(Some(event)) if event.index() == 1));
}

#[test]
fn a_dropped_watch_keeps_nothing_of_the_task_that_waited_for_it() {
    let mut space = Keyspace::new();
    let bell = Arc::new(Bell::default());
    for stream in [false, true] {
        let mut watch = space.watching("/k", false, stream, 0);
        let waker = Waker::from(Arc::clone(&bell));
        assert!(watch.poll_next(&mut Context::from_waker(&waker)).is_pending());
        drop(watch);
        drop(waker);
        assert_eq!(space.hub.held(), 1, "the hub does not know yet that it is dropped");
        assert_eq!(Arc::strong_count(&bell), 1);
    }
}

#[test]
fn all_watchers_of_a_key_are_told() {
    let mut space = Keyspace::new();
    let mut watches: Vec<_> = (0..2_000).map(|n| space.watching("/k", n % 2 == 0, n % 3 == 0, 0)).collect();
    space.ok(set_op("/k", "v"));
    assert!(watches.iter_mut().all(|watch| drained(watch).len() == 1));
    assert_eq!(space.counts().watchers, 667);
}

#[test]
fn thousands_that_leave_one_key_at_once_are_forgotten_and_the_others_stay() {
    let mut space = Keyspace::new();
    let (leaving, mut staying): (Vec<_>, Vec<_>) = (0..4_000)
        .map(|n| (n % 4 != 0, space.watching("/k", false, true, 0)))
        .partition(|(leaves, _)| *leaves);
    drop(leaving);
    assert_eq!(space.counts().watchers, 1_000);
    space.ok(set_op("/k", "v"));
    assert_eq!(space.hub.held(), 1_000);
    assert!(staying.iter_mut().all(|(_, watch)| drained(watch).len() == 1));
}

#[tokio::test]
async fn events_cross_from_the_thread_that_applies() {
    let mut space = Keyspace::new();
    let mut streams: Vec<_> = (0..8).map(|_| space.watching("/k", false, true, 0)).collect();
    let leaving: Vec<_> = (0..64).map(|_| space.watching("/k", false, true, 0)).collect();
    let writer = std::thread::spawn(move || {
        for _ in 0..90 {
            space.ok(set_op("/k", "v"));
        }
        space
    });
    drop(leaving);
    for index in 1..=90 {
        for stream in &mut streams {
            assert_eq!(stream.next().await.map(|event| event.index()), Some(index));
        }
    }
    let mut space = writer.join().expect("the writer is done");
    assert_eq!(space.counts().watchers, 8);
    space.ok(set_op("/k", "v"));
    assert_eq!(space.hub.held(), 8);
}
