//! Entry points for fuzzing: each takes any bytes and hands them to one reader of input from outside.
//!
//! Owns the list of targets. Promises that a target fails only for a fault: a panic, an answer that contradicts another,
//! or work far beyond the input. It exists in tests and in builds for a fuzzer only; `tests/fuzz` has the programs for
//! cargo-fuzz and the corpus. Leaves out how the inputs are made.

mod texts;

#[cfg(test)]
mod tests;

use crate::{consensus, http, protocol, registrar, reloader, settings};

/// A target's name, as the fuzzer's program and the folder of its corpus have it, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 12] = [
    ("http_request", http::fuzz::request),
    ("http_form", protocol::fuzz::form),
    ("peer_frame", consensus::fuzz::frame),
    ("log_entry", consensus::fuzz::entry),
    ("snapshot", consensus::fuzz::snapshot),
    ("resource", reloader::fuzz::resource),
    ("settings", settings::fuzz::file),
    ("template", texts::template),
    ("document", texts::document),
    ("engine_answer", registrar::fuzz::answer),
    ("engine_events", registrar::fuzz::events),
    ("placement", texts::placement),
];

/// Runs the target of that name.
///
/// # Panics
/// There is none, or it found a fault.
pub fn run(name: &str, data: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target of that name");
    target(data);
}
