//! What the connections of a service share: their number, the memory of their bodies, and the stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use super::client_memory::ClientMemory;
#[cfg(test)]
use super::client_memory::{ClientId, ClientShare};
use super::conn_limit::{ConnLimit, HEALTH_PLACES};

/// Bytes of request bodies in memory at a time, except those that arrived together with their heads. etcd has no
/// such limit, so a few hundred clients can exhaust its memory.
const MAX_BODY_BYTES_IN_MEMORY: usize = 256 << 20;
/// The part of it that one client may take.
const MAX_CLIENT_BODY_BYTES: usize = MAX_BODY_BYTES_IN_MEMORY / 4 * 3;
/// The same for clients without credentials, while these exist.
const MAX_GUEST_BODY_BYTES: usize = 32 << 20;
const MAX_CLIENT_GUEST_BODY_BYTES: usize = MAX_GUEST_BODY_BYTES / 2;
/// Bytes of large responses in memory at a time, until their clients have taken them.
const MAX_RESPONSE_BYTES_IN_MEMORY: usize = 128 << 20;
/// The part of it that one client may take.
const MAX_CLIENT_RESPONSE_BYTES: usize = MAX_RESPONSE_BYTES_IN_MEMORY / 2;

/// What an operator can do about the limit of connections.
const LIMIT_ADVICE: &str =
    "the limit follows the number of open files this process may have (ulimit -n, LimitNOFILE=)";

/// The context of the connections of any service, over all its listeners.
#[derive(Debug)]
pub(crate) struct ServerContext {
    pub(super) shutdown: ShutdownSignal,
    pub(super) limit: Arc<ConnLimit>,
    /// Bodies of requests.
    pub(super) bodies: Arc<ClientMemory>,
    /// Bodies of clients without credentials.
    pub(super) guest_bodies: Arc<ClientMemory>,
    /// Large responses.
    pub(super) responses: Arc<ClientMemory>,
}

impl ServerContext {
    /// Allows this many connections.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            shutdown: ShutdownSignal::default(),
            limit: Arc::new(ConnLimit::new(limit, HEALTH_PLACES, LIMIT_ADVICE)),
            bodies: ClientMemory::new(MAX_BODY_BYTES_IN_MEMORY, MAX_CLIENT_BODY_BYTES),
            guest_bodies: ClientMemory::new(MAX_GUEST_BODY_BYTES, MAX_CLIENT_GUEST_BODY_BYTES),
            responses: ClientMemory::new(MAX_RESPONSE_BYTES_IN_MEMORY, MAX_CLIENT_RESPONSE_BYTES),
        }
    }

    /// Returns the number of connections.
    pub(crate) fn connections(&self) -> usize {
        self.limit.connections()
    }

    /// Returns whether more than half of the memory for large responses is taken.
    pub(crate) fn is_response_memory_scarce(&self) -> bool {
        self.responses.is_scarce()
    }

    /// Returns how many bytes are taken of the memories for bodies, for bodies of guests, and for large responses.
    #[cfg(test)]
    pub(crate) fn taken_memory(&self) -> [usize; 3] {
        [&self.bodies, &self.guest_bodies, &self.responses].map(|memory| memory.taken())
    }

    /// Takes a part of the memory for large responses.
    #[cfg(test)]
    pub(crate) fn take_response_memory(&self, bytes: usize) -> impl Drop + use<> {
        let share = ClientShare { memory: Arc::clone(&self.responses), client: ClientId::UNKNOWN };
        let mut taken = share.reservation();
        assert!(taken.grow(bytes));
        taken
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
