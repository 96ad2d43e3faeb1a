//! The metrics of each other member.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The metrics of the connection to another member.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PeerMetrics {
    /// Its id.
    pub id: u64,
    /// Whether the stream to it is open.
    pub connected: bool,
    /// The round-trip time of pings.
    pub latency: Latency,
    /// Pings that got a pong.
    pub success: u64,
    /// Failures: broken streams and overflowing queues.
    pub fail: u64,
    /// Bytes that wait to be sent.
    pub queued: u64,
    /// Messages that were dropped: no stream, a full queue here, or a driver that did not keep up.
    pub dropped: u64,
    /// Bytes sent to it.
    pub sent_bytes: u64,
    /// Bytes received from it.
    pub received_bytes: u64,
    /// Messages with entries sent to it.
    pub sent_appends: u64,
    /// Messages with entries received from it.
    pub received_appends: u64,
}

/// Round-trip times in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Latency {
    /// The last one.
    pub current: f64,
    /// The average since the start.
    pub average: f64,
    /// The standard deviation since the start.
    pub standard_deviation: f64,
    /// The shortest.
    pub minimum: f64,
    /// The longest.
    pub maximum: f64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) connected: AtomicBool,
    pub(super) fail: AtomicU64,
    pub(super) queued: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) sent_bytes: AtomicU64,
    pub(super) received_bytes: AtomicU64,
    pub(super) sent_appends: AtomicU64,
    pub(super) received_appends: AtomicU64,
    latency: Mutex<Totals>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    count: u64,
    sum: f64,
    squares: f64,
    current: f64,
    minimum: f64,
    maximum: f64,
}

impl Counters {
    pub(super) fn took(&self, time: Duration) {
        let took = time.as_secs_f64() * 1000.0;
        let mut sums = self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        sums.minimum = if sums.count == 0 { took } else { sums.minimum.min(took) };
        sums.maximum = sums.maximum.max(took);
        sums.count += 1;
        sums.sum += took;
        sums.squares += took * took;
        sums.current = took;
    }

    pub(super) fn read(&self, id: u64) -> PeerMetrics {
        let sums = *self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        let count = (sums.count.max(1)) as f64;
        let average = sums.sum / count;
        PeerMetrics {
            id,
            connected: self.connected.load(Relaxed),
            latency: Latency {
                current: sums.current,
                average,
                standard_deviation: (sums.squares / count - average * average).max(0.0).sqrt(),
                minimum: sums.minimum,
                maximum: sums.maximum,
            },
            success: sums.count,
            fail: self.fail.load(Relaxed),
            queued: self.queued.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            sent_bytes: self.sent_bytes.load(Relaxed),
            received_bytes: self.received_bytes.load(Relaxed),
            sent_appends: self.sent_appends.load(Relaxed),
            received_appends: self.received_appends.load(Relaxed),
        }
    }
}
