//! One listening socket: takes connections in, bounds their number, and sees them off at the end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::connection::{self, End, Seat};
use super::places::{Place, Places};
use super::shared::Service;
use crate::stop::Stop;
use crate::tls::{Acceptor, Complaints};

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long to wait after an accept that failed; doubled up to the longest while it goes on.
const SHORTEST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(1);

/// A bound socket with what its connections need.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) socket: TcpListener,
    pub(super) url: String,
    pub(super) acceptor: Option<Acceptor>,
    /// What was said about this socket's clients.
    pub(super) complaints: Arc<Complaints>,
}

impl Listener {
    /// Accepts until the stop, then gives connections until `drain` has passed to send what they have
    /// finished.
    pub(super) async fn run<S: Service>(
        self,
        service: Arc<S>,
        stop: Stop,
        drain: Duration,
    ) -> Result<(), io::Error> {
        let mut connections = JoinSet::new();
        let mut pause = None;
        loop {
            let accepted = tokio::select! {
                () = stop.wait() => break,
                // Ended ones are let go as they end, so that the set holds no more than what is open.
                Some(_) = connections.join_next() => continue,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, from)) => {
                    pause = None;
                    let Some(place) = Places::take(service.premises()) else {
                        refuse(&stream, self.acceptor.is_some());
                        continue;
                    };
                    let seat = Seat::new(Arc::clone(&service), self.acceptor.is_some()).of(from.ip());
                    let visit = Visit {
                        from,
                        acceptor: self.acceptor.clone(),
                        complaints: Arc::clone(&self.complaints),
                    };
                    connections.spawn(visit.serve(stream, seat, place));
                }
                Err(error) if ours_alone(&error) => {}
                Err(error) => {
                    let wait = pause.map_or(SHORTEST, |last: Duration| (last * 2).min(LONGEST));
                    if pause.replace(wait).is_none() {
                        tracing::error!(url = self.url, %error, "cannot accept client connections; trying on");
                    }
                    tokio::select! { () = stop.wait() => break, () = sleep(wait) => {} }
                }
            }
        }
        drop(self.socket);
        service.premises().closing.begin();
        let all_gone = async { while connections.join_next().await.is_some() {} };
        if timeout(drain, all_gone).await.is_err() {
            tracing::debug!(url = self.url, left = connections.len(), "cutting client connections");
            connections.shutdown().await;
        }
        Ok(())
    }
}

/// One client, from its arrival on.
struct Visit {
    from: SocketAddr,
    acceptor: Option<Acceptor>,
    complaints: Arc<Complaints>,
}

impl Visit {
    async fn serve<S: Service>(self, stream: TcpStream, seat: Seat<S>, place: Place) {
        // Without it, an answer could wait for the acknowledgement of the one before.
        stream.set_nodelay(true).ok();
        match &self.acceptor {
            None => {
                if connection::serve(stream, seat).await == End::SpokeTls {
                    self.complain(
                        "it spoke TLS, and this port speaks plain HTTP: its URL must begin with http://",
                    );
                }
            }
            Some(acceptor) => {
                // In a box: the state of a handshake would otherwise be part of every connection for ever.
                let handshake = Box::pin(timeout(HANDSHAKE, acceptor.accept(stream)));
                match handshake.await {
                    Ok(Ok(stream)) => {
                        connection::serve(stream, seat).await;
                    }
                    // Probes and scanners do that all day.
                    Ok(Err(error)) if went_away(&error) => {
                        tracing::debug!(%error, "a client left during its TLS handshake");
                    }
                    Ok(Err(error)) => self.complain(&error.to_string()),
                    // So do clients that open a connection ahead of need.
                    Err(_) => tracing::debug!(from = %self.from, "a client's TLS handshake took too long"),
                }
            }
        }
        drop(place);
    }

    fn complain(&self, says: &str) {
        if self.complaints.due(says) {
            tracing::warn!(from = %self.from, "a client could not be served: {says}");
        } else {
            tracing::debug!(from = %self.from, "a client could not be served: {says}");
        }
    }
}

fn went_away(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | NotConnected | UnexpectedEof)
}

/// Tells a client at once to look elsewhere, rather than to let it wait for a place.
fn refuse(stream: &TcpStream, secure: bool) {
    const SAYS: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n\
        Connection: close\r\nContent-Length: 49\r\n\r\n{\"message\":\"too many connections to this member\"}";
    if !secure {
        // A fresh socket has room for this; where it has not, the close says enough.
        stream.try_write(SAYS).ok();
    }
}

/// An accept that failed for the connection's sake only: the next may do.
fn ours_alone(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, PermissionDenied};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | PermissionDenied)
}
