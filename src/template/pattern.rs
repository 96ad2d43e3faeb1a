//! Regular expressions: linear time, limited size, compiled once for each thread.

use std::cell::RefCell;
use std::collections::HashMap;

use minijinja::{Error, Value};
use regex::{Regex, RegexBuilder};

use super::current;
use super::error::fail;
use super::registry::{Int, Registry, Text};

/// How many expressions a thread keeps; a template that builds ever new ones must not fill the memory.
const MAX_CACHED_PATTERNS: usize = 64;

thread_local! {
    static COMPILED: RefCell<HashMap<String, Regex>> = RefCell::new(HashMap::new());
}

pub(super) fn register(all: &mut Registry) {
    all.function("regexMatch", |pattern: Text, s: Text| is_match(&pattern, &s));
    all.filter("regexMatch", |s: Text, pattern: Text| is_match(&pattern, &s));
    all.function("regexFind", |pattern: Text, s: Text| find(&pattern, &s));
    all.filter("regexFind", |s: Text, pattern: Text| find(&pattern, &s));
    all.function("regexFindAll", |pattern: Text, s: Text, n: Option<Int>| find_all(&pattern, &s, n));
    all.filter("regexFindAll", |s: Text, pattern: Text, n: Option<Int>| find_all(&pattern, &s, n));
    all.function("regexSplit", |pattern: Text, s: Text| split(&pattern, &s));
    all.filter("regexSplit", |s: Text, pattern: Text| split(&pattern, &s));
    all.function("regexReplaceAll", |pattern: Text, s: Text, to: Text| replace_all(&pattern, &s, &to));
    all.filter("regexReplaceAll", |s: Text, pattern: Text, to: Text| replace_all(&pattern, &s, &to));
}

fn compiled(pattern: &str) -> Result<Regex, Error> {
    COMPILED.with_borrow_mut(|known| {
        if let Some(regex) = known.get(pattern) {
            return Ok(regex.clone());
        }
        let regex = RegexBuilder::new(pattern)
            .size_limit(1 << 20)
            .dfa_size_limit(4 << 20)
            .build()
            .map_err(|error| fail(format!("bad regular expression: {error}")))?;
        if known.len() >= MAX_CACHED_PATTERNS {
            known.clear();
        }
        known.insert(pattern.to_owned(), regex.clone());
        Ok(regex)
    })
}

fn is_match(pattern: &str, text: &str) -> Result<bool, Error> {
    Ok(compiled(pattern)?.is_match(text))
}

fn find(pattern: &str, text: &str) -> Result<String, Error> {
    Ok(compiled(pattern)?.find(text).map(|found| found.as_str().to_owned()).unwrap_or_default())
}

fn find_all(pattern: &str, text: &str, n: Option<Int>) -> Result<Value, Error> {
    let most = n.and_then(|n| usize::try_from(n.0).ok()).unwrap_or(usize::MAX);
    collect(compiled(pattern)?.find_iter(text).take(most).map(|found| found.as_str()))
}

fn split(pattern: &str, text: &str) -> Result<Value, Error> {
    collect(compiled(pattern)?.split(text))
}

fn collect<'t>(parts: impl Iterator<Item = &'t str>) -> Result<Value, Error> {
    let mut out: Vec<Value> = Vec::new();
    for part in parts {
        out.push(Value::from(part));
        current::check_item_count(out.len(), "this expression")?;
    }
    Ok(Value::from(out))
}

fn replace_all(pattern: &str, text: &str, to: &str) -> Result<String, Error> {
    let regex = compiled(pattern)?;
    let mut out = String::with_capacity(text.len());
    let mut last = 0;
    for captures in regex.captures_iter(text) {
        let whole = captures.get_match();
        out.push_str(&text[last..whole.start()]);
        captures.expand(to, &mut out);
        last = whole.end();
        // Checked at each step: with `$0$0` a long match doubles the text each time.
        current::check_size(Some(out.len()), "regexReplaceAll")?;
    }
    out.push_str(&text[last..]);
    Ok(out)
}
