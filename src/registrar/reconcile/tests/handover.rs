//! A new key is confirmed before the old key of its service is removed.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::super::actions::WriteStep;
use super::super::handover::{mark, temporary_keys};
use super::super::held::{HeldKey, KeyState, Owner};
use super::super::plan::{ActionKind, KeyAction, plan_actions};
use super::super::{ReconcilerConfig, Registration, WantedKeys};
use super::store::{RequestFate, Store};
use super::{Running, config, map, until};
use crate::registrar::settings::Lease;

/// A key, its value, and its service.
type Row<'r> = (&'r str, &'r str, &'r str);

fn registration(value: &str, service: &str) -> Registration {
    Registration {
        value: value.to_owned(),
        container: format!("{service:c<64}"),
        port: "80/tcp".to_owned(),
        address: value.to_owned(),
        service: service.to_owned(),
    }
}

fn desired(rows: &[Row<'_>]) -> WantedKeys {
    let keys = rows.iter().map(|(key, value, service)| ((*key).to_owned(), registration(value, service)));
    WantedKeys { keys: keys.collect(), complete: true, ..WantedKeys::default() }
}

/// Returns the state of a reconciler that wrote these.
fn held(rows: &[Row<'_>], now: Instant) -> BTreeMap<String, HeldKey> {
    let known = rows.iter().map(|(key, value, service)| {
        let registration = registration(value, service);
        let held = HeldKey {
            key_state: KeyState::Kept { value: registration.value.clone(), index: 7 },
            own_values: [(registration.value.clone(), Owner::of(&registration))].into(),
            owner: Owner::of(&registration),
            ..HeldKey::new(now + Duration::from_secs(5))
        };
        ((*key).to_owned(), held)
    });
    known.collect()
}

/// Returns the actions, in key order.
fn actions(wanted: &WantedKeys, held: &mut BTreeMap<String, HeldKey>, now: Instant) -> Vec<String> {
    mark(wanted, held, now);
    words(&plan_actions(wanted, held, now))
}

fn words(actions: &[KeyAction]) -> Vec<String> {
    let word = |KeyAction { key, what }: &KeyAction| match what {
        ActionKind::Write(WriteStep::Create) => format!("create {key}"),
        ActionKind::Write(WriteStep::Swap(_)) => format!("replace {key}"),
        ActionKind::Remove(_) => format!("remove {key}"),
        ActionKind::RenewOurs => format!("tend {key}"),
        other => format!("{other:?} {key}"),
    };
    actions.iter().map(word).collect()
}

#[test]
fn an_old_key_waits_for_the_new_key_of_its_own_service_only() {
    let now = Instant::now();
    let renamed = desired(&[("/web/b", "1", "s")]);
    let mut known = held(&[("/web/a", "1", "s")], now);
    assert_eq!(actions(&renamed, &mut known, now), ["create /web/b"]);
    let later = now + Duration::from_secs(6);
    assert_eq!(actions(&renamed, &mut known, later), ["create /web/b", "tend /web/a"], "it is kept alive");
    known.extend(held(&[("/web/b", "1", "s")], later));
    assert_eq!(actions(&renamed, &mut known, later), ["remove /web/a"]);

    // Its new key belongs to another service: it keeps the old one for a while, even if another service is to get that.
    let service = ("s".to_owned() + &"c".repeat(11), "80/tcp".to_owned());
    for keys in [&[][..], &[("/web/a", "2", "t")]] {
        let unplaced = WantedKeys { unplaced: [service.clone()].into(), ..desired(keys) };
        let mut known = held(&[("/web/a", "1", "s")], now);
        assert!(actions(&unplaced, &mut known, now).is_empty());
        assert_eq!(actions(&unplaced, &mut known, now + Duration::from_secs(61)).len(), 1);
    }

    // The container ended: its key is removed at once, whatever else is in progress.
    let mut known = held(&[("/web/a", "1", "s"), ("/web/x", "2", "t")], now);
    assert_eq!(
        actions(&desired(&[("/web/b", "1", "s")]), &mut known, now),
        ["create /web/b", "remove /web/x"]
    );
    assert_eq!(actions(&desired(&[]), &mut known, now), ["remove /web/a", "remove /web/x"]);
}

#[test]
fn an_old_key_waits_for_a_bounded_time() {
    let now = Instant::now();
    let at = |seconds| now + Duration::from_secs(seconds);
    let renamed = desired(&[("/web/b", "1", "s")]);
    let mut known = held(&[("/web/a", "1", "s")], now);
    actions(&renamed, &mut known, now);
    assert!(!actions(&renamed, &mut known, at(59)).contains(&"remove /web/a".to_owned()));
    assert!(actions(&renamed, &mut known, at(61)).contains(&"remove /web/a".to_owned()));

    // Its address has changed: another container may get the old one soon.
    let moved = desired(&[("/web/b", "2", "s")]);
    let mut known = held(&[("/web/a", "1", "s")], now);
    actions(&moved, &mut known, now);
    assert!(!actions(&moved, &mut known, at(9)).contains(&"remove /web/a".to_owned()));
    assert!(actions(&moved, &mut known, at(11)).contains(&"remove /web/a".to_owned()));

    // When the store rejects the new key, the old one is removed at once.
    let mut known = held(&[("/web/a", "1", "s")], now);
    let blocked = KeyState::Blocked { desired: "2".into(), why: String::new() };
    known.insert("/web/b".into(), HeldKey { key_state: blocked, ..HeldKey::new(at(5)) });
    assert_eq!(actions(&moved, &mut known, now), ["remove /web/a"]);
}

#[test]
fn a_key_changes_its_service_only_once_its_old_service_is_registered_elsewhere() {
    let now = Instant::now();
    let passed_on = desired(&[("/a", "2", "t"), ("/b", "1", "s")]);
    let mut known = held(&[("/a", "1", "s")], now);
    assert_eq!(actions(&passed_on, &mut known, now), ["create /b"]);
    assert!(temporary_keys(&passed_on, &known, now).is_empty(), "nothing goes in a circle");
    known.extend(held(&[("/b", "1", "s")], now));
    assert_eq!(actions(&passed_on, &mut known, now), ["replace /a"]);

    // Nor while the container that had it before is not inspected yet.
    let mut known = held(&[("/a", "1", "s")], now);
    known.values_mut().for_each(|held| held.before = true);
    let unknown = ["s".to_owned() + &"c".repeat(11)].into();
    let early = WantedKeys { complete: false, listed: true, unknown, ..desired(&[("/a", "2", "t")]) };
    assert!(actions(&early, &mut known, now).is_empty());
    let unlisted = WantedKeys { complete: false, ..desired(&[("/a", "2", "t")]) };
    assert!(actions(&unlisted, &mut known, now).is_empty());
    let looked_at = WantedKeys { complete: false, listed: true, ..desired(&[("/a", "2", "t")]) };
    assert_eq!(actions(&looked_at, &mut known, now), ["replace /a"]);

    // A service that is gone delays nothing.
    let mut known = held(&[("/a", "1", "s")], now);
    assert_eq!(actions(&desired(&[("/a", "2", "t")]), &mut known, now), ["replace /a"]);
}

#[test]
fn services_that_swap_their_keys_get_one_temporary_key() {
    let now = Instant::now();
    let ring = [("/a", "1", "r"), ("/b", "2", "s"), ("/c", "3", "t"), ("/d", "4", "u")];
    let turned = desired(&[("/b", "1", "r"), ("/c", "2", "s"), ("/a", "3", "t"), ("/d", "4", "u")]);
    let mut known = held(&ring, now);
    assert!(actions(&turned, &mut known, now).is_empty());
    let found = temporary_keys(&turned, &known, now);
    assert_eq!(found.len(), 1, "{found:?}");
    let (key, registration) = found.first_key_value().unwrap();
    let row = (key.as_str(), registration.value.as_str(), registration.service.as_str());
    let stood_in_for = key.split_once("~moving").unwrap().0;
    assert!(
        ring.iter().any(|(key, value, _)| *key == stood_in_for && *value == registration.value),
        "{found:?}"
    );
    known.extend(held(&[row], now));
    assert_eq!(actions(&turned, &mut known, now), [format!("replace {stood_in_for}")]);
}

/// After a crash during the handover of a key, the list has two values for it: neither service may be lost.
#[test]
fn a_key_of_an_unknown_service_waits_for_both() {
    let now = Instant::now();
    let renamed = desired(&[("/b", "1", "s"), ("/c", "2", "t")]);
    let (first, second) = (held(&[("/a", "1", "s")], now), held(&[("/a", "2", "t")], now));
    let mut unclear = HeldKey { key_state: KeyState::Unknown, ..second["/a"].clone() };
    unclear.own_values.extend(first["/a"].own_values.clone());
    let mut known = held(&[("/b", "1", "s")], now);
    known.insert("/a".to_owned(), unclear.clone());
    assert_eq!(actions(&renamed, &mut known, now), ["create /c"], "/a may be where t is found");
    let mut known = held(&[("/c", "2", "t")], now);
    known.insert("/a".to_owned(), unclear.clone());
    assert_eq!(actions(&renamed, &mut known, now), ["create /b"], "/a may be where s is found");
    known.extend(held(&[("/b", "1", "s")], now));
    assert_eq!(actions(&renamed, &mut known, now), ["remove /a"]);

    // Once s is known to have that key, t delays nothing.
    let mut known = held(&[("/b", "1", "s")], now);
    known.insert("/a".to_owned(), HeldKey { key_state: first["/a"].key_state.clone(), ..unclear.clone() });
    assert_eq!(actions(&renamed, &mut known, now), ["create /c", "remove /a"]);

    // Nor does a service overwrite a value that may be another's: a read shows whose it is.
    let mut known = held(&[], now);
    known.insert("/a".to_owned(), HeldKey { due: now, ..unclear });
    assert_eq!(
        actions(&desired(&[("/a", "2", "t"), ("/b", "1", "s")]), &mut known, now),
        ["create /b", "tend /a"]
    );
}

/// The wait for an old address is short; that for the value that replaces it is not.
#[test]
fn waiting_for_another_value_restarts_the_timeout() {
    let now = Instant::now();
    let at = |secs| now + Duration::from_secs(secs);
    let moved = desired(&[("/web/b", "2", "s")]);
    let mut known = held(&[("/web/a", "1", "s")], now);
    assert!(!actions(&moved, &mut known, now).contains(&"remove /web/a".to_owned()));
    // The old key gets the new address, as a temporary key does.
    let waits = known["/web/a"].waits.clone();
    assert!(!waits.is_empty());
    for new in held(&[("/web/a", "2", "s")], now).into_values() {
        known.insert("/web/a".to_owned(), HeldKey { waits: waits.clone(), ..new });
    }
    assert!(!actions(&moved, &mut known, at(9)).contains(&"remove /web/a".to_owned()));
    assert!(!actions(&moved, &mut known, at(68)).contains(&"remove /web/a".to_owned()));
    assert!(actions(&moved, &mut known, at(70)).contains(&"remove /web/a".to_owned()));
}

/// The temporary key also is its service's old key, and waits as such. If it were only renewed, the cycle would stay closed
/// until the longest wait is over, and then a service would lose its only key.
#[test]
fn a_temporary_key_whose_reply_was_lost_is_written_again() {
    let now = Instant::now();
    let swapped = desired(&[("/b", "1", "r"), ("/a", "2", "s")]);
    let mut known = held(&[("/a", "1", "r"), ("/b", "2", "s")], now);
    assert!(actions(&swapped, &mut known, now).is_empty());
    let found = temporary_keys(&swapped, &known, now);
    let (key, registration) = found.first_key_value().unwrap();
    known.extend(held(&[(key, &registration.value, &registration.service)], now));
    known.get_mut(key).unwrap().key_state = KeyState::Unknown;

    mark(&swapped, &mut known, now);
    assert!(known[key].waits(now), "it is an old key of its service");
    let mut with = swapped.clone();
    with.keys.extend(found.clone());
    let doing = words(&plan_actions(&with, &known, now));
    assert!(doing.contains(&format!("create {key}")), "{doing:?}");
}

fn long() -> ReconcilerConfig {
    ReconcilerConfig { lease: Lease { ttl: Some(Duration::from_secs(60)), ..config().lease }, ..config() }
}

#[tokio::test]
async fn renamed_swapped_and_moved_services_are_registered_in_every_state_of_the_store() {
    let store = Store::new();
    let first = [("/web/a", "1", "s"), ("/web/b", "2", "t"), ("/web/c", "3", "u")];
    let reconciler = Running::start(&store, long(), desired(&first));
    until("they are there", || store.all().len() == 3).await;
    let begin = store.index();
    // Another directory, so that the old one becomes empty; two keys that swap; another value.
    let then = [("/www/a", "1", "s"), ("/web/c", "2", "t"), ("/web/b", "3", "u")];
    reconciler.wanted.send_replace(desired(&then));
    until("as desired", || store.all() == map(&[("/www/a", "1"), ("/web/c", "2"), ("/web/b", "3")])).await;
    reconciler.wanted.send_replace(desired(&[("/w3/a", "1", "s"), ("/w3/c", "2", "t"), ("/w3/b", "4", "u")]));
    until("as desired", || store.all() == map(&[("/w3/a", "1"), ("/w3/c", "2"), ("/w3/b", "4")])).await;
    let mut state: BTreeMap<String, String> = map(&[("/web/a", "1"), ("/web/b", "2"), ("/web/c", "3")]);
    let mut seen = 0;
    for event in store.events_since(begin) {
        seen += 1;
        match event.1 {
            Some(ref value) => state.insert(event.0.clone(), value.clone()),
            None => state.remove(&event.0),
        };
        let has = |value: &str| state.values().any(|there| there == value);
        assert!(has("1") && has("2") && (has("3") || has("4")), "after {event:?}: {state:?}");
    }
    assert!(seen >= 12, "only {seen} events");
    until("emptied directories go", || !store.has("/web") && !store.has("/www")).await;
    assert_eq!(store.directories().await, ["/w3"]);
}

#[tokio::test]
async fn a_delayed_or_refused_new_key_keeps_the_old_one_alive() {
    let store = Store::new();
    let reconciler = Running::start(&store, config(), desired(&[("/web/a", "1", "s")]));
    until("it is there", || store.has("/web/a")).await;
    let (since, same) = (store.index(), store.get("/web/a").await.node.created);
    store.guard(|request| {
        if request.contains("/web/b") && request.starts_with("PUT") {
            RequestFate::Say(503, String::new())
        } else {
            RequestFate::Open
        }
    });
    reconciler.wanted.send_replace(desired(&[("/web/b", "1", "s")]));
    let begun = Instant::now();
    while begun.elapsed() < 2 * config().lease.ttl.unwrap() {
        assert!(store.has("/web/a"), "gone after {:?}", begun.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(store.get("/web/a").await.node.created, same, "it was never away");
    // Another owner has the new key.
    store.set("/web/b", "theirs").await;
    store.open();
    until("that is said", || reconciler.kept("/web/b").is_some_and(|(held, _)| !held)).await;
    let begun = Instant::now();
    while begun.elapsed() < 2 * config().lease.ttl.unwrap() {
        assert!(store.has("/web/a"), "gone after {:?}", begun.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    store.delete("/web/b").await;
    until("as desired", || store.all() == map(&[("/web/b", "1")])).await;
    assert!(store.index() > since);
    // When a container ends, its key is removed, also while the new key is rejected.
    store.guard(|request| {
        if request.contains("/web/c") { RequestFate::Say(503, String::new()) } else { RequestFate::Open }
    });
    reconciler.wanted.send_replace(desired(&[("/web/c", "1", "s")]));
    until("it is tried", || store.seen().iter().any(|request| request.contains("/web/c"))).await;
    reconciler.wanted.send_replace(desired(&[]));
    until("it goes", || !store.has("/web/b")).await;
}

/// A service is renamed and renamed back while its old key is being deleted.
#[tokio::test]
async fn a_service_restored_during_the_removal_of_its_old_key_is_registered_in_every_state() {
    let store = Store::new();
    let reconciler = Running::start(&store, long(), desired(&[("/web/a", "1", "s")]));
    until("it is there", || store.has("/web/a")).await;
    let begin = store.index();
    store.guard(|request| {
        if request.starts_with("DELETE") {
            RequestFate::Slow(Duration::from_millis(300))
        } else {
            RequestFate::Open
        }
    });
    reconciler.wanted.send_replace(desired(&[("/web/b", "1", "s")]));
    until("its removal is under way", || {
        store.seen().iter().any(|request| request.starts_with("DELETE /v2/keys/web/a"))
    })
    .await;
    reconciler.wanted.send_replace(desired(&[("/web/a", "1", "s")]));
    until("as desired", || store.all() == map(&[("/web/a", "1")]) && store.index() > begin + 3).await;
    let mut state = map(&[("/web/a", "1")]);
    for event in store.events_since(begin) {
        match event.1 {
            Some(ref value) => state.insert(event.0.clone(), value.clone()),
            None => state.remove(&event.0),
        };
        assert!(!state.is_empty(), "after {event:?}");
    }
}

#[tokio::test]
async fn with_another_configuration_the_next_run_writes_its_keys_before_it_deletes_the_old_ones() {
    let store = Store::new();
    let old = Running::start(&store, long(), desired(&[("/old/a", "1", "s"), ("/old/b", "2", "t")]));
    until("they are there", || store.all().len() == 2).await;
    until("and on the list", || {
        store.value("/_retune/owned/h1/s").is_some_and(|list| list.contains("/old/b"))
    })
    .await;
    old.crash().await;
    let begin = store.index();
    // Also through another port of the same container: of the old key only the container is known.
    let mut other = desired(&[("/new/a", "1", "s"), ("/new/b", "2", "t")]);
    other.keys.get_mut("/new/b").unwrap().port = "8080/tcp".into();
    store.guard(|request| {
        if request.starts_with("PUT") && request.contains("/new/") {
            RequestFate::Slow(Duration::from_millis(300))
        } else {
            RequestFate::Open
        }
    });
    let _new = Running::start(&store, long(), other);
    until("as desired", || store.all() == map(&[("/new/a", "1"), ("/new/b", "2")])).await;
    let mut state = map(&[("/old/a", "1"), ("/old/b", "2")]);
    for event in store.events_since(begin) {
        match event.1 {
            Some(ref value) => state.insert(event.0.clone(), value.clone()),
            None => state.remove(&event.0),
        };
        let has = |value: &str| state.values().any(|there| there == value);
        assert!(has("1") && has("2"), "after {event:?}: {state:?}");
    }
}
