//! The values of a source: every key with its value, in memory, ordered by key.
//!
//! A snapshot fills it, changes update it. Each update returns the keys it touched, so that the reloader finds the
//! affected resources without comparing anything else.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::key;

/// One value of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datum {
    /// Text; templates see exactly these bytes.
    Text(Arc<str>),
    /// Bytes that are not UTF-8. Templates may test for the key or read it as base64; printing it is an error that
    /// names the key.
    Binary(Arc<[u8]>),
}

impl Datum {
    /// Converts raw bytes to a value: text if they are UTF-8.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) => Self::Text(text.into()),
            Err(error) => Self::Binary(error.into_bytes().into()),
        }
    }

    /// Returns the bytes of either kind.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

impl From<&str> for Datum {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

/// One change in a source, with absolute clean keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The key has this new value.
    Set(Arc<str>, Datum),
    /// The key is deleted; keys below it stay.
    Delete(Arc<str>),
    /// The key and everything below it are deleted (etcd v2's recursive delete, an expired directory).
    DeleteTree(Arc<str>),
}

/// What a change did to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// The absolute key.
    pub key: Arc<str>,
    /// Whether the key was added or deleted (which changes listings) rather than only changed.
    pub listing: bool,
}

/// Every key of a source with its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    tree: BTreeMap<Arc<str>, Datum>,
}

impl Values {
    /// Returns the number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tree.len()
    }

    /// Returns whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tree.is_empty()
    }

    /// Returns the value of an absolute key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Datum> {
        self.tree.get(key)
    }

    /// Returns every key with its value, in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Datum)> {
        self.tree.iter()
    }

    /// Returns every key strictly below `dir` with its value, in key order; the cost is proportional to the result.
    pub fn below<'v>(&'v self, dir: &str) -> impl Iterator<Item = (&'v Arc<str>, &'v Datum)> + use<'v> {
        let (from, to) = bounds(dir);
        self.tree.range::<str, _>((Bound::Included(from.as_str()), Bound::Excluded(to.as_str())))
    }

    /// Returns every key below `dir`, starting at `from`, in key order.
    pub fn below_from<'v>(
        &'v self,
        dir: &str,
        from: &str,
    ) -> impl Iterator<Item = (&'v Arc<str>, &'v Datum)> + use<'v> {
        let (low, to) = bounds(dir);
        // A range whose end is before its start would panic.
        let from = from.clamp(low.as_str(), to.as_str());
        self.tree.range::<str, _>((Bound::Included(from), Bound::Excluded(to.as_str())))
    }

    /// Returns the first key at or after `from` that is below `dir`; lets a listing skip whole subtrees.
    #[must_use]
    pub fn next_below(&self, dir: &str, from: &str) -> Option<(&Arc<str>, &Datum)> {
        let (low, to) = bounds(dir);
        let from = if from < low.as_str() { low.as_str() } else { from };
        if from >= to.as_str() {
            return None;
        }
        self.tree.range::<str, _>((Bound::Included(from), Bound::Excluded(to.as_str()))).next()
    }

    /// Applies one change and returns the keys it touched; an equal value touches nothing.
    pub fn apply(&mut self, change: Change) -> Vec<Touched> {
        match change {
            Change::Set(key, datum) => self.set(key, datum).into_iter().collect(),
            Change::Delete(key) => match self.tree.remove_entry(&*key) {
                Some((key, _)) => vec![Touched { key, listing: true }],
                None => Vec::new(),
            },
            Change::DeleteTree(dir) => {
                let mut gone: Vec<Arc<str>> = self.below(&dir).map(|(key, _)| Arc::clone(key)).collect();
                gone.extend(self.tree.get_key_value(&*dir).map(|(key, _)| Arc::clone(key)));
                for key in &gone {
                    self.tree.remove(key);
                }
                gone.into_iter().map(|key| Touched { key, listing: true }).collect()
            }
        }
    }

    fn set(&mut self, key: Arc<str>, datum: Datum) -> Option<Touched> {
        match self.tree.get_mut(&*key) {
            Some(present) if *present == datum => None,
            Some(present) => {
                *present = datum;
                Some(Touched { key, listing: false })
            }
            None => {
                self.tree.insert(Arc::clone(&key), datum);
                Some(Touched { key, listing: true })
            }
        }
    }

    /// Replaces everything by a new snapshot and returns the keys that differ.
    pub fn replace(&mut self, entries: impl IntoIterator<Item = (Arc<str>, Datum)>) -> Vec<Touched> {
        let next: BTreeMap<Arc<str>, Datum> = entries.into_iter().collect();
        let mut touched = Vec::new();
        for key in self.tree.keys().filter(|key| !next.contains_key(*key)) {
            touched.push(Touched { key: Arc::clone(key), listing: true });
        }
        for (key, datum) in &next {
            match self.tree.get(key) {
                Some(present) if present == datum => {}
                present => touched.push(Touched { key: Arc::clone(key), listing: present.is_none() }),
            }
        }
        self.tree = next;
        touched
    }
}

