//! What was logged of lasting failures: a daemon tries again and again, and logs each distinct failure once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::outcome::FailedStep;

/// The last failure of each destination.
#[derive(Debug, Default)]
pub(super) struct FaultLog {
    last: BTreeMap<(String, PathBuf), String>,
}

impl FaultLog {
    /// Notes a failure; returns whether it differs from the previous one of this destination.
    pub(super) fn is_new(
        &mut self,
        resource: &str,
        dest: &Path,
        step: Option<FailedStep>,
        text: &str,
    ) -> bool {
        let fault = match step {
            Some(FailedStep::Check | FailedStep::Reload | FailedStep::Verify) => fault_of(text),
            _ => text.to_owned(),
        };
        self.last
            .insert((resource.to_owned(), dest.to_owned()), fault.clone())
            .is_none_or(|last| last != fault)
    }

    /// Notes that a destination is in order, so that the same failure is new the next time.
    pub(super) fn is_over(&mut self, resource: &str, dest: &Path) {
        if !self.last.is_empty() {
            self.last.remove(&(resource.to_owned(), dest.to_owned()));
        }
    }

    /// Forgets everything: after an edit, what still fails is logged again.
    pub(super) fn clear(&mut self) {
        self.last.clear();
    }
}

/// Returns what identifies the failure of a command: its output holds times, process ids and the names of staged files,
/// which differ each time.
pub(super) fn fault_of(text: &str) -> String {
    let is_random = |word: &&str| word.len() == 8 && word.chars().all(|c| c.is_ascii_hexdigit());
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !is_random(word));
    let letters = |word: &str| word.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    words.map(letters).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lasting_failure_is_new_once_and_again_after_its_end() {
        let (mut log, dest) = (FaultLog::default(), Path::new("/d"));
        let check = Some(FailedStep::Check);
        assert!(log.is_new("a", dest, check, "test -f /.retune-12.d.0123abcd: exit status 1 | [12:30] no"));
        assert!(!log.is_new("a", dest, check, "test -f /.retune-12.d.fe01abcd: exit status 1 | [12:31] no"));
        assert!(log.is_new("a", dest, check, "test -f /.retune-12.d.fe01abcd: exit status 1 | [12:32] none"));
        assert!(log.is_new("a", Path::new("/e"), check, "no"), "each destination has its own");
        log.is_over("a", dest);
        assert!(log.is_new("a", dest, check, "none"));
    }

    #[test]
    fn keys_that_differ_in_a_digit_are_two_failures_of_a_template() {
        let (mut log, dest) = (FaultLog::default(), Path::new("/d"));
        assert!(log.is_new("a", dest, Some(FailedStep::Template), "key /app/1 is missing"));
        assert!(log.is_new("a", dest, Some(FailedStep::Template), "key /app/2 is missing"));
        assert!(!log.is_new("a", dest, Some(FailedStep::Template), "key /app/2 is missing"));
    }
}
