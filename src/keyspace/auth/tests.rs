//! Users and roles: the effect of changes, the permissions of roles, and the byte forms.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn user(name: &str, hash: &str, roles: &[&str]) -> Change {
    let (name, hash) = (name.to_owned(), (!hash.is_empty()).then(|| hash.to_owned()));
    let roles = (!roles.is_empty()).then(|| texts(roles));
    Change::PutUser { name, hash, roles, grant: vec![], revoke: vec![] }
}

fn regrant(name: &str, grant: &[&str], revoke: &[&str]) -> Change {
    let (grant, revoke) = (texts(grant), texts(revoke));
    Change::PutUser { name: name.to_owned(), hash: None, roles: None, grant, revoke }
}

fn permissions(read: &[&str], write: &[&str]) -> Role {
    let list = |patterns: &[&str]| (!patterns.is_empty()).then(|| texts(patterns));
    Role { read: list(read), write: list(write) }
}

fn role(name: &str, read: &[&str], write: &[&str]) -> Change {
    let (name, permissions) = (name.to_owned(), permissions(read, write));
    Change::PutRole { name, permissions, grant: None, revoke: None }
}

fn with(changes: &[Change]) -> Auth {
    let mut auth = Auth::default();
    for change in changes {
        auth.apply(change).result.unwrap_or_else(|refused| panic!("{change:?}: {refused:?}"));
    }
    auth
}

fn read(key: &str) -> KeyAccess<'_> {
    KeyAccess { key: key.as_bytes(), mode: AccessMode::Read, recursive: false }
}

#[test]
fn a_pattern_allows_what_it_spells_and_with_a_star_what_begins_so() {
    let auth = with(&[role("r", &["/a/*", "/b"], &["/w*"]), user("u", "h", &["missing", "r"])]);
    let user = auth.user("u").unwrap();
    for (key, one, below) in [
        ("/a/", true, true),
        ("/a", false, false),
        ("/a/b/c", true, true),
        ("/b", true, false),
        ("/b/", false, false),
        ("/bc", false, false),
        ("/w", false, false),
        ("", false, false),
    ] {
        assert_eq!(auth.allows(user, read(key)), one, "{key}");
        assert_eq!(auth.allows(user, KeyAccess { recursive: true, ..read(key) }), below, "all of {key}");
    }
    let write = |key| KeyAccess { mode: AccessMode::Write, ..read(key) };
    assert!(auth.allows(user, write("/wide")));
    assert!(!auth.allows(user, write("/b")));
}

#[test]
fn nobody_may_anything_without_a_role_that_allows_it_and_root_may_all() {
    let auth = with(&[user("root", "h", &[]), user("none", "h", &[]), user("lost", "h", &["gone"])]);
    for (name, may) in [("root", true), ("none", false), ("lost", false)] {
        let asked = KeyAccess { recursive: true, ..read("") };
        assert_eq!(auth.allows(auth.user(name).unwrap(), asked), may, "{name}");
    }
    assert!(!auth.allows_guests(read("/a")));
    let auth = with(&[user("root", "h", &[]), role("guest", &["/a"], &[]), Change::Enable]);
    assert!(
        auth.allows_guests(KeyAccess { recursive: true, ..read("/a") }),
        "guests are measured by the key alone"
    );
    assert!(!auth.allows_guests(read("/b")));
}

#[test]
fn an_empty_pattern_allows_nothing() {
    let auth = with(&[role("r", &[""], &[""]), user("u", "h", &["r"])]);
    assert!(!auth.allows(auth.user("u").unwrap(), read("")));
}

#[test]
fn without_a_user_root_nobody_turns_it_on_and_while_it_is_on_root_stays() {
    let mut auth = Auth::default();
    assert_eq!(auth.apply(&Change::Enable).result, Err(ChangeError::NoRootUser));
    let mut auth = with(&[user("root", "h", &[]), Change::Enable]);
    assert!(auth.enabled());
    assert_eq!(auth.role(GUEST), Some(permissions(&["/*"], &["/*"])));
    assert_eq!(auth.apply(&Change::DeleteUser("root".into())).result, Err(ChangeError::RootUser));
    assert_eq!(auth.apply(&Change::Enable).result, Err(ChangeError::AlreadyEnabled));
    auth.apply(&Change::Disable).result.unwrap();
    assert_eq!(auth.apply(&Change::Disable).result, Err(ChangeError::AlreadyDisabled));
    auth.apply(&Change::DeleteUser("root".into())).result.unwrap();
}

