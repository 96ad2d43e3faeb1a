//! Resource files in, up-to-date configuration files and reloaded services out.
//!
//! Owns: what a resource is, which resources a change touches, the order of one write (render, stage, sync,
//! compare, check, swap, reload, verify), the reloads that are owed, the daemon's loop, the one-shot, the plan
//! and the lint.
//!
//! Promises: a step that fails leaves the old file in service. A swapped file's reload is never forgotten: it is
//! on disk as a debt before the swap. A change is never lost while something else runs. One broken resource
//! never stops the others. What a resource does not read never wakes it.
//!
//! Leaves out: where values come from (`source`), how text is made of them (`template`), how bytes get onto the
//! disk (`replace`), how a command is run (`command`).
//!
//! The pass in one line: `due` says which resources, `expand` makes them files, `prepare` renders and stages on all
//! cores, `deliver` checks and `place` swaps, `settle` reloads and verifies.

mod confdir;
mod debts;
mod deliver;
mod dependents;
mod due;
mod ending;
mod error;
mod expand;
mod fields;
mod follower;
mod generation;
mod holdings;
mod housekeeping;
mod job;
mod last_good;
mod lint;
mod lint_pattern;
mod lint_report;
mod lint_template;
mod lock;
mod manifest;
mod once;
mod outcome;
mod owed;
mod phase;
mod place;
mod plan;
mod prepare;
mod probe;
mod progress;
mod redact;
mod reload;
mod rereading;
mod resource;
mod settings;
mod settle;
mod verify;
mod want;
mod worker;

pub use error::ReloaderError;
pub use lint::{Finding, Findings, Golden, Severity, lint};
pub use once::render;
pub use outcome::{Line, Outcome, Report, Step};
pub use phase::{Ending, Phase};
pub use plan::{Change, PendingReload, Plan, Planned, plan};
pub use settings::{Ready, Settings, UnknownFields};
pub use worker::run;
