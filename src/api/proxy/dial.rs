//! Connects to a member and enforces the time limits.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep, timeout};

use super::super::error::ApiError;
use super::connection::{self, Connection};
use super::endpoint::Endpoint;
use crate::tcp::{self, Liveness};
use crate::tls::{Connector, Files};

/// The timeout of a TLS handshake.
const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The time limits of a connection to a member; `None` is no limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) dial: Option<Duration>,
    pub(super) write: Option<Duration>,
    pub(super) read: Option<Duration>,
}

/// Makes connections.
#[derive(Debug)]
pub(super) struct Dialer {
    limits: Limits,
    connector: Connector,
}

impl Dialer {
    /// Reads the TLS files, if any are given, so that a bad one is reported at the start.
    pub(super) fn new(files: &Files, limits: Limits) -> Result<Self, ApiError> {
        Ok(Self { limits, connector: Connector::open(files).map_err(ApiError::Tls)? })
    }

    /// Connects; the error says for the log what failed.
    pub(super) async fn connect(&self, endpoint: &Endpoint) -> io::Result<Connection> {
        let stream = self.tcp(endpoint).await?;
        tcp::send_at_once(&stream);
        self.set_keepalive(&stream);
        if !endpoint.secure {
            return Connection::over(TimeoutStream::new(stream, self.limits)).await;
        }
        let handshake = timeout(TLS_HANDSHAKE_TIMEOUT, self.connector.connect(&endpoint.host, stream));
        let stream = handshake.await.map_err(|_| timed_out("the TLS handshake", TLS_HANDSHAKE_TIMEOUT))??;
        Connection::over(TimeoutStream::new(stream, self.limits)).await
    }

    /// Returns why a connection was lost. A member may check this side's certificate only after the handshake; then
    /// its first response is an alert.
    pub(super) fn explain(&self, endpoint: &Endpoint, error: hyper::Error) -> String {
        let words = connection::error_text(&error);
        let error = io::Error::other(error);
        let explained = self.connector.explain(&endpoint.host, error);
        if explained.get_ref().is_some_and(|inner| inner.is::<hyper::Error>()) {
            words
        } else {
            explained.to_string()
        }
    }

    async fn tcp(&self, endpoint: &Endpoint) -> io::Result<TcpStream> {
        let connecting = TcpStream::connect((endpoint.host.as_str(), endpoint.port));
        match self.limits.dial {
            Some(limit) => timeout(limit, connecting).await.map_err(|_| timed_out("connecting", limit))?,
            None => connecting.await,
        }
    }

    /// Sets timeouts for a machine that lost power or its cable: without them, data would be sent again for a
    /// quarter of an hour, and responses awaited forever.
    fn set_keepalive(&self, stream: &TcpStream) {
        Liveness::TO_SERVER.set(stream);
        if let Some(limit) = self.limits.write {
            tcp::limit_unacknowledged(stream, limit);
        }
    }
}

fn timed_out(what: &str, limit: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{what} took longer than {limit:?}"))
}

/// A stream with a time limit for each read and each write, as etcd's.
#[derive(Debug)]
struct TimeoutStream<S> {
    stream: S,
    limits: Limits,
    reading: Option<Pin<Box<Sleep>>>,
    writing: Option<Pin<Box<Sleep>>>,
}

impl<S> TimeoutStream<S> {
    fn new(stream: S, limits: Limits) -> Self {
        Self { stream, limits, reading: None, writing: None }
    }
}

/// Returns an error when a pending wait has lasted too long.
fn overdue(
    timer: &mut Option<Pin<Box<Sleep>>>,
    limit: Option<Duration>,
    what: &str,
    cx: &mut Context<'_>,
) -> Poll<io::Error> {
    let Some(limit) = limit else { return Poll::Pending };
    let timer = timer.get_or_insert_with(|| Box::pin(sleep(limit)));
    ready!(timer.as_mut().poll(cx));
    Poll::Ready(timed_out(what, limit))
}

impl<S: AsyncRead + Unpin> AsyncRead for TimeoutStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(cx, buffer) {
            this.reading = None;
            return Poll::Ready(read);
        }
        overdue(&mut this.reading, this.limits.read, "waiting for the member's next data", cx).map(Err)
    }
}

impl<S: AsyncWrite + Unpin> TimeoutStream<S> {
    fn wrote<T>(&mut self, polled: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.writing = None;
            return polled;
        }
        overdue(&mut self.writing, self.limits.write, "sending to the member", cx).map(Err)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimeoutStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(polled, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.wrote(polled, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.wrote(polled, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn limits(read: u64, write: u64) -> Limits {
        let span = |seconds| Some(Duration::from_secs(seconds)).filter(|span| !span.is_zero());
        Limits { dial: None, write: span(write), read: span(read) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_that_takes_nothing_in_is_given_up_after_the_write_limit() {
        let (near, _far) = tokio::io::duplex(16);
        let mut timed = TimeoutStream::new(near, limits(0, 5));
        let begun = tokio::time::Instant::now();
        let error = timed.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_limit_holds_for_each_read_alone() {
        let (near, mut far) = tokio::io::duplex(16);
        let mut timed = TimeoutStream::new(near, limits(5, 0));
        let mut byte = [0];
        for _ in 0..3 {
            let (read, ()) = tokio::join!(timed.read_exact(&mut byte), async {
                sleep(Duration::from_secs(4)).await;
                far.write_all(b"x").await.unwrap();
            });
            read.unwrap();
        }
        assert_eq!(timed.read_exact(&mut byte).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
