//! Joins services with the records of their nodes, and applies placement's expressions to them.

#![expect(clippy::needless_pass_by_value, reason = "the engine hands a function its arguments by value")]

mod facts;
mod object;
mod read;

pub(super) use facts::Nodes;

use std::sync::Arc;

use minijinja::value::Rest;
use minijinja::{Error, Value};

use super::current;
use super::error::fail;
use super::number;
use super::registry::{List, Registry, Text};
use super::store::{is_hidden, prefix_len, relative_from, starts};
use crate::key;
use crate::placement::{ExpressionKind, NODES, Node, Selection};
use object::{Backend, NodeObject, OfferedBackend};

pub(super) fn register(all: &mut Registry) {
    all.function("backends", backends);
    all.function("nodes", nodes);
    all.both("where", chosen);
    all.both("prefer", prefer);
}

/// Returns the node records, read once for each render.
fn facts() -> Result<Arc<Nodes>, Error> {
    current::with(|current| {
        if let Some(nodes) = &current.nodes {
            return Ok(Arc::clone(nodes));
        }
        if current.view.scope.covers(NODES) {
            current.reads.listings.insert(NODES.into());
            // Record the reads first: a broken record is read again after it is fixed.
            let records = current.view.values.below(NODES);
            current.reads.keys.extend(records.map(|(key, _)| Arc::clone(key)));
        }
        let nodes = Arc::new(Nodes::read(&current.view)?);
        current.nodes = Some(Arc::clone(&nodes));
        Ok(nodes)
    })
}

/// Returns every service below a directory.
fn backends(dir: Text) -> Result<Value, Error> {
    let facts = facts()?;
    let (view, roots, dir) = current::with(|current| {
        let scope = &current.view.scope;
        let dir = key::join(&scope.prefix, &dir);
        let roots = starts(scope, &dir);
        current.reads.listings.insert(dir.as_str().into());
        if roots.is_empty() {
            current.reads.outside.insert(dir.as_str().into());
        }
        Ok((current.view.clone(), roots, dir))
    })?;
    let mut found = Vec::new();
    for root in roots {
        // A root below the directory may itself be a service.
        let itself =
            view.values.get(&root).filter(|_| root != dir).map(|datum| (Arc::from(root.as_str()), datum));
        let below = view.values.below(&root).map(|(key, datum)| (Arc::clone(key), datum));
        for (key, datum) in itself.into_iter().chain(below) {
            if !is_hidden(&view.scope, &key) && !key::is_hidden_below(&dir, &key) {
                current::check_item_count(found.len(), "backends")?;
                found.push((key, datum));
            }
        }
    }
    found.sort_by(|left, right| left.0.cmp(&right.0));
    found.dedup_by(|left, right| left.0 == right.0);
    current::with(|current| {
        current.reads.keys.extend(found.iter().map(|(key, _)| Arc::clone(key)));
        Ok(())
    })?;
    let from = prefix_len(&view.scope.prefix);
    let mut all = Vec::with_capacity(found.len());
    for (key, datum) in found {
        current::tick()?;
        let mut service = read::read(&key, datum)?;
        let node = facts.join(&mut service);
        let shown = relative_from(&key, from.min(key.len())).to_owned();
        let backend = Arc::new(Backend { key: shown, service, node });
        all.push(Value::from_object(OfferedBackend { backend, backup: false }));
    }
    Ok(Value::from(all))
}

/// Returns all node records.
fn nodes() -> Result<Value, Error> {
    let facts = facts()?;
    if !facts.covered {
        return Err(uncovered("nodes"));
    }
    let all = facts.all.iter().map(|node| Value::from_object(NodeObject(Arc::clone(node))));
    Ok(Value::from(all.collect::<Vec<_>>()))
}

fn uncovered(function: &str) -> Error {
    // Recorded even when the call fails, so that `check` sees what was asked for.
    let recorded = current::with(|current| {
        current.reads.outside.insert(NODES.into());
        Ok(())
    });
    recorded.err().unwrap_or_else(|| {
        fail(format!(
            "{function}: the node records are not readable: add \"{NODES}\" to `keys` of the resource"
        ))
    })
}

/// Returns the items of a list that the expressions choose.
fn chosen(list: List, expressions: Rest<Text>) -> Result<Value, Error> {
    let facts = facts()?;
    let chosen = choose("where", &list.0, &expressions.0, &facts)?;
    let none = !list.0.is_empty() && !chosen.contains(&true);
    if none && facts.all.is_empty() {
        // When all records vanish at once, the registrars are down: that must not remove every backend.
        return Err(fail(format!("where: it matches nothing, and no node has a record below {NODES}")));
    }
    let kept = list.0.into_iter().zip(chosen).filter(|(_, chosen)| *chosen).map(|(item, _)| item);
    Ok(Value::from(kept.collect::<Vec<_>>()))
}

/// Returns the whole list: first the items that the expressions choose, then the others as backups.
fn prefer(list: List, expressions: Rest<Text>) -> Result<Value, Error> {
    let facts = facts()?;
    let chosen = choose("prefer", &list.0, &expressions.0, &facts)?;
    let any = chosen.contains(&true);
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    for (item, chosen) in list.0.iter().zip(chosen) {
        let offer = item.downcast_object_ref::<OfferedBackend>().ok_or_else(|| wrong_item("prefer", item))?;
        let backup = any && !chosen;
        let offer = Value::from_object(OfferedBackend { backend: Arc::clone(&offer.backend), backup });
        if backup { rest.push(offer) } else { first.push(offer) }
    }
    first.extend(rest);
    Ok(Value::from(first))
}

fn choose(function: &str, list: &[Value], expressions: &[Text], facts: &Nodes) -> Result<Vec<bool>, Error> {
    if expressions.is_empty() {
        return Err(fail(format!("{function}: it takes an expression, for instance \"constraint:zone==a\"")));
    }
    let selection = Selection::parse(expressions.iter().map(|text| &**text))
        .map_err(|error| fail(format!("{function}: {error}")))?;
    // A service may name its own container and image; everything else is known of nodes only.
    let own = |key: &str| matches!(key, "container" | "image");
    let asks_nodes =
        selection.expressions().iter().any(|wish| wish.kind != ExpressionKind::Affinity || !own(&wish.key));
    if asks_nodes && !facts.covered {
        return Err(uncovered(function));
    }
    current::check_deadline()?;
    let mut nodes: Vec<&Node> = Vec::with_capacity(list.len());
    for item in list {
        let offer = item.downcast_object_ref::<OfferedBackend>().map(|offer| &offer.backend.node);
        let known = || item.downcast_object_ref::<NodeObject>().map(|known| &*known.0);
        nodes.push(offer.or_else(known).ok_or_else(|| wrong_item(function, item))?);
    }
    Ok(selection.choose(nodes))
}

fn wrong_item(function: &str, item: &Value) -> Error {
    let wanted = if function == "where" { "backends(…) or nodes()" } else { "backends(…)" };
    fail(format!("{function}: it takes a list of {wanted}, and {} is none of those", number::show(item)))
}
