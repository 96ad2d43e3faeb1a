//! What a render read, so that a change renders exactly the resources it touches.

use std::collections::HashSet;
use std::sync::Arc;

use crate::key;

use super::glob::glob_matches;
use crate::values::Touched;

/// Everything one render read of the values, hits and misses alike, as absolute keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Keys read by name: the render depends on the value of each, and on whether it exists.
    pub keys: HashSet<Arc<str>>,
    /// Directories whose child names were listed: the render depends on which keys exist below them, not on their
    /// values.
    pub listings: HashSet<Arc<str>>,
    /// Glob patterns whose matches were read: the render depends on every key that matches.
    pub globs: HashSet<Arc<str>>,
    /// Keys read outside the resource's `keys`; `check` reports them.
    pub outside: HashSet<Arc<str>>,
    /// Whether the result also depends on something whose changes no source reports: the clock, DNS, a file.
    pub volatile: bool,
}

impl Reads {
    /// Adds the reads of another render.
    pub fn merge(&mut self, more: Self) {
        self.keys.extend(more.keys);
        self.listings.extend(more.listings);
        self.globs.extend(more.globs);
        self.outside.extend(more.outside);
        self.volatile |= more.volatile;
    }

    /// Returns whether a render with these reads may give a different result now.
    #[must_use]
    pub fn touched_by(&self, touched: &Touched) -> bool {
        // The pattern was checked when it was read; if it is still malformed, it matches nothing.
        self.keys.contains(&touched.key)
            || (touched.listing && self.listings.iter().any(|dir| key::contains(dir, &touched.key)))
            || self.globs.iter().any(|pattern| glob_matches(pattern, &touched.key).unwrap_or(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_touches_reads_that_named_listed_or_matched_its_key() {
        let set = |texts: &[&str]| texts.iter().map(|text| Arc::from(*text)).collect();
        let reads = Reads {
            keys: set(&["/a"]),
            listings: set(&["/dir"]),
            globs: set(&["/app/*"]),
            ..Reads::default()
        };
        let touch = |key: &str, listing| reads.touched_by(&Touched { key: key.into(), listing });
        assert!(touch("/a", false) && touch("/a", true));
        assert!(touch("/dir/x/y", true) && touch("/dir", true) && !touch("/dir/x", false));
        assert!(touch("/app/x", false) && !touch("/app/x/y", true));
        assert!(!touch("/ab", true) && !touch("/dirt", true));
    }
}
