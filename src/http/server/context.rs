//! What the connections of a service share: their number, the memory of their bodies, and the stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::conn_limit::{ConnLimit, HEALTH_PLACES};

/// Bytes of request bodies in memory at a time, except those that arrived together with their heads. etcd has no
/// such limit, so a few hundred clients can exhaust its memory.
const MAX_BODY_BYTES_IN_MEMORY: usize = 256 << 20;

/// What an operator can do about the limit of connections.
const LIMIT_ADVICE: &str =
    "the limit follows the number of open files this process may have (ulimit -n, LimitNOFILE=)";

/// The context of the connections of any service, over all its listeners.
#[derive(Debug)]
pub(crate) struct ServerContext {
    pub(super) shutdown: ShutdownSignal,
    pub(super) limit: Arc<ConnLimit>,
    bodies: AtomicUsize,
}

impl ServerContext {
    /// Allows this many connections.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            shutdown: ShutdownSignal::default(),
            limit: Arc::new(ConnLimit::new(limit, HEALTH_PLACES, LIMIT_ADVICE)),
            bodies: AtomicUsize::new(0),
        }
    }

    /// Returns the number of connections.
    pub(crate) fn connections(&self) -> usize {
        self.limit.connections()
    }

    /// Reserves `bytes` more for a body, if there is room.
    pub(super) fn reserve(&self, bytes: usize) -> Option<BodyReservation<'_>> {
        let mut room = BodyReservation { context: self, bytes: 0 };
        room.grow(bytes).then_some(room)
    }
}

/// A reserved part of the memory for bodies; returned when dropped.
#[derive(Debug)]
pub(super) struct BodyReservation<'s> {
    context: &'s ServerContext,
    bytes: usize,
}

impl BodyReservation<'_> {
    /// Reserves `bytes` more; returns false when there is no room.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        self.context.bodies.fetch_add(bytes, Ordering::Relaxed) + bytes <= MAX_BODY_BYTES_IN_MEMORY
    }
}

impl Drop for BodyReservation<'_> {
    fn drop(&mut self) {
        self.context.bodies.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The stop signal of all connections. A waking token would take a lock at each poll of each connection; a poll
/// here only reads a flag.
#[derive(Debug, Default)]
pub(super) struct ShutdownSignal {
    requested: AtomicBool,
    pub(super) notify: Notify,
}

impl ShutdownSignal {
    pub(super) fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }

    pub(super) fn request(&self) {
        self.requested.store(true, Ordering::Release);
        self.notify.notify_waiters();
    }

    /// Waits for the signal.
    pub(super) async fn wait(&self) {
        let mut notified = std::pin::pin!(self.notify.notified());
        // From here on it is woken; an earlier signal has set the flag.
        notified.as_mut().enable();
        if !self.is_requested() {
            notified.await;
        }
    }
}
