//! The checks and the effect of each operation.

use super::*;

#[test]
fn set_makes_a_file_and_its_parents_with_the_new_index() {
    let mut space = Keyspace::new();
    let event = space.ok(set_op("/a/b/c", "v"));
    assert_eq!(text(&event), told("set", "/a/b/c", 1));
    assert!(event.prev.is_none());
    for key in ["/a", "/a/b"] {
        let dir = space.node(key);
        assert_eq!((dir.dir, dir.created, dir.modified, dir.expires), (true, 1, 1, None), "{key}");
    }
    space.ok(set_op("/a/b/d", "v"));
    assert_eq!(space.node("/a/b").modified, 1, "a parent is not modified again");
}

#[test]
fn set_replaces_a_file_with_new_indexes_and_shows_what_was() {
    let mut space = Keyspace::with(&["/k"]);
    let event = space.ok(set_op("/k", "w"));
    assert_eq!((event.node.created, event.node.modified), (2, 2));
    assert_eq!(event.node.value.as_deref(), Some(&b"w"[..]));
    let prev = event.prev.as_ref().unwrap();
    assert_eq!((prev.value.as_deref(), prev.created, prev.modified), (Some(&b"v"[..]), 1, 1));
    assert_eq!(space.node("/k").created, 2);
}

#[test]
fn set_of_a_directory_replaces_a_file_and_no_directory() {
    let mut space = Keyspace::with(&["/k"]);
    let event = space.ok(set_dir_op("/k"));
    assert!(event.node.dir && event.node.value.is_none() && !event.prev.as_ref().unwrap().dir);
    assert!(space.node("/k").dir);
    assert_eq!(space.no(set_dir_op("/k")), refused(Code::NotAFile, "/k"));
    assert_eq!(space.no(set_op("/k", "v")), refused(Code::NotAFile, "/k"));
    assert_eq!(space.no(refreshing(set_op("/k", ""))), refused(Code::NotAFile, "/k"));
}

#[test]
fn set_refuses_the_root_and_what_lies_below_a_file() {
    let mut space = Keyspace::with(&["/f"]);
    assert_eq!(space.no(set_op("/", "v")), refused(Code::RootReadOnly, "/"));
    assert_eq!(space.no(refreshing(set_op("/", ""))), refused(Code::RootReadOnly, "/"));
    assert_eq!(space.no(set_op("/f/x/y", "v")), refused(Code::NotADirectory, "/f"));
    assert_eq!(space.no(refreshing(set_op("/f/x", ""))), refused(Code::NotADirectory, "/f"));
}

#[test]
fn create_refuses_what_exists_the_root_and_what_lies_below_a_file() {
    let mut space = Keyspace::with(&["/d/f"]);
    assert_eq!(space.no(create_op("/d/f", "v")), refused(Code::KeyExists, "/d/f"));
    assert_eq!(space.no(create_op("/d", "v")), refused(Code::KeyExists, "/d"));
    assert_eq!(space.no(create_op("/", "v")), refused(Code::RootReadOnly, "/"));
    assert_eq!(space.no(create_op("/d/f/x/y", "v")), refused(Code::NotADirectory, "/d/f"));
    let event = space.ok(create_op("/n/m", "v"));
    assert_eq!(text(&event), told("create", "/n/m", 2));
    assert!(event.prev.is_none());
}

#[test]
fn in_order_creates_are_named_by_the_new_index_in_twenty_digits() {
    let mut space = Keyspace::with(&["/f"]);
    let post = |key: &str, dir| Operation::Create {
        key: bytes(key),
        dir,
        value: bytes("job"),
        expires: None,
        in_order: true,
    };
    let event = space.ok(post("/q/deep", false));
    assert_eq!(text(&event), told("create", "/q/deep/00000000000000000002", 2));
    assert_eq!(event.node.created, 2);
    assert_eq!(&*space.ok(post("/", true)).key, b"/00000000000000000003");
    assert!(space.node("/00000000000000000003").dir);
    assert_eq!(space.no(post("/f", false)), refused(Code::NotADirectory, "/f"));
    space.ok(set_op("/q/00000000000000000005", "taken"));
    assert_eq!(space.no(post("/q", false)), refused(Code::KeyExists, "/q/00000000000000000005"));
}

