//! The body of a watch: events as they happen, straight from the keyspace, without a task or a queue of its
//! own.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::connection::{ConnPhase, ConnState};
use super::render;
use crate::keyspace::Watch;

/// An open watch. Dropping it, as the connection does when the client is gone, ends it.
#[derive(Debug)]
pub(super) struct WatchBody {
    watch: Watch,
    conn: Arc<ConnState>,
    stream: bool,
    ended: bool,
}

impl WatchBody {
    pub(super) fn new(watch: Watch, stream: bool, conn: Arc<ConnState>) -> Self {
        conn.enter(ConnPhase::Watch);
        Self { watch, conn, stream, ended: false }
    }

    /// The text of the next event; `None` after the last.
    pub(super) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let polled = self.watch.poll_next(cx);
        if let Poll::Ready(event) = &polled {
            // Known to be over with its event, a one-shot answer goes out in one piece with its end.
            self.ended = !self.stream || event.is_none();
        }
        polled.map(|event| event.map(|event| render::shared(&event)))
    }

    pub(super) fn ended(&self) -> bool {
        self.ended
    }
}

impl Drop for WatchBody {
    fn drop(&mut self) {
        self.conn.enter(ConnPhase::Rest);
    }
}
