//! The current content of a subtree in the store.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use crate::client::cluster::{Get, Node};
use crate::key;

use super::document::{KeyNode, KeyNodeKind};
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
        Ok(event) => Ok(Some(item(event.node))),
        Err(error) if error.code() == Some(100) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn item(node: Node) -> KeyNode {
    let ttl = u64::try_from(node.ttl).ok().filter(|ttl| *ttl > 0);
    let index = node.modified;
    let kind = if node.dir {
        let children = node.nodes.into_iter().flatten();
        let named = |child: Node| (child.key.rsplit('/').next().unwrap_or_default().to_owned(), item(child));
        KeyNodeKind::Dir(children.map(named).collect::<BTreeMap<_, _>>())
    } else {
        KeyNodeKind::File(node.value)
    };
    KeyNode { kind, ttl, index }
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
