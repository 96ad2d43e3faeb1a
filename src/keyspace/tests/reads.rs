//! Reads, counters, and the changes for a mirror.

use super::*;

#[test]
fn a_missing_key_names_the_first_missing_element_and_a_file_on_the_way_itself() {
    let space = Keyspace::with(&["/a/f"]);
    let error = |key: &str| {
        let error = space.get(key.as_bytes()).expect_err("refused");
        assert_eq!(error.index, 1);
        (error.code, String::from_utf8(error.cause).unwrap())
    };
    assert_eq!(error("/x/y/z"), refused(Code::KeyNotFound, "/x"));
    assert_eq!(error("/a/y/z"), refused(Code::KeyNotFound, "/a/y"));
    assert_eq!(error("/a/f/z/w"), refused(Code::NotADirectory, "/a/f"));
}

#[test]
fn a_view_shows_children_in_the_order_of_their_bytes_hidden_ones_too() {
    let long = format!("/d/{}", "z".repeat(300));
    let space = Keyspace::with(&["/d/b", "/d/_h/x", "/d/B", "/d/a!", "/d/a", &long]);
    let dir = space.get(b"/d").unwrap();
    let names: Vec<_> = dir.children().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
    assert_eq!(names, ["B", "_h", "a", "a!", "b", &"z".repeat(300)]);
    assert_eq!((dir.kind(), dir.value(), dir.created(), dir.modified()), (NodeKind::Dir, None, 1, 1));
    let file = space.get(b"/d/b").unwrap();
    assert_eq!((file.kind(), file.value().map(|v| &**v)), (NodeKind::File, Some(&b"v"[..])));
    assert_eq!(file.children().count(), 0);
    let root = space.get(b"/").unwrap();
    assert_eq!((root.kind(), root.created(), root.modified(), root.expires()), (NodeKind::Dir, 0, 0, None));
}

#[test]
fn counters_follow_etcd_with_its_odd_successes() {
    let mut space = Keyspace::with(&["/d/f"]);
    let refused = [
        set_op("/d", "v"),
        set_op("/d/f/x", "v"),
        create_op("/d", "v"),
        create_op("/d/f/x", "v"),
        update_op("/", ""),
        update_op("/d", "v"),
        update_op("/x", ""),
        swap_op("/", None, Some(1), "v"),
        swap_op("/d", None, Some(1), "v"),
        swap_op("/d/f", None, Some(9), "v"),
        delete_op("/", true, true),
        delete_op("/d", false, false),
        delete_op("/x", false, false),
        compare_delete_op("/d", None, Some(1)),
        compare_delete_op("/d/f", None, Some(9)),
        compare_delete_op("/x", None, Some(9)),
    ];
    for operation in refused {
        space.no(operation);
    }
    assert!(space.get(b"/d").is_ok() && space.get(b"/x").is_err());
    space.note_get(false);
    let watch = space.watching("/", true, false, 0);
    assert_eq!(
        space.counts(),
        Counts {
            gets_success: 1,
            gets_fail: 2,
            sets_success: 1,
            sets_fail: 3,
            create_success: 0,
            create_fail: 2,
            update_success: 2,
            update_fail: 1,
            compare_and_swap_success: 1,
            compare_and_swap_fail: 2,
            delete_success: 1,
            delete_fail: 2,
            compare_and_delete_success: 2,
            compare_and_delete_fail: 1,
            expire_count: 0,
            watchers: 1,
        }
    );
    drop(watch);
    assert_eq!(space.counts().watchers, 0);
}

