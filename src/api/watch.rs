//! The body of a watch: events as they happen, directly from the keyspace, without its own task or queue.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::reads::{SMALL_RESPONSE_BYTES, counted};
use super::render;
use super::shared::ConnState;
use crate::http::server::{BodyAborted, BodyStream, ConnPhase};
use crate::keyspace::{Delivery, Watch};

/// An open watch. It ends when dropped, as the connection does when the client is gone.
pub(super) struct WatchBody {
    watch: Watch,
    conn: Arc<ConnState>,
    stream: bool,
    ended: bool,
    /// A large event that waits until there is room for its text. Boxed: it is rare.
    waiting: Option<Box<WaitingEvent>>,
}

struct WaitingEvent {
    event: Arc<Delivery>,
    room: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl WatchBody {
    pub(super) fn new(watch: Watch, stream: bool, conn: Arc<ConnState>) -> Self {
        conn.enter(ConnPhase::Watch);
        Self { watch, conn, stream, ended: false, waiting: None }
    }

    /// Returns the next event when its text may be made.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Arc<Delivery>>> {
        if self.waiting.is_none() {
            let Some(event) = ready!(self.watch.poll_delivery(cx)) else { return Poll::Ready(None) };
            let cost = event.cost();
            if cost <= SMALL_RESPONSE_BYTES || self.conn.responses().has_room(cost) {
                return Poll::Ready(Some(event));
            }
            let share = self.conn.responses();
            let room = Box::pin(async move { share.room(cost).await });
            self.waiting = Some(Box::new(WaitingEvent { event, room }));
        }
        if let Some(waiting) = &mut self.waiting {
            ready!(waiting.room.as_mut().poll(cx));
        }
        Poll::Ready(self.waiting.take().map(|waiting| waiting.event))
    }
}

impl BodyStream for WatchBody {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyAborted>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let event = ready!(self.poll_event(cx));
        let text = event.and_then(|event| render::shared(&event, |text| counted(&self.conn, text)));
        // If its end is known with its event, a one-shot response is sent in one piece.
        self.ended = !self.stream || text.is_none();
        Poll::Ready(text.map(Ok))
    }

    fn ended(&self) -> bool {
        self.ended
    }
}

impl Drop for WatchBody {
    fn drop(&mut self) {
        self.conn.enter(ConnPhase::Idle);
    }
}

impl fmt::Debug for WatchBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchBody")
            .field("watch", &self.watch)
            .field("stream", &self.stream)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
