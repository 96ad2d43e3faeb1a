//! The current content of a subtree in the store.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use crate::client::cluster::{Get, Node};
use crate::key;

use super::document::{Item, ItemKind};
use super::end::{EXIT_SERVER_ERROR, End};
use super::session::Session;

/// Returns the key in the word at `position`, or `/` without one: no empty segments, no final slash.
pub(super) fn key(session: &Session<'_>, position: usize) -> Result<String, End> {
    let word = session.call.words.get(position).map_or(OsStr::new("/"), OsString::as_os_str);
    key_of(word).map_err(End::mistake)
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
pub(super) async fn read(session: &Session<'_>, key: &str, quorum: bool) -> Result<Option<Item>, End> {
    let how = Get { recursive: true, sorted: true, quorum };
    match session.keys().get(key.as_bytes(), how).await {
        Ok(event) => Ok(Some(item(event.node))),
        Err(error) if error.code() == Some(100) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn item(node: Node) -> Item {
    let ttl = u64::try_from(node.ttl).ok().filter(|ttl| *ttl > 0);
    let index = node.modified;
    let kind = if node.dir {
        let children = node.nodes.into_iter().flatten();
        let named = |child: Node| (child.key.rsplit('/').next().unwrap_or_default().to_owned(), item(child));
        ItemKind::Dir(children.map(named).collect::<BTreeMap<_, _>>())
    } else {
        ItemKind::File(node.value)
    };
    Item { kind, ttl, index }
}

/// Collects the keys whose values the store cannot return byte for byte.
fn unreadable(item: &Item, key: &str, found: &mut Vec<String>) {
    match &item.kind {
        ItemKind::File(value) if value.contains('\u{fffd}') => found.push(key.to_owned()),
        ItemKind::File(_) => {}
        ItemKind::Dir(entries) => {
            for (name, child) in entries {
                unreadable(child, &below(key, name), found);
            }
        }
    }
}

/// Returns the key of an entry.
pub(super) fn below(key: &str, name: &str) -> String {
    if key == "/" { format!("/{name}") } else { format!("{key}/{name}") }
}

/// Reads everything at and below `key`, which must exist; rejects values that the store does not return completely.
pub(super) async fn whole(session: &Session<'_>, key: &str, quorum: bool) -> Result<Item, End> {
    let Some(item) = read(session, key, quorum).await? else {
        let message = format!("Error:  {key}: the key does not exist\n");
        return Err(End { code: EXIT_SERVER_ERROR, message });
    };
    let mut found = Vec::new();
    unreadable(&item, key, &mut found);
    let Some(first) = found.first() else { return Ok(item) };
    let others = if found.len() > 1 { format!(" (and {} more)", found.len() - 1) } else { String::new() };
    Err(End::mistake(format_args!(
        "{first}{others}: the value contains bytes that are not text, which the store's API does not return"
    )))
}
