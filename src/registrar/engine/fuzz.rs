//! Fuzzing of an engine's answers: how they are read.

use serde_json::Value;

use super::events::{Objects, read};
use super::wire;
use crate::registrar::container::Container;

/// Reads an answer as each kind; returns it as a container.
pub(in crate::registrar) fn container(json: &Value) -> Option<Container> {
    drop(serde_json::from_value::<wire::ListEntry>(json.clone()));
    drop(serde_json::from_value::<wire::ImageEntry>(json.clone()));
    drop(wire::info(json));
    wire::container(json).ok()
}

/// Reads the bytes as a stream of events, in two chunks; the chunks do not matter.
pub(in crate::registrar) fn events(data: &[u8]) {
    let (one, two) = data.split_at(data.len() / 2);
    let whole = objects(&[data]);
    assert_eq!(objects(&[one, two]), whole);
    for object in whole.0 {
        if let Ok(json) = serde_json::from_slice(&object) {
            drop(read(&json));
        }
    }
}

/// Returns the objects of a stream, and whether it is broken after them.
fn objects(chunks: &[&[u8]]) -> (Vec<Vec<u8>>, bool) {
    let (mut objects, mut found) = (Objects::default(), Vec::new());
    for chunk in chunks {
        objects.add(chunk);
        loop {
            match objects.next() {
                Ok(Some(object)) => found.push(object),
                Ok(None) => break,
                Err(_) => return (found, true),
            }
        }
    }
    (found, false)
}
