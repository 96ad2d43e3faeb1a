//! What a member owes its clients when things go wrong: kills, power cuts, full and damaged disks, clocks that jump,
//! and more of everything than is reasonable.
//!
//! The rule under test is one: what was acknowledged is there afterwards, what was not is there whole or not at all,
//! and indexes never go back. Every checker here is also shown to find a loss that was made on purpose.
//!
//! `RETUNE_TEST_STORE=etcd` runs them against etcd instead, which shows whether a failure is the harness's own.

mod clock;
mod command;
mod disk;
pub mod disk_errors;
mod kill9;
mod load;
pub mod member;
mod power_cut;
pub mod wire;
mod write_history;
mod writers;

use std::time::Duration;

/// How long a test of many rounds may go on.
pub fn budget(default_seconds: u64) -> Duration {
    let seconds = std::env::var("RETUNE_TEST_BUDGET").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(default_seconds))
}

/// How many rounds a test goes through: its own number, or what this variable says.
pub fn rounds(variable: &str, default: u32) -> u32 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
