//! Which resources a change touches: an inverted index over the reads of every last render.
//!
//! Finding the resources of one changed key costs one look-up for each segment of the key, whatever the number of
//! resources.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::key;
use crate::template::Reads;
use crate::values::Touched;

/// The reads of all resources, indexed by what they read.
#[derive(Debug, Default)]
pub(super) struct Dependents {
    reads: HashMap<usize, Reads>,
    by_key: HashMap<Arc<str>, BTreeSet<usize>>,
    by_dir: HashMap<Arc<str>, BTreeSet<usize>>,
}

impl Dependents {
    /// Replaces the reads of a resource by those of its newest render.
    pub(super) fn record(&mut self, resource: usize, reads: Reads) {
        if self.reads.get(&resource) == Some(&reads) {
            return;
        }
        self.forget(resource);
        for (map, name) in edges(&reads) {
            let map = if map { &mut self.by_key } else { &mut self.by_dir };
            map.entry(name).or_default().insert(resource);
        }
        self.reads.insert(resource, reads);
    }

    fn forget(&mut self, resource: usize) {
        let Some(reads) = self.reads.remove(&resource) else { return };
        for (map, name) in edges(&reads) {
            let map = if map { &mut self.by_key } else { &mut self.by_dir };
            if let Some(set) = map.get_mut(&name) {
                set.remove(&resource);
                if set.is_empty() {
                    map.remove(&name);
                }
            }
        }
    }

    /// Returns every resource whose last render read something that these changes touched.
    #[must_use]
    pub(super) fn touched(&self, touched: &[Touched]) -> BTreeSet<usize> {
        let mut due = BTreeSet::new();
        for touch in touched {
            due.extend(self.by_key.get(&touch.key).into_iter().flatten());
            for dir in key::ancestors(&touch.key) {
                let candidates = self.by_dir.get(dir).into_iter().flatten();
                due.extend(candidates.filter(|index| self.reads[index].touched_by(touch)));
            }
        }
        due
    }
}

/// Returns where each read is indexed: a key under itself (`true`), a listing or glob under the deepest directory that
/// is above everything it can match (`false`).
fn edges(reads: &Reads) -> Vec<(bool, Arc<str>)> {
    let keys = reads.keys.iter().map(|name| (true, Arc::clone(name)));
    let listings = reads.listings.iter().map(|dir| (false, Arc::clone(dir)));
    let globs = reads.globs.iter().map(|pattern| (false, Arc::from(literal_dir(pattern))));
    keys.chain(listings).chain(globs).collect()
}

/// Returns the directory part of a glob before its first special character.
fn literal_dir(pattern: &str) -> &str {
    let literal = &pattern[..pattern.find(['*', '?', '[', '\\']).unwrap_or(pattern.len())];
    match literal.rfind('/') {
        None | Some(0) => "/",
        Some(end) => &literal[..end],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(keys: &[&str], listings: &[&str], globs: &[&str]) -> Reads {
        let set = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect();
        Reads { keys: set(keys), listings: set(listings), globs: set(globs), ..Reads::default() }
    }

    fn due(dependents: &Dependents, key: &str, listing: bool) -> Vec<usize> {
        dependents.touched(&[Touched { key: Arc::from(key), listing }]).into_iter().collect()
    }

    #[test]
    fn a_change_touches_exactly_the_resources_that_read_it() {
        let mut all = Dependents::default();
        all.record(0, reads(&["/app/port"], &[], &[]));
        all.record(1, reads(&[], &["/app"], &[]));
        all.record(2, reads(&[], &[], &["/app/*/host"]));
        all.record(3, reads(&[], &[], &["/*"]));
        assert_eq!(due(&all, "/app/port", false), [0]);
        assert_eq!(due(&all, "/app/port", true), [0, 1]);
        assert_eq!(due(&all, "/app/db/host", false), [2]);
        assert_eq!(due(&all, "/app/db/host", true), [1, 2]);
        assert_eq!(due(&all, "/top", false), [3]);
        assert_eq!(due(&all, "/apple/x", true), [] as [usize; 0]);
    }

    #[test]
    fn newer_reads_replace_earlier_ones() {
        let mut all = Dependents::default();
        all.record(0, reads(&["/a"], &["/dir"], &[]));
        all.record(0, reads(&["/b"], &[], &[]));
        assert_eq!(due(&all, "/a", false), [] as [usize; 0]);
        assert_eq!(due(&all, "/dir/x", true), [] as [usize; 0]);
        assert_eq!(due(&all, "/b", false), [0]);
        assert!(all.by_dir.is_empty() && all.by_key.len() == 1, "nothing is left behind");
    }

    #[test]
    fn a_glob_is_indexed_by_its_literal_directory() {
        for (pattern, dir) in
            [("/a/b/*", "/a/b"), ("/a/b*", "/a"), ("/*", "/"), ("/a/[x]/c", "/a"), ("/a/b", "/a")]
        {
            assert_eq!(literal_dir(pattern), dir, "{pattern}");
        }
    }
}
