//! Detects clients that take their response too slowly while the memory for responses is scarce.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// How often a client that keeps its response waiting is checked. Long enough for a slow client to empty the kernel's
/// buffer.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// What it must take in that time.
const MIN_TAKEN_BYTES: u64 = 64 << 10;

/// The pace of one connection. It has a timer only while a response waits for its client.
#[derive(Debug, Default)]
pub(super) struct ReaderPace {
    /// The end of the interval, and what had been taken at its begin.
    interval: Option<(Pin<Box<Sleep>>, u64)>,
}

impl ReaderPace {
    /// Returns whether the connection must close. `waits`: a part of the response cannot be sent now; `taken`: how many
    /// bytes were sent on this connection.
    pub(super) fn is_too_slow(
        &mut self,
        waits: bool,
        taken: u64,
        is_scarce: impl FnOnce() -> bool,
        cx: &mut Context<'_>,
    ) -> bool {
        let mut ended = None;
        if let Some((timer, from)) = &mut self.interval {
            if timer.as_mut().poll(cx).is_pending() {
                return false;
            }
            ended = Some(taken.wrapping_sub(*from));
            self.interval = None;
        }
        if !waits {
            return false;
        }
        if ended.is_some_and(|taken| taken < MIN_TAKEN_BYTES) && is_scarce() {
            return true;
        }
        let mut timer = Box::pin(sleep(CHECK_INTERVAL));
        // Registers the task; a new timer has not fired.
        let fired: Poll<()> = timer.as_mut().poll(cx);
        self.interval = fired.is_pending().then_some((timer, taken));
        false
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use hyper::Response;
    use hyper::body::Incoming;
    use hyper::http::request::Parts;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::{Instant, timeout};

    use super::super::connection::serve;
    use super::super::{Body, ConnState, ServerContext, Service};
    use super::*;

    #[derive(Debug)]
    struct Sending(Arc<ServerContext>);

    impl Service for Sending {
        fn context(&self) -> &Arc<ServerContext> {
            &self.0
        }

        async fn handle(_: &Arc<ConnState<Self>>, _: Parts, _: Incoming) -> Response<Body> {
            Response::new(Body::Full(Bytes::from(vec![b'x'; 1 << 20])))
        }
    }

    /// Returns how long a client that reads `piece` bytes each second is served, at most ten minutes.
    #[expect(clippy::disallowed_methods, reason = "a test's own task")]
    async fn served(piece: usize, taken: usize) -> Duration {
        let context = Arc::new(ServerContext::new(1));
        let _taken = context.take_response_memory(taken);
        let (mut near, far) = tokio::io::duplex(1 << 14);
        let conn = ConnState::new(Arc::new(Sending(Arc::clone(&context))), false, Arc::default());
        let (begun, serving) = (Instant::now(), tokio::spawn(serve(far, conn)));
        near.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let reading = async {
            let mut buffer = vec![0; piece];
            loop {
                sleep(Duration::from_secs(1)).await;
                near.read_exact(&mut buffer).await.ok();
            }
        };
        tokio::select! {
            _ = timeout(Duration::from_secs(600), serving) => begun.elapsed(),
            () = reading => unreachable!("it reads for ever"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_cut_off_only_while_memory_is_scarce() {
        let [little, scarce] = [1, 100 << 20];
        assert_eq!(served(100, little).await.as_secs(), 600);
        assert_eq!(served(16 << 10, scarce).await.as_secs(), 600, "fast enough, then idle");
        let cut = served(100, scarce).await.as_secs();
        assert!((10..25).contains(&cut), "{cut}");
    }
}
