//! The queue of messages to one other member: bounded, with short urgent messages before long ones.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use raft::prelude::{Message, MessageType};
use tokio::sync::Notify;

use super::metrics::Counters;
use super::{frame, message_codec};
use crate::stop::Stop;

/// The most messages that may wait.
pub(super) const MAX_QUEUED_MESSAGES: usize = 4096;
pub(super) const MAX_QUEUED_BYTES: usize = 64 << 20;
/// The longest message: together with a usual frame's worth of earlier ones it still fits into a frame.
pub(in crate::consensus) const MAX_MESSAGE_BYTES: usize =
    frame::MAX_FRAME_BYTES - frame::TARGET_FRAME_BYTES - 64;
/// How many messages wait for a stream that is not open yet.
const MAX_QUEUED_UNCONNECTED: usize = 16;
/// Failed snapshots that the other side was not notified of yet.
const MAX_FAILED_SNAPSHOTS: usize = 16;

/// The queue to one other member.
#[derive(Debug)]
pub(super) struct PeerQueue {
    pub(super) id: u64,
    pub(super) metrics: Counters,
    /// Wakes the queue's task.
    pub(super) wake: Notify,
    /// Requested when its member is removed.
    pub(super) end: Stop,
    /// Whether its task was started.
    pub(super) started: AtomicBool,
    /// Whether the loss of its process was reported.
    pub(super) gone: AtomicBool,
    queue: Mutex<PeerQueueState>,
    urls: Mutex<Vec<String>>,
}

#[derive(Debug, Default)]
struct PeerQueueState {
    connected: bool,
    /// Short messages, on which elections and commits wait.
    urgent: VecDeque<Message>,
    /// Appends and snapshots, in order.
    bulk: VecDeque<Message>,
    bytes: usize,
    /// Requests for votes made while there was no stream.
    early: VecDeque<(Instant, Message)>,
    failed: Vec<u64>,
    /// Whether something was dropped since the queue was last empty, and whether that was reported.
    overflow: Overflow,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Overflow {
    #[default]
    None,
    Unreported,
    Reported,
}

/// What to write next.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) messages: Vec<Message>,
    pub(super) failed: Vec<u64>,
    /// Messages were dropped, which must be reported to the driver.
    pub(super) dropped: bool,
}

impl PeerQueue {
    pub(super) fn new(id: u64, urls: Vec<String>) -> Self {
        Self {
            id,
            metrics: Counters::default(),
            wake: Notify::new(),
            end: Stop::new(),
            started: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            queue: Mutex::default(),
            urls: Mutex::new(urls),
        }
    }

    fn queue(&self) -> MutexGuard<'_, PeerQueueState> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn urls(&self) -> Vec<String> {
        self.urls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_urls(&self, urls: Vec<String>) {
        *self.urls.lock().unwrap_or_else(PoisonError::into_inner) = urls;
    }

    /// Queues a message or drops it.
    pub(super) fn push(&self, message: Message) {
        let size = message_codec::size(&message);
        let mut queue = self.queue();
        if !queue.connected {
            if is_early(&message) {
                if queue.early.len() >= MAX_QUEUED_UNCONNECTED {
                    queue.early.pop_front();
                }
                queue.early.push_back((Instant::now(), message));
            } else {
                self.metrics.dropped.fetch_add(1, Relaxed);
            }
            return;
        }
        let count = queue.urgent.len() + queue.bulk.len();
        if size > MAX_MESSAGE_BYTES {
            tracing::error!(
                "a message of {size} bytes for member {:x} is longer than members may send",
                self.id
            );
        }
        // One message is accepted at any length, or it would never be sent.
        if size > MAX_MESSAGE_BYTES
            || count >= MAX_QUEUED_MESSAGES
            || (count > 0 && queue.bytes + size > MAX_QUEUED_BYTES)
        {
            self.metrics.dropped.fetch_add(1, Relaxed);
            if queue.overflow == Overflow::None {
                queue.overflow = Overflow::Unreported;
                self.metrics.fail.fetch_add(1, Relaxed);
            }
        } else {
            queue.bytes += size;
            self.metrics.queued.store(queue.bytes as u64, Relaxed);
            if is_urgent(&message) { queue.urgent.push_back(message) } else { queue.bulk.push_back(message) }
        }
        drop(queue);
        self.wake.notify_one();
    }

    /// Notifies the other side that its snapshot was given up.
    pub(super) fn snapshot_failed(&self, index: u64) {
        let mut queue = self.queue();
        if queue.failed.len() < MAX_FAILED_SNAPSHOTS && !queue.failed.contains(&index) {
            queue.failed.push(index);
        }
        drop(queue);
        self.wake.notify_one();
    }

    /// Takes about `most` bytes of messages; at least one if there are any.
    pub(super) fn take(&self, most: usize) -> Batch {
        let mut queue = self.queue();
        let mut batch = Batch { failed: std::mem::take(&mut queue.failed), ..Batch::default() };
        let mut bytes = 0;
        while bytes < most {
            let Some(message) = queue.urgent.pop_front().or_else(|| queue.bulk.pop_front()) else { break };
            bytes += message_codec::size(&message);
            batch.messages.push(message);
        }
        queue.bytes = queue.bytes.saturating_sub(bytes);
        self.metrics.queued.store(queue.bytes as u64, Relaxed);
        match queue.overflow {
            Overflow::Unreported => {
                queue.overflow = Overflow::Reported;
                batch.dropped = true;
            }
            Overflow::Reported if queue.bulk.is_empty() => queue.overflow = Overflow::None,
            Overflow::Reported | Overflow::None => {}
        }
        batch
    }

    /// The stream is open: messages are accepted from here on, and recent early ones are sent.
    pub(super) fn stream_opened(&self, fresh: Duration) {
        let mut queue = self.queue();
        queue.connected = true;
        for (at, message) in std::mem::take(&mut queue.early) {
            if at.elapsed() < fresh {
                queue.bytes += message_codec::size(&message);
                queue.urgent.push_back(message);
            }
        }
        self.gone.store(false, Relaxed);
        self.metrics.connected.store(true, Relaxed);
    }

    /// The stream is lost, and what waited for it.
    pub(super) fn stream_closed(&self) {
        let mut queue = self.queue();
        if !std::mem::take(&mut queue.connected) {
            return;
        }
        let lost = queue.urgent.len() + queue.bulk.len();
        // Failed snapshots must still be reported.
        *queue = PeerQueueState { failed: std::mem::take(&mut queue.failed), ..PeerQueueState::default() };
        self.metrics.dropped.fetch_add(lost as u64, Relaxed);
        self.metrics.queued.store(0, Relaxed);
        self.metrics.fail.fetch_add(1, Relaxed);
        self.metrics.connected.store(false, Relaxed);
    }
}

fn is_urgent(message: &Message) -> bool {
    !matches!(message.get_msg_type(), MessageType::MsgAppend | MessageType::MsgSnapshot)
        && message.entries.is_empty()
}

/// Returns whether a message is still useful a moment later: without it, the election would wait for its next round.
fn is_early(message: &Message) -> bool {
    use MessageType::{
        MsgRequestPreVote, MsgRequestPreVoteResponse, MsgRequestVote, MsgRequestVoteResponse, MsgTimeoutNow,
    };
    matches!(
        message.get_msg_type(),
        MsgRequestPreVote
            | MsgRequestPreVoteResponse
            | MsgRequestVote
            | MsgRequestVoteResponse
            | MsgTimeoutNow
    )
}
