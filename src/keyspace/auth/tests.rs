//! Users and roles: the effect of changes, the permissions of roles, and the byte forms.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::keyspace::tests::golden::{Words, play_all};

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

/// Splits `a,b`; nothing is one empty text.
fn list(words: &mut Words, name: &str) -> Option<Vec<String>> {
    words.option(name).map(|list: String| list.split(',').map(str::to_owned).collect())
}

/// The commands of the scripts. `writes: 2` is by how much the index rises.
fn run(auth: &mut Auth, words: &mut Words) -> String {
    let command = words.next();
    let change = match command.as_str() {
        "may" => return may(auth, words),
        "show" => return format!("{:?}", auth.user(&words.next())),
        "show-role" => return format!("{:?}", auth.role(&words.next())),
        "enable" => Change::Enable,
        "disable" => Change::Disable,
        "delete-user" => Change::DeleteUser(words.next()),
        "user" => Change::PutUser {
            name: words.next(),
            hash: words.flag("password").then(|| "h".to_owned()),
            roles: list(words, "roles"),
            grant: list(words, "grant").unwrap_or_default(),
            revoke: list(words, "revoke").unwrap_or_default(),
        },
        "role" => Change::PutRole {
            name: words.next(),
            permissions: Role { read: list(words, "read"), write: list(words, "write") },
            grant: None,
            revoke: None,
        },
        _ => words.wrong("no such command"),
    };
    let before = auth.clone();
    let ChangeOutcome { result, writes } = auth.apply(&change);
    if result.is_err() {
        assert_eq!(Auth { begun: before.begun, ..auth.clone() }, before, "a refusal changes nothing");
    }
    let result = result.map_or_else(|refused| format!("refused: {refused:?}"), |done| format!("{done:?}"));
    format!("{result}, writes: {writes}")
}

/// Whether a user, or `guest` without an account, may have access to each key.
fn may(auth: &Auth, words: &mut Words) -> String {
    let (name, recursive) = (words.next(), words.flag("recursive"));
    let mode = if words.flag("write") { AccessMode::Write } else { AccessMode::Read };
    let (yes, no): (Vec<_>, Vec<_>) = list(words, "keys").unwrap_or_default().into_iter().partition(|key| {
        let asked = KeyAccess { key: key.as_bytes(), mode, recursive };
        auth.user(&name).map_or_else(|| auth.allows_guests(asked), |user| auth.allows(user, asked))
    });
    format!("yes {yes:?}, no {no:?}")
}

#[test]
fn scripts() {
    play_all("keyspace/auth/scripts", run);
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
fn a_change_round_trips_and_no_truncation_of_it_decodes() {
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
fn a_state_round_trips_and_no_truncation_of_it_decodes() {
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
fn the_encoding_is_canonical() {
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
fn a_count_larger_than_the_input_is_refused_before_allocating() {
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
