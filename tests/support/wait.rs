//! Waits for an expected condition, with a limit.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// The limit of most waits: far more than a healthy machine needs, far less than a hang.
pub const WAIT_TIMEOUT: Duration = Duration::from_secs(12);

/// The result of a probe: `false` and `None` mean "not yet".
pub trait ProbeResult {
    /// The value that the wait returns.
    type Value;
    /// Returns the value, once there is one.
    fn into_ready(self) -> Option<Self::Value>;
}

impl ProbeResult for bool {
    type Value = ();
    fn into_ready(self) -> Option<()> {
        self.then_some(())
    }
}

impl<T> ProbeResult for Option<T> {
    type Value = T;
    fn into_ready(self) -> Self {
        self
    }
}

/// Returns `limit` stretched by `RETUNE_TEST_PATIENCE`, a factor such as `3` for a loaded machine.
pub fn scaled(limit: Duration) -> Duration {
    let factor = std::env::var("RETUNE_TEST_PATIENCE").ok().and_then(|text| text.parse().ok());
    limit.mul_f64(factor.unwrap_or(1.0))
}

/// Calls `probe` until it settles; fails with `what` when the limit has passed.
#[track_caller]
pub fn eventually<O: ProbeResult>(what: &str, limit: Duration, mut probe: impl FnMut() -> O) -> O::Value {
    let limit = scaled(limit);
    let start = Instant::now();
    loop {
        if let Some(value) = probe().into_ready() {
            return value;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain: {what}");
        sleep(Duration::from_millis(10));
    }
}

/// Fails as soon as `probe` returns false within `span`; for what must not happen.
#[track_caller]
pub fn stays(what: &str, span: Duration, mut probe: impl FnMut() -> bool) {
    let start = Instant::now();
    while start.elapsed() < span {
        assert!(probe(), "after {:?} it was over: {what}", start.elapsed());
        sleep(Duration::from_millis(10));
    }
}
