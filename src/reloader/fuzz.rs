//! Fuzzing of resource files.

use std::path::Path;

use super::resource::parse;
use super::settings::Settings;

/// Reads the text as a resource file; each problem names the file and what is wrong.
pub(crate) fn resource(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let loaded = parse("fuzz", Path::new("fuzz.toml"), text, &Settings::default());
    if let Err(problems) = loaded.resource {
        assert!(!problems.is_empty(), "refused without a reason");
        // What is missing at the end of a text is on the line after the last.
        let lines = text.lines().count() + 1;
        assert!(problems.iter().all(|problem| problem.line <= lines && !problem.text.is_empty()));
    }
}
