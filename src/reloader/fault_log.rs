//! Which failures were logged: a daemon that retries logs each distinct failure once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::outcome::FailedStep;

/// For each resource, what fails: a destination, or the pattern of several, and the failure.
type Faults = BTreeMap<String, BTreeSet<(PathBuf, String)>>;

/// The failures of the last pass over each resource. A pass tries all destinations of a resource, so a failure that it
/// does not report has ended.
#[derive(Debug, Default)]
pub(super) struct FaultLog {
    last: Faults,
    /// The failures of the current pass.
    now: Faults,
    /// The renderings that a check refused in the current pass, by their digests.
    refused: BTreeMap<PathBuf, String>,
}

impl FaultLog {
    /// Notes that a resource was tried.
    pub(super) fn tried(&mut self, resource: &str) {
        self.now.entry(resource.to_owned()).or_default();
    }

    /// Notes which rendering a check refused: another one that fails in the same way is a new failure.
    pub(super) fn refused(&mut self, dest: &Path, digest: String) {
        self.refused.insert(dest.to_owned(), digest);
    }

    /// Returns whether this destination failed in the last pass.
    pub(super) fn fails(&self, resource: &str, dest: &Path) -> bool {
        self.last.get(resource).is_some_and(|faults| faults.iter().any(|(failing, _)| failing == dest))
    }

    /// Notes a failure; returns whether the last pass did not have it.
    pub(super) fn is_new(
        &mut self,
        resource: &str,
        dest: &Path,
        step: Option<FailedStep>,
        text: &str,
    ) -> bool {
        let mut fault = match step {
            Some(FailedStep::Check | FailedStep::Reload | FailedStep::Verify) => fault_of(text),
            _ => text.to_owned(),
        };
        if let Some(digest) = self.refused.remove(dest) {
            fault += &digest;
        }
        let fault = (dest.to_owned(), fault);
        let known = self.last.get(resource).is_some_and(|faults| faults.contains(&fault));
        self.now.entry(resource.to_owned()).or_default().insert(fault) && !known
    }

    /// Ends a pass.
    pub(super) fn end_pass(&mut self) {
        self.refused.clear();
        self.last.append(&mut self.now);
        self.last.retain(|_, faults| !faults.is_empty());
    }

    /// Forgets everything: after an edit, what still fails is logged again.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Returns what identifies the failure of a command. Its output holds times, process ids and the names of staged files,
/// which differ each time, so only the numbers that are part of a failure count.
pub(super) fn fault_of(text: &str) -> String {
    let is_random = |word: &str| word.len() == 8 && word.chars().all(|c| c.is_ascii_hexdigit());
    let (mut fault, mut before) = (String::new(), "");
    for word in text.split(|c: char| !c.is_alphanumeric()) {
        let counts = matches!(before, "status" | "signal" | "code");
        before = word;
        if is_random(word) || (!counts && word.chars().all(|c| c.is_ascii_digit())) {
            continue;
        }
        fault.extend(word.chars().filter(|c| counts || !c.is_ascii_digit()));
        fault.push(' ');
    }
    fault
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEST: &str = "/d";

    /// Returns which of these failures of one pass are new.
    fn pass(log: &mut FaultLog, step: FailedStep, texts: &[&str]) -> Vec<bool> {
        log.tried("a");
        let new = texts.iter().map(|text| log.is_new("a", Path::new(DEST), Some(step), text)).collect();
        log.end_pass();
        new
    }

    #[test]
    fn a_lasting_failure_is_reported_once_and_again_after_its_end() {
        let (mut log, check) = (FaultLog::default(), FailedStep::Check);
        let said = |time: &str, name: &str, said: &str| {
            format!("test -f /.retune-12.d.{name}: exit status 1 | [12:{time}] {said}")
        };
        assert_eq!(pass(&mut log, check, &[&said("30", "0123abcd", "no")]), [true]);
        assert_eq!(pass(&mut log, check, &[&said("31", "fe01abcd", "no")]), [false]);
        assert!(log.fails("a", Path::new(DEST)) && !log.fails("a", Path::new("/e")));
        assert_eq!(pass(&mut log, check, &[&said("32", "fe01abcd", "none")]), [true]);
        assert_eq!(pass(&mut log, check, &["test -f /x: exit status 1"]), [true]);
        assert_eq!(pass(&mut log, check, &["test -f /x: exit status 2"]), [true]);
        assert_eq!(pass(&mut log, check, &["\u{43d}\u{435}\u{442}: exit status 2"]), [true]);
        assert!(pass(&mut log, check, &[]).is_empty() && log.last.is_empty(), "nothing is kept");
        assert_eq!(pass(&mut log, check, &["test -f /x: exit status 2"]), [true]);
    }

    #[test]
    fn another_rendering_refused_with_the_same_message_is_a_new_failure() {
        let mut log = FaultLog::default();
        let mut refuse = |digest: &str| {
            log.refused(Path::new(DEST), digest.to_owned());
            pass(&mut log, FailedStep::Check, &["exit status 1"])
        };
        assert_eq!([refuse("a1"), refuse("a1"), refuse("b2")], [[true], [false], [true]]);
    }

    #[test]
    fn several_failures_of_one_pattern_are_each_reported_once() {
        let (mut log, resource) = (FaultLog::default(), FailedStep::Resource);
        assert_eq!(pass(&mut log, resource, &["/x is taken", "/y is taken"]), [true, true]);
        assert_eq!(pass(&mut log, resource, &["/x is taken", "/y is taken"]), [false, false]);
        assert_eq!(pass(&mut log, resource, &["/y is taken"]), [false]);
        assert_eq!(pass(&mut log, resource, &["/x is taken", "/y is taken"]), [true, false]);
    }

    #[test]
    fn keys_that_differ_in_a_digit_are_two_failures_of_a_template() {
        let (mut log, template) = (FaultLog::default(), FailedStep::Template);
        assert_eq!(pass(&mut log, template, &["key /app/1 is missing"]), [true]);
        assert_eq!(pass(&mut log, template, &["key /app/2 is missing"]), [true]);
        assert_eq!(pass(&mut log, template, &["key /app/2 is missing"]), [false]);
    }
}
