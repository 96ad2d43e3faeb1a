//! Connects to a member and enforces the time limits.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::error::ApiError;
use super::connection::Connection;
use crate::http::error::chain_text;
use crate::http::{Endpoint, TimeoutStream, timed_out};
use crate::tcp::{self, Liveness};
use crate::tls::{Connector, Files};

/// The timeout of a TLS handshake.
const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The time limits of a connection to a member; `None` is no limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) dial: Option<Duration>,
    pub(super) write: Option<Duration>,
    pub(super) read: Option<Duration>,
}

/// Makes connections.
#[derive(Debug)]
pub(super) struct Dialer {
    limits: Limits,
    connector: Connector,
}

impl Dialer {
    /// Reads the TLS files, if any are given, so that a bad one is reported at the start.
    pub(super) fn new(files: &Files, limits: Limits) -> Result<Self, ApiError> {
        Ok(Self { limits, connector: Connector::open(files).map_err(ApiError::Tls)? })
    }

    /// Connects; the error says for the log what failed.
    pub(super) async fn connect(&self, endpoint: &Endpoint) -> io::Result<Connection> {
        let stream = self.tcp(endpoint).await?;
        tcp::send_at_once(&stream);
        self.set_keepalive(&stream);
        if !endpoint.secure {
            return Connection::over(self.limited(stream)).await;
        }
        let handshake = timeout(TLS_HANDSHAKE_TIMEOUT, self.connector.connect(&endpoint.host, stream));
        let stream = handshake.await.map_err(|_| timed_out("the TLS handshake", TLS_HANDSHAKE_TIMEOUT))??;
        Connection::over(self.limited(stream)).await
    }

    /// Returns why a connection was lost. A member may check this side's certificate only after the handshake; then
    /// its first response is an alert.
    pub(super) fn explain(&self, endpoint: &Endpoint, error: hyper::Error) -> String {
        let words = chain_text(&error);
        let error = io::Error::other(error);
        let explained = self.connector.explain(&endpoint.host, error);
        if explained.get_ref().is_some_and(|inner| inner.is::<hyper::Error>()) {
            words
        } else {
            explained.to_string()
        }
    }

    fn limited<S>(&self, stream: S) -> TimeoutStream<S> {
        TimeoutStream::new(stream, self.limits.read, self.limits.write)
    }

    async fn tcp(&self, endpoint: &Endpoint) -> io::Result<TcpStream> {
        let connecting = TcpStream::connect((endpoint.host.as_str(), endpoint.port));
        match self.limits.dial {
            Some(limit) => timeout(limit, connecting).await.map_err(|_| timed_out("connecting", limit))?,
            None => connecting.await,
        }
    }

    /// Sets timeouts for a machine that lost power or its cable: without them, data would be sent again for a
    /// quarter of an hour, and responses awaited forever.
    fn set_keepalive(&self, stream: &TcpStream) {
        Liveness::TO_SERVER.set(stream);
        if let Some(limit) = self.limits.write {
            tcp::limit_unacknowledged(stream, limit);
        }
    }
}
