//! The events in the queues of watches, and the limit of the memory that all queues take together.
//!
//! Each event is held once, however many watches wait for it. When all of them together are too large, the oldest
//! are dropped: they belong to the clients that read most slowly, whose watches then end.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

use bytes::Bytes;

use super::Event;

/// How many bytes the events in all queues may take together.
const MAX_QUEUED_BYTES: usize = 128 << 20;
/// What an event takes besides its values and its key.
const EVENT_OVERHEAD_BYTES: usize = 512;
/// How many references to events that are in no queue any more are kept before they are removed.
const MAX_STALE_REFERENCES: usize = 1024;

/// An event in the queues of watches.
#[derive(Debug)]
pub struct Delivery {
    /// `None` when it was dropped to save memory.
    event: Mutex<Option<Arc<Event>>>,
    /// The text of a large event, as long as the event is in a queue.
    text: Mutex<Option<Bytes>>,
    cost: usize,
    usage: Arc<QueueUsage>,
}

/// The events in all queues.
#[derive(Debug, Default)]
struct QueueUsage {
    bytes: AtomicUsize,
    events: AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each critical section replaces one value.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Delivery {
    fn new(event: &Arc<Event>, usage: &Arc<QueueUsage>) -> Self {
        let cost = event.weight() + 2 * event.key.len() + EVENT_OVERHEAD_BYTES;
        usage.bytes.fetch_add(cost, Relaxed);
        usage.events.fetch_add(1, Relaxed);
        let event = Mutex::new(Some(Arc::clone(event)));
        Self { event, text: Mutex::default(), cost, usage: Arc::clone(usage) }
    }

    /// Returns the event, or `None` when it was dropped to save memory.
    #[must_use]
    pub fn event(&self) -> Option<Arc<Event>> {
        lock(&self.event).clone()
    }

    /// Returns about how many bytes the event takes.
    #[must_use]
    pub const fn cost(&self) -> usize {
        self.cost
    }

    /// Returns the text that `render` makes of the event, made once for all watches that wait for it; `None` when the
    /// event was dropped.
    pub fn text(&self, render: impl FnOnce(&Event) -> Bytes) -> Option<Bytes> {
        let mut text = lock(&self.text);
        let event = self.event()?;
        let made = text.take().unwrap_or_else(|| render(&event));
        // It may have been dropped meanwhile.
        if !self.is_dropped() {
            *text = Some(made.clone());
        }
        Some(made)
    }

    pub(super) fn is_dropped(&self) -> bool {
        lock(&self.event).is_none()
    }

    /// Drops the event, with its text unless that is being made right now.
    fn drop_event(&self) {
        let event = lock(&self.event).take();
        if event.is_some() {
            self.usage.bytes.fetch_sub(self.cost, Relaxed);
        }
        match self.text.try_lock() {
            Ok(mut text) => *text = None,
            Err(TryLockError::Poisoned(text)) => *text.into_inner() = None,
            Err(TryLockError::WouldBlock) => {}
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.drop_event();
        self.usage.events.fetch_sub(1, Relaxed);
    }
}

/// All events in queues, oldest first.
#[derive(Debug)]
pub(super) struct Deliveries {
    oldest_first: VecDeque<Weak<Delivery>>,
    usage: Arc<QueueUsage>,
    max_bytes: usize,
}

impl Default for Deliveries {
    fn default() -> Self {
        Self { oldest_first: VecDeque::new(), usage: Arc::default(), max_bytes: MAX_QUEUED_BYTES }
    }
}

impl Deliveries {
    /// Returns the event for queues: the present one when it is in a queue already.
    pub(super) fn of(&mut self, event: &Arc<Event>) -> Arc<Delivery> {
        let mut current = lock(&event.delivery);
        if let Some(present) = current.upgrade().filter(|present| !present.is_dropped()) {
            return present;
        }
        let delivery = Arc::new(Delivery::new(event, &self.usage));
        *current = Arc::downgrade(&delivery);
        drop(current);
        self.oldest_first.push_back(Arc::downgrade(&delivery));
        self.trim();
        delivery
    }

    /// Drops the oldest events while all together are too large; never the newest.
    fn trim(&mut self) {
        while self.usage.bytes.load(Relaxed) > self.max_bytes && self.oldest_first.len() > 1 {
            let oldest = self.oldest_first.pop_front();
            if let Some(oldest) = oldest.and_then(|oldest| oldest.upgrade()) {
                oldest.drop_event();
            }
        }
        let events = self.usage.events.load(Relaxed);
        if self.oldest_first.len() > 2 * events + MAX_STALE_REFERENCES {
            self.oldest_first.retain(|event| event.strong_count() > 0);
        }
    }

    #[cfg(test)]
    pub(super) fn set_max_bytes(&mut self, max_bytes: usize) {
        self.max_bytes = max_bytes;
    }

    /// Returns the bytes in queues, and how many references are held.
    #[cfg(test)]
    pub(super) fn usage(&self) -> (usize, usize) {
        (self.usage.bytes.load(Relaxed), self.oldest_first.len())
    }
}
