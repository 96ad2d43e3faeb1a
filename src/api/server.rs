//! The client listeners: bound early, served once there is a store.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::error::ApiError;
use super::listener::{Listener, Schemes};
use super::settings::{Info, Settings};
use super::shared::{Service, Shared};
use crate::consensus::Handle;
use crate::stop::{Loops, Stop};
use crate::tcp;
use crate::tls::{Acceptor, Files};

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
        let secure = settings.listen_client_urls.iter().any(|url| url.starts_with("https://"));
        let acceptor = match &settings.tls {
            Some(files) => Some(Acceptor::open(files)?),
            // Reports the missing files.
            None if secure => Some(Acceptor::open(&Files::default())?),
            None => None,
        };
        let mut listeners: Vec<Listener> = Vec::new();
        for url in &settings.listen_client_urls {
            let place = ListenUrl::read(url)?;
            let schemes = match acceptor.as_ref().filter(|_| place.secure) {
                Some(acceptor) => Schemes::Https(acceptor.clone()),
                None => Schemes::Http,
            };
            match listeners.iter_mut().find(|own| place.is_at(own)) {
                // As in etcd, URLs with the same address share a socket.
                Some(own) => {
                    own.schemes = own.schemes.clone().and(schemes);
                    own.urls.push(place.url(place.address.port()));
                }
                None => listeners.push(listen(&place, schemes, &listeners)?),
            }
        }
        let connections = usize::try_from(open_files().saturating_sub(RESERVED_FILE_DESCRIPTORS))
            .unwrap_or(usize::MAX)
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
    pub async fn run(self, handle: Handle, info: Info, stop: Stop) -> Result<(), ApiError> {
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
            tracing::warn!(
                open = service.context().conn_limit.taken(),
                "client connections did not end in time"
            );
        }
        Ok(())
    }
}

/// The parts of a listen URL.
struct ListenUrl<'u> {
    given: &'u str,
    scheme: &'u str,
    host: &'u str,
    secure: bool,
    address: SocketAddr,
}

impl<'u> ListenUrl<'u> {
    fn read(url: &'u str) -> Result<Self, ApiError> {
        let bad = |why: &str| ApiError::Url { url: url.to_owned(), why: why.to_owned() };
        let (scheme, rest) =
            url.split_once("://").ok_or_else(|| bad("write http://IP:PORT or https://IP:PORT"))?;
        let secure = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err(bad("only http and https can be listened on")),
        };
        let (host, port) =
            rest.rsplit_once(':').ok_or_else(|| bad("the port is missing; write http://IP:PORT"))?;
        let port = port.parse::<u16>().map_err(|_| bad("the port is not a number up to 65535"))?;
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let ip = match bare {
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            // As in etcd: every interface.
            "" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            _ => bare.parse().map_err(|_| bad("expected an IP or localhost to listen on"))?,
        };
        Ok(Self { given: url, scheme, host, secure, address: SocketAddr::new(ip, port) })
    }

    /// Returns whether a listener already listens there. Port 0 is a new one each time.
    fn is_at(&self, own: &Listener) -> bool {
        self.address.port() != 0 && own.socket.local_addr().is_ok_and(|address| address == self.address)
    }

    fn url(&self, port: u16) -> String {
        format!("{}://{}:{port}", self.scheme, self.host)
    }
}

fn listen(place: &ListenUrl<'_>, schemes: Schemes, others: &[Listener]) -> Result<Listener, ApiError> {
    let url = || place.given.to_owned();
    let listening =
        tcp::listen(place.address, LISTEN_BACKLOG).and_then(|socket| Ok((socket.local_addr()?, socket)));
    let (address, socket) = listening.map_err(|error| {
        let port =
            |own: &&Listener| own.socket.local_addr().is_ok_and(|at| at.port() == place.address.port());
        match others.iter().find(port) {
            Some(own) if error.kind() == ErrorKind::AddrInUse => {
                let why =
                    format!("this port is listened on by {} already; remove one of them", own.urls.join(","));
                ApiError::Url { url: url(), why }
            }
            _ => ApiError::Listen { url: url(), error },
        }
    })?;
    Ok(Listener { socket, urls: vec![place.url(address.port())], schemes, log_throttle: Arc::default() })
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
    async fn a_client_that_vanishes_is_noticed_by_the_kernel() {
        let listen_client_urls = vec!["http://127.0.0.1:0".to_owned()];
        let server = Server::bind(&Settings { listen_client_urls, ..Settings::default() }).unwrap();
        let socket = &server.listeners[0].socket;
        let (_client, accepted) =
            tokio::join!(TcpStream::connect(socket.local_addr().unwrap()), socket.accept());
        assert!(tcp::is_watched(&accepted.unwrap().0));
    }
}
