//! Fuzzing of the settings file.

use super::file::{MAX_PROBLEMS, parse};
use super::invocation::CommandId;

/// Reads the text as the settings file of two commands.
pub(crate) fn file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for command in [CommandId::Watch, CommandId::Confd] {
        let contents = parse(text, "fuzz.toml", command);
        // A known key may still be wrong behind that many unknown ones.
        let known = contents.given.len() + text.lines().count().min(1000);
        assert!(contents.problems.len() + contents.idle.len() <= MAX_PROBLEMS + 1 + known);
    }
}
