//! What was logged lately, so that a fault which lasts is said now and then and not at every try.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The same words are worth a line again after this time.
const AGAIN: Duration = Duration::from_secs(60);
/// How many different ones are remembered.
const MOST: usize = 256;

/// The words that were said, and when.
#[derive(Debug, Default)]
pub(super) struct Said(Mutex<HashMap<String, Instant>>);

impl Said {
    /// Whether `words` are worth a line now.
    pub(super) fn worth(&self, words: &str) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if said.get(words).is_some_and(|at| now.duration_since(*at) < AGAIN) {
            return false;
        }
        if said.len() >= MOST {
            said.retain(|_, at| now.duration_since(*at) < AGAIN);
        }
        // Somebody makes up ever new words: better silent than a full disk.
        if said.len() >= MOST {
            return false;
        }
        said.insert(words.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_words_are_said_once_and_ever_new_ones_not_for_ever() {
        let said = Said::default();
        assert!(said.worth("a"));
        assert!(!said.worth("a"));
        let count = (0..10_000).filter(|n| said.worth(&n.to_string())).count();
        assert_eq!(count, MOST - 1);
    }
}
