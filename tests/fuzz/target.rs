//! The program of every target for cargo-fuzz: its name is the target's.
//!
//! `cargo fuzz run --fuzz-dir tests/fuzz template`; see `docs/contributing.md`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| retune::fuzz::run(env!("CARGO_BIN_NAME"), data));
