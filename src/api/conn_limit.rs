//! Limits the number of connections, and logs clearly when the limit is reached.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::shared::ServerContext;

/// The limit of connections, over all listeners.
#[derive(Debug)]
pub(super) struct ConnLimit {
    limit: usize,
    taken: AtomicUsize,
    complained: AtomicBool,
}

impl ConnLimit {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, taken: AtomicUsize::new(0), complained: AtomicBool::new(false) }
    }

    /// Takes a permit for one more connection, if there is one.
    pub(super) fn take(context: &Arc<ServerContext>) -> Option<Permit> {
        let conn_limit = &context.conn_limit;
        let taken = conn_limit.taken.fetch_add(1, Ordering::Relaxed);
        let permit = Permit(Arc::clone(context));
        if taken < conn_limit.limit {
            // Logged again only after the number has dropped, not at each connection at the limit.
            if taken * 10 < conn_limit.limit * 9 {
                conn_limit.complained.store(false, Ordering::Relaxed);
            }
            return Some(permit);
        }
        if !conn_limit.complained.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                limit = conn_limit.limit,
                "all client connections are taken: further ones are refused until some end; the limit follows \
                 the number of open files this process may have (ulimit -n, LimitNOFILE=)"
            );
        }
        None
    }

    /// Returns the number of connections.
    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

/// The permit of one connection; returned when dropped.
#[derive(Debug)]
pub(super) struct Permit(Arc<ServerContext>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.conn_limit.taken.fetch_sub(1, Ordering::Relaxed);
    }
}
