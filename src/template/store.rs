//! confd's functions on the store: the values that a resource sees, with every read recorded.

#![expect(clippy::needless_pass_by_value, reason = "the engine hands a function its arguments by value")]

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use minijinja::value::{Enumerator, Object};
use minijinja::{Error, Value};

use super::current::{self, Current};
use super::error::{MissingKey, binary, fail, missing_key};
use super::glob::{self, glob_matches};
use super::nearest::nearest;
use super::registry::{Registry, Text};
use crate::key;
use crate::values::is_registrar_key;
use crate::values::{Datum, Scope, Values};

pub(super) fn register(all: &mut Registry) {
    all.function("exists", exists);
    all.function("get", get);
    all.function("getv", getv);
    all.function("getb64", getb64);
    all.function("gets", gets);
    all.function("getvs", getvs);
    all.function("ls", |path: Option<Text>| children(path.as_deref(), false));
    all.function("lsdir", |path: Option<Text>| children(path.as_deref(), true));
    for name in ["cget", "cgets", "cgetv", "cgetvs"] {
        all.function(name, move |_: minijinja::value::Rest<Value>| -> Result<Value, Error> {
            Err(fail(format!(
                "{name} decrypted values in old confd builds and exists in no current one; \
                 keep secrets in a store that guards them and use {}",
                &name[1..]
            )))
        });
    }
}

/// A key with its value in a template: `.key` and `.value`, or `.Key` and `.Value`.
#[derive(Debug)]
struct Pair {
    key: Arc<str>,
    /// The offset, past the resource's prefix, of the key as templates name it.
    from: usize,
    datum: Datum,
}

impl Object for Pair {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        match key {
            "value" | "Value" => Some(match &self.datum {
                Datum::Text(text) => Value::from(Arc::clone(text)),
                // The error only appears where the value is used: printing the key alone is valid.
                Datum::Binary(bytes) => Value::from(binary(&self.key, bytes)),
            }),
            "key" | "Key" if self.from == 0 => Some(Value::from(Arc::clone(&self.key))),
            "key" | "Key" => Some(Value::from(relative_from(&self.key, self.from))),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&["key", "value"])
    }
}

pub(super) fn relative_from(key: &str, from: usize) -> &str {
    match &key[from..] {
        "" => "/",
        rest => rest,
    }
}

fn text_value(key: &str, datum: &Datum) -> Result<Value, Error> {
    match datum {
        Datum::Text(text) => Ok(Value::from(Arc::clone(text))),
        Datum::Binary(bytes) => Err(binary(key, bytes)),
    }
}

/// Looks a key up and records the read.
fn look_up(current: &mut Current, asked: &str) -> (Arc<str>, Option<Datum>) {
    let scope = &current.view.scope;
    let absolute: Arc<str> = key::join(&scope.prefix, asked).into();
    current.reads.keys.insert(Arc::clone(&absolute));
    if !scope.covers(&absolute) {
        current.reads.outside.insert(Arc::clone(&absolute));
        return (absolute, None);
    }
    let datum = current.view.values.get(&absolute).cloned();
    (absolute, datum)
}

fn missing(current: &Current, absolute: Arc<str>, asked: &str) -> Error {
    let outside = current.reads.outside.contains(&absolute);
    let nearest = nearest(&current.view, &absolute);
    missing_key(MissingKey { key: absolute, asked: asked.to_owned(), outside, nearest })
}

fn exists(asked: Text) -> Result<bool, Error> {
    current::with(|current| Ok(look_up(current, &asked).1.is_some()))
}

fn get(asked: Text) -> Result<Value, Error> {
    current::with(|current| match look_up(current, &asked) {
        (key, Some(datum)) => {
            let from = prefix_len(&current.view.scope.prefix);
            Ok(Value::from_object(Pair { from: from.min(key.len()), key, datum }))
        }
        (key, None) => Err(missing(current, key, &asked)),
    })
}

fn getv(asked: Text, default: Option<Value>) -> Result<Value, Error> {
    current::with(|current| match (look_up(current, &asked), default) {
        ((key, Some(datum)), _) => text_value(&key, &datum),
        (_, Some(default)) => Ok(default),
        ((key, None), None) => Err(missing(current, key, &asked)),
    })
}

fn getb64(asked: Text) -> Result<Value, Error> {
    current::with(|current| match look_up(current, &asked) {
        (_, Some(datum)) => {
            let text = base64::engine::general_purpose::STANDARD.encode(datum.as_bytes());
            Ok(Value::from(text))
        }
        (key, None) => Err(missing(current, key, &asked)),
    })
}

pub(super) fn prefix_len(prefix: &str) -> usize {
    if prefix == "/" { 0 } else { prefix.len() }
}

/// Returns the matches of a pattern, by key.
fn matching(current: &mut Current, asked: &str) -> Result<Vec<(Arc<str>, Datum)>, Error> {
    let scope = Arc::clone(&current.view.scope);
    let slash = if asked.starts_with('/') { "" } else { "/" };
    let prefix = &scope.prefix[..prefix_len(&scope.prefix)];
    let pattern = format!("{}{slash}{asked}", glob::escape(prefix));
    glob_matches(&pattern, "/").map_err(|error| fail(error.to_string()))?;
    let (head, whole) = glob::literal_head(asked);
    let dir = if whole { key::clean(head) } else { key::clean(&head[..head.rfind('/').unwrap_or(0)]) };
    let dir = key::join(&scope.prefix, &dir);
    current.reads.globs.insert(pattern.as_str().into());
    let mut found = Vec::new();
    let mut covered = false;
    for root in starts(&scope, &dir) {
        covered = true;
        collect(&current.view.values, &scope, &root, &pattern, &mut found);
    }
    if !covered {
        current.reads.outside.insert(dir.into());
    }
    found.sort_by(|left, right| left.0.cmp(&right.0));
    Ok(found)
}

