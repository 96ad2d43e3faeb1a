//! Problems in the settings, worded for the user who can fix them.

use std::fmt;

/// One bad setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its place: a flag, a variable, or a file with line and key.
    pub place: String,
    /// What is wrong, and what to write instead.
    pub message: String,
    /// Whether etcd would have accepted the words and refused them only later: it has a different exit status for
    /// each.
    pub(super) is_semantic: bool,
}

impl Problem {
    pub(super) fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into(), is_semantic: false }
    }

    /// Returns a problem for which etcd has another exit status than for a mistyped flag; only for its command line.
    pub(super) fn semantic(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { is_semantic: true, ..Self::new(place, message) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Every bad setting of one call; the program cannot run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// Returns the exit status: 2, but 1 on etcd's command line when all words were valid.
    #[must_use]
    pub fn status(&self) -> u8 {
        if !self.0.is_empty() && self.0.iter().all(|problem| problem.is_semantic) { 1 } else { 2 }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"))
    }
}
