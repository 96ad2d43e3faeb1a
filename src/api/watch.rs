//! The body of a watch: events as they happen, directly from the keyspace, without its own task or queue.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::render;
use super::shared::ConnState;
use crate::http::server::{BodyAborted, BodyStream, ConnPhase};
use crate::keyspace::Watch;

/// An open watch. It ends when dropped, as the connection does when the client is gone.
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
}

impl BodyStream for WatchBody {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyAborted>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let polled = self.watch.poll_next(cx);
        if let Poll::Ready(event) = &polled {
            // If its end is known with its event, a one-shot response is sent in one piece.
            self.ended = !self.stream || event.is_none();
        }
        polled.map(|event| event.map(|event| Ok(render::shared(&event))))
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
