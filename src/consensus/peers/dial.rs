//! Connects to a URL of another member, and sends HTTP requests there.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::{Request, Response};

use crate::http::client::{self, Dialer, Timeouts, exchange};
use crate::http::{BoxedIo, Endpoint, TimeoutStream};
use crate::tls::Connector;

const TIMEOUTS: Timeouts = Timeouts {
    connect: Some(Duration::from_secs(1)),
    handshake: Duration::from_secs(2),
    write: None,
    read: None,
};
/// The longest response head.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// Connects to `url`. An error of the kind `ConnectionRefused` means that nothing listens there.
pub(super) async fn dial(url: &str, tls: &Connector) -> io::Result<TimeoutStream<BoxedIo>> {
    Dialer::new(tls.clone(), TIMEOUTS).dial(&Endpoint::parse(url)?).await
}

/// Returns the reason of an error on a connection to `url`.
pub(super) fn explain(url: &str, tls: &Connector, error: io::Error) -> io::Error {
    match Endpoint::parse(url) {
        Ok(endpoint) => Dialer::new(tls.clone(), TIMEOUTS).explain(&endpoint, error),
        Err(_) => error,
    }
}

/// Sends a request without a body over `conn` and passes the response to `take`.
pub(super) async fn ask<T, F>(
    conn: TimeoutStream<BoxedIo>,
    request: Request<Empty<Bytes>>,
    take: impl FnOnce(Response<Incoming>) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    exchange(conn, MAX_HEAD_BYTES, request, take).await.map_err(io::Error::other)?
}

/// Runs `work`, which sends requests without bodies over `conn`.
pub(super) async fn converse<T, F>(
    conn: TimeoutStream<BoxedIo>,
    work: impl FnOnce(SendRequest<Empty<Bytes>>) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    client::converse(conn, MAX_HEAD_BYTES, work).await.map_err(io::Error::other)?
}

pub(super) fn timed_out(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}