#[test]
fn update_keeps_created_and_empties_a_value_that_is_not_given() {
    let mut space = Keyspace::with(&["/k"]);
    let event = space.ok(update_op("/k", ""));
    assert_eq!((event.node.created, event.node.modified), (1, 2));
    assert_eq!(event.node.value.as_deref(), Some(&b""[..]));
    assert_eq!(event.prev.as_ref().unwrap().value.as_deref(), Some(&b"v"[..]));
    assert_eq!((space.node("/k").created, space.node("/k").modified), (1, 2));
}

#[test]
fn update_refuses_the_root_the_missing_and_a_value_for_a_directory() {
    let mut space = Keyspace::with(&["/d/f"]);
    assert_eq!(space.no(update_op("/", "")), refused(Code::RootReadOnly, "/"));
    assert_eq!(space.no(update_op("/x/y", "")), refused(Code::KeyNotFound, "/x"));
    assert_eq!(space.no(update_op("/d/x/y", "")), refused(Code::KeyNotFound, "/d/x"));
    assert_eq!(space.no(update_op("/d/f/x", "")), refused(Code::NotADirectory, "/d/f"));
    assert_eq!(space.no(update_op("/d", "v")), refused(Code::NotAFile, "/d"));
}

#[test]
fn update_of_a_directory_shows_a_modified_index_that_is_not_stored() {
    let mut space = Keyspace::with(&["/d/f"]);
    let event = space.ok(lasting(update_op("/d", ""), 10));
    assert_eq!((event.node.dir, event.node.modified, event.node.ttl), (true, 2, 10));
    assert_eq!((space.node("/d").modified, space.node("/d").expires), (1, Some(NOW + 10 * SECOND)));
    let event = space.ok(update_op("/d", ""));
    let prev = event.prev.as_ref().unwrap();
    assert_eq!((prev.modified, prev.ttl, event.node.modified, event.node.ttl), (1, 10, 3, 0));
    assert_eq!((space.next_expiry(), space.node("/d/f").modified), (None, 1));
}

#[test]
fn compare_and_swap_names_each_part_that_differs() {
    let mut space = Keyspace::with(&["/d/k"]);
    let cases = [
        (Some("two"), None, "[two != v]"),
        (None, Some(70), "[70 != 1]"),
        (Some("two"), Some(70), "[two != v] [70 != 1]"),
        (Some("v"), Some(70), "[70 != 1]"),
        (Some("two"), Some(1), "[two != v]"),
    ];
    for (value, index, cause) in cases {
        assert_eq!(space.no(swap_op("/d/k", value, index, "w")), refused(Code::CompareFailed, cause));
    }
    assert_eq!(space.no(swap_op("/", None, Some(1), "w")), refused(Code::RootReadOnly, "/"));
    assert_eq!(space.no(swap_op("/d", None, Some(1), "w")), refused(Code::NotAFile, "/d"));
    assert_eq!(space.no(swap_op("/x", None, Some(1), "w")), refused(Code::KeyNotFound, "/x"));
    assert_eq!(space.no(swap_op("/d/k/x", None, Some(1), "w")), refused(Code::NotADirectory, "/d/k"));
    let event = space.ok(lasting(swap_op("/d/k", Some("v"), Some(1), "w"), 5));
    assert_eq!((event.node.created, event.node.modified, event.node.ttl), (1, 2, 5));
    assert_eq!(text(&event), told("compareAndSwap", "/d/k", 2));
    space.ok(swap_op("/d/k", Some("w"), None, "x"));
    assert_eq!(space.node("/d/k").expires, None, "a swap without TTL makes the key permanent");
}

#[test]
fn delete_of_a_file_keeps_created_and_shows_no_value() {
    let mut space = Keyspace::with(&["/d/k", "/d/l"]);
    let event = space.ok(delete_op("/d/k", false, false));
    assert_eq!(text(&event), told("delete", "/d/k", 3));
    assert_eq!((event.node.created, event.node.value.is_none(), event.node.dir), (1, true, false));
    assert_eq!(event.prev.as_ref().unwrap().value.as_deref(), Some(&b"v"[..]));
    space.ok(delete_op("/d/l", true, true));
    assert_eq!(space.node("/d").modified, 1);
}

