//! The peer port: bound early, served once there is a member.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};

use super::admission::{MAX_PENDING, MAX_PENDING_PER_ADDRESS, Place};
use super::connection::{self, log_rejection};
use super::hub::PeerHub;
use crate::consensus::error::OpenError;
use crate::consensus::settings::Settings;
use crate::http::server::accept_until;
use crate::http::{BoxedIo, ListenUrl};
use crate::stop::Stop;
use crate::tls::{Acceptor, Connector, refuse_tls};

const LISTEN_BACKLOG: u32 = 1024;
/// The first bytes of a TLS handshake.
const TLS: [u8; 2] = [0x16, 0x03];

/// Bound peer ports, which accept connections once [`super::Peers::run`] runs.
#[derive(Debug, Default)]
pub struct PeerServer {
    pub(super) listeners: Vec<PeerListener>,
}

/// One bound socket.
pub(super) struct PeerListener {
    socket: TcpListener,
    url: String,
    tls: Option<Acceptor>,
}

impl fmt::Debug for PeerListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl PeerServer {
    /// Opens the listeners that the settings name. Needs a tokio runtime around it.
    ///
    /// # Errors
    /// A URL cannot be listened on, or the TLS files are bad.
    pub fn open(settings: &Settings) -> Result<Self, OpenError> {
        // The outgoing side is created later, after the data folder: bad files must be found before anything is
        // created there.
        Connector::open(&settings.peer_tls).map_err(|error| OpenError::Settings(error.to_string()))?;
        let secure = ListenUrl::any_secure(&settings.listen_peer_urls);
        let acceptor = secure.then(|| Acceptor::open(&settings.peer_tls)).transpose();
        let acceptor = acceptor.map_err(|error| OpenError::Settings(error.to_string()))?;
        Self::bind(&settings.listen_peer_urls, acceptor.as_ref()).map_err(OpenError::Settings)
    }

    /// Opens the listeners. Needs a tokio runtime around it.
    ///
    /// # Errors
    /// A URL cannot be listened on; the message says what to do.
    pub(in crate::consensus) fn bind(urls: &[String], tls: Option<&Acceptor>) -> Result<Self, String> {
        let listeners = urls.iter().map(|url| PeerListener::bind(url, tls)).collect::<Result<_, _>>()?;
        Ok(Self { listeners })
    }

    /// Returns the listen URLs, with the actual ports where 0 was requested.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.listeners.iter().map(|listener| listener.url.clone()).collect()
    }
}

impl PeerListener {
    fn bind(url: &str, tls: Option<&Acceptor>) -> Result<Self, String> {
        let bad = |why: &dyn fmt::Display| format!("--listen-peer-urls: {url}: {why}");
        let listen_url = ListenUrl::parse(url).map_err(|why| bad(&why))?;
        let tls = tls.filter(|_| listen_url.secure()).cloned();
        if listen_url.secure() && tls.is_none() {
            return Err(bad(
                &"an https URL needs a certificate and its key; add --peer-cert-file and --peer-key-file",
            ));
        }
        let listening = listen_url.listen(LISTEN_BACKLOG);
        let (socket, url) = listening.map_err(|error| bad(&format!("cannot be listened on: {error}")))?;
        Ok(Self { socket, url, tls })
    }

    /// Accepts until the stop.
    pub(super) async fn run(self, hub: Arc<PeerHub>, stop: Stop) -> Result<(), io::Error> {
        tracing::info!(url = self.url, "serving peers");
        let admit = |(stream, remote): (TcpStream, SocketAddr)| {
            let listed = hub.directory().lists(&remote.ip().to_canonical().to_string());
            let (place, closed) = hub.admission.enter(remote.ip(), listed);
            if let Some(address) = closed
                && hub.log_throttle.due_exact("full")
            {
                tracing::warn!(
                    url = self.url,
                    "more than {MAX_PENDING_PER_ADDRESS} connections of one address, or {MAX_PENDING} in all, have not \
                     shown that they are a member's: the oldest is closed, now one of {address}"
                );
            }
            let (hub, tls, stop) = (Arc::clone(&hub), self.tls.clone(), stop.clone());
            Some(async move {
                let place = Arc::new(place);
                tokio::select! {
                    () = serve(stream, (remote, &place), tls, &hub, &stop) => {}
                    () = place.expired() => tracing::debug!(%remote, "a connection to the peer port was no member's"),
                    () = stop.wait() => {}
                }
            })
        };
        let failing = |error: &io::Error| {
            if hub.log_throttle.due_exact(&format!("accept {error}")) {
                tracing::warn!(url = self.url, %error, "a connection of a peer could not be accepted");
            }
        };
        let mut connections = accept_until(&stop, usize::MAX, || self.socket.accept(), admit, failing).await;
        drop(self.socket);
        connections.shutdown().await;
        Ok(())
    }
}

async fn serve(
    stream: TcpStream,
    (remote, place): (SocketAddr, &Arc<Place>),
    tls: Option<Acceptor>,
    hub: &Arc<PeerHub>,
    stop: &Stop,
) {
    match open(stream, tls).await {
        Ok(Some(conn)) => connection::serve(conn, (remote, place), hub, stop).await,
        Ok(None) => {}
        Err(why) => log_rejection(hub, remote, &why),
    }
}

/// Does the TLS handshake after checking what the other side speaks. Returns `None` when it disconnected.
pub(super) async fn open(stream: TcpStream, tls: Option<Acceptor>) -> Result<Option<BoxedIo>, String> {
    let mut first = [0; 8];
    let Ok(count @ 1..) = stream.peek(&mut first).await else { return Ok(None) };
    let first = &first[..count];
    match tls {
        None if first[0] == TLS[0] && (count == 1 || first[1] == TLS[1]) => {
            refuse_tls(stream).await;
            Err("it spoke TLS, and this port speaks plain HTTP: the peer URL of this member must begin with http://, or \
                 this member listen on https"
                .to_owned())
        }
        None => Ok(Some(Box::new(stream))),
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => Ok(Some(Box::new(stream))),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_kernel_detects_a_vanished_member() {
        let server = PeerServer::bind(&["http://127.0.0.1:0".to_owned()], None).unwrap();
        let socket = &server.listeners[0].socket;
        let (_peer, accepted) =
            tokio::join!(TcpStream::connect(socket.local_addr().unwrap()), socket.accept());
        assert!(crate::tcp::is_watched(&accepted.unwrap().0));
    }
}
