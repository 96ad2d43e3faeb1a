//! The side that is called.

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
use super::renewed::Renewed;
use super::{Files, TlsError, config};

/// What every TLS connection begins with.
const TLS_HANDSHAKE_RECORD: u8 = 22;

/// What Go's servers say, with what to do.
const NOT_PLAIN: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Connection: close\r\nContent-Length: 77\r\n\r\n\
    Client sent an HTTP request to an HTTPS server: its URL must begin https://.\n";
/// The same the other way round.
const NOT_TLS: &str = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
/// How long a client that speaks plain HTTP may take to hear that, and how much more it may say.
const REJECT_TIMEOUT: Duration = Duration::from_millis(500);
const MAX_REJECT_BYTES: u64 = 64 << 10;

/// The server side. Clones share what was read.
#[derive(Clone, Debug)]
pub struct Acceptor {
    renewed: Arc<Renewed<ServerConfig>>,
}

impl Acceptor {
    /// Reads the files.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn open(files: &Files) -> Result<Self, TlsError> {
        Ok(Self { renewed: Renewed::open(files, config::server)? })
    }

    /// Greets a client. The caller sets the deadline. A client that speaks plain HTTP is told so in HTTP.
    ///
    /// # Errors
    /// The handshake failed; the error says what to do.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it went away before it said anything"));
        }
        match first[0] {
            TLS_HANDSHAKE_RECORD => {}
            b'A'..=b'Z' => {
                timeout(REJECT_TIMEOUT, reject_plain(stream, NOT_PLAIN)).await.ok();
                let says = "it spoke plain HTTP, and this port speaks TLS: its URL must begin with https://";
                return Err(io::Error::new(io::ErrorKind::InvalidData, says));
            }
            _ => {
                let says = "it spoke neither TLS nor HTTP";
                return Err(io::Error::new(io::ErrorKind::InvalidData, says));
            }
        }
        let acceptor = TlsAcceptor::from(self.renewed.current().await);
        acceptor.accept(stream).await.map_err(|error| self.explain(error))
    }

    /// Adds what to do to the error of a connection that this side accepted; others are left as they are.
    #[must_use]
    pub fn explain(&self, error: io::Error) -> io::Error {
        let files = self.renewed.files();
        let auth = files.flag("client-cert-auth");
        advice::explained(error, |cause| advice::of_client(&Flags::of(files), &auth, cause))
    }
}

/// Answers a client that speaks TLS to a port that does not, so that it knows: what it reads is no TLS.
pub async fn refuse_tls(stream: TcpStream) {
    timeout(REJECT_TIMEOUT, reject_plain(stream, NOT_TLS)).await.ok();
}

/// Answers, and reads on until the client has hung up: a socket that is closed with something unread in it takes the
/// answer back.
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
    fn the_answer_in_http_is_as_long_as_it_says() {
        let (head, body) = NOT_PLAIN.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{head}: {}", body.len());
    }

    #[test]
    fn a_bad_file_is_named_with_what_sets_it() {
        let dir = tempfile::tempdir().unwrap();
        let junk = dir.path().join("junk.pem");
        std::fs::write(&junk, "-----BEGIN NOTHING-----\nsecret\n").unwrap();
        let none = dir.path().join("none.pem");
        for (peer, flag) in [(false, "--cert-file"), (true, "--peer-cert-file")] {
            for (file, says) in [(&none, "none.pem: cannot be read"), (&junk, "junk.pem: ")] {
                let (cert, key) = (Some(file.clone()), Some(junk.clone()));
                let error = Acceptor::open(&Files { cert, key, peer, ..Files::default() }).unwrap_err();
                let error = error.to_string();
                assert!(error.contains(says) && error.contains(flag), "{error}");
                assert!(!error.contains("secret"), "{error}");
            }
            let error = Acceptor::open(&Files { peer, ..Files::default() }).unwrap_err().to_string();
            assert!(error.contains(flag), "{error}");
        }
    }
}