#[test]
fn delete_of_a_directory_needs_dir_and_of_a_full_one_recursive() {
    let mut space = Keyspace::with(&["/d/_hidden"]);
    assert_eq!(space.no(delete_op("/d", false, false)), refused(Code::NotAFile, "/d"));
    assert_eq!(space.no(delete_op("/d", true, false)), refused(Code::DirectoryNotEmpty, "/d"));
    assert_eq!(space.no(delete_op("/", true, true)), refused(Code::RootReadOnly, "/"));
    assert_eq!(space.no(delete_op("/x/y", true, true)), refused(Code::KeyNotFound, "/x"));
    assert_eq!(space.no(delete_op("/d/_hidden/x", true, true)), refused(Code::NotADirectory, "/d/_hidden"));
    let event = space.ok(delete_op("/d", false, true));
    assert_eq!((event.node.dir, event.node.created, space.index()), (true, 1, 2));
    assert!(space.listing().is_empty());
    space.ok(set_dir_op("/e"));
    space.ok(delete_op("/e", true, false));
    assert!(space.listing().is_empty());
}

#[test]
fn compare_and_delete_of_the_root_has_an_empty_cause() {
    let mut space = Keyspace::with(&["/d/k"]);
    assert_eq!(space.no(compare_delete_op("/", None, Some(1))), refused(Code::NotAFile, ""));
    assert_eq!(space.no(compare_delete_op("/d", None, Some(1))), refused(Code::NotAFile, "/d"));
    assert_eq!(space.no(compare_delete_op("/x", None, Some(1))), refused(Code::KeyNotFound, "/x"));
    assert_eq!(
        space.no(compare_delete_op("/d/k", Some("x"), Some(9))),
        refused(Code::CompareFailed, "[x != v] [9 != 1]")
    );
    let event = space.ok(compare_delete_op("/d/k", Some("v"), Some(1)));
    assert_eq!(text(&event), told("compareAndDelete", "/d/k", 2));
    assert_eq!(event.node.created, 1);
}

#[test]
fn an_empty_value_and_index_zero_compare_with_nothing() {
    let mut space = Keyspace::with(&["/k"]);
    space.ok(swap_op("/k", Some(""), Some(0), "w"));
    space.ok(compare_delete_op("/k", Some(""), Some(0)));
}

#[test]
fn a_refresh_keeps_the_value_and_sets_the_ttl() {
    let mut space = Keyspace::with(&["/k", "/d/f"]);
    assert_eq!(space.no(refreshing(set_op("/x/y", ""))), refused(Code::KeyNotFound, "/x"));
    let event = space.ok(lasting(refreshing(set_op("/k", "")), 7));
    assert_eq!((event.node.created, event.node.modified, event.refresh), (3, 3, true));
    assert_eq!(event.node.value.as_deref(), Some(&b"v"[..]));
    assert_eq!(event.prev.as_ref().unwrap().created, 1);
    let event = space.ok(lasting(refreshing(update_op("/k", "")), 8));
    assert_eq!((event.node.created, event.node.modified, event.node.ttl), (3, 4, 8));
    let event = space.ok(lasting(refreshing(swap_op("/k", Some("v"), None, "")), 9));
    assert_eq!((event.node.created, event.node.value.as_deref()), (3, Some(&b"v"[..])));
    assert_eq!((space.node("/k").modified, space.node("/k").expires), (5, Some(NOW + 9 * SECOND)));
    assert!(space.ok(lasting(refreshing(update_op("/d", "")), 9)).refresh);
    assert_eq!(space.node("/d").expires, Some(NOW + 9 * SECOND));
}

#[test]
fn every_write_without_ttl_makes_a_key_permanent() {
    for operation in [set_op("/k", "w"), update_op("/k", "w"), swap_op("/k", Some("v"), None, "w")] {
        let mut space = Keyspace::new();
        space.ok(lasting(set_op("/k", "v"), 5));
        assert_eq!(space.next_expiry(), Some(NOW + 5 * SECOND));
        space.ok(operation);
        assert_eq!((space.next_expiry(), space.expire(Time::MAX)), (None, 0));
    }
}