#[test]
fn writes_are_counted_as_etcd_makes_them() {
    let mut auth = Auth::default();
    let mut count = |change: Change| auth.apply(&change).writes;
    assert_eq!(count(user("u", "", &[])), 0, "no password, no writes");
    assert_eq!(count(regrant("u", &["r"], &[])), 0, "nobody to grant to");
    assert_eq!(count(Change::DeleteUser("u".into())), 4, "its directories are made, whatever comes of it");
    assert_eq!(count(user("root", "h", &[])), 1);
    assert_eq!(count(Change::Enable), 2, "the guest role is made too");
    assert_eq!(count(Change::Enable), 0);
    assert_eq!(count(Change::Disable), 1);
    assert_eq!(count(Change::Enable), 1);
    assert_eq!(count(role("root", &["/a"], &[])), 0);
    assert_eq!(count(role("r", &["/a"], &[])), 1);
    assert_eq!(count(role("r", &["/a"], &[])), 0);
}

#[test]
fn a_list_that_becomes_sorted_is_a_change_and_one_that_stays_is_none() {
    let mut auth = with(&[user("u", "h", &["b", "a", "b"])]);
    let roles = |auth: &Auth| auth.user("u").unwrap().roles.clone();
    assert_eq!(roles(&auth), Some(texts(&["b", "a", "b"])));
    auth.apply(&user("u", "", &[])).result.unwrap();
    assert_eq!(roles(&auth), Some(texts(&["a", "b"])));
    assert_eq!(auth.apply(&user("u", "", &[])).result, Err(ChangeError::UserUnchanged));
    assert_eq!(auth.apply(&regrant("u", &["a"], &[])).result, Err(ChangeError::RoleHeld("a".into())));
    assert_eq!(auth.apply(&regrant("u", &[], &["c"])).result, Err(ChangeError::RoleNotHeld("c".into())));
    assert_eq!(auth.apply(&regrant("u", &["c"], &["c"])).result, Err(ChangeError::UserUnchanged));
}

#[test]
fn the_user_root_keeps_the_role_root() {
    let mut auth = with(&[user("root", "h", &["a"])]);
    let revoked = auth.apply(&regrant("root", &[], &["root"])).result;
    assert_eq!(revoked, Ok(Changed::User { roles: Some(texts(&["a"])), created: false }));
    assert!(auth.user("root").unwrap().holds(ROOT));
    assert_eq!(
        auth.apply(&regrant("root", &["root"], &[])).result,
        Err(ChangeError::RoleHeld("root".into()))
    );
}

#[test]
fn a_refused_change_changes_nothing() {
    let mut random = StdRng::seed_from_u64(1);
    let mut auth = Auth::default();
    let (mut refused, mut done) = (0, 0);
    for _ in 0..20_000 {
        let before = auth.clone();
        let change = any(&mut random);
        if auth.apply(&change).result.is_err() {
            refused += 1;
            auth.begun = before.begun;
            assert_eq!(auth, before, "{change:?}");
        } else {
            done += 1;
        }
    }
    assert!(refused > 2_000 && done > 2_000, "{refused} refused, {done} done");
}

#[test]
fn the_state_is_bounded() {
    let mut auth = Auth::default();
    let long = "x".repeat(60_000);
    let fits = (0..100).take_while(|at| auth.apply(&user(&format!("{at}{long}"), "h", &[])).result.is_ok());
    assert!((10..20).contains(&fits.count()));
    let grown = |auth: &mut Auth, change: &Change| auth.apply(change).result;
    assert_eq!(grown(&mut auth, &role("r", &[&long], &[])), Err(ChangeError::Full));
    let more = Change::PutRole {
        name: "r".into(),
        permissions: Role::default(),
        grant: Some(permissions(&[&long], &[])),
        revoke: None,
    };
    grown(&mut auth, &role("r", &[], &[])).unwrap();
    assert_eq!(grown(&mut auth, &more), Err(ChangeError::Full));
    assert_eq!(grown(&mut auth, &regrant(&format!("0{long}"), &[&long], &[])), Err(ChangeError::Full));
    assert!(auth.encode().len() <= MAX_BYTES + 4096);
    grown(&mut auth, &Change::DeleteUser(format!("0{long}"))).unwrap();
    grown(&mut auth, &more).unwrap();
}

#[test]
fn hashes_are_not_shown() {
    let secret = "hash-of-something";
    let auth = with(&[user("u", secret, &["r"])]);
    assert!(!format!("{auth:?} {:?}", user("u", secret, &["r"])).contains(secret));
}

