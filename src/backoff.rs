//! Delays between retries.
//!
//! Owns: a delay that doubles from a first value to a ceiling, with jitter, so that many instances that lost the
//! same store do not all return at the same instant. Promises: a delay is never above the ceiling, never below half
//! of its step, and no number of failures overflows. Leaves out: sleeping. The caller waits, because only the
//! caller knows what else may wake it.

use std::time::Duration;

use rand::RngExt;

/// The delays between attempts at one thing.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    ceiling: Duration,
    step: Duration,
    attempts: u32,
}

impl Backoff {
    /// Returns a backoff whose first step is `first` and whose steps double up to `ceiling`. A lower ceiling wins:
    /// every step is then the ceiling.
    #[must_use]
    pub fn new(first: Duration, ceiling: Duration) -> Self {
        let first = first.min(ceiling);
        Self { first, ceiling, step: first, attempts: 0 }
    }

    /// Counts a failed attempt and returns the delay before the next: a random time between half of the current
    /// step and all of it. The step then doubles.
    #[expect(
        clippy::should_implement_trait,
        reason = "it never ends, so it is no iterator to collect or chain"
    )]
    pub fn next(&mut self) -> Duration {
        let full = self.step;
        self.attempts = self.attempts.saturating_add(1);
        self.step = full.saturating_mul(2).min(self.ceiling);
        let half = full / 2;
        half.saturating_add((full - half).mul_f64(rand::rng().random_range(0.0..1.0))).min(full)
    }

    /// Resets after a success: the next delay is the first step again.
    pub fn reset(&mut self) {
        self.step = self.first;
        self.attempts = 0;
    }

    /// Returns how many delays were returned since the start or the last reset.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_delay_is_between_half_its_step_and_its_step_and_steps_double_to_the_ceiling() {
        for _ in 0..200 {
            let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
            for step in [100, 200, 400, 800, 1000, 1000, 1000] {
                let step = Duration::from_millis(step);
                let wait = backoff.next();
                assert!(wait >= step / 2 && wait <= step, "{wait:?} is outside half of {step:?} to {step:?}");
            }
        }
    }

    #[test]
    fn delays_differ_between_instances() {
        let waits: std::collections::HashSet<_> =
            (0..50).map(|_| Backoff::new(Duration::from_secs(1), Duration::from_secs(1)).next()).collect();
        assert!(waits.len() > 25, "only {} different waits in 50", waits.len());
    }

    #[test]
    fn reset_starts_over() {
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(10));
        for _ in 0..5 {
            backoff.next();
        }
        assert_eq!(backoff.attempts(), 5);
        backoff.reset();
        assert_eq!(backoff.attempts(), 0);
        assert!(backoff.next() <= Duration::from_millis(10));
    }

    #[test]
    fn a_ceiling_below_the_first_step_wins_and_extremes_do_not_overflow() {
        let mut low = Backoff::new(Duration::from_secs(5), Duration::from_secs(1));
        assert!(low.next() <= Duration::from_secs(1));
        let mut huge = Backoff::new(Duration::MAX / 2, Duration::MAX);
        for _ in 0..4 {
            huge.next();
        }
        let mut nothing = Backoff::new(Duration::ZERO, Duration::ZERO);
        assert_eq!(nothing.next(), Duration::ZERO);
    }
}
