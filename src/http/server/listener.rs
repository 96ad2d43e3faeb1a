//! One listening socket: accepts connections, limits their number, and ends them at the stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use super::accept::accept_until;
use super::conn_limit::Permit;
use super::conn_slot::ConnSlot;
use super::connection::{self, ConnState, ConnectionEnd, HEAD_TIMEOUT, Service, TLS_HANDSHAKE_RECORD};
use super::context::ShutdownSignal;
use super::respond::TOO_MANY_CONNECTIONS;
use crate::log_throttle::LogThrottle;
use crate::stop::Stop;
use crate::tls::Acceptor;

/// The timeout of a TLS handshake.
const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The schemes of a port: those of the URLs that name it.
#[derive(Clone, Debug)]
pub(crate) enum Schemes {
    Http,
    Https(Acceptor),
    /// The client's first byte decides.
    Both(Acceptor),
}

impl Schemes {
    /// Returns these schemes combined with `other`.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Http, Self::Http) => Self::Http,
            (Self::Https(acceptor), Self::Https(_)) => Self::Https(acceptor),
            (Self::Both(acceptor), _)
            | (_, Self::Both(acceptor))
            | (Self::Https(acceptor), Self::Http)
            | (Self::Http, Self::Https(acceptor)) => Self::Both(acceptor),
        }
    }
}

/// A bound socket with the settings of its connections.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    /// The URLs that name the socket.
    pub(crate) urls: Vec<String>,
    pub(crate) schemes: Schemes,
    /// Limits the log lines about this socket's clients.
    pub(crate) log_throttle: Arc<LogThrottle>,
}

impl Listener {
    /// Accepts until the stop; then connections have `drain` to send their finished responses.
    pub(crate) async fn run<S: Service>(
        self,
        service: Arc<S>,
        stop: Stop,
        drain: Duration,
    ) -> Result<(), io::Error> {
        let admit = |(stream, from): (TcpStream, SocketAddr)| {
            let Some(permit) = service.context().limit.admit(|| is_local(&stream, from)) else {
                refuse(&stream, matches!(self.schemes, Schemes::Https(_)));
                return None;
            };
            let (schemes, log_throttle) = (self.schemes.clone(), Arc::clone(&self.log_throttle));
            let accepted = AcceptedConn { from, schemes, log_throttle };
            Some(accepted.serve(stream, Arc::clone(&service), permit))
        };
        let failing = |error: &io::Error| {
            tracing::error!(url = self.urls.join(","), %error, "cannot accept client connections; retrying");
        };
        let accept = || async {
            service.context().limit.let_close().await;
            self.socket.accept().await
        };
        let mut connections = accept_until(&stop, usize::MAX, accept, admit, failing).await;
        drop(self.socket);
        service.context().shutdown.request();
        let all_gone = async { while connections.join_next().await.is_some() {} };
        if timeout(drain, all_gone).await.is_err() {
            tracing::debug!(
                url = self.urls.join(","),
                left = connections.len(),
                "closing client connections"
            );
            connections.shutdown().await;
        }
        Ok(())
    }
}

/// One client connection, from its arrival on.
struct AcceptedConn {
    from: SocketAddr,
    schemes: Schemes,
    log_throttle: Arc<LogThrottle>,
}

impl AcceptedConn {
    async fn serve<S: Service>(self, stream: TcpStream, service: Arc<S>, permit: Permit) {
        let arrived = Instant::now();
        let context = Arc::clone(&service);
        let (shutdown, slot) = (&context.context().shutdown, permit.slot());
        let acceptor = match &self.schemes {
            Schemes::Http => None,
            Schemes::Https(acceptor) => Some(acceptor),
            // Boxed, as the handshake.
            Schemes::Both(acceptor) => {
                let first = Box::pin(until(shutdown, slot, timeout(HEAD_TIMEOUT, begins_tls(&stream))));
                match first.await {
                    Some(Ok(Ok(tls))) => Some(acceptor).filter(|_| tls),
                    Some(Ok(Err(_)) | Err(_)) | None => return,
                }
            }
        };
        let conn = ConnState::new(service, acceptor.is_some(), Arc::clone(slot));
        let conn = conn.of(self.from.ip()).after(arrived.elapsed());
        match acceptor {
            None => {
                if connection::serve(stream, conn).await == ConnectionEnd::TlsOnPlainPort {
                    self.log_failure(
                        "it spoke TLS, and this port speaks plain HTTP: its URL must begin with http://",
                    );
                }
            }
            Some(acceptor) => {
                // Boxed: the state of a handshake would otherwise be part of every connection for its whole life.
                let handshake = timeout(TLS_HANDSHAKE_TIMEOUT, acceptor.accept(stream));
                let handshake = Box::pin(until(shutdown, slot, handshake));
                match handshake.await {
                    // The stop was requested, or the place is needed.
                    None => {}
                    Some(Ok(Ok(stream))) => {
                        connection::serve(stream, conn).await;
                    }
                    // Probes and scanners do this often.
                    Some(Ok(Err(error))) if disconnected(&error) => {
                        tracing::debug!(%error, "a client left during its TLS handshake");
                    }
                    Some(Ok(Err(error))) => self.log_failure(&error.to_string()),
                    // So do clients that open a connection in advance.
                    Some(Err(_)) => {
                        tracing::debug!(from = %self.from, "a client's TLS handshake took too long");
                    }
                }
            }
        }
        drop(permit);
    }

