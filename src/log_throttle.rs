//! Limits repeated log lines: a lasting fault is logged now and then, not at every attempt.
//!
//! Each port and each loop has its own throttle. It promises that every kind of line is logged soon, that the same
//! line is logged at most once a minute, and that a client's input cannot fill a log. It writes no lines itself.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long the same line is not logged again.
const REPEAT_INTERVAL: Duration = Duration::from_secs(60);
/// How many characters of a line are compared.
const MAX_KEY_CHARS: usize = 200;
/// The default number of different lines in that time.
const DEFAULT_MAX_LINES: usize = 16;

/// The recently logged lines.
#[derive(Debug)]
pub struct LogThrottle {
    max_lines: usize,
    logged: Mutex<HashMap<String, Instant>>,
}

impl Default for LogThrottle {
    fn default() -> Self {
        Self::new(DEFAULT_MAX_LINES)
    }
}

impl LogThrottle {
    /// Returns a throttle that allows at most `max_lines` different lines a minute.
    #[must_use]
    pub fn new(max_lines: usize) -> Self {
        Self { max_lines, logged: Mutex::default() }
    }

    /// Returns whether a line with exactly this text is due; then it is not due again for a minute.
    #[must_use]
    pub fn due_exact(&self, text: &str) -> bool {
        self.take(text.to_owned())
    }

    /// Returns whether a line with this text is due. Digits are ignored: times and ports differ for the same fault.
    #[must_use]
    pub fn due(&self, text: &str) -> bool {
        self.due_of("", text)
    }

    /// The same for lines about several named sources.
    #[must_use]
    pub fn due_of(&self, source: &str, text: &str) -> bool {
        let text = text.chars().filter(|c| !c.is_ascii_digit()).take(MAX_KEY_CHARS);
        self.take(source.chars().take(MAX_KEY_CHARS).chain(text).collect())
    }

    fn take(&self, key: String) -> bool {
        let now = Instant::now();
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        logged.retain(|_, when| now.duration_since(*when) < REPEAT_INTERVAL);
        if logged.len() >= self.max_lines || logged.contains_key(&key) {
            return false;
        }
        logged.insert(key, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_same_line_is_logged_once_a_minute_up_to_a_limit() {
        let throttle = LogThrottle::default();
        assert!(throttle.due("expired at 12"));
        assert!(!throttle.due("expired at 13"));
        assert!(throttle.due_of("10.0.0.1", "expired at 12") && throttle.due_of("10.0.0.2", "expired at 12"));
        assert!(!throttle.due_of("10.0.0.2", "expired at 13"));
        let logged = ('a'..='z').filter(|c| throttle.due(&c.to_string())).count();
        assert_eq!(logged, DEFAULT_MAX_LINES - 3);
        tokio::time::advance(REPEAT_INTERVAL).await;
        assert!(throttle.due("expired at 14"));
    }

    #[test]
    fn exact_lines_differ_by_digits_and_new_ones_are_limited() {
        let throttle = LogThrottle::new(256);
        assert!(throttle.due_exact("member 1"));
        assert!(throttle.due_exact("member 2"));
        assert!(!throttle.due_exact("member 1"));
        let logged = (0..10_000).filter(|n| throttle.due_exact(&n.to_string())).count();
        assert_eq!(logged, 256 - 2);
    }
}
