//! Connects to a URL of another member and sends one HTTP request.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::http::Endpoint;
use crate::tcp::{self, Liveness};
use crate::tls::Connector;

/// The timeout of connecting, and of the TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest response head.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// A connection, with or without TLS.
pub(super) type Pipe = Box<dyn Io>;

/// The traits of a connection.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Io for S {}

/// Connects to `url`. An error of the kind `ConnectionRefused` means that nothing listens there.
pub(super) async fn dial(url: &str, tls: &Connector) -> io::Result<Pipe> {
    let address = Endpoint::parse(url)?;
    let stream = timeout(CONNECT_TIMEOUT, connect(&address))
        .await
        .map_err(|_| late("it did not respond in time"))??;
    tcp::send_at_once(&stream);
    Liveness::TO_SERVER.set(&stream);
    if !address.secure {
        return Ok(Box::new(stream));
    }
    let handshaken = timeout(TLS_HANDSHAKE_TIMEOUT, tls.connect(&address.host, stream)).await;
    Ok(Box::new(handshaken.map_err(|_| late("its TLS handshake took too long"))??))
}

/// Returns the reason of an error on a connection to `url`. A server may check this side's certificate only after
/// the handshake; then its first response is an alert.
pub(super) fn explain(url: &str, tls: &Connector, error: io::Error) -> io::Error {
    match Endpoint::parse(url) {
        Ok(address) if address.secure => tls.explain(&address.host, error),
        _ => error,
    }
}

async fn connect(address: &Endpoint) -> io::Result<TcpStream> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, format!("{} has no address", address.host));
    let (mut refused, mut tried) = (0, 0);
    for at in lookup_host((address.host.as_str(), address.port)).await? {
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

/// Sends a request without a body over `pipe` and passes the response to `take`.
pub(super) async fn ask<T, F>(
    pipe: Pipe,
    request: Request<Empty<Bytes>>,
    take: impl FnOnce(Response<Incoming>) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let handshake = http1::Builder::new().max_buf_size(MAX_HEAD_BYTES).handshake(TokioIo::new(pipe)).await;
    let (mut sender, connection) = handshake.map_err(io::Error::other)?;
    let mut connection = pin!(connection.with_upgrades());
    let mut work = pin!(async {
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        take(response).await
    });
    let mut open = true;
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            _ = &mut connection, if open => open = false,
        }
    }
}

/// Reads a short body completely.
pub(super) async fn body(response: Response<Incoming>, most: usize) -> io::Result<Bytes> {
    let body = Limited::new(response.into_body(), most).collect().await;
    Ok(body.map_err(io::Error::other)?.to_bytes())
}

pub(super) fn late(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}
