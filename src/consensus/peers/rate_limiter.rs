//! Limits the speed of sending snapshots, so that they leave disk and network capacity to others.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Bytes per second, all transfers together.
const BYTES_PER_SECOND: u64 = 100 << 20;

/// The time at which the next bytes may be sent.
#[derive(Debug, Default)]
pub(super) struct RateLimiter(Mutex<Option<Instant>>);

impl RateLimiter {
    /// Waits until `bytes` more may be sent.
    pub(super) async fn wait(&self, bytes: usize) {
        sleep_until(self.reserve(bytes)).await;
    }

    fn reserve(&self, bytes: usize) -> Instant {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let start = next.map_or(now, |next| next.max(now));
        *next = Some(start + Duration::from_nanos(bytes as u64 * 1_000_000_000 / BYTES_PER_SECOND));
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_mebibytes_take_a_second() {
        let (limiter, begun) = (RateLimiter::default(), Instant::now());
        let last = (0..401).map(|_| limiter.reserve(256 << 10)).last().unwrap();
        let took = last - begun;
        assert!((Duration::from_millis(999)..Duration::from_millis(1200)).contains(&took), "{took:?}");
    }
}