impl FromIterator<(Arc<str>, Datum)> for Values {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Datum)>>(entries: I) -> Self {
        Self { tree: entries.into_iter().collect() }
    }
}

/// Returns the range of the keys strictly below `dir`: `[dir + "/", dir + "0")`, since `0` is the byte after `/`.
fn bounds(dir: &str) -> (String, String) {
    let dir = if dir == "/" { "" } else { dir };
    (format!("{dir}/"), format!("{dir}0"))
}

/// The directory of the registrars' own records, outside all prefixes. A listing of `/` does not show it, in either of
/// etcd's APIs: starting a registrar must not change a file.
const REGISTRAR_DIR: &str = "/_retune";

/// Returns whether a key is one of the registrars' own.
pub(super) fn is_registrar_key(key: &str) -> bool {
    key::contains(REGISTRAR_DIR, key)
}

/// What one resource may see of the values: its prefix and its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Absolute; templates name keys relative to it.
    pub prefix: String,
    /// The resource's `keys` below the prefix: absolute, and disjoint except where etcd hides one below another. A key
    /// outside all of them is missing.
    pub roots: Vec<String>,
}

impl Scope {
    /// Returns the scope of a resource with this prefix and these keys, in the user's spelling.
    #[must_use]
    pub fn new(prefix: &str, keys: &[String]) -> Self {
        let prefix = key::clean(prefix);
        let absolute = |text: &String| {
            let whole = key::clean(text);
            // The node records are the same for all prefixes.
            if is_registrar_key(&whole) { whole } else { key::join(&prefix, text) }
        };
        let roots = key::disjoint(keys.iter().map(absolute).collect());
        Self { prefix, roots }
    }

    /// Returns whether an absolute key is within `keys`.
    #[must_use]
    pub fn covers(&self, absolute: &str) -> bool {
        let own = is_registrar_key(absolute);
        self.roots.iter().any(|root| key::contains(root, absolute) && (!own || is_registrar_key(root)))
    }
}

/// The values as one resource sees them at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// All values of the source.
    pub values: Arc<Values>,
    /// What this resource sees of them.
    pub scope: Arc<Scope>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(entries: &[(&str, &str)]) -> Values {
        entries.iter().map(|(key, text)| (Arc::from(*key), Datum::from(*text))).collect()
    }

    fn keys(touched: &[Touched]) -> Vec<(&str, bool)> {
        touched.iter().map(|touch| (&*touch.key, touch.listing)).collect()
    }

    #[test]
    fn an_equal_value_touches_nothing_and_a_new_value_does_not_touch_listings() {
        let mut all = values(&[("/a", "1")]);
        assert!(all.apply(Change::Set("/a".into(), "1".into())).is_empty());
        assert_eq!(keys(&all.apply(Change::Set("/a".into(), "2".into()))), [("/a", false)]);
        assert_eq!(keys(&all.apply(Change::Set("/b".into(), "1".into()))), [("/b", true)]);
    }

    #[test]
    fn node_records_are_named_absolutely_and_visible_only_by_name() {
        let scope = |keys: &[&str]| {
            Scope::new("/prod", &keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(scope(&["/", "/_retune/nodes"]).roots, ["/_retune/nodes", "/prod"]);
        assert_eq!(scope(&["_retune/nodes", "/_retuned"]).roots, ["/_retune/nodes", "/prod/_retuned"]);
        let all =
            |keys: &[&str]| Scope::new("/", &keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>());
        assert!(!all(&["/"]).covers("/_retune/nodes/a") && all(&["/"]).covers("/_other"));
        assert!(all(&["/", "/_retune/nodes"]).covers("/_retune/nodes/a"));
        assert!(!all(&["/", "/_retune/nodes"]).covers("/_retune/owners/a"));
    }

    #[test]
    fn deleting_a_tree_stops_at_its_boundary() {
        let mut all =
            values(&[("/app/x", "1"), ("/app/y/z", "2"), ("/apple", "3"), ("/app", "0"), ("/app-b/x", "4")]);
        assert_eq!(all.apply(Change::DeleteTree("/app".into())).len(), 3);
        assert_eq!(all.iter().map(|(key, _)| &**key).collect::<Vec<_>>(), ["/app-b/x", "/apple"]);
    }

    #[test]
    fn a_snapshot_touches_only_what_differs() {
        let mut all = values(&[("/same", "1"), ("/gone", "1"), ("/other", "1")]);
        let touched = all.replace(values(&[("/same", "1"), ("/other", "2"), ("/new", "1")]).tree);
        assert_eq!(keys(&touched), [("/gone", true), ("/new", true), ("/other", false)]);
    }

    #[test]
    fn binary_values_stay_unchanged() {
        assert_eq!(Datum::from_bytes(vec![0xff, 0xfe]), Datum::Binary(vec![0xff, 0xfe].into()));
        assert_eq!(Datum::from_bytes(b"x".to_vec()), Datum::from("x"));
    }
}
