//! Resource files in, up-to-date configuration files and reloaded services out.
//!
//! Owns: what a resource is, which resources a change touches, the order of one write (render, stage, sync, compare,
//! check, swap, reload, verify), pending reloads, the daemon's loop, the one-shot, the plan and the lint.
//!
//! Promises: a step that fails leaves the old file in service. A swapped file's reload is never forgotten: it is on
//! disk as a journal entry before the swap. A change that comes while something else runs is never lost. One broken
//! resource never stops the others. A change to a key that a resource does not read never renders it.
//!
//! Leaves out: where values come from (`source`), how templates are rendered (`template`), how files are written
//! (`replace`), how a command is run (`command`).
//!
//! The pass in one line: `schedule` picks the resources, `expand` turns them into files, `prepare` renders and stages on
//! all cores, `deliver` checks, `place` swaps, `run_pending` reloads and verifies.

mod background_read;
mod command_text;
mod confdir;
mod deliver;
mod dependents;
mod error;
mod expand;
mod fault_log;
mod fields;
mod findings;
mod follower;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod generation;
mod housekeeping;
mod job;
mod journal;
mod last_good;
mod lint;
mod lint_pattern;
mod lint_render;
mod lint_report;
mod lint_template;
mod lock;
mod log_text;
mod manifest;
mod once;
mod outcome;
mod pending;
mod pid_file;
mod place;
mod plan;
mod prepare;
mod probe;
mod progress;
mod record;
mod redact;
mod reload;
mod request;
mod resource;
mod run_pending;
mod schedule;
mod settings;
mod shutdown;
mod state_file;
mod value_cache;
mod verify;
mod worker;

pub use error::ReloaderError;
pub use findings::{Finding, Findings, Golden, Severity};
pub use lint::lint;
pub use once::render;
pub use outcome::{DestOutcome, FailedStep, Report, ReportLine};
pub use plan::{Plan, Planned, PlannedChange, PlannedReload, plan};
pub use settings::{Ready, Settings, UnknownFields};
pub use shutdown::DaemonEnd;
pub use worker::run;
