//! The state of one connection that decides whether it may be closed for a new one.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

/// The time of a connection that does not wait for its client.
const NOT_WAITING: u64 = u64::MAX;

/// Whether a connection waits for its client, since when, and whether it was asked to close. Its task writes the first two,
/// the listener the last.
#[derive(Debug)]
pub(crate) struct ConnSlot {
    /// The start of the clock of all slots of a limit.
    epoch: Instant,
    reserved: bool,
    /// Microseconds after the epoch; may lie in the future.
    waits_from: AtomicU64,
    closing: AtomicBool,
    waker: AtomicWaker,
}

impl ConnSlot {
    /// Returns the slot of a connection that waits for its first request from now on.
    pub(super) fn new(epoch: Instant, reserved: bool) -> Self {
        let slot = Self {
            epoch,
            reserved,
            waits_from: AtomicU64::new(NOT_WAITING),
            closing: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        };
        slot.wait(Duration::ZERO);
        slot
    }

    /// Returns whether it is reserved for health checks.
    pub(super) fn reserved(&self) -> bool {
        self.reserved
    }

    /// Notes that the connection waits for its client, and may be closed after `grace`.
    pub(super) fn wait(&self, grace: Duration) {
        self.waits_from.store(micros(self.epoch.elapsed() + grace), Ordering::Relaxed);
    }

    /// Notes that the connection works for its client.
    pub(super) fn work(&self) {
        self.waits_from.store(NOT_WAITING, Ordering::Relaxed);
    }

    /// Returns since when the connection has been waiting, if it waits at `now`.
    pub(super) fn waiting_since(&self, now: u64) -> Option<u64> {
        Some(self.waits_from.load(Ordering::Relaxed)).filter(|from| *from <= now)
    }

    /// Asks the connection to close. Returns false when it was asked already.
    pub(super) fn close(&self) -> bool {
        let first = !self.closing.swap(true, Ordering::AcqRel);
        if first {
            self.waker.wake();
        }
        first
    }

    /// Returns whether the connection was asked to close.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Has the task that polls woken by [`Self::close`].
    pub(super) fn register(&self, cx: &Context<'_>) {
        self.waker.register(cx.waker());
    }

    /// Returns whether the connection must close: it was asked to, and still waits. If it works again, the request is
    /// withdrawn, and `busy` is called.
    pub(super) fn must_close(&self, cx: &Context<'_>, busy: impl FnOnce()) -> bool {
        if !self.is_closing() {
            return false;
        }
        if self.waiting_since(micros(self.epoch.elapsed())).is_some() {
            return true;
        }
        // The request has used up the waker.
        self.register(cx);
        self.closing.store(false, Ordering::Release);
        busy();
        false
    }

    /// Waits until the connection is asked to close.
    pub(crate) async fn closed(&self) {
        poll_fn(|cx| {
            self.register(cx);
            if self.is_closing() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Default for ConnSlot {
    fn default() -> Self {
        Self::new(Instant::now(), false)
    }
}

/// Returns a time span in the unit of the slots' clock.
pub(super) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).map_or(NOT_WAITING - 1, |micros| micros.min(NOT_WAITING - 1))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::{Wake, Waker};

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_connection_that_works_does_not_close_and_is_woken_at_the_next_request_to() {
        let (wakes, slot) = (Arc::new(Wakes::default()), ConnSlot::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let cx = Context::from_waker(&waker);
        slot.register(&cx);
        slot.work();
        assert!(slot.close() && !slot.close());
        let mut passed_on = false;
        assert!(!slot.must_close(&cx, || passed_on = true) && passed_on);
        slot.wait(Duration::ZERO);
        assert!(!slot.must_close(&cx, || {}), "nobody asks any longer");
        assert!(slot.close());
        assert_eq!(wakes.0.load(Ordering::Relaxed), 2);
        assert!(slot.must_close(&cx, || {}));
    }
}
