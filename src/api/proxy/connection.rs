//! One connection to a member. It has no task of its own: whoever uses it drives it, so it ends with its user, and
//! nothing passes from thread to thread.

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

/// The longest head of an answer.
const MAX_HEAD_BYTES: usize = 1 << 20;

/// A request as it goes out.
pub(super) type OutgoingRequest = Request<Full<Bytes>>;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum ExchangeError {
    /// Not a byte of the request was sent; here it is again.
    Unsent(Box<OutgoingRequest>),
    /// Nobody knows what became of it.
    Lost(hyper::Error),
}

/// A connection.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>,
    ended: bool,
}

impl Connection {
    /// Speaks HTTP over a stream.
    pub(super) async fn over<S>(stream: S) -> io::Result<Self>
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

    /// Lets it send and receive what it can.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.ended {
            // Why it ended is told to whoever waits for an answer or its rest.
            self.ended = self.driver.as_mut().poll(cx).is_ready();
        }
    }

    /// Whether it rests and can take a request; that the member closed it is seen here too.
    pub(super) fn is_idle(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        !self.ended && self.sender.is_ready()
    }

    /// Asks, and waits for the head of the answer. Dropped before, the connection is of no further use.
    pub(super) async fn send(
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

    /// The next poll of whatever this connection carries.
    pub(super) fn poll_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        // Being asked is what lets the driver read on, so it has to have its turn in between.
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

/// An error with what is behind it.
pub(super) fn error_text(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
