//! Watches that start in the past.

use super::*;

fn first(space: &mut Keyspace, key: &str, recursive: bool, since: u64) -> Vec<(&'static str, String, u64)> {
    drained(&mut space.watching(key, recursive, false, since))
}

#[test]
fn the_first_matching_event_from_the_given_index_on_is_sent_at_once() {
    let mut space = Keyspace::with(&["/a", "/b/c", "/a", "/b/c"]);
    assert_eq!(first(&mut space, "/a", false, 1), [told("set", "/a", 1)]);
    assert_eq!(first(&mut space, "/a", false, 2), [told("set", "/a", 3)]);
    assert_eq!(first(&mut space, "/b", true, 1), [told("set", "/b/c", 2)]);
    assert_eq!(first(&mut space, "/", true, 4), [told("set", "/b/c", 4)]);
    assert_eq!(first(&mut space, "/b", false, 1), []);
    assert_eq!(first(&mut space, "/", true, 5), []);
}

#[test]
fn without_a_match_a_watch_is_live_with_that_bound() {
    let mut space = Keyspace::with(&["/a", "/a"]);
    let mut none = space.watching("/b", false, false, 1);
    let mut future = space.watching("/a", false, false, 5);
    space.ok(set_op("/a", "v"));
    space.ok(set_op("/b", "v"));
    assert_eq!(drained(&mut none), [told("set", "/b", 4)]);
    assert_eq!(drained(&mut future), []);
    space.ok(set_op("/a", "v"));
    assert_eq!(drained(&mut future), [told("set", "/a", 5)]);
}

#[test]
fn a_thousand_slots_are_kept_and_older_indexes_are_cleared() {
    let mut space = Keyspace::with(&["/k"]);
    for _ in 0..999 {
        space.reserve();
    }
    assert_eq!(first(&mut space, "/k", false, 1), [told("set", "/k", 1)]);
    space.ok(lasting(refreshing(set_op("/k", "")), 5));
    let error = space.watch(b"/never", WatchFor { recursive: false, stream: false, since: 1 }).unwrap_err();
    assert_eq!((error.code, error.index), (Code::HistoryCleared, 1001));
    assert_eq!(error.cause, b"the requested history has been cleared [2/1]");
    assert!(space.watch(b"/never", WatchFor { recursive: false, stream: false, since: 2 }).is_ok());
    assert_eq!(space.events_since(0).count(), HISTORY_EVENTS);
    assert_eq!(
        space.events_since(1000).map(|(index, entry)| (index, entry.event().is_some())).collect::<Vec<_>>(),
        [(1001, true)]
    );
    assert_eq!(space.events_since(5000).count(), 0);
    assert_eq!(space.events_since(u64::MAX).count(), 0);
}

#[test]
fn hidden_keys_match_a_recursive_watch_of_the_past() {
    let mut space = Keyspace::with(&["/a/_h/k"]);
    assert_eq!(first(&mut space, "/a", true, 1), [told("set", "/a/_h/k", 1)]);
}

#[test]
fn a_removed_directory_matches_all_that_begins_with_its_bytes() {
    let mut space = Keyspace::with(&["/foo/x"]);
    space.ok(delete_op("/foo", false, true));
    for key in ["/foobar", "/foozzz/x", "/foo/never", "/foo"] {
        assert_eq!(first(&mut space, key, false, 2), [told("delete", "/foo", 2)], "{key}");
    }
    assert_eq!(first(&mut space, "/fo", false, 2), []);
    space.ok(lasting(set_dir_op("/bar"), 1));
    space.expire(NOW + SECOND);
    assert_eq!(first(&mut space, "/bars", false, 3), [told("expire", "/bar", 4)]);
    let mut space = Keyspace::with(&["/file"]);
    space.ok(delete_op("/file", false, false));
    assert_eq!(first(&mut space, "/files", false, 2), []);
}

#[test]
fn refreshes_never_match() {
    let mut space = Keyspace::with(&["/k"]);
    space.ok(lasting(refreshing(set_op("/k", "")), 5));
    assert_eq!(first(&mut space, "/k", false, 2), []);
    space.ok(set_op("/k", "v"));
    assert_eq!(first(&mut space, "/k", false, 2), [told("set", "/k", 3)]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_begins_in_the_past_gets_one_event_and_is_silent_for_ever() {
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
fn a_watch_says_the_index_at_which_it_was_accepted() {
    let mut space = Keyspace::with(&["/k", "/k"]);
    assert_eq!(space.watching("/k", false, false, 1).index, 2);
    assert_eq!(space.watching("/k", false, false, 0).index, 2);
    assert_eq!(Keyspace::new().watching("/k", false, false, 7).index, 0);
}
