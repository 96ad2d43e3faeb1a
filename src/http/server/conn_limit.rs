//! The limit of a port's connections. When all places are taken, the connection that has waited longest for its client is
//! closed for a new one; connections that work for their clients stay.
//!
//! Finding the longest wait costs no request anything: each connection only notes when it begins to wait. A search looks
//! at all connections and remembers the longest waiting ones, so that many new connections share its cost.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::conn_slot::{ConnSlot, micros};
use crate::log_throttle::LogThrottle;

/// The least number of connections that a search remembers. In large tables it is a fixed part of them.
const MIN_CANDIDATES: usize = 32;
const CANDIDATES_PER_CONNECTION: usize = 64;
/// After a search that found nothing, the next waits this many times its duration.
const SEARCH_PAUSE: u32 = 20;
/// How many connections may be closing beyond the limit, at most and as a part of it.
const MAX_CLOSING: usize = 64;
const CONNECTIONS_PER_CLOSING: usize = 8;

/// The places reserved for health checks from this host.
pub(crate) const HEALTH_PLACES: usize = 8;
/// The most connections beyond a limit: those that are closing, and those of health checks.
pub(crate) const MAX_EXCESS_CONNECTIONS: usize = MAX_CLOSING + 2 * HEALTH_PLACES;

/// The limit of the connections of a service.
#[derive(Debug)]
pub(crate) struct ConnLimit {
    /// What an operator can do about the limit, for the log.
    advice: &'static str,
    epoch: Instant,
    places: Mutex<Places>,
    log_throttle: LogThrottle,
}

#[derive(Debug)]
struct Places {
    regular: Table,
    reserve: Table,
    next_id: u64,
}

/// The connections of one kind.
#[derive(Debug)]
struct Table {
    limit: usize,
    /// How many connections may be closing beyond the limit.
    max_closing: usize,
    slots: HashMap<u64, Arc<ConnSlot>>,
    /// The longest waiting connections of the last search, with their times; the longest last.
    candidates: Vec<(u64, u64)>,
    /// When the next search may take place.
    search_from: u64,
}

impl ConnLimit {
    /// Allows `limit` connections, and `reserve` more for health checks from this host.
    pub(crate) fn new(limit: usize, reserve: usize, advice: &'static str) -> Self {
        let regular = Table::new(limit, (limit / CONNECTIONS_PER_CLOSING).clamp(1, MAX_CLOSING));
        let reserve = Table::new(reserve, reserve);
        Self {
            advice,
            epoch: Instant::now(),
            places: Mutex::new(Places { regular, reserve, next_id: 0 }),
            log_throttle: LogThrottle::default(),
        }
    }

    /// Returns the number of connections.
    pub(crate) fn connections(&self) -> usize {
        let places = self.places();
        places.regular.slots.len() + places.reserve.slots.len()
    }

    /// Takes a place for a new connection, and asks another to close if none is free. `is_local` returns whether the
    /// connection comes from this host; then it may get a place for health checks.
    pub(crate) fn admit(self: &Arc<Self>, is_local: impl FnOnce() -> bool) -> Option<Permit> {
        let now = micros(self.epoch.elapsed());
        let mut places = self.places();
        let full = places.regular.is_full();
        let regular = !full || places.regular.make_place(now);
        let reserved =
            !regular && is_local() && (!places.reserve.is_full() || places.reserve.make_place(now));
        let permit = (regular || reserved).then(|| self.insert(&mut places, reserved));
        let limit = places.regular.limit;
        drop(places);
        if full {
            self.log(limit, regular);
        }
        permit
    }

    fn insert(self: &Arc<Self>, places: &mut Places, reserved: bool) -> Permit {
        let id = places.next_id;
        places.next_id += 1;
        let slot = Arc::new(ConnSlot::new(self.epoch, reserved));
        let table = if reserved { &mut places.reserve } else { &mut places.regular };
        table.slots.insert(id, Arc::clone(&slot));
        Permit { limit: Arc::clone(self), id, slot }
    }

    /// Call it before each accept: while connections are closing for new ones, it lets their tasks run first, so that a burst
    /// of new connections is not refused.
    pub(crate) async fn let_close(&self) {
        let closing = {
            let places = self.places();
            [&places.regular, &places.reserve].into_iter().any(|table| table.slots.len() > table.limit)
        };
        if closing {
            tokio::task::yield_now().await;
        }
    }

    /// Asks the connection that has waited longest to close.
    pub(super) fn close_longest_waiting(&self) {
        let now = micros(self.epoch.elapsed());
        self.places().regular.close_longest_waiting(now);
    }