/// Returns the directories to walk for keys in `dir` and within the roots. Keys in them may still be hidden.
pub(super) fn starts(scope: &Scope, dir: &str) -> Vec<String> {
    if scope.covers(dir) {
        return vec![dir.to_owned()];
    }
    scope.roots.iter().filter(|root| key::contains(dir, root)).cloned().collect()
}

/// Returns whether a key below one of the roots is hidden all the same.
pub(super) fn is_hidden(scope: &Scope, key: &str) -> bool {
    is_registrar_key(key) && !scope.covers(key)
}

fn collect(values: &Values, scope: &Scope, root: &str, pattern: &str, found: &mut Vec<(Arc<str>, Datum)>) {
    let mut take = |key: &Arc<str>, datum: &Datum| {
        if is_hidden(scope, key) {
            return;
        }
        // The pattern was parsed before.
        if glob_matches(pattern, key).unwrap_or(false) {
            found.push((Arc::clone(key), datum.clone()));
        }
    };
    if let Some(datum) = values.get(root) {
        take(&Arc::from(root), datum);
    }
    // A negated class may match a slash, as in Go; then the depth is unknown.
    let depth = if pattern.contains('[') { usize::MAX } else { slashes(pattern) };
    let mut keys = values.below_from(root, root);
    while let Some((key, datum)) = keys.next() {
        match nth_slash(key, depth) {
            None => take(key, datum),
            Some(at) => {
                let after = format!("{}0", &key[..at]);
                keys = values.below_from(root, &after);
            }
        }
    }
}

fn slashes(text: &str) -> usize {
    text.bytes().filter(|&byte| byte == b'/').count()
}

/// Returns the position of the slash after the first `depth` ones, if a key is that deep.
fn nth_slash(key: &str, depth: usize) -> Option<usize> {
    key.bytes().enumerate().filter(|&(_, byte)| byte == b'/').nth(depth).map(|(at, _)| at)
}

fn gets(pattern: Text) -> Result<Value, Error> {
    current::with(|current| {
        let from = prefix_len(&current.view.scope.prefix);
        let found = matching(current, &pattern)?;
        let pairs = found.into_iter().map(|(key, datum)| Value::from_object(Pair { key, from, datum }));
        Ok(Value::from(pairs.collect::<Vec<_>>()))
    })
}

fn getvs(pattern: Text) -> Result<Value, Error> {
    current::with(|current| {
        let mut texts = Vec::new();
        for (key, datum) in matching(current, &pattern)? {
            match datum {
                Datum::Text(text) => texts.push(text),
                Datum::Binary(bytes) => return Err(binary(&key, &bytes)),
            }
        }
        texts.sort();
        Ok(Value::from(texts.into_iter().map(Value::from).collect::<Vec<_>>()))
    })
}

/// Returns the names directly below a path; with `dirs`, only those with keys below them.
fn children(asked: Option<&str>, dirs: bool) -> Result<Value, Error> {
    current::with(|current| {
        let scope = Arc::clone(&current.view.scope);
        let dir = key::join(&scope.prefix, asked.unwrap_or("/"));
        current.reads.listings.insert(dir.as_str().into());
        let mut names: BTreeMap<String, bool> = BTreeMap::new();
        let values = &current.view.values;
        let roots = starts(&scope, &dir);
        if roots.is_empty() {
            current.reads.outside.insert(dir.into());
            return Ok(Value::from(Vec::<Value>::new()));
        }
        for root in roots {
            if root == dir {
                list(values, &scope, &dir, &mut names);
                continue;
            }
            let below = root[dir.len().min(root.len())..].trim_start_matches('/');
            let (first, deeper) = below.split_once('/').map_or((below, false), |(first, _)| (first, true));
            let inner = values.next_below(&root, &root).is_some();
            if inner || values.get(&root).is_some() {
                *names.entry(first.to_owned()).or_default() |= deeper || inner;
            }
        }
        let names = names.into_iter().filter(|(_, has_more)| *has_more || !dirs);
        Ok(Value::from(names.map(|(name, _)| Value::from(name)).collect::<Vec<_>>()))
    })
}

/// Steps from child to child and skips everything below each.
fn list(values: &Values, scope: &Scope, dir: &str, names: &mut BTreeMap<String, bool>) {
    // confd lists a leaf as itself.
    if dir != "/" && values.get(dir).is_some() {
        names.entry(key::base(dir).to_owned()).or_default();
    }
    let start = if dir == "/" { 1 } else { dir.len() + 1 };
    let mut from = dir.to_owned();
    while let Some((found, _)) = values.next_below(dir, &from) {
        if is_hidden(scope, found) {
            from = format!("{found}\0");
            continue;
        }
        let rest = &found[start..];
        match rest.split_once('/') {
            Some((name, _)) => {
                names.insert(name.to_owned(), true);
                from = format!("{}0", &found[..start + name.len()]);
            }
            None => {
                names.entry(rest.to_owned()).or_default();
                from = format!("{found}\0");
            }
        }
    }
}
