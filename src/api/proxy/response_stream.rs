//! The body of a member's response on its way to the client: each piece is forwarded as it arrives.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as _, Incoming, SizeHint};

use super::forwarder::Forwarder;
use crate::http::Endpoint;
use crate::http::client::Connection;
use crate::http::server::{BodyAborted, BodyStream, ConnPhase, ConnState};

/// The rest of a response. If it is dropped early, because the client is gone, the connection to the member closes,
/// and with it the watch there.
pub(super) struct ResponseStream {
    body: Incoming,
    connection: Option<Connection>,
    endpoint: Endpoint,
    conn: Arc<ConnState<Forwarder>>,
    /// Whether a watch that breaks off may end normally: clients then watch again.
    watch: bool,
    passed: bool,
    ended: bool,
}

impl ResponseStream {
    pub(super) fn new(
        body: Incoming,
        connection: Connection,
        endpoint: Endpoint,
        conn: Arc<ConnState<Forwarder>>,
        watch: bool,
    ) -> Self {
        if watch {
            conn.enter(ConnPhase::Watch);
        }
        Self { body, connection: Some(connection), endpoint, conn, watch, passed: false, ended: false }
    }
}

impl BodyStream for ResponseStream {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyAborted>>> {
        while !self.ended {
            let body = &mut self.body;
            let polled = match &mut self.connection {
                Some(connection) => connection.poll_with(cx, |cx| Pin::new(&mut *body).poll_frame(cx)),
                None => Pin::new(body).poll_frame(cx),
            };
            match polled {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers are skipped: no response has any.
                    let Ok(data) = frame.into_data() else { continue };
                    self.passed = true;
                    return Poll::Ready(Some(Ok(data)));
                }
                Poll::Ready(None) => self.ended = true,
                Poll::Ready(Some(Err(error))) => {
                    (self.ended, self.connection) = (true, None);
                    let url = &self.endpoint.url;
                    tracing::debug!("the response of {url} broke off: {error}");
                    if !self.watch || self.passed || self.body.size_hint().exact().is_some() {
                        return Poll::Ready(Some(Err(BodyAborted)));
                    }
                }
            }
        }
        Poll::Ready(None)
    }

    fn ended(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for ResponseStream {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take()
            && self.ended()
        {
            self.conn.shared.pool.put_idle(&self.endpoint, connection);
        }
        self.conn.enter(ConnPhase::Idle);
    }
}

impl fmt::Debug for ResponseStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseStream")
            .field("site", &self.endpoint.url)
            .field("watch", &self.watch)
            .finish_non_exhaustive()
    }
}
