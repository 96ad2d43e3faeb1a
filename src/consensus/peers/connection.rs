//! One connection to the peer port: HTTP with bounds, and the stream that it may turn into.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::dial::Pipe;
use super::office::{Claim, Office};
use super::{receiver, routes, server};
use crate::stop::Stop;

/// How long the head of a request may take.
const HEAD_TIME: Duration = Duration::from_secs(10);
const HEAD_BYTES: usize = 16 << 10;
/// How long the other side may take nothing of what waits for it.
const STALL: Duration = Duration::from_secs(10);

/// A stream that was granted.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) upgrade: OnUpgrade,
    pub(super) claim: Claim,
    pub(super) from: u64,
}

/// Where the answer to a greeting leaves the stream.
pub(super) type Slot = Arc<Mutex<Option<Granted>>>;

/// Serves to the end.
pub(super) async fn serve(pipe: Pipe, remote: SocketAddr, office: &Arc<Office>, stop: &Stop) {
    let slot = Slot::default();
    let service = service_fn(|request| {
        let (office, slot) = (Arc::clone(office), Arc::clone(&slot));
        async move { Ok::<_, std::convert::Infallible>(routes::answer(&office, request, &slot).await) }
    });
    let served = http1::Builder::new()
        .title_case_headers(true)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(Patient { pipe, timer: None }), service)
        .with_upgrades()
        .await;
    if let Err(error) = served
        && error.is_parse()
    {
        server::complain(office, remote, "bytes that are no HTTP: who else uses this port?");
    }
    let granted = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(Granted { upgrade, claim, from }) = granted
        && let Ok(stream) = upgrade.await
    {
        receiver::run(TokioIo::new(stream), from, &claim, office, stop).await;
    }
}

/// A connection that fails when the other side takes nothing for too long.
struct Patient {
    pipe: Pipe,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    fn watch<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.timer = None;
            return polled;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(STALL)));
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.pipe).poll_write(cx, bytes);
        self.watch(cx, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.pipe).poll_flush(cx);
        self.watch(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.pipe).poll_shutdown(cx);
        self.watch(cx, polled)
    }
}
