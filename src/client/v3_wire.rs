//! The JSON of etcd's gateway: byte strings are base64, 64-bit numbers are strings, and a field with its zero value is
//! left out.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

/// One key with its value.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pair {
    /// Any bytes.
    #[serde(deserialize_with = "bytes")]
    pub key: Vec<u8>,
    /// Any bytes; none in a delete event.
    #[serde(deserialize_with = "bytes")]
    pub value: Vec<u8>,
    /// The revision of the last write, or of the delete.
    #[serde(rename = "mod_revision", deserialize_with = "number")]
    pub modified: u64,
}

/// One event of a watch.
#[derive(Debug, Deserialize)]
pub struct Event {
    #[serde(default, rename = "type")]
    kind: EventKind,
    /// The pair after the event; after a delete it has only the key.
    #[serde(default)]
    pub kv: Pair,
}

impl Event {
    /// Returns whether the key was deleted.
    #[must_use]
    pub fn is_delete(&self) -> bool {
        matches!(self.kind, EventKind::Delete)
    }
}

#[derive(Debug, Default, Deserialize)]
enum EventKind {
    #[default]
    #[serde(rename = "PUT")]
    Put,
    #[serde(rename = "DELETE")]
    Delete,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Header {
    /// 0 if it is not reported.
    #[serde(deserialize_with = "number")]
    pub(super) cluster_id: u64,
    #[serde(deserialize_with = "number")]
    pub(super) revision: u64,
}

/// Only the header of a response whose rest does not matter.
#[derive(Debug, Deserialize)]
pub(super) struct ProbeReply {
    #[serde(rename = "header")]
    pub(super) _header: Header,
}

#[derive(Debug, Deserialize)]
pub(super) struct Authenticated {
    pub(super) token: String,
}

/// The error text: `message` in releases that have it, `error` in all of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Failure {
    pub(super) error: String,
    pub(super) message: String,
}

impl Failure {
    pub(super) fn text(self) -> String {
        if self.message.is_empty() { self.error } else { self.message }
    }
}

/// One line of a watch stream.
#[derive(Debug, Deserialize)]
pub(super) struct WatchLine {
    pub(super) result: Option<WatchResult>,
    pub(super) error: Option<StreamError>,
}

#[derive(Debug, Deserialize)]
pub(super) struct WatchResult {
    pub(super) header: Header,
    #[serde(default)]
    pub(super) created: bool,
    #[serde(default)]
    pub(super) canceled: bool,
    #[serde(default, deserialize_with = "watch_number")]
    pub(super) watch_id: u64,
    #[serde(default, deserialize_with = "number")]
    pub(super) compact_revision: u64,
    #[serde(default)]
    pub(super) cancel_reason: String,
    #[serde(default)]
    pub(super) events: Vec<Event>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StreamError {
    pub(super) message: String,
    pub(super) http_code: u16,
}

/// Reads a string without a copy of it: what it should be, and the function that parses it.
struct Parsed<T, E>(&'static str, fn(&str) -> Result<T, E>);

impl<T, E: fmt::Display> Visitor<'_> for Parsed<T, E> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E2: Error>(self, text: &str) -> Result<T, E2> {
        self.1(text).map_err(E2::custom)
    }
}

fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    from.deserialize_str(Parsed("base64", |text| STANDARD.decode(text)))
}

fn number<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    from.deserialize_str(Parsed("a number as text", str::parse::<u64>))
}

/// Reads a watch number. A rejected watch has number -1, which becomes a number that no watch has.
fn watch_number<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    from.deserialize_str(Parsed("a number as text", |text| {
        Ok::<_, fmt::Error>(text.parse().unwrap_or(u64::MAX))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_without_a_type_is_a_put_and_missing_fields_are_empty() {
        let put: Event = serde_json::from_str(r#"{"kv":{"key":"L2E=","mod_revision":"7"}}"#).unwrap();
        assert!(!put.is_delete() && put.kv.key == b"/a" && put.kv.value.is_empty() && put.kv.modified == 7);
        let gone: Event = serde_json::from_str(r#"{"type":"DELETE","kv":{"key":"L2E="}}"#).unwrap();
        assert!(gone.is_delete());
    }

    #[test]
    fn what_is_not_base64_is_an_error() {
        assert!(serde_json::from_str::<Pair>(r#"{"key":"L2E"}"#).is_err());
    }
}
