//! The pure difference, as a table and as a random walk.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::Instant;

use super::super::WantedKeys;
use super::super::actions::WriteStep;
use super::super::held::{HeldKey, KeyState, Owner};
use super::super::plan::ActionKind::{Forget, Leave, Remove, RenewOurs, Write};
use super::super::plan::{ActionKind, KeyAction, plan_actions, resume_after};
use super::desired;

fn held(key_state: KeyState, own_values: &[&str], due: Instant) -> HeldKey {
    let own_values = own_values.iter().map(|value| ((*value).to_owned(), Owner::default())).collect();
    HeldKey { key_state, own_values, ..HeldKey::new(due) }
}

fn kept(value: &str) -> KeyState {
    KeyState::Kept { value: value.into(), index: 7 }
}

fn blocked(desired: &str) -> KeyState {
    KeyState::Blocked { desired: desired.into(), why: String::new() }
}

fn action(what: ActionKind) -> KeyAction {
    KeyAction { key: "/k".to_owned(), what }
}

#[test]
fn each_pair_of_key_state_and_desired_state_has_its_one_action() {
    let now = Instant::now();
    let (past, later) = (now, now + Duration::from_secs(1));
    let key = || "/k".to_owned();
    let create = Some(Write(WriteStep::Create));
    let (forget, look) = (Some(Forget), Some(Remove(None)));
    for (what, wished, key_state, own_values, due, want) in [
        ("new", Some("1"), None, vec![], past, create),
        ("as desired", Some("1"), Some(kept("1")), vec!["1"], later, None),
        ("due", Some("1"), Some(kept("1")), vec!["1"], past, Some(Write(WriteStep::Renew(7)))),
        ("other", Some("2"), Some(kept("1")), vec!["1"], later, Some(Write(WriteStep::Swap(7)))),
        ("unknown", Some("1"), Some(KeyState::Unknown), vec!["1"], later, create),
        ("blocked", Some("1"), Some(blocked("1")), vec![], later, None),
        ("blocked, due", Some("1"), Some(blocked("1")), vec![], past, create),
        ("blocked, other", Some("2"), Some(blocked("1")), vec![], later, create),
        ("unwanted", None, Some(kept("1")), vec!["1"], later, Some(Remove(Some(7)))),
        ("unwanted, unknown", None, Some(KeyState::Unknown), vec!["1"], later, look),
        ("unwanted, theirs", None, Some(blocked("1")), vec![], later, forget),
        ("unwanted, refused", None, Some(blocked("1")), vec!["1"], later, None),
        ("unwanted, refused, due", None, Some(blocked("1")), vec!["1"], past, look),
    ] {
        let wanted = wished.map_or_else(|| desired(&[]), |value| desired(&[("/k", value)]));
        let known = key_state.map(|key_state| (key(), held(key_state, &own_values, due)));
        let actions = plan_actions(&wanted, &known.into_iter().collect(), now);
        assert_eq!(actions, want.into_iter().map(action).collect::<Vec<_>>(), "{what}");
    }
}

#[test]
fn a_key_of_an_earlier_run_is_removed_only_when_everything_was_inspected_and_a_released_one_never() {
    let now = Instant::now();
    let before = HeldKey { before: true, ..held(KeyState::Unknown, &["1"], now) };
    let known: BTreeMap<_, _> = [("/k".to_owned(), before)].into();
    let early = WantedKeys { complete: false, ..desired(&[]) };
    assert_eq!(plan_actions(&early, &known, now), [action(RenewOurs)]);
    assert_eq!(plan_actions(&early, &known, now.checked_sub(Duration::from_secs(1)).unwrap()), []);
    assert_eq!(plan_actions(&desired(&[]), &known, now), [action(Remove(None))]);
    let released = WantedKeys { released: ["/k".to_owned()].into(), ..desired(&[]) };
    assert_eq!(plan_actions(&released, &known, now), [action(Leave)]);
    let left: BTreeMap<_, _> =
        known.into_iter().map(|(key, held)| (key, HeldKey { left: Some(now), ..held })).collect();
    assert_eq!(plan_actions(&released, &left, now), [action(Forget)]);
    assert_eq!(plan_actions(&desired(&[]), &left, now.checked_sub(Duration::from_secs(1)).unwrap()), []);
    assert_eq!(
        plan_actions(&desired(&[("/k", "1")]), &left, now),
        [action(Write(WriteStep::Create))],
        "a container that came back has its key again"
    );
}