    fn log_failure(&self, says: &str) {
        if self.log_throttle.due(says) {
            tracing::warn!(from = %self.from, "a client could not be served: {says}");
        } else {
            tracing::debug!(from = %self.from, "a client could not be served: {says}");
        }
    }
}

/// Returns whether a client is on this host: it connects from a loopback address, or from the address it connects to.
fn is_local(stream: &TcpStream, from: SocketAddr) -> bool {
    let from = from.ip().to_canonical();
    from.is_loopback() || stream.local_addr().is_ok_and(|at| at.ip().to_canonical() == from)
}

/// Returns the result of `work`, or `None` if the stop comes first or the connection is asked to close.
async fn until<T>(shutdown: &ShutdownSignal, slot: &ConnSlot, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = shutdown.wait() => None,
        () = slot.closed() => None,
    }
}

/// Returns whether the first byte starts a TLS handshake, which no HTTP request does. The byte is not consumed.
async fn begins_tls(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    match stream.peek(&mut first).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(first[0] == TLS_HANDSHAKE_RECORD),
    }
}

fn disconnected(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | NotConnected | UnexpectedEof)
}

/// Refuses a client at once, instead of letting it wait for a free slot.
fn refuse(stream: &TcpStream, secure: bool) {
    let head = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close";
    if !secure {
        // A new socket has room for this; if not, closing it is enough.
        let length = TOO_MANY_CONNECTIONS.len();
        let says = format!("{head}\r\nContent-Length: {length}\r\n\r\n{TOO_MANY_CONNECTIONS}");
        stream.try_write(says.as_bytes()).ok();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hyper::Response;
    use hyper::body::Incoming;
    use hyper::http::request::Parts;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::sleep;

    use super::super::{Body, ServerContext};
    use super::*;
    use crate::tls::TlsFiles;

    const NEVER: Duration = Duration::from_secs(3_600);

    #[derive(Debug)]
    struct Empty(Arc<ServerContext>);

    impl Service for Empty {
        fn context(&self) -> &Arc<ServerContext> {
            &self.0
        }

        async fn handle(_: &Arc<ConnState<Self>>, _: Parts, _: Incoming) -> Response<Body> {
            Response::new(Body::Full(Bytes::new()))
        }
    }

    /// Returns how long a port with both schemes serves a client that sends `first` after 20 seconds and nothing
    /// else; the stop comes after `stop`.
    async fn served_for(first: &[u8], stop: Duration) -> Duration {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| Some(dir.path().join("data/fixtures/client").join(name));
        let self_signed = Some(vec!["localhost".to_owned()]);
        let files = TlsFiles { cert: at("cert.pem"), key: at("key.pem"), self_signed, ..TlsFiles::default() };
        let schemes = Schemes::Both(Acceptor::open(&files).unwrap());
        let shared = Arc::new(Empty(Arc::new(ServerContext::new(1))));
        let permit = shared.context().limit.admit(|| false).unwrap();
        let socket = crate::tcp::listen("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let address = socket.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), socket.accept());
        let (mut client, (stream, from)) = (client.unwrap(), accepted.unwrap());
        let visit = AcceptedConn { from, schemes, log_throttle: Arc::default() };
        tokio::time::pause();
        let begun = Instant::now();
        let talking = async {
            sleep(Duration::from_secs(20)).await;
            client.write_all(first).await.unwrap();
            client.read_to_end(&mut Vec::new()).await.ok();
        };
        let stopping = async {
            sleep(stop).await;
            shared.context().shutdown.request();
        };
        let serving = async {
            visit.serve(stream, Arc::clone(&shared), permit).await;
            begun.elapsed()
        };
        tokio::select! {
            served = async { tokio::join!(serving, talking).0 } => served,
            never = async { stopping.await; std::future::pending().await } => never,
        }
    }

    #[tokio::test]
    async fn a_slow_client_of_a_shared_port_is_cut_off_as_elsewhere() {
        let head = HEAD_TIMEOUT..HEAD_TIMEOUT + Duration::from_secs(1);
        for first in [&b""[..], b"GET /ver"] {
            let served = served_for(first, NEVER).await;
            assert!(head.contains(&served), "{:?}: {served:?}", String::from_utf8_lossy(first));
            tokio::time::resume();
        }
        // A client that starts TLS has as long as on a TLS-only port.
        let served = served_for(b"\x16\x03\x01", NEVER).await;
        let wanted = Duration::from_secs(20) + TLS_HANDSHAKE_TIMEOUT;
        assert!((wanted..wanted + Duration::from_secs(1)).contains(&served), "{served:?}");
    }

    #[tokio::test]
    async fn a_silent_or_half_connected_client_does_not_delay_the_stop() {
        for stop in [5, 22].map(Duration::from_secs) {
            let served = served_for(b"\x16\x03\x01", stop).await;
            assert!((stop..stop + Duration::from_secs(1)).contains(&served), "{stop:?}: {served:?}");
            tokio::time::resume();
        }
    }
}
