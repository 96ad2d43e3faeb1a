//! Room for connections: a bound on their number, and one clear word when it is reached.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::shared::Premises;

/// How many connections there may be, over all listeners.
#[derive(Debug)]
pub(super) struct Places {
    limit: usize,
    taken: AtomicUsize,
    complained: AtomicBool,
}

impl Places {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, taken: AtomicUsize::new(0), complained: AtomicBool::new(false) }
    }

    /// A place for one connection more, if there is one.
    pub(super) fn take(premises: &Arc<Premises>) -> Option<Place> {
        let places = &premises.places;
        let taken = places.taken.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(premises));
        if taken < places.limit {
            // Said anew after a while of calm, not at each connection that comes and goes at the limit.
            if taken * 10 < places.limit * 9 {
                places.complained.store(false, Ordering::Relaxed);
            }
            return Some(place);
        }
        if !places.complained.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                limit = places.limit,
                "all client connections are taken: further ones are refused until some end; the limit follows \
                 the number of open files this process may have (ulimit -n, LimitNOFILE=)"
            );
        }
        None
    }

    /// How many connections there are.
    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

/// One connection's place; free again when dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<Premises>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.places.taken.fetch_sub(1, Ordering::Relaxed);
    }
}
