//! The loop that follows the source and passes its events to the worker.

use std::convert::Infallible;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::source::{Follow, Source, SourceEvent};
use crate::stop::{EndedLoop, Loops, Stop};

/// How many events may wait; when the queue is full the source waits, and the store keeps its history meanwhile.
const EVENT_QUEUE_CAPACITY: usize = 64;

/// A running follower. Dropping it stops the loop.
pub(super) struct Follower {
    loops: Loops,
    events: mpsc::Receiver<SourceEvent>,
}

impl Follower {
    /// Follows the source, starting with its next snapshot.
    pub(super) fn start(source: &Arc<Source>, roots: Vec<String>, follow: Follow) -> Self {
        let (sender, events) = mpsc::channel(EVENT_QUEUE_CAPACITY);
        let mut loops = Loops::new(Stop::new());
        let source = Arc::clone(source);
        loops.spawn("source", async move {
            source.follow(roots, follow, sender).await;
            Ok::<(), Infallible>(())
        });
        Self { loops, events }
    }

    /// Returns the next event, or the early end of the loop, which is a failure. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<SourceEvent, EndedLoop> {
        tokio::select! {
            biased;
            Some(event) = self.events.recv() => Ok(event),
            ended = self.loops.first_failure() => Err(ended),
        }
    }

    /// Returns an event that already waits.
    pub(super) fn ready(&mut self) -> Option<SourceEvent> {
        self.events.try_recv().ok()
    }
}
