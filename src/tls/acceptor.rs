//! The server side of TLS.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::advice::{self, Flags};
use super::hot_reload::HotReload;
use super::{TlsError, TlsFiles, config};

/// The first byte of every TLS connection.
const TLS_HANDSHAKE_RECORD: u8 = 22;

/// The response of Go's servers, with advice.
const HTTP_ON_TLS_RESPONSE: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Connection: close\r\nContent-Length: 77\r\n\r\n\
    Client sent an HTTP request to an HTTPS server: its URL must begin https://.\n";
/// The response to TLS on a plain port.
const TLS_ON_HTTP_RESPONSE: &str =
    "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
/// How long a client that speaks plain HTTP may take to read the response, and how long it may send more.
const REJECT_TIMEOUT: Duration = Duration::from_millis(500);
const MAX_REJECT_BYTES: u64 = 64 << 10;

/// The server side. Clones share the loaded files.
#[derive(Clone, Debug)]
pub struct Acceptor {
    config: Arc<HotReload<ServerConfig>>,
}

impl Acceptor {
    /// Reads the files.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn open(files: &TlsFiles) -> Result<Self, TlsError> {
        Ok(Self { config: HotReload::open(files, config::server)? })
    }

    /// Does the handshake with a client. The caller sets the deadline. A client that speaks plain HTTP gets an
    /// error in HTTP.
    ///
    /// # Errors
    /// The handshake failed; the error says what to do.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "it disconnected before it sent anything",
            ));
        }
        match first[0] {
            TLS_HANDSHAKE_RECORD => {}
            b'A'..=b'Z' => {
                timeout(REJECT_TIMEOUT, reject_plain(stream, HTTP_ON_TLS_RESPONSE)).await.ok();
                let says = "it spoke plain HTTP, and this port speaks TLS: its URL must begin with https://";
                return Err(io::Error::new(io::ErrorKind::InvalidData, says));
            }
            _ => {
                let says = "it spoke neither TLS nor HTTP";
                return Err(io::Error::new(io::ErrorKind::InvalidData, says));
            }
        }
        let acceptor = TlsAcceptor::from(self.config.current().await);
        acceptor.accept(stream).await.map_err(|error| self.explain(error))
    }

    /// Adds advice to the error of an accepted connection; other errors are unchanged.
    #[must_use]
    pub fn explain(&self, error: io::Error) -> io::Error {
        let files = self.config.files();
        let auth = files.flag("client-cert-auth");
        advice::explained(error, |cause| advice::of_client(&Flags::of(files), &auth, cause))
    }
}

/// Responds in plain text to a client that speaks TLS to a plain port, so that its error says that this is not TLS.
pub async fn refuse_tls(stream: TcpStream) {
    timeout(REJECT_TIMEOUT, reject_plain(stream, TLS_ON_HTTP_RESPONSE)).await.ok();
}

/// Responds, and reads until the client disconnects: closing a socket with unread input would discard the response.
async fn reject_plain(mut stream: TcpStream, says: &str) -> io::Result<()> {
    stream.write_all(says.as_bytes()).await?;
    stream.shutdown().await?;
    let mut rest = stream.take(MAX_REJECT_BYTES);
    let mut sink = [0; 4096];
    while rest.read(&mut sink).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_http_reply_is_as_long_as_its_content_length() {
        let (head, body) = HTTP_ON_TLS_RESPONSE.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{head}: {}", body.len());
    }

    #[test]
    fn a_bad_file_is_reported_with_its_setting() {
        let dir = tempfile::tempdir().unwrap();
        let junk = dir.path().join("junk.pem");
        std::fs::write(&junk, "-----BEGIN NOTHING-----\nsecret\n").unwrap();
        let none = dir.path().join("none.pem");
        for (peer, flag) in [(false, "--cert-file"), (true, "--peer-cert-file")] {
            for (file, says) in [(&none, "none.pem: cannot be read"), (&junk, "junk.pem: ")] {
                let (cert, key) = (Some(file.clone()), Some(junk.clone()));
                let error = Acceptor::open(&TlsFiles { cert, key, peer, ..TlsFiles::default() }).unwrap_err();
                let error = error.to_string();
                assert!(error.contains(says) && error.contains(flag), "{error}");
                assert!(!error.contains("secret"), "{error}");
            }
            let error = Acceptor::open(&TlsFiles { peer, ..TlsFiles::default() }).unwrap_err().to_string();
            assert!(error.contains(flag), "{error}");
        }
    }
}
