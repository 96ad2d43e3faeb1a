//! Whole groups of members in a world of one seed: real drivers over real logs, with a network, a clock and clients that are
//! not real.
//!
//! Owns: the world (members, network, faults, clients, an operator), what must hold in it (`checks`), the seeds, and the bugs
//! that are planted to see that the checks would find them.
//!
//! Promises: a seed does the same each time: all chance comes from it, also raft's. One that fails is run again, and the end of
//! what happened is told. `RETUNE_TEST_SEEDS` is how many seeds are run, `RETUNE_TEST_SEED` one of them.
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
mod seeds;
mod world;