#[test]
fn an_expiration_before_2000_is_none_for_what_is_set_and_at_once_for_what_is_updated() {
    let mut space = Keyspace::new();
    for past in [Time::MIN, -1, 0, time::EARLIEST - 1] {
        let operation = Operation::Set {
            key: bytes("/k"),
            dir: false,
            value: bytes("v"),
            expires: Some(past),
            refresh: false,
        };
        assert_eq!(space.ok(operation).node.expires, None);
    }
    assert_eq!(space.next_expiry(), None);
    let past = time::EARLIEST - 1;
    let operation =
        Operation::Update { key: bytes("/k"), value: bytes("w"), expires: Some(past), refresh: false };
    assert_eq!(space.ok(operation).node.expires, Some(past));
    assert_eq!(space.expire(NOW), 1);
}

#[test]
fn keys_expire_in_order_of_time_and_equal_times_in_the_order_of_their_bytes() {
    let mut space = Keyspace::new();
    for (key, seconds) in [("/late", 3), ("/b", 2), ("/a", 2), ("/first", 1), ("/never", 9)] {
        space.ok(lasting(set_op(key, "v"), seconds));
    }
    let mut watch = space.watching("/", true, true, 0);
    assert_eq!(space.expire(NOW + SECOND - 1), 0);
    assert_eq!(space.expire(NOW + 3 * SECOND), 4);
    let order = [("/first", 6), ("/a", 7), ("/b", 8), ("/late", 9)];
    assert_eq!(drained(&mut watch), order.map(|(key, index)| told("expire", key, index)));
    assert_eq!((space.next_expiry(), space.counts().expire_count), (Some(NOW + 9 * SECOND), 4));
}

#[test]
fn an_expiring_directory_takes_its_subtree_with_one_event() {
    let mut space = Keyspace::new();
    space.ok(lasting(set_op("/d/e/soon", "v"), 5));
    space.ok(lasting(set_op("/d/late", "v"), 50));
    space.ok(lasting(update_op("/d", ""), 5));
    let event = space.apply(&Command { at: NOW + 5 * SECOND, operation: Operation::Expire }).unwrap();
    assert_eq!(text(&event), told("expire", "/d", 4));
    let prev = event.prev.as_ref().unwrap();
    assert_eq!((event.node.dir, event.node.created, prev.dir, prev.ttl), (true, 1, true, 0));
    assert_eq!(prev.expires, Some(NOW + 5 * SECOND));
    assert_eq!((space.listing(), space.next_expiry()), (vec![], None));
    assert!(space.run(Operation::Expire).is_err());
    assert_eq!(space.index(), 4);
}

#[test]
fn the_ttl_shown_is_rounded_up_from_the_clock_of_the_command() {
    let mut space = Keyspace::new();
    let set = lasting(set_op("/k", "v"), 100);
    assert_eq!(space.apply(&Command { at: NOW, operation: set.clone() }).unwrap().node.ttl, 100);
    assert_eq!(space.apply(&Command { at: NOW + 1, operation: set.clone() }).unwrap().node.ttl, 100);
    assert_eq!(space.apply(&Command { at: NOW + SECOND, operation: set }).unwrap().node.ttl, 99);
    let later = Command { at: NOW + 104 * SECOND + 1, operation: update_op("/k", "") };
    assert_eq!(space.apply(&later).unwrap().prev.as_ref().unwrap().ttl, -4);
}

#[test]
fn a_reserved_index_is_the_next_one_and_no_event() {
    let mut space = Keyspace::new();
    assert_eq!((space.reserve(), space.reserve(), space.index()), (1, 2, 2));
    assert_eq!(space.ok(set_op("/k", "v")).index(), 3);
}

#[test]
fn keys_and_values_are_raw_bytes() {
    let mut space = Keyspace::new();
    for key in [&b"/\xff"[..], b"/\xfe", b"/a b?#%\0\n", b"/.hidden", b"/..."] {
        let operation = Operation::Set {
            key: key.into(),
            dir: false,
            value: [0xff, 0][..].into(),
            expires: None,
            refresh: false,
        };
        space.ok(operation);
        assert_eq!(space.record(key).unwrap().value.as_deref(), Some(&[0xff, 0][..]));
    }
    assert_eq!(space.listing().len(), 5);
}