#[test]
fn changes_name_each_key_once_with_made_parents_refreshes_and_removed_subtrees() {
    let sorted = |space: &mut Keyspace| {
        let Changes { mut removed, mut touched, .. } = space.take_changes();
        removed.sort();
        touched.sort();
        let texts = |keys: Vec<Key>| {
            keys.iter().map(|key| String::from_utf8_lossy(key).into_owned()).collect::<Vec<_>>()
        };
        (texts(removed), texts(touched))
    };
    let none: [&str; 0] = [];
    let mut space = Keyspace::with(&["/a/b/c", "/a/b/c", "/a/d"]);
    let (removed, touched) = sorted(&mut space);
    assert_eq!(removed, none);
    assert_eq!(touched, ["/a", "/a/b", "/a/b/c", "/a/d"]);
    let (removed, touched) = sorted(&mut space);
    assert_eq!((removed.len(), touched.len()), (0, 0));
    space.ok(lasting(refreshing(update_op("/a/d", "")), 5));
    space.ok(lasting(update_op("/a", ""), 50));
    space.ok(delete_op("/a/b", false, true));
    space.ok(set_op("/a/b/new", "v"));
    let (removed, touched) = sorted(&mut space);
    assert_eq!(removed, ["/a/b"]);
    assert_eq!(touched, ["/a", "/a/b", "/a/b/new", "/a/d"]);
    space.expire(NOW + 5 * SECOND);
    let (removed, touched) = sorted(&mut space);
    assert_eq!((removed.len(), touched), (0, vec!["/a/d".to_owned()]));
    assert_eq!(space.record(b"/a/d"), None);
    space.expire(NOW + 50 * SECOND);
    assert_eq!(sorted(&mut space).0, ["/a"]);
}

#[test]
fn nodes_walk_parents_first_and_leave_the_root_out() {
    let space = Keyspace::with(&["/b/c/d", "/a!", "/a/x"]);
    let keys: Vec<_> = space.nodes().map(|(key, _)| String::from_utf8_lossy(&key).into_owned()).collect();
    assert_eq!(keys, ["/a", "/a/x", "/a!", "/b", "/b/c", "/b/c/d"]);
    assert_eq!(space.record(b"/"), None);
    assert!(space.nodes().all(|(key, record)| space.record(&key) == Some(record)));
}

#[test]
fn which_bytes_are_a_key() {
    for key in [&b"/"[..], b"/a", b"/a/b", b"/...", b"/a/.b", b"/ ", b"/\xff\0"] {
        assert!(is_key(key), "{key:?}");
    }
    for bad in [&b""[..], b"a", b"//", b"/a/", b"/a//b", b"/.", b"/a/..", b"/../a", b"/a/./b"] {
        assert!(!is_key(bad), "{bad:?}");
    }
    assert!(is_key(format!("/{}", "x".repeat(1 << 20)).as_bytes()));
    assert!(is_key("/x".repeat(2_000).as_bytes()));
    assert!(!is_key("/x".repeat(500_000).as_bytes()));
}

#[test]
fn a_chain_of_many_thousand_directories_needs_no_deep_stack() {
    let mut space = Keyspace::new();
    let key = "/x".repeat(2_000);
    space.ok(lasting(set_op(&key, "v"), 5));
    assert_eq!(space.nodes().count(), 2_000);
    space.ok(delete_op("/x", false, true));
    assert_eq!((space.nodes().count(), space.next_expiry()), (0, None));
    let mut node = tree::Node::dir(tree::NodeMeta::default());
    for _ in 0..200_000 {
        let mut above = tree::Node::dir(tree::NodeMeta::default());
        let tree::Node::Dir(dir) = &mut above else { unreachable!() };
        dir.insert(b"x", node);
        node = above;
    }
    drop(node);
}

#[test]
fn a_node_takes_forty_bytes() {
    assert_eq!((size_of::<tree::Node>(), size_of::<name::Name>()), (40, 24));
}

#[test]
fn what_is_no_key_is_refused_or_harmless() {
    for key in ["", "/", "x", "/a/", "//", "/a//b", "ab"] {
        let mut space = Keyspace::with(&["/a/b"]);
        for operation in
            [delete_op(key, true, true), compare_delete_op(key, None, Some(1)), update_op(key, "")]
        {
            drop(space.run(operation));
        }
        drop((space.get(key.as_bytes()).is_ok(), space.watching(key, true, true, 0)));
        assert!(space.record(b"/a/b").is_some(), "{key:?}");
    }
}
