//! Tests whether a key lies at or below one of many roots, at a cost independent of their number.

use std::collections::HashSet;

use crate::key;

#[derive(Debug)]
pub(super) struct Roots<'r>(HashSet<&'r str>);

impl<'r> Roots<'r> {
    pub(super) fn new(roots: &'r [String]) -> Self {
        Self(roots.iter().map(String::as_str).collect())
    }

    pub(super) fn covers(&self, key: &str) -> bool {
        self.0.contains(key) || key::ancestors(key).any(|dir| self.0.contains(dir))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_covers_itself_and_what_is_below_it() {
        let names = ["/app".to_owned()];
        let roots = Roots::new(&names);
        assert!(roots.covers("/app") && roots.covers("/app/a/b"));
        assert!(!roots.covers("/apple") && !roots.covers("/"));
        let all = ["/".to_owned()];
        assert!(Roots::new(&all).covers("/x/y") && Roots::new(&all).covers("/"));
    }
}
