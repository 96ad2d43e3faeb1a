//! What the connections of a service share: their number, the memory of their bodies, and the stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Bytes of request bodies in memory at a time, except those that arrived together with their heads. etcd has no
/// such limit, so a few hundred clients can exhaust its memory.
const MAX_BODY_BYTES_IN_MEMORY: usize = 256 << 20;

/// The context of the connections of any service, over all its listeners.
#[derive(Debug)]
pub(crate) struct ServerContext {
    pub(super) shutdown: ShutdownSignal,
    limit: usize,
    connections: AtomicUsize,
    /// Whether it was logged that the limit is reached.
    logged: AtomicBool,
    bodies: AtomicUsize,
}

impl ServerContext {
    /// Allows this many connections.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            shutdown: ShutdownSignal::default(),
            limit,
            connections: AtomicUsize::new(0),
            logged: AtomicBool::new(false),
            bodies: AtomicUsize::new(0),
        }
    }

    /// Returns the number of connections.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Takes a permit for one more connection, if there is one.
    pub(super) fn admit(self: &Arc<Self>) -> Option<Permit> {
        let taken = self.connections.fetch_add(1, Ordering::Relaxed);
        let permit = Permit(Arc::clone(self));
        if taken < self.limit {
            // Logged again only after the number has dropped, not at each connection at the limit.
            if taken * 10 < self.limit * 9 {
                self.logged.store(false, Ordering::Relaxed);
            }
            return Some(permit);
        }
        if !self.logged.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                limit = self.limit,
                "the limit of client connections is reached: further ones are refused until some end; the limit follows \
                 the number of open files this process may have (ulimit -n, LimitNOFILE=)"
            );
        }
        None
    }

    /// Reserves `bytes` more for a body, if there is room.
    pub(super) fn reserve(&self, bytes: usize) -> Option<BodyReservation<'_>> {
        let mut room = BodyReservation { context: self, bytes: 0 };
        room.grow(bytes).then_some(room)
    }
}

/// The permit of one connection; returned when dropped.
#[derive(Debug)]
pub(super) struct Permit(Arc<ServerContext>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
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
