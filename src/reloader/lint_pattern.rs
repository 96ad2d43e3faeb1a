//! Finds a pattern that matches nothing, and the one that was probably meant.
//!
//! `getvs("/a/upsteam/*")` of a mistyped directory is an empty list and not an error. Only data distinguishes it from a
//! directory that is always empty.

use std::collections::BTreeSet;

use crate::key;
use crate::template::glob_matches;
use crate::values::{Scope, Values};

/// At most this many entries of one directory are compared.
const MAX_NAMES: usize = 1_000;

/// Returns the nearest pattern that matches something, with one segment replaced, when `asked` matches nothing.
pub(super) fn nearest_pattern(values: &Values, scope: &Scope, asked: &str) -> Option<String> {
    let absolute = key::join(&scope.prefix, asked);
    let segments: Vec<&str> = absolute.split('/').filter(|segment| !segment.is_empty()).collect();
    let mut dirs = vec!["/".to_owned()];
    for (depth, segment) in segments.iter().enumerate() {
        let names: BTreeSet<String> = dirs.iter().flat_map(|dir| names(values, scope, dir)).collect();
        let matching = |name: &&String| *name == segment || glob_matches(segment, name).unwrap_or(true);
        if names.iter().any(|name| matching(&name)) {
            let below = |dir: &String| {
                let names = names.iter().filter(&matching);
                names.map(|name| key::join(dir, name)).collect::<Vec<_>>()
            };
            dirs = dirs.iter().flat_map(below).filter(|dir| exists(values, dir)).take(MAX_NAMES).collect();
            continue;
        }
        if segment.contains(['*', '?', '[']) {
            return None;
        }
        let near = names.iter().find(|name| is_typo(segment, name))?;
        let mut meant = segments.clone();
        meant[depth] = near;
        let meant = format!("/{}", meant.join("/"));
        let whole =
            nearest_pattern(values, scope, &relative(scope, &meant)).is_none() && matches(values, &meant);
        return whole.then(|| relative(scope, &meant));
    }
    None
}

/// Returns whether one name is a typo of the other. `web1` and `web2` are two names.
fn is_typo(name: &str, other: &str) -> bool {
    let letters = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    let few = (name.len() / 4).max(1);
    name.len() > 2 && letters(name) != letters(other) && strsim::damerau_levenshtein(name, other) <= few
}

/// Returns the key as a template of the resource spells it.
fn relative(scope: &Scope, absolute: &str) -> String {
    key::relative(&scope.prefix, absolute).unwrap_or(absolute).to_owned()
}

/// Returns the names in a directory that the resource sees.
fn names(values: &Values, scope: &Scope, dir: &str) -> BTreeSet<String> {
    let start = if dir == "/" { 1 } else { dir.len() + 1 };
    let seen = values.below(dir).filter(|(key, _)| scope.covers(key)).take(MAX_NAMES);
    seen.filter_map(|(key, _)| key.get(start..)?.split('/').next().map(str::to_owned)).collect()
}

fn exists(values: &Values, key: &str) -> bool {
    values.get(key).is_some() || values.below(key).next().is_some()
}

/// Returns whether a key, or a directory above one, matches.
fn matches(values: &Values, pattern: &str) -> bool {
    let depth = pattern.matches('/').count();
    let head = &pattern[..pattern.find(['*', '?', '[']).unwrap_or(pattern.len())];
    let dir = head.rsplit_once('/').map_or("/", |(dir, _)| if dir.is_empty() { "/" } else { dir });
    values.below(dir).take(MAX_NAMES * 10).any(|(key, _)| {
        let end = key.match_indices('/').nth(depth).map_or(key.len(), |(at, _)| at);
        let top = &key[..end];
        top == pattern || glob_matches(pattern, top).unwrap_or(false)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::values::Datum;

    #[test]
    fn a_pattern_that_matches_nothing_is_reported_with_the_nearest_one() {
        let keys = ["/a/web1/x", "/a/upstream/x", "/a/upstream/y", "/a/other/x", "/b/one"];
        let values: Values = keys.iter().map(|key| (Arc::from(*key), Datum::from("v"))).collect();
        let all = Scope::new("/", &["/".to_owned()]);
        let near = |scope: &Scope, asked: &str| nearest_pattern(&values, scope, asked);
        assert_eq!(near(&all, "/a/upsteam/*").as_deref(), Some("/a/upstream/*"));
        assert_eq!(near(&all, "/a/upsteam").as_deref(), Some("/a/upstream"));
        assert_eq!(near(&all, "/*/upsteam/x").as_deref(), Some("/*/upstream/x"));
        for fine in [
            "/a/upstream/*",
            "/a/upstream",
            "/*/*",
            "/a/nothing/like/it",
            "/b/*",
            "/",
            "/[",
            "/a/upstream/z*",
            "/a/web2/*",
        ] {
            assert_eq!(near(&all, fine), None, "{fine}");
        }
        let own = Scope::new("/a", &["/".to_owned()]);
        assert_eq!(near(&own, "/upsteam/*").as_deref(), Some("/upstream/*"));
        let narrow = Scope::new("/", &["/b".to_owned()]);
        assert_eq!(near(&narrow, "/a/upsteam/*"), None, "what the resource does not see is not named");
    }
}
