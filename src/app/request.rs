//! Sends one request to a running registrar.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use hyper::header::HOST;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::http::client::{exchange, read_body};
use crate::protocol::{percent_encoded, unreserved};
use crate::settings::Listen;

/// How long a response may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_HEAD_BYTES: usize = 64 << 10;
/// Enough for the state of more containers than a host has.
const MAX_BODY_BYTES: usize = 64 << 20;

/// Returns the status and the body of the response.
pub(super) async fn request(at: &Listen, method: &str, target: &str) -> anyhow::Result<(u16, Bytes)> {
    let work = async {
        match at {
            Listen::Unix(path) => ask(UnixStream::connect(path).await?, "localhost", method, target).await,
            Listen::Tcp(address) => {
                let stream = TcpStream::connect(address.as_str()).await?;
                // The registrar may not know the name by which it is reached.
                let peer = stream.peer_addr()?;
                let host = SocketAddr::new(peer.ip(), peer.port()).to_string();
                ask(stream, &host, method, target).await
            }
        }
    };
    match timeout(REQUEST_TIMEOUT, work).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => anyhow::bail!(
            "cannot reach the registrar at {at}: {error:#}; does `retune register` run, and with the same --listen?"
        ),
        Err(_) => anyhow::bail!("the registrar at {at} did not respond within {REQUEST_TIMEOUT:?}"),
    }
}

async fn ask<S>(stream: S, host: &str, method: &str, target: &str) -> anyhow::Result<(u16, Bytes)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let request =
        Request::builder().method(method).uri(target).header(HOST, host).body(Empty::<Bytes>::new())?;
    exchange(stream, MAX_HEAD_BYTES, request, async |response| {
        let status = response.status().as_u16();
        let body = read_body(response, MAX_BODY_BYTES).await.context("its response cannot be read")?;
        Ok((status, body))
    })
    .await?
}

/// Escapes text for a query.
pub(super) fn escaped(text: &str) -> String {
    percent_encoded(text.as_bytes(), unreserved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::unescaped;

    #[test]
    fn escaped_text_is_unescaped_and_other_text_is_unchanged() {
        for text in ["web.1", "a b&c=d%", "größe", ""] {
            assert_eq!(unescaped(&escaped(text)), text);
        }
        assert_eq!(unescaped("50%zz%4"), "50%zz%4");
    }

    #[tokio::test]
    async fn an_unreachable_address_is_reported_with_advice() {
        let nobody = Listen::Unix("/nonexistent/register.sock".into());
        let error = request(&nobody, "GET", "/status").await.unwrap_err().to_string();
        assert!(
            error.contains("unix:///nonexistent/register.sock") && error.contains("retune register"),
            "{error}"
        );
    }
}
