//! Simulates whole groups of members, one world per seed: real drivers over real logs, with a simulated network,
//! clock and clients.
//!
//! Owns: the world (members, network, faults, clients, an operator), its invariants (`checks`), the seeds, planted bugs
//! that show that the checks work, and scripts of single scenarios without random faults.
//!
//! Promises: a seed gives the same run each time: all randomness comes from it, also raft's. A failing seed is run
//! again and prints its last events. `RETUNE_TEST_SEEDS` sets the number of seeds, `RETUNE_TEST_SEED` a single one.
//!
//! Leaves out: torn writes and damaged files (tested at one member), and the wire.

mod checks;
mod clients;
mod faults;
mod member;
mod network;
mod plan;
pub(in crate::consensus) mod plant;
mod planted;
mod run;
mod scripts;
mod seeds;
mod world;
