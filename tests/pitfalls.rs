//! The faults of other reloaders, each with a test named for what happens here instead.

mod files;
mod outages;
mod reloads;
mod reread;
mod stopping;
mod values;
