//! A member's promises under faults: kills, power cuts, full and damaged disks, clocks that jump, and excessive
//! load.
//!
//! One rule is tested: acknowledged writes survive, others are there completely or not at all, and indexes never go
//! back. Every checker here is also shown to find a deliberate loss.
//!
//! `RETUNE_TEST_STORE=etcd` runs them against etcd instead, which shows whether a failure is caused by the harness.

mod clock;
mod command;
mod disk;
pub mod disk_errors;
mod kill9;
mod load;
pub mod member;
mod outsized;
mod power_cut;
pub mod wire;
mod write_history;
mod writers;

use std::time::Duration;

/// Returns how long a test of many rounds may run.
pub fn budget(default_seconds: u64) -> Duration {
    let seconds = std::env::var("RETUNE_TEST_BUDGET").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(default_seconds))
}

/// Returns how many rounds a test runs: its default, or the variable's value.
pub fn rounds(variable: &str, default: u32) -> u32 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
