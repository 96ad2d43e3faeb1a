//! The client side of TLS.

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::advice::{self, Flags};
use super::renewed::Renewed;
use super::{Files, TlsError, config};

/// The client side. Clones share the loaded files.
#[derive(Clone, Debug)]
pub struct Connector {
    files: Files,
    renewed: Arc<OnceLock<Arc<Renewed<ClientConfig>>>>,
}

impl Connector {
    /// Reads the files; without `trusted_ca` the system's authorities are trusted. If no file is named, they are
    /// read at the first connection, which most programs never make.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn open(files: &Files) -> Result<Self, TlsError> {
        let connector = Self { files: files.clone(), renewed: Arc::default() };
        if files.any() {
            connector.renewed()?;
        }
        Ok(connector)
    }

    fn renewed(&self) -> Result<&Arc<Renewed<ClientConfig>>, TlsError> {
        if let Some(renewed) = self.renewed.get() {
            return Ok(renewed);
        }
        let opened = Renewed::open(&self.files, config::client)?;
        Ok(self.renewed.get_or_init(|| opened))
    }

    /// Does the handshake with the server `host` (a name or an IP address, with or without the brackets of IPv6).
    /// The caller sets the deadline.
    ///
    /// A server may check this side's certificate only after the handshake: then the first read fails, and
    /// [`Connector::explain`] adds the advice.
    ///
    /// # Errors
    /// The handshake failed; the error says what to do.
    pub async fn connect(&self, host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| {
            let says = format!("{host:?} is neither a host name nor an IP address");
            io::Error::new(io::ErrorKind::InvalidInput, says)
        })?;
        let renewed = self.renewed().map_err(io::Error::other)?;
        let connector = TlsConnector::from(renewed.current().await);
        connector.connect(name, stream).await.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                io::Error::new(error.kind(), advice::ENDED)
            }
            _ => self.explain(host, error),
        })
    }

    /// Adds advice to the error of a connection to `host`; other errors are unchanged.
    #[must_use]
    pub fn explain(&self, host: &str, error: io::Error) -> io::Error {
        advice::explained(error, |cause| advice::of_server(&Flags::of(&self.files), host, cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_without_its_key_is_refused_by_the_flags_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("some.pem");
        std::fs::write(&path, "no pem at all\n").unwrap();
        let files = Files { cert: Some(path.clone()), peer: true, ..Files::default() };
        let says = Connector::open(&files).unwrap_err().to_string();
        assert_eq!(says, "--peer-cert-file has no effect alone; add --peer-key-file FILE");
        let files = Files { trusted_ca: Some(path), peer: true, ..Files::default() };
        let says = Connector::open(&files).unwrap_err().to_string();
        assert!(says.contains("some.pem: holds no certificate"), "{says}");
        assert!(says.contains("--peer-trusted-ca-file"), "{says}");
    }
}
