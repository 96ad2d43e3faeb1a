//! The environment of the process as a source.
//!
//! `APP_DB_HOST` is the key `/app/db/host`: names become lower case, `_` separates segments, and `__` stands for one
//! `_` inside a segment (`APP_BIND__PORT` is `/app/bind_port`).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

use super::roots::Roots;
use super::{Listing, Snapshot};
use crate::key;
use crate::values::Datum;

pub(super) fn list(roots: &[String]) -> Listing {
    listing(std::env::vars_os(), roots)
}

fn listing(variables: impl Iterator<Item = (OsString, OsString)>, roots: &[String]) -> Listing {
    // Two names may give one key (`App` and `APP`); the last in byte order wins, so that each run gives the same
    // result.
    let roots = Roots::new(roots);
    let sorted: BTreeMap<Vec<u8>, OsString> =
        variables.map(|(name, value)| (name.into_vec(), value)).collect();
    let mut found: BTreeMap<Arc<str>, Datum> = BTreeMap::new();
    for (name, value) in sorted {
        let Some(key) = String::from_utf8(name).ok().and_then(|name| key_of(&name)) else { continue };
        if roots.covers(&key) {
            found.insert(key.into(), Datum::from_bytes(value.into_vec()));
        }
    }
    let snapshot = Snapshot { entries: found.into_iter().collect(), revision: 0 };
    Listing { snapshot, indexes: Vec::new() }
}

/// Returns the key of a name, `None` for one without any segment, such as `_`.
fn key_of(name: &str) -> Option<String> {
    // NUL, which no name contains, stands for a literal underscore until the segments are split.
    let marked = name.to_lowercase().replace("__", "\0");
    let key = key::clean(&marked.replace('_', "/"));
    (key != "/").then(|| key.replace('\0', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_names_become_keys() {
        for (name, key) in [
            ("APP_DB_HOST", Some("/app/db/host")),
            ("APP_BIND__PORT", Some("/app/bind_port")),
            ("Path", Some("/path")),
            ("_", None),
            ("A_", Some("/a")),
            ("__X", Some("/_x")),
            ("A___B", Some("/a_/b")),
        ] {
            assert_eq!(key_of(name).as_deref(), key, "{name}");
        }
    }

    #[test]
    fn only_roots_are_read_and_at_segment_boundaries() {
        let all = [("APP_A", "1"), ("APPLE", "2"), ("APP_B", "3")];
        let variables = all.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let entries = listing(variables, &["/app".into()]).snapshot.entries;
        assert_eq!(entries.iter().map(|(key, _)| &**key).collect::<Vec<_>>(), ["/app/a", "/app/b"]);
    }

    #[test]
    fn a_value_that_is_not_text_stays_bytes() {
        let variables = std::iter::once((OsString::from("X"), OsString::from_vec(vec![0xff])));
        let entries = listing(variables, &["/".into()]).snapshot.entries;
        assert_eq!(entries[0].1, Datum::Binary(vec![0xff].into()));
    }
}
