//! Converts words to typed values. A bad value is reported and replaced by its default, so that all are found at once.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::Host;
use super::invocation::{CommandId, Invocation, Log, Output};
use super::layers::{Layers, Rank};
use super::problem::{Problem, Problems};
use super::units;

/// Reads the options of one call by name and collects their problems.
pub(super) struct Reader<'l> {
    pub(super) command: CommandId,
    pub(super) host: &'l Host<'l>,
    pub(super) log: Log,
    layers: &'l Layers,
    /// Returns whether the table has an option of this name.
    known: fn(&str) -> bool,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
    /// Logged as information.
    pub(super) notices: Vec<String>,
}

impl<'l> Reader<'l> {
    pub(super) fn new(
        command: CommandId,
        host: &'l Host<'l>,
        layers: &'l Layers,
        known: fn(&str) -> bool,
    ) -> Self {
        let (problems, warnings, notices) = (Vec::new(), Vec::new(), Vec::new());
        Self { command, host, log: Log::default(), layers, known, problems, warnings, notices }
    }

    /// Returns the whole call, or every problem that was found.
    pub(super) fn finish(mut self, mut invocation: Invocation) -> Result<Invocation, Problems> {
        self.problems.iter_mut().for_each(|problem| problem.is_semantic |= self.layers.from_etcd_file);
        let problems = [&self.layers.problems[..], &self.problems].concat();
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        (invocation.dialect, invocation.log) = (self.command.dialect(), self.log);
        invocation.warnings = [&self.layers.warnings[..], &self.warnings].concat();
        invocation.notices = [&self.layers.notices[..], &self.notices].concat();
        Ok(invocation)
    }

    pub(super) fn is_etcd(&self) -> bool {
        self.command == CommandId::Etcd
    }

    fn words(&mut self, name: &str) -> &'l [OsString] {
        debug_assert!((self.known)(name), "no option {name}");
        match self.layers.get(name).map(|given| (given, &given.words)) {
            Some((_, Ok(words))) => words,
            Some((given, Err(message))) => {
                self.problems.push(Problem::new(&given.place, message));
                &[]
            }
            None => &[],
        }
    }

    /// Reports a problem with an option, at the place where it was given, or else at its name in the usage line.
    pub(super) fn report(&mut self, name: &str, message: impl Into<String>) {
        let problem = Problem::new(self.place(name), message);
        self.problems.push(problem);
    }

    /// Reports what confd has always accepted: a warning for its users, an error for everyone else.
    pub(super) fn report_unless_confd(&mut self, name: &str, message: &str) {
        if self.command == CommandId::Confd {
            let line = format!("{}: {message} (no effect)", self.place(name));
            self.warnings.push(line);
        } else {
            self.report(name, message);
        }
    }

    fn place(&self, name: &str) -> String {
        let unset = || match self.command.spec().operand {
            Some((row, called)) if row == name => called.to_owned(),
            _ => format!("--{name}"),
        };
        self.layers.get(name).map_or_else(unset, |given| given.place.clone())
    }

    /// Returns the layer of an option's value, if it has one.
    pub(super) fn rank(&self, name: &str) -> Option<Rank> {
        let given = self.layers.get(name)?;
        given.words.as_ref().is_ok_and(|words| !words.is_empty()).then_some(given.rank)
    }

    pub(super) fn texts(&mut self, name: &str) -> Vec<String> {
        let words = self.words(name);
        let texts: Vec<String> = words.iter().filter_map(|word| word.to_str().map(str::to_owned)).collect();
        if texts.len() < words.len() {
            self.report(name, "is not UTF-8 text");
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

    /// Returns the value as `read` parses it.
    pub(super) fn parsed<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(name)?;
        read(&text).map_err(|message| self.report(name, message)).ok()
    }

    /// Returns every word as `read` parses it, or none and a problem with the first bad one.
    pub(super) fn parsed_all<T>(
        &mut self,
        name: &str,
        mut read: impl FnMut(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let parsed: Result<_, String> = self.texts(name).iter().map(|text| read(text)).collect();
        parsed.map_err(|message| self.report(name, message)).unwrap_or_default()
    }

    /// Returns which option of a pair of certificate and key is given without the other, and what is missing.
    pub(super) fn half_pair<'n>(&self, cert: &'n str, key: &'n str) -> Option<(&'n str, String)> {
        match (self.rank(cert), self.rank(key)) {
            (Some(_), None) => {
                Some((cert, format!("a certificate is of no use without its key; add --{key} FILE")))
            }
            (None, Some(_)) => {
                Some((key, format!("a key is of no use without its certificate; add --{cert} FILE")))
            }
            _ => None,
        }
    }

    pub(super) fn switch(&mut self, name: &str) -> Option<bool> {
        self.parsed(name, units::switch)
    }

    /// Returns a switch; off unless given.
    pub(super) fn on(&mut self, name: &str) -> bool {
        self.switch(name).unwrap_or(false)
    }

    /// Returns a duration that may be zero.
    pub(super) fn span(&mut self, name: &str) -> Option<Duration> {
        self.parsed(name, units::span)
    }

    /// Returns a time limit: zero is refused, since nothing could run.
    pub(super) fn limit(&mut self, name: &str, default: Duration) -> Duration {
        let read = |text: &str| match units::span(text) {
            Ok(span) if span.is_zero() => Err("must be more than 0".to_owned()),
            other => other,
        };
        self.parsed(name, read).unwrap_or(default)
    }

    /// Returns the format of results or log lines.
    pub(super) fn format(&mut self, name: &str) -> Output {
        self.choice(name, &[("text", Output::Text), ("json", Output::Json)], Output::Text)
    }

    /// Returns one of a few words.
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
