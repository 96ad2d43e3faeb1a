//! One watch: its delivered events that were not taken yet.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::{Delivery, Event, HISTORY_EVENTS, Key};

/// How many untaken events a watch holds; one more ends it. Ten times etcd's limit: the events of a round come at
/// once however fast the client reads, and a member that catches up has large rounds.
const QUEUE_CAPACITY: usize = HISTORY_EVENTS;
/// A watch whose untaken events take this many bytes ends with the next event. The history holds four times as much, so
/// that its client can continue.
const MAX_QUEUED_BYTES: usize = 16 << 20;
/// How many it holds when it receives a whole window of them at once, which is not its client's fault.
const MAX_CATCH_UP_CAPACITY: usize = HISTORY_EVENTS + QUEUE_CAPACITY;

/// What a watch watches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchOptions {
    /// Includes everything below.
    pub recursive: bool,
    /// Continues after the first event.
    pub stream: bool,
    /// First index of interest; 0 means from now.
    pub since: u64,
}

/// A watch that was accepted. Dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    /// The index when it was accepted.
    pub index: u64,
    slot: Arc<WatchSlot>,
    /// Its entry in the hub; `None` when history had its event and it was never registered.
    hub_entry: Option<HubEntry>,
}

/// The entry of a watch in the hub.
#[derive(Debug)]
struct HubEntry {
    key: Key,
    id: u64,
    feedback: Arc<WatchFeedback>,
}

/// What watches report to the hub, which they cannot reach: they are dropped wherever their client disconnects.
#[derive(Debug, Default)]
pub(super) struct WatchFeedback {
    /// How many watches still wait for events.
    waiting: AtomicU64,
    /// Dropped watches that the hub still holds; never more entries than the hub has.
    dropped: Mutex<Vec<(Key, u64)>>,
}

impl WatchFeedback {
    pub(super) fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn has_dropped_watches(&self) -> bool {
        !lock(&self.dropped).is_empty()
    }

    pub(super) fn take_dropped(&self) -> Vec<(Key, u64)> {
        std::mem::take(&mut *lock(&self.dropped))
    }
}

/// Shared by the hub and a watch.
#[derive(Debug)]
pub(super) struct WatchSlot {
    state: Mutex<WatchState>,
}

#[derive(Debug)]
struct WatchState {
    events: VecDeque<Arc<Delivery>>,
    /// Their total size.
    bytes: usize,
    /// How many events may wait.
    capacity: usize,
    phase: WatchPhase,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WatchPhase {
    /// Registered: events arrive.
    Open,
    /// No more events follow, and the watch ends after its last event is taken.
    Done,
    /// No more events follow, but the watch never ends.
    Silent,
}

/// Ignores poisoning: a panic elsewhere cannot leave these few fields half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl WatchSlot {
    fn new(events: VecDeque<Arc<Delivery>>, phase: WatchPhase) -> Arc<Self> {
        let bytes = events.iter().map(|event| event.cost()).sum();
        Arc::new(Self {
            state: Mutex::new(WatchState { events, bytes, capacity: QUEUE_CAPACITY, phase, waker: None }),
        })
    }

