//! A stream with a time limit for each read and each write.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::error::timed_out;

/// A stream that fails when the other side sends or takes nothing for too long. A timer exists only while one waits.
#[derive(Debug)]
pub(crate) struct TimeoutStream<S> {
    stream: S,
    read: IoTimeout,
    write: IoTimeout,
}

/// The limit of a wait, and the timer of the current one.
#[derive(Debug)]
struct IoTimeout {
    timeout: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> TimeoutStream<S> {
    /// Limits reads and writes; `None` is no limit.
    pub(crate) fn new(stream: S, read: Option<Duration>, write: Option<Duration>) -> Self {
        let [read, write] = [read, write].map(|timeout| IoTimeout { timeout, timer: None });
        Self { stream, read, write }
    }
}

impl IoTimeout {
    /// Turns a wait that has lasted too long into an error.
    fn check<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        what: &str,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.timer = None;
            return polled;
        }
        let Some(timeout) = self.timeout else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(timeout)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(timed_out(what, timeout)))
    }

    fn check_write<T>(&mut self, polled: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        self.check(polled, "sending", cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimeoutStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.read.check(polled, "waiting for data", cx)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimeoutStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.write.check_write(polled, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.write.check_write(polled, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.write.check_write(polled, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.write.check_write(polled, cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const LIMIT: Option<Duration> = Some(Duration::from_secs(5));

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_is_given_up_after_the_write_timeout() {
        let (near, _far) = tokio::io::duplex(16);
        let mut timed = TimeoutStream::new(near, None, LIMIT);
        let begun = tokio::time::Instant::now();
        let error = timed.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn the_read_timeout_applies_to_each_read() {
        let (near, mut far) = tokio::io::duplex(16);
        let mut timed = TimeoutStream::new(near, LIMIT, None);
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