    fn log(&self, limit: usize, closed: bool) {
        let happens = if closed {
            "for each new one, the one that has been idle longest is closed"
        } else {
            "none is idle, so further ones are refused until some end"
        };
        if self.log_throttle.due_exact(happens) {
            tracing::warn!(limit, "the limit of connections is reached: {happens}; {}", self.advice);
        }
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn new(limit: usize, max_closing: usize) -> Self {
        Self { limit, max_closing, slots: HashMap::new(), candidates: Vec::new(), search_from: 0 }
    }

    fn is_full(&self) -> bool {
        self.slots.len() >= self.limit
    }

    /// Asks a connection to close. Returns whether a new one may take its place already.
    fn make_place(&mut self, now: u64) -> bool {
        self.slots.len() < self.limit + self.max_closing && self.close_longest_waiting(now)
    }

    /// Asks the connection that has waited longest to close. Returns false when none waits.
    fn close_longest_waiting(&mut self, now: u64) -> bool {
        if self.close_candidate(now) {
            return true;
        }
        if now < self.search_from {
            return false;
        }
        let begun = std::time::Instant::now();
        self.search(now);
        if self.close_candidate(now) {
            return true;
        }
        self.search_from = now.saturating_add(micros(begun.elapsed() * SEARCH_PAUSE));
        false
    }

    /// Asks the first candidate to close that has waited ever since the search.
    fn close_candidate(&mut self, now: u64) -> bool {
        while let Some((since, id)) = self.candidates.pop() {
            let slot = self.slots.get(&id).filter(|slot| slot.waiting_since(now) == Some(since));
            if slot.is_some_and(|slot| slot.close()) {
                return true;
            }
        }
        false
    }

    /// Makes the longest waiting connections the candidates.
    fn search(&mut self, now: u64) {
        let open = self.slots.iter().filter(|(_, slot)| !slot.is_closing());
        let mut waiting: Vec<(u64, u64)> =
            open.filter_map(|(id, slot)| Some((slot.waiting_since(now)?, *id))).collect();
        let count = MIN_CANDIDATES.max(self.slots.len() / CANDIDATES_PER_CONNECTION);
        if waiting.len() > count {
            waiting.select_nth_unstable(count);
            waiting.truncate(count);
        }
        waiting.sort_unstable_by_key(|waits| Reverse(*waits));
        self.candidates = waiting;
    }
}

/// The place of one connection; returned when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    limit: Arc<ConnLimit>,
    id: u64,
    slot: Arc<ConnSlot>,
}

impl Permit {
    /// Returns the state of the connection.
    pub(crate) fn slot(&self) -> &Arc<ConnSlot> {
        &self.slot
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut places = self.limit.places();
        let table = if self.slot.reserved() { &mut places.reserve } else { &mut places.regular };
        table.slots.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    fn limit(most: usize) -> Arc<ConnLimit> {
        Arc::new(ConnLimit::new(most, 2, "none"))
    }

    /// Takes places, a second apart.
    async fn take(limit: &Arc<ConnLimit>, count: usize) -> Vec<Permit> {
        let mut taken = Vec::new();
        for _ in 0..count {
            advance(Duration::from_secs(1)).await;
            taken.push(limit.admit(|| false).expect("a place"));
        }
        taken
    }

    fn closing(permits: &[Permit]) -> Vec<usize> {
        (0..permits.len()).filter(|at| permits[*at].slot.is_closing()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_waiting_connection_is_closed_for_a_new_one() {
        let limit = limit(16);
        let mut held = take(&limit, 16).await;
        assert!(closing(&held).is_empty());
        // The first has had a request since, the second has one now.
        held[0].slot.wait(Duration::ZERO);
        held[1].slot.work();
        let newer = take(&limit, 2).await;
        assert_eq!(closing(&held), [2, 3]);
        // As many as may be closing are closing: a new one waits for their end.
        assert!(limit.admit(|| false).is_none());
        held.drain(2..4);
        assert_eq!(limit.connections(), 16);
        // A candidate that has had a request since the search is passed over.
        held[2].slot.wait(Duration::ZERO);
        assert!(limit.admit(|| false).is_some());
        assert_eq!((closing(&held), closing(&newer)), (vec![3], vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn working_connections_stay_and_health_checks_have_places_of_their_own() {
        let limit = limit(4);
        let held = take(&limit, 4).await;
        for permit in &held {
            permit.slot.work();
        }
        assert!(limit.admit(|| false).is_none());
        let checks: Vec<Permit> = (0..9).filter_map(|_| limit.admit(|| true)).collect();
        assert!(checks.iter().all(|permit| permit.slot.reserved()));
        // The third closes the first, the fourth the second; both are still open, so there is no fifth.
        assert_eq!((checks.len(), closing(&checks)), (4, vec![0, 1]));
        assert!(closing(&held).is_empty());
        drop(checks);
        // What waits only after a grace counts from its end.
        held[3].slot.wait(Duration::from_secs(5));
        advance(Duration::from_secs(4)).await;
        assert!(limit.admit(|| false).is_none());
        advance(Duration::from_secs(1)).await;
        let place = limit.admit(|| true).expect("a place");
        assert!(!place.slot.reserved());
        assert_eq!(closing(&held), [3]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_works_again_passes_the_request_to_close_on() {
        let limit = limit(8);
        let held = take(&limit, 8).await;
        let cx = Context::from_waker(Waker::noop());
        let _newer = limit.admit(|| false);
        assert_eq!(closing(&held), [0]);
        held[0].slot.work();
        assert!(!held[0].slot.must_close(&cx, || limit.close_longest_waiting()));
        assert_eq!(closing(&held), [1]);
        assert!(held[1].slot.must_close(&cx, || unreachable!("it waits")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_search_remembers_the_longest_waiting_of_many() {
        let limit = limit(200);
        let mut held = take(&limit, 200).await;
        held.reverse();
        for closed in 1..=40 {
            drop(limit.admit(|| false).expect("a place"));
            assert_eq!(closing(&held), (200 - closed..200).collect::<Vec<_>>());
        }
    }
}
