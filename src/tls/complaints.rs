//! What is said about handshakes that failed: every kind soon, and none so often that strangers fill a log.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The same is not said again for this long.
const REST: Duration = Duration::from_secs(60);
/// So many different ones are said in that time.
const MOST: usize = 16;

/// What one port said lately.
#[derive(Debug, Default)]
pub struct Complaints {
    said: Mutex<HashMap<String, Instant>>,
}

impl Complaints {
    /// Whether a line in the log with these words is due; from then on it is not for a while.
    #[must_use]
    pub fn due(&self, words: &str) -> bool {
        self.due_of("", words)
    }

    /// The same for words about somebody, each of whom is told apart by name.
    #[must_use]
    pub fn due_of(&self, whom: &str, words: &str) -> bool {
        // Times and ports differ where the complaint does not.
        let words = words.chars().filter(|c| !c.is_ascii_digit()).take(200);
        let kind: String = whom.chars().take(200).chain(words).collect();
        let now = Instant::now();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.retain(|_, when| now.duration_since(*when) < REST);
        if said.len() >= MOST || said.contains_key(&kind) {
            return false;
        }
        said.insert(kind, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_same_is_said_once_a_minute_and_never_more_than_a_few() {
        let complaints = Complaints::default();
        assert!(complaints.due("expired at 12"));
        assert!(!complaints.due("expired at 13"));
        assert!(
            complaints.due_of("10.0.0.1", "expired at 12") && complaints.due_of("10.0.0.2", "expired at 12")
        );
        assert!(!complaints.due_of("10.0.0.2", "expired at 13"));
        let said = ('a'..='z').filter(|c| complaints.due(&c.to_string())).count();
        assert_eq!(said, MOST - 3);
        tokio::time::advance(REST).await;
        assert!(complaints.due("expired at 14"));
    }
}
