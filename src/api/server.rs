//! The client listeners: bound early, served once there is a store.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::error::ApiError;
use super::settings::{ServerInfo, Settings};
use super::shared::Shared;
use crate::consensus::Handle;
use crate::http::ListenUrl;
use crate::http::server::{Listener, MAX_EXCESS_CONNECTIONS, Schemes, Service};
use crate::stop::{Loops, Stop};
use crate::tls::{Acceptor, TlsFiles};

/// The longest duration of a stop: responses that are being sent may finish. Watches end at once.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Connections waiting to be accepted: many clients may reconnect at once after a restart.
const LISTEN_BACKLOG: u32 = 4096;
/// File descriptors reserved for the log, the mirror, peers and libraries.
const RESERVED_FILE_DESCRIPTORS: u64 = 256;
/// The limit when the system has none.
const DEFAULT_MAX_FILE_DESCRIPTORS: u64 = 1 << 20;

/// Bound listeners, which accept connections once [`Server::run`] runs. Clients that connect earlier wait.
#[derive(Debug)]
pub struct Server {
    settings: Settings,
    listeners: Vec<Listener>,
    connections: usize,
}

impl Server {
    /// Opens the listeners. Needs a tokio runtime. Raises this process's limit of open files as far as allowed.
    ///
    /// # Errors
    /// A URL cannot be listened on, an address is in use, or TLS files are bad.
    pub fn bind(settings: &Settings) -> Result<Self, ApiError> {
        let secure = ListenUrl::any_secure(&settings.listen_client_urls);
        let acceptor = match &settings.tls {
            Some(files) => Some(Acceptor::open(files)?),
            // Reports the missing files.
            None if secure => Some(Acceptor::open(&TlsFiles::default())?),
            None => None,
        };
        let mut listeners: Vec<Listener> = Vec::new();
        for url in &settings.listen_client_urls {
            let place = ListenUrl::parse(url).map_err(|why| ApiError::Url { url: url.to_owned(), why })?;
            let schemes = match acceptor.as_ref().filter(|_| place.secure()) {
                Some(acceptor) => Schemes::Https(acceptor.clone()),
                None => Schemes::Http,
            };
            // Port 0 is a new one each time.
            let listens = |own: &&mut Listener| own.socket.local_addr().is_ok_and(|at| at == place.address);
            match listeners.iter_mut().find(listens).filter(|_| place.address.port() != 0) {
                // As in etcd, URLs with the same address share a socket.
                Some(own) => {
                    own.schemes = own.schemes.clone().and(schemes);
                    own.urls.push(place.with_port(place.address.port()));
                }
                None => listeners.push(listen(&place, url, schemes, &listeners)?),
            }
        }
        let connections = usize::try_from(open_files().saturating_sub(RESERVED_FILE_DESCRIPTORS))
            .unwrap_or(usize::MAX)
            .saturating_sub(MAX_EXCESS_CONNECTIONS)
            .max(16);
        Ok(Self { settings: settings.clone(), listeners, connections })
    }

    /// Sets the limit of connections, instead of deriving it from the limit of open files.
    #[must_use]
    pub fn connections(mut self, most: usize) -> Self {
        self.connections = most;
        self
    }

    /// Returns the listen URLs, with the actual ports where 0 was requested.
    #[must_use]
    pub fn client_urls(&self) -> Vec<String> {
        self.listeners.iter().flat_map(|listener| listener.urls.clone()).collect()
    }

    /// Serves until `stop`; then stops accepting, ends watches, and lets finished responses be sent for at most
    /// [`DRAIN_TIMEOUT`].
    ///
    /// # Errors
    /// A listener ended before the stop.
    pub async fn run(self, handle: Handle, info: ServerInfo, stop: Stop) -> Result<(), ApiError> {
        let shared = Arc::new(Shared::new(&self.settings, self.connections, handle, info));
        self.serve(shared, stop).await
    }

    /// Returns the limit of connections.
    pub(super) fn most(&self) -> usize {
        self.connections
    }

    /// Serves any service in the same way.
    pub(super) async fn serve<S: Service>(self, service: Arc<S>, stop: Stop) -> Result<(), ApiError> {
        let mut loops = Loops::new(stop.clone());
        for listener in self.listeners {
            tracing::info!(url = listener.urls.join(","), "serving clients");
            loops.spawn("client listener", listener.run(Arc::clone(&service), stop.clone(), DRAIN_TIMEOUT));
        }
        tokio::select! {
            () = stop.wait() => {}
            ended = loops.first_failure() => {
                tracing::error!("{ended}");
                loops.drain(DRAIN_TIMEOUT).await;
                return Err(ApiError::Ended(ended));
            }
        }
        // The listeners have their own deadline; the half second is for closing connections.
        let left = loops.drain(DRAIN_TIMEOUT + Duration::from_millis(500)).await;
        if !left.is_empty() {
            tracing::warn!(open = service.context().connections(), "client connections did not end in time");
        }
        Ok(())
    }
}

fn listen(
    place: &ListenUrl<'_>,
    given: &str,
    schemes: Schemes,
    others: &[Listener],
) -> Result<Listener, ApiError> {
    let (socket, url) = place.listen(LISTEN_BACKLOG).map_err(|error| {
        let port =
            |own: &&Listener| own.socket.local_addr().is_ok_and(|at| at.port() == place.address.port());
        let url = given.to_owned();
        match others.iter().find(port) {
            Some(own) if error.kind() == ErrorKind::AddrInUse => {
                let why =
                    format!("this port is listened on by {} already; remove one of them", own.urls.join(","));
                ApiError::Url { url, why }
            }
            _ => ApiError::Listen { url, error },
        }
    })?;
    Ok(Listener { socket, urls: vec![url], schemes, log_throttle: Arc::default() })
}

/// Returns how many files this process may open, after raising the limit as far as the system allows.
fn open_files() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return DEFAULT_MAX_FILE_DESCRIPTORS };
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_err() {
        tracing::warn!(soft, hard, "the limit of open files cannot be raised");
        return soft.min(DEFAULT_MAX_FILE_DESCRIPTORS);
    }
    hard.min(DEFAULT_MAX_FILE_DESCRIPTORS)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn the_kernel_detects_a_vanished_client() {
        let listen_client_urls = vec!["http://127.0.0.1:0".to_owned()];
        let server = Server::bind(&Settings { listen_client_urls, ..Settings::default() }).unwrap();
        let socket = &server.listeners[0].socket;
        let (_client, accepted) =
            tokio::join!(TcpStream::connect(socket.local_addr().unwrap()), socket.accept());
        assert!(crate::tcp::is_watched(&accepted.unwrap().0));
    }
}
