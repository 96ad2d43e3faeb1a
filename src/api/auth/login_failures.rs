//! One log line a minute about refused logins.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::http::server::ClientId;

/// How long after a line the next one may follow.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Why a login was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoginFailure {
    /// The name or the password is wrong.
    Wrong,
    /// Too many passwords were being checked.
    Busy,
}

/// The refused logins since the last line.
#[derive(Debug, Default)]
pub(super) struct LoginFailures(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    logged: Option<Instant>,
    wrong: u64,
    busy: u64,
}

impl LoginFailures {
    /// Counts a refused login, and logs the counts unless that was done less than a minute ago. Names are not logged:
    /// what a client sends as a name may be a password.
    pub(super) fn add(&self, failure: LoginFailure, client: ClientId) {
        let Some((wrong, busy)) = self.count(failure, Instant::now()) else { return };
        let from = client.address().map_or_else(|| "an unknown address".to_owned(), |at| at.to_string());
        tracing::warn!(
            "logins were refused since the last such line: {wrong} with a wrong name or password, {busy} because too many \
             waited to be checked; the last came from {from}"
        );
    }

    /// Returns the counts of wrong and of unchecked logins when a line is due.
    fn count(&self, failure: LoginFailure, now: Instant) -> Option<(u64, u64)> {
        // The critical section cannot panic.
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match failure {
            LoginFailure::Wrong => counts.wrong += 1,
            LoginFailure::Busy => counts.busy += 1,
        }
        if counts.logged.is_some_and(|logged| now.duration_since(logged) < LOG_INTERVAL) {
            return None;
        }
        let due = (counts.wrong, counts.busy);
        *counts = Counts { logged: Some(now), ..Counts::default() };
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_logins_are_counted_and_logged_once_a_minute() {
        let (failures, begun) = (LoginFailures::default(), Instant::now());
        let count = |failure, seconds| failures.count(failure, begun + Duration::from_secs(seconds));
        assert_eq!(count(LoginFailure::Wrong, 0), Some((1, 0)), "the first is logged at once");
        for second in 1..60 {
            assert_eq!(count(LoginFailure::Wrong, second), None);
        }
        assert_eq!(count(LoginFailure::Busy, 60), Some((59, 1)));
        assert_eq!(count(LoginFailure::Busy, 61), None);
    }
}
