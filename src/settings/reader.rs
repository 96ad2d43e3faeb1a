//! Words to typed values. A bad one is noted and its default goes on, so that all are found in one go.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::invocation::Invocation;
use super::layers::{Layers, Rank};
use super::problem::Problem;
use super::row::{CONFD, Commands};
use super::units;

/// The structs, and everything that was wrong; with problems, the invocation is not fit for use.
pub(super) struct Built {
    pub(super) invocation: Invocation,
    pub(super) problems: Vec<Problem>,
}

/// Reads options by name and gathers what is wrong with them.
pub(super) struct Reader<'l> {
    layers: &'l Layers,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
    /// Said for information.
    pub(super) notices: Vec<String>,
}

impl<'l> Reader<'l> {
    pub(super) fn new(layers: &'l Layers) -> Self {
        Self { layers, problems: Vec::new(), warnings: Vec::new(), notices: Vec::new() }
    }

    /// The whole call, with everything that was found on the way.
    pub(super) fn finish(&mut self, mut invocation: Invocation) -> Built {
        let filed = self.layers.filed;
        self.problems.iter_mut().for_each(|problem| problem.of_sense |= filed);
        let mut problems = self.layers.problems.clone();
        problems.append(&mut self.problems);
        invocation.warnings.clone_from(&self.layers.warnings);
        invocation.warnings.append(&mut self.warnings);
        invocation.notices.clone_from(&self.layers.notices);
        invocation.notices.append(&mut self.notices);
        Built { invocation, problems }
    }

    fn words(&mut self, name: &str) -> &'l [OsString] {
        match self.layers.get(name).map(|given| (given, &given.words)) {
            Some((_, Ok(words))) => words,
            Some((given, Err(says))) => {
                self.problems.push(Problem::new(&given.place, says));
                &[]
            }
            None => &[],
        }
    }

    /// Notes a problem with an option, at the place it was given or else at its flag.
    pub(super) fn object(&mut self, name: &str, says: impl Into<String>) {
        let problem = Problem::new(self.place(name), says);
        self.problems.push(problem);
    }

    /// Notes what confd has always let pass: a warning for its users, a problem for everyone else.
    pub(super) fn object_unless_confd(&mut self, command: Commands, name: &str, says: &str) {
        if command == CONFD {
            let line = format!("{}: {says} (no effect)", self.place(name));
            self.warnings.push(line);
        } else {
            self.object(name, says);
        }
    }

    fn place(&self, name: &str) -> String {
        self.layers.get(name).map_or_else(|| format!("--{name}"), |given| given.place.clone())
    }

    /// The layer an option's value came from, if it has one.
    pub(super) fn rank(&self, name: &str) -> Option<Rank> {
        let given = self.layers.get(name)?;
        given.words.as_ref().is_ok_and(|words| !words.is_empty()).then_some(given.rank)
    }

    pub(super) fn texts(&mut self, name: &str) -> Vec<String> {
        let words = self.words(name);
        let texts: Vec<String> = words.iter().filter_map(|word| word.to_str().map(str::to_owned)).collect();
        if texts.len() < words.len() {
            self.object(name, "is not UTF-8 text");
        }
        texts
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.texts(name).pop()
    }

    pub(super) fn paths(&mut self, name: &str) -> Vec<PathBuf> {
        self.words(name).iter().map(PathBuf::from).collect()
    }

    pub(super) fn path(&mut self, name: &str) -> Option<PathBuf> {
        self.paths(name).pop()
    }

    /// The value as `read` understands it.
    pub(super) fn parsed<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(name)?;
        read(&text).map_err(|says| self.object(name, says)).ok()
    }

    pub(super) fn switch(&mut self, name: &str) -> Option<bool> {
        self.parsed(name, units::switch)
    }

    /// A switch that is off unless given.
    pub(super) fn on(&mut self, name: &str) -> bool {
        self.switch(name).unwrap_or(false)
    }

    /// A span that may be zero.
    pub(super) fn span(&mut self, name: &str) -> Option<Duration> {
        self.parsed(name, units::span)
    }

    /// A time limit: zero would let nothing happen at all.
    pub(super) fn limit(&mut self, name: &str, default: Duration) -> Duration {
        let read = |text: &str| match units::span(text) {
            Ok(span) if span.is_zero() => Err("must be more than 0".to_owned()),
            other => other,
        };
        self.parsed(name, read).unwrap_or(default)
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, name: &str, words: &[(&str, T)], default: T) -> T {
        let read = |text: &str| {
            let lower = text.to_lowercase();
            match words.iter().find(|(word, _)| *word == lower) {
                Some((_, value)) => Ok(*value),
                None => {
                    let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                    Err(format!("{text:?} is not one of {}", all.join(", ")))
                }
            }
        };
        self.parsed(name, read).unwrap_or(default)
    }
}