#[test]
fn keys_of_an_earlier_run_stay_while_their_container_cannot_be_inspected() {
    let now = Instant::now();
    let owner = Owner { id: "aaaabbbbcccc".into(), ..Owner::default() };
    let own_values = [("1".to_owned(), owner)].into();
    let before = HeldKey { before: true, own_values, ..HeldKey::new(now) };
    let known: BTreeMap<_, _> = [("/k".to_owned(), before)].into();
    let unknown = WantedKeys { unknown: ["aaaabbbbcccc".to_owned()].into(), ..desired(&[]) };
    assert_eq!(plan_actions(&unknown, &known, now), [action(RenewOurs)]);
}

#[test]
fn an_overdue_renewal_precedes_new_keys() {
    let now = Instant::now();
    let long_ago = now.checked_sub(Duration::from_secs(5)).unwrap();
    let known =
        [("/y", now), ("/z", long_ago)].map(|(key, due)| (key.to_owned(), held(kept("1"), &["1"], due)));
    let actions = plan_actions(&desired(&[("/a", "1"), ("/y", "1"), ("/z", "1")]), &known.into(), now);
    let keys: Vec<_> = actions.iter().map(|action| &action.key).collect();
    assert_eq!(keys, ["/z", "/a", "/y"]);
}

/// Its lease was renewed before it was known that it is wanted.
#[test]
fn a_desired_key_of_an_earlier_run_is_adopted_at_once() {
    let now = Instant::now();
    let later = now + Duration::from_secs(10);
    let before = HeldKey { before: true, ..held(kept("1"), &["1"], later) };
    let known = [("/k".to_owned(), before)].into();
    assert_eq!(plan_actions(&desired(&[("/k", "1")]), &known, now), [action(Write(WriteStep::Renew(7)))]);
}

#[test]
fn overdue_renewals_stay_in_front_when_the_next_probe_is_another_key() {
    let now = Instant::now();
    let long_ago = now.checked_sub(Duration::from_secs(5)).unwrap();
    let known = ["/y", "/z"].map(|key| (key.to_owned(), held(kept("1"), &["1"], long_ago))).into();
    let actions = plan_actions(&desired(&[("/a", "1"), ("/b", "1"), ("/y", "1"), ("/z", "1")]), &known, now);
    let after = |last_failed: &str| {
        let mut actions = actions.clone();
        resume_after(last_failed, &mut actions, &known, now);
        actions.into_iter().map(|action| action.key).collect::<Vec<_>>()
    };
    assert_eq!(after("/a"), ["/y", "/z", "/b", "/a"]);
    assert_eq!(after("/b"), ["/y", "/z", "/a", "/b"]);
    // A renewal that fails does not keep the others from being tried.
    assert_eq!(after("/y"), ["/z", "/a", "/b", "/y"]);
    assert_eq!(after("/z"), ["/a", "/b", "/y", "/z"]);
    assert_eq!(after("/gone"), ["/y", "/z", "/a", "/b"]);
}

#[test]
fn changes_visible_to_consumers_precede_renewals() {
    let now = Instant::now();
    let known = [("/a", kept("1")), ("/b", kept("1")), ("/z", kept("1"))]
        .map(|(key, key_state)| (key.to_owned(), held(key_state, &["1"], now)));
    let actions = plan_actions(&desired(&[("/a", "1"), ("/b", "2"), ("/c", "1")]), &known.into(), now);
    let keys: Vec<_> = actions.iter().map(|action| &action.key).collect();
    assert_eq!(keys, ["/b", "/c", "/z", "/a"]);
}

/// A store in a map, and a reconciler's state; each request may fail before or after it is applied.
#[derive(Default)]
struct Model {
    store: BTreeMap<String, (String, u64)>,
    held: BTreeMap<String, HeldKey>,
    index: u64,
}

