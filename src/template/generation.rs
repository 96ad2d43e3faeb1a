//! `generation()`: a short hash of the whole output, for a service to show and a verification to ask for.
//!
//! A template that prints it is rendered twice. The first rendering prints zeros, the second one the hash of the
//! first. So the hash covers the whole output but itself, and equal outputs have equal hashes.

use sha2::{Digest, Sha256};

use super::current::{self, BLANK};
use super::registry::Registry;

pub(super) fn register(all: &mut Registry) {
    all.function("generation", || {
        current::with(|current| {
            current.generation_used = true;
            Ok(current.generation.clone())
        })
    });
}

/// The generation of an output, rendered with zeros where it prints its generation.
#[must_use]
pub fn generation_of(output: &[u8]) -> String {
    Sha256::digest(output).iter().take(BLANK.len() / 2).map(|byte| format!("{byte:02x}")).collect()
}
