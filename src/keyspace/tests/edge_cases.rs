//! What no script can say: raw bytes, extreme times, size and depth.

use super::*;

#[test]
fn an_expiration_before_2000_is_ignored_by_set_and_immediate_for_update() {
    let mut space = Keyspace::new();
    for past in [Time::MIN, -1, 0, time::MIN_EXPIRATION - 1] {
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
    let past = time::MIN_EXPIRATION - 1;
    let operation =
        Operation::Update { key: bytes("/k"), value: bytes("w"), expires: Some(past), refresh: false };
    assert_eq!(space.ok(operation).node.expires, Some(past));
    assert_eq!(space.expire(NOW), 1);
}

#[test]
fn keys_and_values_are_raw_bytes() {
    let mut space = Keyspace::new();
    let long = format!("/{}", "z".repeat(300));
    for key in [&b"/\xff"[..], b"/\xfe", b"/a b?#%\0\n", b"/.hidden", b"/...", long.as_bytes()] {
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
    assert_eq!(space.listing().len(), 6);
}

#[test]
fn valid_key_bytes_are_accepted() {
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
fn thousands_of_nested_directories_need_no_deep_stack() {
    let mut space = Keyspace::new();
    let key = "/x".repeat(2_000);
    space.ok(lasting(set_op(&key, "v"), 5));
    assert_eq!(space.nodes().count(), 2_000);
    space.ok(delete_op("/x", false, true));
    assert_eq!((space.nodes().count(), space.next_expiry()), (0, None));
    let mut node = tree::TreeNode::dir(tree::NodeMeta::default());
    for _ in 0..200_000 {
        let mut above = tree::TreeNode::dir(tree::NodeMeta::default());
        let tree::TreeNode::Dir(dir) = &mut above else { unreachable!() };
        dir.insert(b"x", node);
        node = above;
    }
    let mut nodes = 0;
    let counted: Result<(), ()> = bottom_up::bottom_up(&node, |_, _| {
        nodes += 1;
        Ok(())
    });
    assert_eq!((counted, nodes), (Ok(()), 200_000));
    drop(node);
}

#[test]
fn the_changes_of_a_deep_key_take_its_length_and_name_every_new_directory() {
    let mut space = Keyspace::new();
    let key = "/x".repeat(2_000);
    space.ok(set_op(&key, "v"));
    assert!(space.changed() >= 2_000, "so many nodes that the mirror is soon written");
    let changes = space.take_changes();
    assert_eq!((changes.written.len(), changes.removed.len(), space.changed()), (1, 0, 0));
    let (mut nodes, mut names) = (0, 0);
    space.each_written(&changes, |place, record| {
        assert_eq!((place.parent.depth, record.created), (nodes, 1));
        assert_eq!(record.dir, nodes < 1_999);
        (nodes, names) = (nodes + 1, names + place.name.len());
    });
    assert_eq!((nodes, names), (2_000, 2_000), "each node costs its name, not its path");
    // Of directories that were there before, nothing is written again.
    space.ok(set_op(&format!("{}/y/z", &key[..key.len() - 2]), "v"));
    let (changes, mut written) = (space.take_changes(), vec![]);
    space.each_written(&changes, |place, _| written.push((place.parent.depth, place.name.to_vec())));
    assert_eq!(written, [(1_999, b"y".to_vec()), (2_000, b"z".to_vec())]);
    space.ok(delete_op("/x", false, true));
    let changes = space.take_changes();
    let removed = RemovedNode { parent: DirId::ROOT, name: b"x"[..].into(), dir: Some(DirId::ROOT.child(1)) };
    assert_eq!((changes.removed, changes.written.len()), (vec![removed], 0));
}

#[test]
fn a_node_takes_forty_bytes() {
    assert_eq!((size_of::<tree::TreeNode>(), size_of::<name::NodeName>()), (40, 24));
}

#[test]
fn an_invalid_key_is_refused_or_harmless() {
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