impl Model {
    fn put(&mut self, key: &str, value: &str) -> u64 {
        self.index += 1;
        self.store.insert(key.to_owned(), (value.to_owned(), self.index));
        self.index
    }

    /// Applies `action` to the store and records the result; `heard`: whether the response arrived.
    fn act(&mut self, wanted: &WantedKeys, action: &KeyAction, now: Instant, heard: bool) {
        let key = action.key.clone();
        match action.what {
            Forget => {
                self.held.remove(&key);
            }
            Remove(guard) => {
                let known = &self.held[&key];
                let theirs = self.store.get(&key).is_some_and(|(value, index)| {
                    Some(*index) != guard && !known.own_values.contains_key(value)
                });
                if !theirs {
                    self.store.remove(&key);
                }
                if heard {
                    self.held.remove(&key);
                } else if let Some(known) = self.held.get_mut(&key) {
                    known.key_state = KeyState::Unknown;
                }
            }
            RenewOurs | Leave => {
                unreachable!("everything was looked at in these walks, and nothing let go")
            }
            Write(_) => {
                let value = wanted.keys[&key].value.clone();
                let fresh = held(KeyState::Unknown, &[], now);
                let mut known = self.held.get(&key).cloned().unwrap_or(fresh);
                let own_values = known.own_values.clone();
                known.own_values.insert(value.clone(), Owner::default());
                let free = self
                    .store
                    .get(&key)
                    .is_none_or(|(there, _)| *there == value || own_values.contains_key(there));
                let index = if free { self.put(&key, &value) } else { 0 };
                if !heard {
                    if !matches!(&known.key_state, KeyState::Kept { value: kept, .. } if *kept == value) {
                        known.key_state = KeyState::Unknown;
                    }
                } else if free {
                    known.own_values = [(value.clone(), Owner::default())].into();
                    known.key_state = KeyState::Kept { value, index };
                    known.due = now + Duration::from_secs(6);
                } else {
                    known.own_values.clear();
                    known.key_state = KeyState::Blocked { desired: value, why: String::new() };
                    known.due = now + Duration::from_secs(5);
                }
                self.held.insert(key, known);
            }
        }
    }
}

#[test]
fn after_any_walk_the_store_is_as_desired_and_foreign_keys_are_untouched() {
    for seed in 0..300 {
        let (mut rng, mut model) = (StdRng::seed_from_u64(seed), Model::default());
        let (mut now, mut wanted) = (Instant::now(), desired(&[]));
        let mut theirs = BTreeMap::new();
        for _ in 0..60 {
            let mut keys = Vec::new();
            for key in 0..5 {
                if rng.random_range(0..2) == 0 {
                    keys.push((format!("/{key}"), rng.random_range(0..3).to_string()));
                }
            }
            if rng.random_range(0..3) == 0 {
                wanted = desired(
                    &keys.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect::<Vec<_>>(),
                );
            }
            let key = format!("/{}", rng.random_range(0..5));
            match rng.random_range(0..12) {
                0 => {
                    model.put(&key, "theirs");
                    theirs.insert(key, "theirs".to_owned());
                }
                1 => {
                    model.store.remove(&key);
                    theirs.remove(&key);
                }
                _ => {}
            }
            for action in plan_actions(&wanted, &model.held, now) {
                // Applied with a response, applied without one, or not applied.
                match rng.random_range(0..4) {
                    0 => model.act(&wanted, &action, now, false),
                    1 => {}
                    _ => model.act(&wanted, &action, now, true),
                }
            }
            for (key, value) in &theirs {
                assert_eq!(model.store.get(key).map(|(value, _)| value), Some(value), "seed {seed}: {key}");
            }
            now += Duration::from_secs(1);
        }
        for _ in 0..3 {
            now += Duration::from_secs(10);
            for action in plan_actions(&wanted, &model.held, now) {
                model.act(&wanted, &action, now, true);
            }
        }
        let stands: BTreeMap<_, _> = model.store.into_iter().map(|(key, (value, _))| (key, value)).collect();
        let mut want: BTreeMap<_, _> =
            wanted.keys.into_iter().map(|(key, registration)| (key, registration.value)).collect();
        want.extend(theirs);
        assert_eq!(stands, want, "seed {seed}");
    }
}
