//! What a command has of its own.

use super::invocation::{CommandId, Invocation};
use super::reader::Reader;

/// One command. Its options are rows of the table.
pub(super) struct CommandSpec {
    /// The words after `retune`, or the name of the other program.
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// What the help says below the flags and the order of the layers.
    pub(super) notes: &'static str,
    /// The option that a word without a flag belongs to, and that word's name in usage lines.
    pub(super) operand: Option<(&'static str, &'static str)>,
    /// The program that it replaces: its variables count after our own.
    pub(super) replaces: Option<CommandId>,
    /// Turns the options into the settings structs of the rooms below.
    pub(super) build: fn(&mut Reader<'_>) -> Invocation,
}

impl CommandSpec {
    pub(super) const fn new(
        name: &'static str,
        about: &'static str,
        build: fn(&mut Reader<'_>) -> Invocation,
    ) -> Self {
        Self { name, about, notes: "", operand: None, replaces: None, build }
    }
}
