//! The body of a member's answer on its way to the client: each piece goes on as it comes.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as _, Incoming, SizeHint};

use super::super::connection::{Phase, Seat};
use super::super::respond::Broken;
use super::forward::Forwarder;
use super::line::Line;
use super::site::Site;

/// The rest of an answer. Dropped early, as when the client is gone, it ends the connection to the member, and so
/// the watch there.
pub(in crate::api) struct Passing {
    body: Incoming,
    line: Option<Line>,
    site: Site,
    seat: Arc<Seat<Forwarder>>,
    /// Whether a watch that ends without a word may end in order: clients ask again then.
    watch: bool,
    passed: bool,
    ended: bool,
}

impl Passing {
    pub(super) fn new(
        body: Incoming,
        line: Line,
        site: Site,
        seat: Arc<Seat<Forwarder>>,
        watch: bool,
    ) -> Self {
        if watch {
            seat.enter(Phase::Watch);
        }
        Self { body, line: Some(line), site, seat, watch, passed: false, ended: false }
    }

    /// The next piece.
    pub(in crate::api) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        while !self.ended {
            let body = &mut self.body;
            let polled = match &mut self.line {
                Some(line) => line.poll_with(cx, |cx| Pin::new(&mut *body).poll_frame(cx)),
                None => Pin::new(body).poll_frame(cx),
            };
            match polled {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers are passed over: none of the answers has any.
                    let Ok(data) = frame.into_data() else { continue };
                    self.passed = true;
                    return Poll::Ready(Some(Ok(data)));
                }
                Poll::Ready(None) => self.ended = true,
                Poll::Ready(Some(Err(error))) => {
                    (self.ended, self.line) = (true, None);
                    let url = &self.site.url;
                    tracing::debug!("the answer of {url} broke off: {error}");
                    if !self.watch || self.passed || self.body.size_hint().exact().is_some() {
                        return Poll::Ready(Some(Err(Broken)));
                    }
                }
            }
        }
        Poll::Ready(None)
    }

    pub(in crate::api) fn ended(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    pub(in crate::api) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        if let Some(line) = self.line.take()
            && self.ended()
        {
            self.seat.shared.pool.rest(&self.site, line);
        }
        self.seat.enter(Phase::Rest);
    }
}

impl fmt::Debug for Passing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passing")
            .field("site", &self.site.url)
            .field("watch", &self.watch)
            .finish_non_exhaustive()
    }
}