    /// Delivers an event; returns whether the watch waits for more.
    pub(super) fn deliver(&self, event: &Arc<Delivery>, stream: bool, feedback: &WatchFeedback) -> bool {
        let mut state = lock(&self.state);
        if state.phase != WatchPhase::Open {
            return false;
        }
        let overrun = state.events.len() >= state.capacity || state.bytes >= MAX_QUEUED_BYTES;
        if !overrun {
            state.bytes += event.cost();
            state.events.push_back(Arc::clone(event));
        }
        if !stream || overrun {
            // etcd leaves an overrun watch open and silent; if it ends, its client watches again and loses nothing.
            state.phase = WatchPhase::Done;
            feedback.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        let more = state.phase == WatchPhase::Open;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        more
    }

    /// Makes room for `more` events beyond the usual.
    pub(super) fn add_capacity(&self, more: usize) {
        let mut state = lock(&self.state);
        state.capacity = (state.events.len() + more + QUEUE_CAPACITY).min(MAX_CATCH_UP_CAPACITY);
    }

    /// No more events follow: the watch ends with its last event, so that its client watches again.
    pub(super) fn end(&self, feedback: &WatchFeedback) {
        self.close(false, feedback);
    }

    /// Its client may not see any more events: the watch ends at once.
    pub(super) fn revoke(&self, feedback: &WatchFeedback) {
        self.close(true, feedback);
    }

    fn close(&self, at_once: bool, feedback: &WatchFeedback) {
        let mut state = lock(&self.state);
        if state.phase != WatchPhase::Open {
            return;
        }
        state.phase = WatchPhase::Done;
        if at_once {
            state.clear();
        }
        feedback.waiting.fetch_sub(1, Ordering::Relaxed);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Returns the next event, or whether one may follow.
    fn take(&self, waker: Option<&Waker>) -> Poll<Option<Arc<Delivery>>> {
        let mut state = lock(&self.state);
        match state.events.pop_front() {
            Some(event) => {
                state.bytes -= event.cost();
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

impl WatchState {
    fn clear(&mut self) {
        self.events = VecDeque::new();
        self.bytes = 0;
    }
}

impl Watch {
    /// Returns a watch that waits for events, and the hub's side of it.
    pub(super) fn waiting(
        index: u64,
        key: &Key,
        id: u64,
        feedback: &Arc<WatchFeedback>,
    ) -> (Self, Arc<WatchSlot>) {
        let slot = WatchSlot::new(VecDeque::new(), WatchPhase::Open);
        feedback.waiting.fetch_add(1, Ordering::Relaxed);
        let hub_entry = HubEntry { key: Key::clone(key), id, feedback: Arc::clone(feedback) };
        (Self { index, slot: Arc::clone(&slot), hub_entry: Some(hub_entry) }, slot)
    }

    /// Returns a watch whose event was in history. A stream then stays silent forever, as in etcd.
    pub(super) fn from_history(index: u64, event: Arc<Delivery>, stream: bool) -> Self {
        let phase = if stream { WatchPhase::Silent } else { WatchPhase::Done };
        Self { index, slot: WatchSlot::new(VecDeque::from([event]), phase), hub_entry: None }
    }

    /// Returns the next event, or `None` when no more follow. A one-shot watch ends after its event. A stream ends,
    /// after the events it holds, when its client did not take 1,000 events or 16 MiB in time, or when the state was
    /// replaced and the new one lacks events that the watch waits for. Any watch ends at once when its next event was
    /// dropped to save memory, or when its client lost the right to read. Its client then watches again; etcd leaves an
    /// overrun stream open and silent.
    pub async fn next(&mut self) -> Option<Arc<Event>> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// As `next`, for a body that is polled: there is no future to keep between polls.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Arc<Event>>> {
        self.poll_delivery(context).map(|taken| taken.and_then(|taken| taken.event()))
    }

    /// As `poll_next`, with the text that all watches share.
    pub fn poll_delivery(&mut self, context: &mut Context<'_>) -> Poll<Option<Arc<Delivery>>> {
        let taken = self.slot.take(Some(context.waker()));
        if let Poll::Ready(Some(event)) = &taken
            && event.is_dropped()
        {
            // The client must not get later events without this one.
            self.leave(WatchPhase::Done);
            return Poll::Ready(None);
        }
        taken
    }

    /// Returns an event that has already arrived, or `None`.
    pub fn ready(&mut self) -> Option<Arc<Event>> {
        match self.slot.take(None) {
            Poll::Ready(taken) => taken.and_then(|taken| taken.event()),
            Poll::Pending => None,
        }
    }

    /// Takes no more events. Frees the buffer and the waker now: the hub may look at its side of the slot much later, and
    /// a waker keeps the memory of its whole task, a client's connection with its buffers.
    fn leave(&mut self, phase: WatchPhase) {
        let mut state = lock(&self.slot.state);
        let unread = (std::mem::take(&mut state.events), state.waker.take());
        let was_open = std::mem::replace(&mut state.phase, phase) == WatchPhase::Open;
        drop(state);
        drop(unread);
        if let Some(hub_entry) = self.hub_entry.take()
            && was_open
        {
            hub_entry.feedback.waiting.fetch_sub(1, Ordering::Relaxed);
            lock(&hub_entry.feedback.dropped).push((hub_entry.key, hub_entry.id));
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.leave(WatchPhase::Silent);
    }
}
