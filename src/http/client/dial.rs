//! Connects to a server within timeouts.

use std::io;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::super::boxed_io::BoxedIo;
use super::super::endpoint::Endpoint;
use super::super::error::{chain_text, timed_out};
use super::super::timeout_stream::TimeoutStream;
use crate::tcp::{self, Liveness};
use crate::tls::Connector;

/// The timeouts of a connection; `None` is no limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) connect: Option<Duration>,
    pub(crate) handshake: Duration,
    pub(crate) write: Option<Duration>,
    pub(crate) read: Option<Duration>,
}

/// Makes connections.
#[derive(Clone, Debug)]
pub(crate) struct Dialer {
    connector: Connector,
    timeouts: Timeouts,
}

impl Dialer {
    pub(crate) fn new(connector: Connector, timeouts: Timeouts) -> Self {
        Self { connector, timeouts }
    }

    /// Connects. An error of the kind `ConnectionRefused` means that nothing listens there.
    pub(crate) async fn dial(&self, endpoint: &Endpoint) -> io::Result<TimeoutStream<BoxedIo>> {
        let Timeouts { connect: limit, handshake, write, read } = self.timeouts;
        let stream = match limit {
            Some(limit) => {
                timeout(limit, connect(endpoint)).await.map_err(|_| timed_out("connecting", limit))?
            }
            None => connect(endpoint).await,
        }?;
        // Without these, data to a machine that vanished would be retransmitted for a quarter of an hour, and a
        // response awaited for ever.
        tcp::set_nodelay(&stream);
        Liveness::TO_SERVER.set(&stream);
        if let Some(limit) = write {
            tcp::limit_unacknowledged(&stream, limit);
        }
        if !endpoint.secure {
            return Ok(TimeoutStream::new(Box::new(stream), read, write));
        }
        let connected = timeout(handshake, self.connector.connect(&endpoint.host, stream)).await;
        let stream = connected.map_err(|_| timed_out("the TLS handshake", handshake))??;
        Ok(TimeoutStream::new(Box::new(stream), read, write))
    }

    /// Returns the reason of an error on a connection. A server may check this side's certificate only after the
    /// handshake; then its first response is an alert.
    pub(crate) fn explain(&self, endpoint: &Endpoint, error: io::Error) -> io::Error {
        if endpoint.secure { self.connector.explain(&endpoint.host, error) } else { error }
    }

    /// Returns why a connection was lost.
    pub(crate) fn explain_loss(&self, endpoint: &Endpoint, error: hyper::Error) -> String {
        let words = chain_text(&error);
        let explained = self.explain(endpoint, io::Error::other(error));
        let unchanged = explained.get_ref().is_some_and(|inner| inner.is::<hyper::Error>());
        if unchanged { words } else { explained.to_string() }
    }
}

/// Tries each address of the host.
async fn connect(endpoint: &Endpoint) -> io::Result<TcpStream> {
    let host = endpoint.host.as_str();
    let mut failed = io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
    let (mut refused, mut tried) = (0, 0);
    for at in lookup_host((host, endpoint.port)).await? {
        tried += 1;
        match TcpStream::connect(at).await {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                refused += usize::from(error.kind() == io::ErrorKind::ConnectionRefused);
                failed = error;
            }
        }
    }
    if refused < tried && failed.kind() == io::ErrorKind::ConnectionRefused {
        failed = io::Error::other("none of its addresses responds");
    }
    Err(failed)
}
