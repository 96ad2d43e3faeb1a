//! One connection to a server. It has no task of its own: its user polls it, so it ends with its user, and nothing
//! moves between threads.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// The longest response head.
const MAX_HEAD_BYTES: usize = 1 << 20;

/// A request whose body is complete.
pub(crate) type OutgoingRequest = Request<Full<Bytes>>;

/// Why there is no response.
#[derive(Debug)]
pub(crate) enum ExchangeError {
    /// Not a byte of the request was sent; this is the request.
    Unsent(Box<OutgoingRequest>),
    /// The request may or may not have been carried out.
    Lost(hyper::Error),
}

/// A connection.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>,
    ended: bool,
}

impl Connection {
    /// Starts HTTP over a stream.
    pub(crate) async fn over<S>(stream: S) -> io::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, driver) = http1::Builder::new()
            .title_case_headers(true)
            .max_buf_size(MAX_HEAD_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        Ok(Self { sender, driver: Box::pin(driver), ended: false })
    }

    /// Sends and receives what is possible now.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.ended {
            // The error of its end goes to the waiting request or body.
            self.ended = self.driver.as_mut().poll(cx).is_ready();
        }
    }

    /// Returns whether it is idle and usable; also notices that the server closed it.
    pub(crate) fn is_idle(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        !self.ended && self.sender.is_ready()
    }

    /// Sends a request and waits for the head of the response. If this is dropped earlier, the connection is
    /// unusable.
    pub(crate) async fn send(
        &mut self,
        outgoing: OutgoingRequest,
    ) -> Result<Response<Incoming>, ExchangeError> {
        let mut response = pin!(self.sender.try_send_request(outgoing));
        let (driver, ended) = (&mut self.driver, &mut self.ended);
        let answered = poll_fn(|cx| {
            if !*ended {
                *ended = driver.as_mut().poll(cx).is_ready();
            }
            response.as_mut().poll(cx)
        });
        answered.await.map_err(|mut error| match error.take_message() {
            Some(outgoing) => ExchangeError::Unsent(Box::new(outgoing)),
            None => ExchangeError::Lost(error.into_error()),
        })
    }

    /// Polls something that this connection carries.
    pub(crate) fn poll_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        // Polling is what makes the driver read on, so the driver is polled in between.
        if let Poll::Ready(ready) = poll(cx) {
            return Poll::Ready(ready);
        }
        self.drive(cx);
        poll(cx)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("ended", &self.ended).finish_non_exhaustive()
    }
}
