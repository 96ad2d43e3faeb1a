//! One client connection: HTTP over a stream, until the client goes, dawdles, or everything stops.

use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::shared::{Service, Shared};

/// How long a request's head may take from its first byte to its last, and a new connection to its first
/// request. Between requests a connection may rest for as long as it likes.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a client may take none of an answer that is waiting for it; the answer takes up memory. Watches
/// may wait.
const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest head, as etcd has it. It is also the most that is read ahead or buffered for writing; buffers
/// begin at 8 KiB and only grow when a client fills them.
const MAX_HEAD_BYTES: usize = (1 << 20) + 4096;

/// What every TLS connection begins with.
pub(super) const TLS_HANDSHAKE_RECORD: u8 = 22;

/// What a connection is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum ConnPhase {
    /// A head is under way (or the first is awaited).
    Head,
    /// Nothing is, after an answer.
    Rest,
    /// A request is being answered.
    Work,
    /// A watch is open.
    Watch,
}

/// What the parts of one connection share: its socket, its requests, its open watch.
#[derive(Debug)]
pub(super) struct ConnState<S = Shared> {
    pub(super) shared: Arc<S>,
    /// Whether it came over TLS.
    pub(super) secure: bool,
    /// Whose it is, where that is known.
    pub(super) client: Option<IpAddr>,
    phase: AtomicU8,
    /// Whether the socket took nothing when last asked to.
    blocked: AtomicBool,
    /// How often it took something.
    writes: AtomicU32,
    /// Whether the very first byte began a TLS handshake; HTTP never begins so.
    spoke_tls: AtomicBool,
    head_time: Duration,
    /// How much of that the first head has used before this was made.
    used: Duration,
}

impl<S> ConnState<S> {
    pub(super) fn new(shared: Arc<S>, secure: bool) -> Self {
        Self {
            shared,
            secure,
            client: None,
            phase: AtomicU8::new(ConnPhase::Head as u8),
            blocked: AtomicBool::new(false),
            writes: AtomicU32::new(0),
            spoke_tls: AtomicBool::new(false),
            head_time: HEAD_TIMEOUT,
            used: Duration::ZERO,
        }
    }

    /// The same for the client at `address`.
    pub(super) fn of(mut self, address: IpAddr) -> Self {
        self.client = Some(address);
        self
    }

    /// The same for one that arrived so long ago.
    pub(super) fn after(mut self, used: Duration) -> Self {
        self.used = used;
        self
    }

    /// All parties run in one task, so there is no order to establish between them.
    pub(super) fn enter(&self, phase: ConnPhase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    fn is(&self, phase: ConnPhase) -> bool {
        self.phase.load(Ordering::Relaxed) == phase as u8
    }

    /// Notes whether the socket took something.
    fn wrote(&self, took: bool) {
        self.blocked.store(!took, Ordering::Relaxed);
        if took {
            self.writes.store(self.writes.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
    }

    /// What the client has to do in a limited time.
    fn awaited(&self) -> AwaitedInput {
        if self.is(ConnPhase::Watch) {
            AwaitedInput::Nothing
        } else if self.blocked.load(Ordering::Relaxed) {
            AwaitedInput::Read { after: self.writes.load(Ordering::Relaxed) }
        } else if self.is(ConnPhase::Head) {
            AwaitedInput::Head
        } else {
            AwaitedInput::Nothing
        }
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By the client, a deadline, or the stop.
    Usual,
    /// Its first bytes were those of TLS, and were taken for bad HTTP.
    SpokeTls,
}

/// Serves `stream` to its end.
pub(super) async fn serve<T, S>(stream: T, conn: ConnState<S>) -> End
where
    T: AsyncRead + AsyncWrite + Unpin + Send,
    S: Service,
{
    let conn = Arc::new(conn);
    let io = TokioIo::new(IdleTimeoutStream { stream, conn: Arc::clone(&conn), begun: false });
    let service = service_fn(|request| S::response(Arc::clone(&conn), request));
    let mut connection = pin!(
        http1::Builder::new()
            .title_case_headers(true)
            .header_read_timeout(None)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(io, service)
    );
    let mut closing = pin!(conn.shared.context().closing.notify.notified());
    let mut late = IdleTimer { used: conn.used, ..IdleTimer::default() };
    let (mut registered, mut told) = (false, false);
    std::future::poll_fn(|cx| {
        // Once is enough: the task's waker stays the same, and the flag tells why it was woken.
        if !std::mem::replace(&mut registered, true) {
            let _ = closing.as_mut().poll(cx);
        }
        if conn.shared.context().closing.begun() {
            if conn.is(ConnPhase::Watch) {
                return Poll::Ready(());
            }
            if !std::mem::replace(&mut told, true) {
                connection.as_mut().graceful_shutdown();
            }
        }
        // An error here is the client's: it went away or spoke no HTTP. Whom would a line in the log help?
        if connection.as_mut().poll(cx).is_ready() || late.poll(&conn, cx) {
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
    if conn.spoke_tls.load(Ordering::Relaxed) { End::SpokeTls } else { End::Usual }
}

/// What a client owes the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum AwaitedInput {
    #[default]
    Nothing,
    /// The rest of a head.
    Head,
    /// To take in a part of its answer, more than it had `after` so many writes.
    Read { after: u32 },
}

/// The deadline of what is owed. It is armed only when a request or its answer does not pass in one piece.
#[derive(Debug, Default)]
struct IdleTimer {
    awaited: AwaitedInput,
    timer: Option<Pin<Box<Sleep>>>,
    /// How much of its time the first head has used already.
    used: Duration,
}

impl IdleTimer {
    fn poll<S>(&mut self, conn: &ConnState<S>, cx: &mut Context<'_>) -> bool {
        let awaited = conn.awaited();
        if awaited != self.awaited {
            self.awaited = awaited;
            self.timer = match awaited {
                AwaitedInput::Nothing => None,
                AwaitedInput::Head => {
                    let left = conn.head_time.saturating_sub(std::mem::take(&mut self.used));
                    Some(Box::pin(sleep(left)))
                }
                AwaitedInput::Read { .. } => Some(Box::pin(sleep(WRITE_STALL_TIMEOUT))),
            };
        }
        self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready())
    }
}

/// A stream that notices when the first byte of a head comes in, and when a client takes in what it is sent.
/// A beginning that came along with the request before goes unnoticed: such a connection holds no more than
/// one that rests.
#[derive(Debug)]
struct IdleTimeoutStream<T, S> {
    stream: T,
    conn: Arc<ConnState<S>>,
    begun: bool,
}

impl<T: AsyncRead + Unpin, S> AsyncRead for IdleTimeoutStream<T, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if let Some(first) = buffer.filled().get(before) {
            if !std::mem::replace(&mut self.begun, true) {
                self.conn.spoke_tls.store(*first == TLS_HANDSHAKE_RECORD, Ordering::Relaxed);
            }
            if self.conn.is(ConnPhase::Rest) {
                self.conn.enter(ConnPhase::Head);
            }
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin, S> AsyncWrite for IdleTimeoutStream<T, S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.conn.wrote(polled.is_ready());
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.conn.wrote(polled.is_ready());
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
impl ConnState {
    /// A connection whose heads have to come sooner.
    pub(super) fn impatient(mut self, head_time: Duration) -> Self {
        self.head_time = head_time;
        self
    }
}
