//! The content of the store, read through a connection without faults, and all events of the keys that must not change.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::http::{self, Answer};

/// Keys with their values, and empty directories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) keys: BTreeMap<String, String>,
    pub(super) empty: BTreeSet<String>,
    /// Where a watch continues from here.
    pub(super) index: u64,
}

async fn get(address: &str, path: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    http::parse(&bytes).ok_or_else(|| io::Error::other("no HTTP answer"))
}

/// Reads everything below a prefix.
pub(super) async fn below(address: &str, prefix: &str) -> io::Result<Seen> {
    let answer = get(address, &format!("/v2/keys{prefix}?recursive=true")).await?;
    seen(&answer, prefix)
}

/// The same for tests without a runtime.
pub(super) fn below_now(address: &str, prefix: &str) -> io::Result<Seen> {
    let answer = http::request(address, "GET", &format!("/v2/keys{prefix}?recursive=true"), None)?;
    seen(&answer, prefix)
}

fn seen(answer: &Answer, prefix: &str) -> io::Result<Seen> {
    let body: Value = serde_json::from_str(&answer.body)?;
    let mut seen = Seen::default();
    match answer.status {
        200 => seen.add(&body["node"], prefix),
        404 => seen.index = number(&body["index"]),
        status => return Err(io::Error::other(format!("status {status}"))),
    }
    Ok(seen)
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

impl Seen {
    fn add(&mut self, node: &Value, prefix: &str) {
        let key = node["key"].as_str().unwrap_or("/").to_owned();
        self.index = self.index.max(number(&node["modifiedIndex"]));
        if node["dir"] != Value::Bool(true) {
            self.keys.insert(key, node["value"].as_str().unwrap_or_default().to_owned());
            return;
        }
        let inside = node["nodes"].as_array().map_or(&[][..], Vec::as_slice);
        if inside.is_empty() && key != prefix {
            self.empty.insert(key);
        }
        inside.iter().for_each(|node| self.add(node, prefix));
    }

    /// Returns the differences, one line each.
    pub(super) fn differences(&self, wanted: &BTreeMap<String, String>) -> Vec<String> {
        let missing = wanted.iter().filter(|(key, value)| self.keys.get(*key) != Some(value));
        let missing = missing.map(|(key, value)| {
            format!("{key} should be {value} and is {:?}", self.keys.get(key).map_or("nothing", |has| has))
        });
        let extra = self.keys.iter().filter(|(key, _)| !wanted.contains_key(*key));
        missing.chain(extra.map(|(key, value)| format!("{key} = {value} should not be"))).collect()
    }
}

/// Follows every change below a prefix, and returns the first that affects one of these keys, which must not change.
/// `calm`: even a rewrite with the same value is an error.
pub(super) async fn first_change(
    address: &str,
    prefix: &str,
    steady: &BTreeMap<String, String>,
    calm: bool,
    from: u64,
) -> String {
    let mut next = from + 1;
    loop {
        let path = format!("/v2/keys{prefix}?wait=true&recursive=true&waitIndex={next}");
        // A watch without events for a while is restarted.
        let Ok(Ok(answer)) = timeout(Duration::from_secs(20), get(address, &path)).await else { continue };
        let Ok(body) = serde_json::from_str::<Value>(&answer.body) else { continue };
        if answer.status != 200 {
            // The events in between are gone from the store's history, or the store is unhealthy.
            next = next.max(number(&body["index"]) + 1);
            if let Ok(seen) = below(address, prefix).await
                && let Some((key, _)) = steady.iter().find(|(key, value)| seen.keys.get(*key) != Some(value))
            {
                return format!("{key} is not as it was (the watch had lost its place)");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        next = number(&body["node"]["modifiedIndex"]).max(next) + 1;
        if let Some(touch) = change(&body, steady, calm) {
            return touch;
        }
    }
}

fn change(event: &Value, steady: &BTreeMap<String, String>, calm: bool) -> Option<String> {
    let (action, key) = (event["action"].as_str()?, event["node"]["key"].as_str()?);
    if ["delete", "expire", "compareAndDelete"].contains(&action) {
        let hit = steady.keys().find(|one| *one == key || one.starts_with(&format!("{key}/")))?;
        return Some(format!(
            "{hit} went ({action} of {key}) although nothing ever happened to its container"
        ));
    }
    let (value, was) = (event["node"]["value"].as_str()?, steady.get(key)?);
    if value != was {
        return Some(format!(
            "{key} became {value} ({action}) although nothing ever happened to its container"
        ));
    }
    calm.then(|| format!("{key} was written again ({action}) although it stood there: every watcher wakes"))
}
