//! Watches: queues, wakers and threads.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::*;

#[tokio::test(start_paused = true)]
async fn an_overrun_stream_returns_its_buffered_events_and_ends() {
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
fn a_stream_that_holds_16_mib_ends_with_the_next_event() {
    let mut space = Keyspace::new();
    let mut streams = [(); 2].map(|()| space.watching("/", true, true, 0));
    let mut write = |number: u32| {
        let (key, value) = (bytes(&format!("/{number}")), vec![b'x'; 2 << 20].into());
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

const LARGE: usize = 64 << 10;

fn large_op(key: &str) -> Operation {
    let (key, value) = (bytes(key), vec![b'x'; LARGE].into());
    Operation::Create { key, dir: false, value, expires: None, in_order: true }
}

#[tokio::test]
async fn all_queues_together_are_bounded_and_the_slowest_watch_ends() {
    let mut space = Keyspace::new();
    space.hub.deliveries.set_max_bytes(20 * LARGE);
    let [mut slow, mut slower, mut fast] = ["/a", "/b", "/c"].map(|key| space.watching(key, true, true, 0));
    for key in ["/b", "/a"] {
        for _ in 0..10 {
            space.ok(large_op(key));
            space.ok(large_op("/c"));
            assert!(fast.next().await.is_some(), "what is read takes no memory");
        }
    }
    assert!(space.hub.deliveries.usage().0 <= 20 * LARGE);
    for _ in 0..5 {
        assert!(slow.next().await.is_some(), "a late reader of events that are still held");
    }
    assert!(slower.next().await.is_none(), "its oldest event was dropped");
    assert_eq!(space.counts().watchers, 2);
    space.ok(large_op("/b"));
    assert!(slower.next().await.is_none() && slower.ready().is_none(), "no event after a lost one");
    space.ok(large_op("/c"));
    assert!(fast.next().await.is_some());
    drop((slow, slower, fast));
    assert_eq!(space.hub.deliveries.usage().0, 0);
}

#[test]
fn an_event_counts_once_however_many_watches_hold_it() {
    let mut space = Keyspace::new();
    let mut watches: Vec<_> = (0..1_000).map(|_| space.watching("/a", true, false, 0)).collect();
    let index = space.ok(large_op("/a")).index();
    let old: Vec<_> = (0..1_000).map(|_| space.watching("/a", true, false, index)).collect();
    assert!(space.hub.deliveries.usage().0 < 2 * LARGE);
    assert!(watches.iter_mut().all(|watch| drained(watch).len() == 1));
    drop(old);
    assert_eq!(space.hub.deliveries.usage().0, 0);
}

#[test]
fn events_that_were_read_leave_no_trace_behind_one_that_was_not() {
    let mut space = Keyspace::new();
    let mut all = [space.watching("/a", false, false, 0), space.watching("/b", false, true, 0)];
    space.ok(set_op("/a", "v"));
    for _ in 0..5_000 {
        space.ok(set_op("/b", "v"));
        assert!(all[1].ready().is_some());
    }
    let (bytes, references) = space.hub.deliveries.usage();
    assert!(bytes < 4096 && references < 2_000, "{bytes} bytes, {references} references");
    assert!(all[0].ready().is_some());
}

#[test]
fn a_dropped_watch_is_not_counted_and_is_removed_by_the_next_registration() {
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
struct WakeCounter(AtomicUsize);

impl Wake for WakeCounter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_waiting_task_is_woken_and_a_cancelled_wait_loses_no_event() {
    let mut space = Keyspace::new();
    let mut watch = space.watching("/k", false, true, 0);
    let bell = Arc::new(WakeCounter::default());
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
fn a_dropped_watch_keeps_no_waker() {
    let mut space = Keyspace::new();
    let bell = Arc::new(WakeCounter::default());
    for stream in [false, true] {
        let mut watch = space.watching("/k", false, stream, 0);
        let waker = Waker::from(Arc::clone(&bell));
        assert!(watch.poll_next(&mut Context::from_waker(&waker)).is_pending());
        drop(watch);
        drop(waker);
        assert!(
            space.has_dropped_watches() && space.hub.held() == 1,
            "the hub does not know yet that it is dropped"
        );
        assert_eq!(Arc::strong_count(&bell), 1);
        space.remove_dropped_watches();
        assert!(!space.has_dropped_watches() && space.hub.held() == 0);
    }
}

#[test]
fn all_watchers_of_a_key_are_notified() {
    let mut space = Keyspace::new();
    let mut watches: Vec<_> = (0..2_000).map(|n| space.watching("/k", n % 2 == 0, n % 3 == 0, 0)).collect();
    space.ok(set_op("/k", "v"));
    assert!(watches.iter_mut().all(|watch| drained(watch).len() == 1));
    assert_eq!(space.counts().watchers, 667);
}

#[test]
fn thousands_of_dropped_watches_of_one_key_are_removed_and_the_others_stay() {
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
async fn events_reach_other_threads_from_the_applying_one() {
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

#[tokio::test(start_paused = true)]
async fn a_stream_that_begins_in_the_past_gets_one_event_and_no_more() {
    let mut space = Keyspace::with(&["/k", "/k"]);
    let mut stream = space.watching("/k", false, true, 1);
    assert_eq!(space.counts().watchers, 0);
    space.ok(set_op("/k", "v"));
    assert_eq!(stream.next().await.map(|event| event.index()), Some(1));
    let silent = tokio::time::timeout(std::time::Duration::from_secs(3600), stream.next()).await;
    assert!(silent.is_err());
    let mut once = space.watching("/k", false, false, 1);
    assert!(once.next().await.is_some() && once.next().await.is_none());
}

#[test]
fn a_watch_returns_the_index_at_which_it_was_accepted() {
    let mut space = Keyspace::with(&["/k", "/k"]);
    assert_eq!(space.watching("/k", false, false, 1).index, 2);
    assert_eq!(space.watching("/k", false, false, 0).index, 2);
    assert_eq!(Keyspace::new().watching("/k", false, false, 7).index, 0);
}

#[test]
fn the_window_has_a_thousand_slots_with_and_without_an_event() {
    let mut space = Keyspace::with(&["/k"]);
    for _ in 0..999 {
        space.reserve();
    }
    space.ok(set_op("/k", "v"));
    let slots = |since| space.events_since(since).map(|(index, entry)| (index, entry.event().is_some()));
    assert_eq!(slots(0).count(), HISTORY_EVENTS);
    assert_eq!(slots(1000).collect::<Vec<_>>(), [(1001, true)]);
    assert_eq!((slots(5000).count(), slots(u64::MAX).count()), (0, 0));
}
