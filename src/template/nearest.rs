//! Suggests similar keys when one is missing.

use std::collections::BTreeSet;

use crate::key;
use crate::values::View;

/// At most this many keys are compared, up to a bounded length: a wrong key must not cost a scan of the store.
const MAX_KEYS: usize = 600;
const MAX_KEY_CHARS: usize = 200;

/// Returns up to three existing keys that the resource sees and that resemble a missing one, nearest first, as
/// templates name them.
pub(super) fn nearest(view: &View, missing: &str) -> Vec<String> {
    let length = missing.chars().count();
    if length > MAX_KEY_CHARS {
        return Vec::new();
    }
    let siblings = key::ancestors(missing)
        .take(3)
        .flat_map(|dir| view.values.below(dir).take(MAX_KEYS / 3))
        .map(|(key, _)| &**key);
    let seen: BTreeSet<&str> = siblings.filter(|key| view.scope.covers(key)).collect();
    let bound = (length / 3).max(3);
    let mut ranked: Vec<(usize, &str)> = seen
        .into_iter()
        .filter(|key| key.len().abs_diff(missing.len()) <= bound)
        .map(|key| (strsim::levenshtein(missing, key), key))
        .filter(|(distance, _)| *distance <= bound)
        .collect();
    ranked.sort_unstable();
    ranked
        .into_iter()
        .take(3)
        .filter_map(|(_, key)| key::relative(&view.scope.prefix, key).map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::{Datum, Scope, Values};
    use std::sync::Arc;

    #[test]
    fn the_nearest_key_comes_first_and_unrelated_ones_never() {
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
