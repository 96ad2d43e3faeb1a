//! What is wrong with the settings, for the person who can change them.

use std::fmt;

/// One bad setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands: a flag, a variable, or file, line and key.
    pub place: String,
    /// What is wrong, and what to write instead.
    pub says: String,
    /// Whether etcd would have understood the words and only then refused them: it has an exit status for each.
    pub(super) of_sense: bool,
}

impl Problem {
    pub(super) fn new(place: impl Into<String>, says: impl Into<String>) -> Self {
        Self { place: place.into(), says: says.into(), of_sense: false }
    }

    /// One that etcd ends with another exit status than a mistyped flag; only for its command line.
    pub(super) fn of_sense(place: impl Into<String>, says: impl Into<String>) -> Self {
        Self { of_sense: true, ..Self::new(place, says) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.says)
    }
}

/// Every bad setting of one call; the program cannot run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// The exit status they end the program with: 2, but 1 on etcd's command line when all words were understood.
    #[must_use]
    pub fn status(&self) -> u8 {
        if !self.0.is_empty() && self.0.iter().all(|problem| problem.of_sense) { 1 } else { 2 }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}
