//! All functions and filters.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use minijinja::Environment;

use super::registry::Registry;
use super::{
    backends, builtins, convert, crypt, dates, generation, lists, math, net, pattern, store, system, text,
    words,
};

/// Returns a filled environment. Filling is slow, so it happens once and every engine gets a copy.
pub(super) fn build() -> Environment<'static> {
    filled().env.clone()
}

/// Returns the shared registry, filled once.
pub(super) fn filled() -> &'static Registry {
    static FILLED: OnceLock<Registry> = OnceLock::new();
    FILLED.get_or_init(fill)
}

fn fill() -> Registry {
    let mut all = Registry { env: Environment::new(), functions: BTreeSet::new(), filters: BTreeSet::new() };
    for register in [
        backends::register,
        builtins::register,
        convert::register,
        crypt::register,
        dates::register,
        generation::register,
        lists::register,
        math::register,
        net::register,
        pattern::register,
        store::register,
        system::register,
        text::register,
        words::register,
    ] {
        register(&mut all);
    }
    all
}

/// Returns the names of all functions and of all filters.
#[cfg(test)]
pub(super) fn names() -> (BTreeSet<&'static str>, BTreeSet<&'static str>) {
    let all = fill();
    (all.functions, all.filters)
}
