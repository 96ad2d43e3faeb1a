//! One watch: what was delivered to it and not yet taken.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::{Event, HISTORY_BYTES, HISTORY_EVENTS, Key};

/// How many undelivered events a watch holds; with one more it ends. Ten times etcd's figure: the events of a round, of
/// which a member that catches up has large ones, come at once, however fast the client reads.
const QUEUE_CAPACITY: usize = HISTORY_EVENTS;
/// A watch with this many undelivered bytes of values ends with the next event.
const MAX_QUEUED_BYTES: usize = HISTORY_BYTES;
/// How many it holds when it catches up with a whole window of them at once, which is not its client's slowness.
const MAX_CATCH_UP_CAPACITY: usize = HISTORY_EVENTS + QUEUE_CAPACITY;

/// What a watch is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchFor {
    /// Everything below as well.
    pub recursive: bool,
    /// More than the first event.
    pub stream: bool,
    /// First index of interest; 0 means from now.
    pub since: u64,
}

/// A watch that was accepted. Dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    /// The index when it was accepted.
    pub index: u64,
    slot: Arc<Slot>,
    /// Where the hub knows it; `None` when history had its event and the hub never did.
    place: Option<HubEntry>,
}

/// Where the hub keeps a watch.
#[derive(Debug)]
struct HubEntry {
    key: Key,
    id: u64,
    returns: Arc<WatchReturns>,
}

/// What watches tell the hub, which they cannot reach: they are dropped wherever their client left.
#[derive(Debug, Default)]
pub(super) struct WatchReturns {
    /// How many watches still wait for events.
    waiting: AtomicU64,
    /// Those that were dropped and that the hub still holds; it has never more entries than the hub.
    departed: Mutex<Vec<(Key, u64)>>,
}

impl WatchReturns {
    pub(super) fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn take_departed(&self) -> Vec<(Key, u64)> {
        std::mem::take(&mut *lock(&self.departed))
    }
}

/// What the hub and a watch share.
#[derive(Debug)]
pub(super) struct Slot {
    state: Mutex<WatchState>,
}

#[derive(Debug)]
struct WatchState {
    events: VecDeque<Arc<Event>>,
    /// What their values weigh together.
    bytes: usize,
    /// How many of them there may be.
    room: usize,
    phase: WatchPhase,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WatchPhase {
    /// Hooked: events come.
    Open,
    /// No more will come, and the watch ends with the last one taken.
    Done,
    /// No more will come, and the watch never ends.
    Silent,
}

/// A panic elsewhere cannot leave these few fields half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Slot {
    fn new(events: VecDeque<Arc<Event>>, phase: WatchPhase) -> Arc<Self> {
        let bytes = events.iter().map(|event| event.weight()).sum();
        Arc::new(Self {
            state: Mutex::new(WatchState { events, bytes, room: QUEUE_CAPACITY, phase, waker: None }),
        })
    }

    /// Hands over an event; answers whether the watch waits for more.
    pub(super) fn deliver(&self, event: &Arc<Event>, stream: bool, returns: &WatchReturns) -> bool {
        let mut state = lock(&self.state);
        if state.phase != WatchPhase::Open {
            return false;
        }
        let overrun = state.events.len() >= state.room || state.bytes >= MAX_QUEUED_BYTES;
        if !overrun {
            state.bytes += event.weight();
            state.events.push_back(Arc::clone(event));
        }
        if !stream || overrun {
            // etcd leaves an overrun watch open and silent; ended, it is asked for again, and loses nothing.
            state.phase = WatchPhase::Done;
            returns.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        let more = state.phase == WatchPhase::Open;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        more
    }

    /// Makes room for `more` events beside the usual.
    pub(super) fn widen(&self, more: usize) {
        let mut state = lock(&self.state);
        state.room = (state.events.len() + more + QUEUE_CAPACITY).min(MAX_CATCH_UP_CAPACITY);
    }

    /// No more will come: the watch ends with the last event that it has, so that its client asks again.
    pub(super) fn end(&self, returns: &WatchReturns) {
        let mut state = lock(&self.state);
        if state.phase != WatchPhase::Open {
            return;
        }
        state.phase = WatchPhase::Done;
        returns.waiting.fetch_sub(1, Ordering::Relaxed);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The next event, or whether there will be one.
    fn take(&self, waker: Option<&Waker>) -> Poll<Option<Arc<Event>>> {
        let mut state = lock(&self.state);
        match state.events.pop_front() {
            Some(event) => {
                state.bytes -= event.weight();
                Poll::Ready(Some(event))
            }
            None if state.phase == WatchPhase::Done => Poll::Ready(None),
            None => {
                match (&mut state.waker, waker) {
                    (Some(known), Some(waker)) => known.clone_from(waker),
                    (none, Some(waker)) => *none = Some(waker.clone()),
                    (_, None) => {}
                }
                Poll::Pending
            }
        }
    }
}

impl Watch {
    /// A watch that waits for events, and the hub's end of it.
    pub(super) fn waiting(index: u64, key: &Key, id: u64, returns: &Arc<WatchReturns>) -> (Self, Arc<Slot>) {
        let slot = Slot::new(VecDeque::new(), WatchPhase::Open);
        returns.waiting.fetch_add(1, Ordering::Relaxed);
        let place = HubEntry { key: Key::clone(key), id, returns: Arc::clone(returns) };
        (Self { index, slot: Arc::clone(&slot), place: Some(place) }, slot)
    }

    /// A watch whose event was in history. A stream then stays silent for ever, as etcd's does.
    pub(super) fn answered(index: u64, event: Arc<Event>, stream: bool) -> Self {
        let phase = if stream { WatchPhase::Silent } else { WatchPhase::Done };
        Self { index, slot: Slot::new(VecDeque::from([event]), phase), place: None }
    }

    /// The next event. `None`: no more will come. A one-shot watch ends after its event. A stream ends after what it holds
    /// when its client did not take 1,000 events or 64 MiB of values in time, or when the state was replaced and the new
    /// one does not have all events that the watch waits for. Its client then asks again; etcd leaves an overrun stream
    /// open and silent.
    pub async fn next(&mut self) -> Option<Arc<Event>> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// As `next`, for a body that is polled: without a future to keep between polls.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Arc<Event>>> {
        self.slot.take(Some(context.waker()))
    }

    /// Like `next` for what is there already; `None` when nothing is.
    pub fn ready(&mut self) -> Option<Arc<Event>> {
        match self.slot.take(None) {
            Poll::Ready(event) => event,
            Poll::Pending => None,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        let mut state = lock(&self.slot.state);
        // The buffer goes at once: the hub may look at its own end of the slot only much later.
        let unread = std::mem::take(&mut state.events);
        let was_open = std::mem::replace(&mut state.phase, WatchPhase::Silent) == WatchPhase::Open;
        drop(state);
        drop(unread);
        if was_open {
            place.returns.waiting.fetch_sub(1, Ordering::Relaxed);
            lock(&place.returns.departed).push((place.key, place.id));
        }
    }
}
