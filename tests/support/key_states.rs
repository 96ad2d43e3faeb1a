//! Every state of a prefix that a watcher sees, and the services that must be in each of them.

use std::collections::BTreeMap;
use std::thread::JoinHandle;

use serde_json::Value;

use super::http::{encode, request};

/// A write to this key ends the watch.
const END: &str = "the-end-of-the-watch";

/// The index of the last change in a state, and its keys with their values.
pub type KeyState = (u64, BTreeMap<String, String>);

/// Follows a prefix from the store's first event on.
pub struct KeyStates {
    address: String,
    prefix: String,
    thread: JoinHandle<Vec<KeyState>>,
}

/// A service that is healthy for a while.
#[derive(Clone, Debug)]
pub struct RequiredService {
    pub who: String,
    /// Its addresses: one of them must be there.
    pub addresses: Vec<String>,
    /// The index after which it may be missing; `None`: to the end.
    pub until: Option<u64>,
}

impl KeyStates {
    /// Starts to watch a prefix that has always been empty.
    pub fn watch(address: &str, prefix: &str) -> Self {
        let (at, below) = (address.to_owned(), prefix.to_owned());
        let thread = std::thread::spawn(move || follow(&at, &below));
        Self { address: address.to_owned(), prefix: prefix.to_owned(), thread }
    }

    /// Returns the store's current index.
    pub fn index(&self) -> u64 {
        let body = Some(("application/x-www-form-urlencoded", "value=x"));
        let answer = request(&self.address, "PUT", "/v2/keys/_index", body).unwrap();
        let said: Value = serde_json::from_str(&answer.body).unwrap();
        said["node"]["modifiedIndex"].as_u64().unwrap()
    }

    /// Ends it; returns every state.
    pub fn end(self) -> Vec<KeyState> {
        let path = format!("/v2/keys{}/{END}", encode(&self.prefix, true));
        request(&self.address, "PUT", &path, Some(("application/x-www-form-urlencoded", "value=x"))).unwrap();
        self.thread.join().unwrap()
    }
}

fn follow(address: &str, prefix: &str) -> Vec<KeyState> {
    let (mut next, mut states, mut state) = (1, Vec::new(), BTreeMap::new());
    loop {
        let path = format!("/v2/keys{}?wait=true&recursive=true&waitIndex={next}", encode(prefix, true));
        // A request without an event times out, and is repeated.
        let Ok(answer) = request(address, "GET", &path, None) else { continue };
        let said: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        assert_eq!(answer.status, 200, "the watch lost its place: {said}");
        let (key, node) = (said["node"]["key"].as_str().unwrap().to_owned(), &said["node"]);
        let index = node["modifiedIndex"].as_u64().unwrap();
        next = index + 1;
        if key.ends_with(END) {
            return states;
        }
        match node["value"].as_str() {
            Some(value) => {
                state.insert(key, value.to_owned());
            }
            // A directory was created, or something was removed.
            None if !["set", "create", "update"].contains(&said["action"].as_str().unwrap()) => {
                let below = format!("{key}/");
                state.retain(|one, _| *one != key && !one.starts_with(&below));
            }
            None => {}
        }
        states.push((index, state.clone()));
    }
}

/// Returns the first state that lacks a service which must be there, counted from its first appearance.
pub fn first_missing(states: &[KeyState], required: &[RequiredService]) -> Option<String> {
    for must in required {
        let there = |(_, state): &KeyState| state.values().any(|value| must.addresses.contains(value));
        let Some(first) = states.iter().position(there) else {
            return Some(format!("{must:?} never was there"));
        };
        let upto =
            states[first..].iter().take_while(|(index, _)| must.until.is_none_or(|until| *index <= until));
        if let Some((index, state)) = upto.into_iter().find(|state| !there(state)) {
            return Some(format!("at index {index} {must:?} is missing: {state:?}"));
        }
    }
    None
}

/// Returns whether a key has this value in the store's current state; for waiting.
pub fn holds(address: &str, prefix: &str, value: &str) -> bool {
    let path = format!("/v2/keys{}?recursive=true", encode(prefix, true));
    let value = format!("\"value\":{}", Value::from(value));
    request(address, "GET", &path, None).is_ok_and(|answer| answer.body.contains(&value))
}