const NAMES: [&str; 7] = ["root", "guest", "a", "b", "_c", "ü", ""];

fn any_list(random: &mut StdRng) -> Vec<String> {
    (0..random.random_range(0..4)).map(|_| NAMES[random.random_range(0..NAMES.len())].to_owned()).collect()
}

fn any_role(random: &mut StdRng) -> Role {
    let mut list = || random.random_bool(0.7).then(|| any_list(random));
    Role { read: list(), write: list() }
}

fn any(random: &mut StdRng) -> Change {
    let name = NAMES[random.random_range(0..NAMES.len())].to_owned();
    match random.random_range(0..20) {
        0 => Change::Enable,
        1 => Change::Disable,
        2 | 3 => Change::DeleteUser(name),
        4 | 5 => Change::DeleteRole(name),
        6..12 => Change::PutUser {
            name,
            hash: random.random_bool(0.5).then(|| format!("h{}", random.random_range(0..100))),
            roles: random.random_bool(0.5).then(|| any_list(random)),
            grant: any_list(random),
            revoke: any_list(random),
        },
        _ => Change::PutRole {
            name,
            permissions: any_role(random),
            grant: random.random_bool(0.5).then(|| any_role(random)),
            revoke: random.random_bool(0.3).then(|| any_role(random)),
        },
    }
}

fn encoded(change: &Change) -> Vec<u8> {
    let mut bytes = vec![];
    change.encode(&mut bytes);
    bytes
}

#[test]
fn a_change_comes_back_from_its_bytes_and_from_no_part_of_them() {
    let mut random = StdRng::seed_from_u64(2);
    for _ in 0..5_000 {
        let change = any(&mut random);
        let bytes = encoded(&change);
        assert_eq!(Change::decode(&bytes).as_ref(), Ok(&change));
        for length in 0..bytes.len() {
            assert!(Change::decode(&bytes[..length]).is_err(), "{length} bytes of {change:?}");
        }
        assert!(Change::decode(&[&bytes[..], &[0]].concat()).is_err());
    }
}

#[test]
fn a_state_comes_back_from_its_bytes_and_from_no_part_of_them() {
    let mut random = StdRng::seed_from_u64(3);
    let mut auth = Auth::default();
    assert!(auth.encode().len() < 8, "an empty one is small");
    for _ in 0..1_000 {
        drop(auth.apply(&any(&mut random)));
        let bytes = auth.encode();
        assert_eq!(Auth::decode(&bytes).as_ref(), Ok(&auth));
        for length in (0..bytes.len()).step_by(7) {
            assert!(Auth::decode(&bytes[..length]).is_err(), "{length} bytes");
        }
        assert!(Auth::decode(&[&bytes[..], &[0]].concat()).is_err());
    }
}

#[test]
fn bytes_have_one_meaning_and_a_meaning_has_one_spelling() {
    let mut random = StdRng::seed_from_u64(4);
    let mut auth = Auth::default();
    let mut read_back = 0;
    for _ in 0..20_000 {
        let change = any(&mut random);
        drop(auth.apply(&change));
        for mut bytes in [encoded(&change), auth.encode()] {
            for _ in 0..random.random_range(1..4) {
                let at = random.random_range(0..bytes.len());
                bytes[at] = random.random();
            }
            bytes.truncate(random.random_range(0..bytes.len() * 4).max(1));
            if let Ok(change) = Change::decode(&bytes) {
                assert_eq!(encoded(&change), bytes);
                read_back += 1;
            }
            if let Ok(auth) = Auth::decode(&bytes) {
                assert_eq!(auth.encode(), bytes);
                read_back += 1;
            }
        }
    }
    assert!(read_back > 1_000, "the mutations are not all nonsense: {read_back}");
}

#[test]
fn a_count_beyond_the_bytes_is_refused_before_room_is_made() {
    use crate::keyspace::bytes::put_varint;
    for count in [1 << 40, u64::MAX] {
        for mut bytes in [vec![1, 0], vec![1, 0, 0], vec![1, 0, 1, 1, b'a', 0]] {
            put_varint(&mut bytes, count);
            bytes.push(1);
            assert!(Auth::decode(&bytes).is_err());
        }
        let mut bytes = vec![1, 2, 1, b'a', 0];
        put_varint(&mut bytes, count);
        assert!(Change::decode(&bytes).is_err());
    }
}
