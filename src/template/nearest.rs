//! Suggests similar keys when one is missing.

use std::collections::BTreeSet;

use crate::key;
use crate::values::View;

/// At most this many keys are compared, up to a bounded length: a wrong key must not cost a scan of the store.
const MAX_KEYS: usize = 3_000;
const MAX_KEY_BYTES: usize = 200;

/// Returns up to three existing keys that the resource sees and that resemble a missing one, nearest first, as
/// templates name them.
pub(super) fn nearest(view: &View, missing: &str) -> Vec<String> {
    let missing_chars: Vec<char> = missing.chars().collect();
    if missing_chars.len() > MAX_KEY_BYTES {
        return Vec::new();
    }
    let siblings = key::ancestors(missing)
        .take(3)
        .flat_map(|dir| view.values.below(dir).take(MAX_KEYS / 3))
        .map(|(key, _)| &**key);
    let seen: BTreeSet<&str> = siblings.filter(|key| view.scope.covers(key)).collect();
    let bound = (missing_chars.len() / 3).max(3);
    let mut ranked: Vec<(usize, &str)> = seen
        .into_iter()
        .filter(|key| key.len().abs_diff(missing.len()) <= bound)
        .filter_map(|key| Some((distance(&missing_chars, key, bound)?, key)))
        .collect();
    ranked.sort_unstable();
    ranked
        .into_iter()
        .take(3)
        .filter_map(|(_, key)| key::relative(&view.scope.prefix, key).map(str::to_owned))
        .collect()
}

/// Returns the number of characters to change, add or drop, or `None` above the bound.
fn distance(left: &[char], right: &str, bound: usize) -> Option<usize> {
    let mut row: Vec<usize> = (0..=left.len()).collect();
    for (position, character) in right.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = position + 1;
        for (column, other) in left.iter().enumerate() {
            let swap = diagonal + usize::from(*other != character);
            diagonal = row[column + 1];
            row[column + 1] = swap.min(diagonal + 1).min(row[column] + 1);
        }
        if row.iter().min().is_none_or(|least| *least > bound) {
            return None;
        }
    }
    row.last().copied().filter(|distance| *distance <= bound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::{Datum, Scope, Values};
    use std::sync::Arc;

    #[test]
    fn the_nearest_key_comes_first_and_foreign_ones_never() {
        let keys = ["/app/db/host", "/app/db/hosts", "/app/db/port", "/app/cache/host", "/secret/db/host"];
        let values: Values = keys.iter().map(|key| (Arc::from(*key), Datum::from("x"))).collect();
        let scope = Scope::new("/app", &["/".to_owned()]);
        let view = View { values: Arc::new(values), scope: Arc::new(scope) };
        let found = nearest(&view, "/app/db/hots");
        assert_eq!(found[..2], ["/db/hosts".to_owned(), "/db/host".to_owned()]);
        assert!(!found.iter().any(|key| key.contains("secret")));
        assert!(nearest(&view, "/app/something/else/entirely").is_empty());
    }
}
