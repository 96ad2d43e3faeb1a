//! One client connection: HTTP over a stream, until the client disconnects or stalls, or everything stops.

use std::convert::Infallible;
use std::fmt::Debug;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::body::Body;
use super::client_memory::{ClientId, ClientShare};
use super::conn_slot::ConnSlot;
use super::context::ServerContext;
use super::reader_pace::ReaderPace;
use super::respond::too_many_connections;

/// How long a request's head may take from its first byte to its last, and a new connection until its first
/// request. Between requests a connection may be idle for any time.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a client may stall a waiting response or event, which occupies memory. A watch without an event may wait.
const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a client may stall its response before the connection may be closed for a new one. Until then it may just be
/// slow.
const SLOW_READER_GRACE: Duration = Duration::from_secs(5);

/// The longest head, as in etcd. Also the limit for reading ahead and for write buffers; buffers start at 8 KiB and
/// only grow when a client fills them.
const MAX_HEAD_BYTES: usize = (1 << 20) + 4096;

/// The first byte of every TLS connection.
pub(super) const TLS_HANDSHAKE_RECORD: u8 = 22;

/// The phase of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ConnPhase {
    /// A head is being received (or the first is awaited).
    Head,
    /// Idle, after a response.
    Idle,
    /// A request is being handled.
    Busy,
    /// A watch is open.
    Watch,
}

/// A service behind the listeners: handles requests in a context.
pub(crate) trait Service: Debug + Send + Sync + Sized + 'static {
    /// Returns the context of its connections.
    fn context(&self) -> &Arc<ServerContext>;

    /// Handles a request. Its errors are in the response.
    fn handle(
        conn: &Arc<ConnState<Self>>,
        head: Parts,
        body: Incoming,
    ) -> impl Future<Output = Response<Body>> + Send;

    /// Returns whether a request is a health check, for which some places are reserved.
    fn is_health_check(_head: &Parts) -> bool {
        false
    }
}

/// Shared by the parts of one connection: its socket, its requests, its open watch.
#[derive(Debug)]
pub(crate) struct ConnState<S> {
    pub(crate) shared: Arc<S>,
    /// Whether it uses TLS.
    pub(crate) secure: bool,
    /// The client's address, where it is known.
    pub(crate) client: Option<IpAddr>,
    slot: Arc<ConnSlot>,
    phase: AtomicU8,
    /// Whether the last write to the socket was blocked.
    blocked: AtomicBool,
    /// How often a write succeeded.
    writes: AtomicU32,
    /// Whether the first byte was that of a TLS handshake, which is never HTTP.
    sent_tls: AtomicBool,
    head_timeout: Duration,
    /// How much of the time limit of the first head had passed before this was created.
    used: Duration,
    /// How many bytes the socket accepted.
    taken: AtomicU64,
}

impl<S> ConnState<S> {
    pub(crate) fn new(shared: Arc<S>, secure: bool, slot: Arc<ConnSlot>) -> Self {
        Self {
            shared,
            secure,
            client: None,
            slot,
            phase: AtomicU8::new(ConnPhase::Head as u8),
            blocked: AtomicBool::new(false),
            writes: AtomicU32::new(0),
            sent_tls: AtomicBool::new(false),
            head_timeout: HEAD_TIMEOUT,
            used: Duration::ZERO,
            taken: AtomicU64::new(0),
        }
    }

    /// Sets the client's address.
    pub(crate) fn of(mut self, address: IpAddr) -> Self {
        self.client = Some(address);
        self
    }

    /// Sets how long ago the client connected.
    pub(crate) fn after(mut self, used: Duration) -> Self {
        self.used = used;
        self
    }

    /// Relaxed ordering is enough: all users run in one task.
    pub(crate) fn enter(&self, phase: ConnPhase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
        self.update_slot();
    }

    /// Updates whether the connection may be closed for a new one.
    fn update_slot(&self) {
        if self.is(ConnPhase::Watch) {
            self.slot.work();
        } else if self.blocked.load(Ordering::Relaxed) {
            self.slot.wait(SLOW_READER_GRACE);
        } else if self.is(ConnPhase::Busy) {
            self.slot.work();
        } else {
            self.slot.wait(Duration::ZERO);
        }
    }

    fn is(&self, phase: ConnPhase) -> bool {
        self.phase.load(Ordering::Relaxed) == phase as u8
    }

