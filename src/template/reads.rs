//! What a render read, so that a change re-renders exactly the resources it touches.

use std::collections::HashSet;
use std::sync::Arc;

/// Everything one render asked of the values, hits and misses alike, in absolute keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Keys asked for by name: the render depends on each one's value and on its coming and going.
    pub keys: HashSet<Arc<str>>,
    /// Directories whose child names were listed: the render depends on keys below them coming and going,
    /// not on their values.
    pub listings: HashSet<Arc<str>>,
    /// Glob patterns whose matches were taken: the render depends on every key that matches.
    pub globs: HashSet<Arc<str>>,
    /// Keys asked for outside the resource's `keys`; `check` reports them.
    pub outside: HashSet<Arc<str>>,
    /// Whether the result also depends on something no source reports a change of: the clock, DNS, a file.
    pub volatile: bool,
}
