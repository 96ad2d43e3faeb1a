//! The current content of a subtree in the store.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use crate::client::cluster::{Get, Node, Walked};
use crate::key;

use super::document::{KeyNode, KeyNodeKind, MAX_LEVELS};
use super::error::{CommandError, EXIT_SERVER_ERROR};
use super::session::Session;

/// Returns the key in the word at `position`, or `/` without one: no empty segments, no final slash.
pub(super) fn key(session: &Session<'_>, position: usize) -> Result<String, CommandError> {
    let word = session.call.args.get(position).map_or(OsStr::new("/"), OsString::as_os_str);
    key_of(word).map_err(CommandError::with_prefix)
}

/// Returns the key in a word.
pub(super) fn key_of(word: &OsStr) -> Result<String, String> {
    let text = word.to_str().ok_or("the key is not text")?;
    if text.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err("the key has a . or .. segment".to_owned());
    }
    Ok(key::clean(text))
}

/// Reads everything at and below `key`; `None` when the key does not exist.
pub(super) async fn read(
    session: &Session<'_>,
    key: &str,
    quorum: bool,
) -> Result<Option<KeyNode>, CommandError> {
    let how = Get { recursive: true, sorted: true, quorum };
    match session.keys().get(key.as_bytes(), how).await {
        Ok(event) => Ok(Some(item(event.node).map_err(CommandError::with_prefix)?)),
        Err(error) if error.code() == Some(100) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn item(root: Node) -> Result<KeyNode, String> {
    // The directories that are still open, each below the one before, and last their latest entry.
    let mut open: Vec<(String, KeyNode)> = Vec::new();
    for Walked { depth, node, .. } in root.into_walk() {
        if depth >= MAX_LEVELS {
            let start: String = node.key.chars().take(40).collect();
            return Err(format!(
                "a key has more than {MAX_LEVELS} levels below this one, too many for a document: {start}…"
            ));
        }
        close(&mut open, depth);
        let ttl = u64::try_from(node.ttl).ok().filter(|ttl| *ttl > 0);
        let name = node.key.rsplit('/').next().unwrap_or_default().to_owned();
        let kind = if node.dir { KeyNodeKind::Dir(BTreeMap::new()) } else { KeyNodeKind::File(node.value) };
        open.push((name, KeyNode { kind, ttl, index: node.modified }));
    }
    close(&mut open, 1);
    open.pop().map(|(_, root)| root).ok_or_else(|| "the response is empty".to_owned())
}

/// Puts the deepest open entries into their directories until only so many are open.
fn close(open: &mut Vec<(String, KeyNode)>, left: usize) {
    while open.len() > left {
        let last = open.pop();
        if let (Some((name, item)), Some((_, KeyNode { kind: KeyNodeKind::Dir(entries), .. }))) =
            (last, open.last_mut())
        {
            entries.insert(name, item);
        }
    }
}

/// Collects the keys whose values the store cannot return byte for byte.
fn find_binary(item: &KeyNode, key: &str, found: &mut Vec<String>) {
    match &item.kind {
        KeyNodeKind::File(value) if value.contains('\u{fffd}') => found.push(key.to_owned()),
        KeyNodeKind::File(_) => {}
        KeyNodeKind::Dir(entries) => {
            for (name, child) in entries {
                find_binary(child, &child_key(key, name), found);
            }
        }
    }
}

/// Returns the key of an entry.
pub(super) fn child_key(key: &str, name: &str) -> String {
    if key == "/" { format!("/{name}") } else { format!("{key}/{name}") }
}

/// Reads everything at and below `key`, which must exist; rejects values that the store does not return completely.
pub(super) async fn read_existing(
    session: &Session<'_>,
    key: &str,
    quorum: bool,
) -> Result<KeyNode, CommandError> {
    let Some(item) = read(session, key, quorum).await? else {
        let message = format!("Error:  {key}: the key does not exist\n");
        return Err(CommandError { code: EXIT_SERVER_ERROR, message });
    };
    let mut found = Vec::new();
    find_binary(&item, key, &mut found);
    let Some(first) = found.first() else { return Ok(item) };
    let others = if found.len() > 1 { format!(" (and {} more)", found.len() - 1) } else { String::new() };
    Err(CommandError::with_prefix(format_args!(
        "{first}{others}: the value contains bytes that are not text, which the store's API does not return"
    )))
}

#[cfg(test)]
mod tests {
    use super::super::document::{Format, read, write};
    use super::*;
    use crate::client::cluster::Event;

    fn deep(levels: usize) -> Node {
        let dirs = r#"{"key":"/d","dir":true,"nodes":["#.repeat(levels);
        let text = format!(r#"{{"node":{dirs}{{"key":"/x","value":"1"}}{}}}"#, "]}".repeat(levels));
        Event::parse(text.as_bytes()).unwrap().node
    }

    #[test]
    fn a_listing_becomes_a_tree_with_the_same_names() {
        let text = r#"{"node":{"dir":true,"nodes":[{"key":"/b","dir":true,"ttl":9,"nodes":[{"key":"/b/x","value":"1"},
            {"key":"/b/y","value":"2"}]},{"key":"/c","dir":true},{"key":"/a","value":"3","modifiedIndex":7}]}}"#;
        let tree = item(Event::parse(text.as_bytes()).unwrap().node).unwrap();
        let written = write(&tree, Format::Yaml).unwrap();
        assert_eq!(
            written,
            "a: \"3\"\nb:\n  $ttl: 9\n  x: \"1\"\n  \"y\": \"2\"\nc: {}\n".replace("$ttl", "\"$ttl\"")
        );
        let KeyNodeKind::Dir(entries) = &tree.kind else { panic!("{tree:?}") };
        assert_eq!(entries["a"].index, 7);
    }

    /// Runs `work` with the stack of a call.
    fn with_stack(work: impl FnOnce() + Send + 'static) {
        std::thread::Builder::new().stack_size(64 << 20).spawn(work).unwrap().join().unwrap();
    }

    #[test]
    fn a_key_as_deep_as_a_store_takes_it_is_exported_and_imported() {
        with_stack(|| {
            let tree = item(deep(2_900)).unwrap();
            for format in [Format::Json, Format::Yaml] {
                let text = write(&tree, format).unwrap();
                let again = read(&text, format).unwrap();
                assert_eq!(again.files(), 1);
                assert!(write(&again, format).unwrap() == text, "{format:?}");
            }
        });
    }

    #[test]
    fn toml_is_refused_where_its_readers_would_refuse_it() {
        with_stack(|| {
            for levels in [10, 79, 80, 81, 130, 2_900] {
                let tree = item(deep(levels)).unwrap();
                match write(&tree, Format::Toml) {
                    Ok(text) => {
                        let again = read(&text, Format::Toml).unwrap_or_else(|why| panic!("{levels}: {why}"));
                        assert_eq!(again.files(), 1);
                        assert!(write(&again, Format::Toml).unwrap() == text);
                    }
                    Err(why) => assert!(levels > 80 && why.contains("use json or yaml"), "{levels}: {why}"),
                }
            }
        });
    }

    #[test]
    fn a_deeper_tree_is_refused_with_the_place() {
        let why = item(deep(10_000)).unwrap_err();
        assert!(why.contains("more than 3000 levels"), "{why}");
    }

    #[test]
    fn a_long_name_is_read_again_in_every_format() {
        let name = "n".repeat(5_000);
        let text = format!(
            r#"{{"node":{{"dir":true,"nodes":[{{"key":"/{name}","value":"1"}},{{"key":"/{name} x","dir":true,"nodes":[{{"key":"/y","value":"2"}}]}}]}}}}"#
        );
        let mut tree = item(Event::parse(text.as_bytes()).unwrap().node).unwrap();
        tree.index = 0;
        for format in [Format::Json, Format::Toml, Format::Yaml] {
            let text = write(&tree, format).unwrap();
            assert!(
                read(&text, format).is_ok_and(|again| again == tree),
                "{format:?}: {:?}",
                read(&text, format).err()
            );
        }
    }
}