    /// Records whether the socket accepted data.
    fn wrote(&self, took: bool) {
        let was_blocked = self.blocked.load(Ordering::Relaxed);
        self.blocked.store(!took, Ordering::Relaxed);
        if took {
            self.writes.store(self.writes.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
        if was_blocked == took {
            self.update_slot();
        }
    }

    /// Counts the bytes that the socket accepted.
    fn count(&self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = written {
            let taken = self.taken.load(Ordering::Relaxed);
            self.taken.store(taken.wrapping_add(*bytes as u64), Ordering::Relaxed);
        }
    }

    /// Returns what the client must do in a limited time.
    fn awaited(&self) -> AwaitedInput {
        if self.blocked.load(Ordering::Relaxed) {
            AwaitedInput::Read { after: self.writes.load(Ordering::Relaxed) }
        } else if self.is(ConnPhase::Head) {
            AwaitedInput::Head
        } else {
            AwaitedInput::Nothing
        }
    }
}

impl<S: Service> ConnState<S> {
    /// Returns the client as limits count it.
    pub(crate) fn client_id(&self) -> ClientId {
        ClientId::new(self.client)
    }

    /// Returns the client's share of the memory for bodies.
    pub(crate) fn bodies(&self) -> ClientShare {
        ClientShare { memory: Arc::clone(&self.shared.context().bodies), client: self.client_id() }
    }

    /// Returns the client's share of the memory for bodies of clients without credentials.
    pub(crate) fn guest_bodies(&self) -> ClientShare {
        ClientShare { memory: Arc::clone(&self.shared.context().guest_bodies), client: self.client_id() }
    }

    /// Returns the client's share of the memory for large responses.
    pub(crate) fn responses(&self) -> ClientShare {
        ClientShare { memory: Arc::clone(&self.shared.context().responses), client: self.client_id() }
    }

    /// Returns whether the client takes its response too slowly.
    fn is_too_slow(&self, pace: &mut ReaderPace, cx: &mut Context<'_>) -> bool {
        let (waits, taken) = (self.blocked.load(Ordering::Relaxed), self.taken.load(Ordering::Relaxed));
        pace.is_too_slow(waits, taken, || self.responses().is_scarce(), cx)
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionEnd {
    /// By the client, a deadline, or the stop.
    Closed,
    /// Its first bytes were TLS and were parsed as bad HTTP.
    TlsOnPlainPort,
}

/// Serves `stream` until it ends.
pub(crate) async fn serve<T, S>(stream: T, conn: ConnState<S>) -> ConnectionEnd
where
    T: AsyncRead + AsyncWrite + Unpin + Send,
    S: Service,
{
    let conn = Arc::new(conn);
    let io = TokioIo::new(IdleTimeoutStream { stream, conn: Arc::clone(&conn), begun: false });
    let service = service_fn(|request| respond(Arc::clone(&conn), request));
    let mut connection = pin!(
        http1::Builder::new()
            .title_case_headers(true)
            .header_read_timeout(None)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(io, service)
    );
    let mut shutdown = pin!(conn.shared.context().shutdown.notify.notified());
    let mut timer = IdleTimer { used: conn.used, ..IdleTimer::default() };
    let mut pace = ReaderPace::default();
    let (mut registered, mut told) = (false, false);
    std::future::poll_fn(|cx| {
        // Once is enough: the task's waker stays the same, and the flag shows why it was woken.
        if !std::mem::replace(&mut registered, true) {
            let _ = shutdown.as_mut().poll(cx);
            conn.slot.register(cx);
        }
        if conn.shared.context().shutdown.is_requested() {
            if conn.is(ConnPhase::Watch) {
                return Poll::Ready(());
            }
            if !std::mem::replace(&mut told, true) {
                connection.as_mut().graceful_shutdown();
            }
        }
        // An error here is the client's fault: it disconnected, or it sent no HTTP. It is not worth a log line.
        let ended = connection.as_mut().poll(cx).is_ready();
        if ended || timer.poll(&conn, cx) || conn.is_too_slow(&mut pace, cx) {
            return Poll::Ready(());
        }
        // Last: a request that has arrived is served.
        if conn.slot.must_close(cx, || conn.shared.context().limit.close_longest_waiting()) {
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
    if conn.sent_tls.load(Ordering::Relaxed) { ConnectionEnd::TlsOnPlainPort } else { ConnectionEnd::Closed }
}

async fn respond<S: Service>(
    conn: Arc<ConnState<S>>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    conn.enter(ConnPhase::Busy);
    let (head, body) = request.into_parts();
    let reserved = conn.slot.reserved();
    let mut response = if reserved && !S::is_health_check(&head) {
        too_many_connections()
    } else {
        S::handle(&conn, head, body).await
    };
    if reserved {
        // The next health check needs the place.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if matches!(response.body(), Body::Full(_)) {
        conn.enter(ConnPhase::Idle);
    }
    Ok(response)
}

/// What the server waits for from the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum AwaitedInput {
    #[default]
    Nothing,
    /// The rest of a head.
    Head,
    /// Reading a part of its response, beyond the first `after` writes.
    Read { after: u32 },
}

/// The deadline of the awaited input. It is armed only when a request or its response does not pass in one piece.
#[derive(Debug, Default)]
struct IdleTimer {
    awaited: AwaitedInput,
    timer: Option<Pin<Box<Sleep>>>,
    /// How much of the time limit of the first head has passed.
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
                    let left = conn.head_timeout.saturating_sub(std::mem::take(&mut self.used));
                    Some(Box::pin(sleep(left)))
                }
                AwaitedInput::Read { .. } => Some(Box::pin(sleep(WRITE_STALL_TIMEOUT))),
            };
        }
        self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready())
    }
}

/// A stream that detects the first byte of a head, and when a client reads its response. It misses a head that starts
/// in the same packet as the previous request: such a connection costs no more than an idle one.
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
                self.conn.sent_tls.store(*first == TLS_HANDSHAKE_RECORD, Ordering::Relaxed);
            }
            if self.conn.is(ConnPhase::Idle) {
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
        self.conn.count(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.conn.wrote(polled.is_ready());
        self.conn.count(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        // TLS accepts data before the socket does.
        if polled.is_pending() || self.conn.blocked.load(Ordering::Relaxed) {
            self.conn.wrote(polled.is_ready());
        }
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
impl<S> ConnState<S> {
    /// Shortens the timeout of heads.
    pub(crate) fn with_head_timeout(mut self, head_timeout: Duration) -> Self {
        self.head_timeout = head_timeout;
        self
    }
}
