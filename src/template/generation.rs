//! `generation()`: a short hash of the whole output, for a service to publish and a verification to check.
//!
//! A template that prints it is rendered twice: first with zeros, then with the hash of the first output. So the hash
//! covers everything but itself, and equal outputs have equal hashes.

use sha2::{Digest, Sha256};

use super::current::{self, GENERATION_PLACEHOLDER};
use super::registry::Registry;
use crate::scalar::hex;

pub(super) fn register(all: &mut Registry) {
    all.function("generation", || {
        current::with(|current| {
            current.generation_used = true;
            Ok(current.generation.clone())
        })
    });
}

/// Returns the generation of an output that has zeros in place of the hash.
#[must_use]
pub fn generation_of(output: &[u8]) -> String {
    hex(&Sha256::digest(output)[..GENERATION_PLACEHOLDER.len() / 2])
}
