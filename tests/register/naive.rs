//! The simplest possible registrar, correct and with known bugs: it proves that the scripts find the bugs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use super::oracle::{Rules, services};
use super::raw::get;
use super::store_view::below_now;
use crate::support::fake_engine::Container;
use crate::support::http::{encode, request};

/// Its bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    /// No bug.
    None,
    /// A failed list counts as an empty one.
    FailureMeansNone,
    /// A failed inspection means that the container is gone.
    FailureMeansGone,
    /// Paused containers keep their keys.
    Paused,
    /// It ignores HEALTHCHECKs.
    Health,
    /// A described container is not described again.
    Cached,
    /// It deletes old keys before it writes new ones.
    BreaksFirst,
}

/// Reads everything periodically, and makes the store match, until the stop.
pub(super) struct Naive {
    pub(super) socket: PathBuf,
    pub(super) store: String,
    pub(super) rules: Rules,
    pub(super) bug: Bug,
}

impl Naive {
    /// Runs until `over` returns true. For a thread that may block.
    pub(super) fn run(&self, over: impl Fn() -> bool) {
        let (mut current, mut known) = (None, BTreeMap::new());
        while !over() {
            // Everything below the prefix belongs to it.
            if current.is_none() {
                current = below_now(&self.store, &self.rules.prefix).ok().map(|seen| seen.keys);
            }
            if let (Some(current), Some(wanted)) = (&mut current, self.expected_keys(&mut known)) {
                self.write(current, &wanted);
            }
            sleep(Duration::from_millis(60));
        }
    }

    fn expected_keys(
        &self,
        known: &mut BTreeMap<String, Vec<(String, String)>>,
    ) -> Option<BTreeMap<String, String>> {
        let Some(list) = get(&self.socket, "/containers/json?all=1") else {
            return (self.bug == Bug::FailureMeansNone).then(BTreeMap::new);
        };
        let mut wanted = BTreeMap::new();
        for line in list.as_array()? {
            let id = line["Id"].as_str()?;
            let Some(seen) = get(&self.socket, &format!("/containers/{id}/json")) else {
                if self.bug == Bug::FailureMeansGone {
                    continue;
                }
                return None;
            };
            if !self.is_healthy(&seen) {
                continue;
            }
            let fresh = services(&container(&seen), &self.rules);
            let described = known.entry(id.to_owned()).or_insert_with(|| fresh.clone());
            wanted.extend(if self.bug == Bug::Cached { described.clone() } else { fresh });
        }
        Some(wanted)
    }

    fn is_healthy(&self, seen: &Value) -> bool {
        let status = seen["State"]["Status"].as_str().unwrap_or_default();
        let health = seen["State"]["Health"]["Status"].as_str();
        (status == "running" || (status == "paused" && self.bug == Bug::Paused))
            && (self.bug == Bug::Health || health.is_none_or(|health| health == "healthy"))
    }

    fn write(&self, current: &mut BTreeMap<String, String>, wanted: &BTreeMap<String, String>) {
        if self.bug == Bug::BreaksFirst {
            self.remove(current, wanted);
        }
        for (key, value) in wanted {
            if current.get(key) == Some(value) {
                continue;
            }
            let body = format!("value={}&ttl=600", encode(value, false));
            if self.done("PUT", key, Some(("application/x-www-form-urlencoded", &body))) {
                current.insert(key.clone(), value.clone());
            }
        }
        self.remove(current, wanted);
    }

    fn remove(&self, current: &mut BTreeMap<String, String>, wanted: &BTreeMap<String, String>) {
        let gone: Vec<_> = current.keys().filter(|key| !wanted.contains_key(*key)).cloned().collect();
        for key in gone {
            if self.done("DELETE", &key, None) {
                current.remove(&key);
            }
        }
    }

    fn done(&self, method: &str, key: &str, body: Option<(&str, &str)>) -> bool {
        let path = format!("/v2/keys{}", encode(key, true));
        request(&self.store, method, &path, body).is_ok_and(|answer| [200, 201, 404].contains(&answer.status))
    }
}

/// Returns the parts of a container that the rules use.
fn container(seen: &Value) -> Container {
    let mut container = Container::new(seen["Name"].as_str().unwrap_or_default().trim_start_matches('/'));
    container.image = seen["Config"]["Image"].as_str().unwrap_or_default().to_owned();
    let env = seen["Config"]["Env"].as_array().into_iter().flatten();
    container.env = env.filter_map(Value::as_str).map(str::to_owned).collect();
    let labels = seen["Config"]["Labels"].as_object().into_iter().flatten();
    container.labels =
        labels.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect();
    for (port, published) in seen["NetworkSettings"]["Ports"].as_object().into_iter().flatten() {
        if let Some(host) = published[0]["HostPort"].as_str() {
            container.bindings.insert(port.clone(), host.parse().unwrap());
        }
    }
    container
}
