//! The client side of TLS.

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::advice::{self, Flags};
use super::hot_reload::HotReload;
use super::{TlsError, TlsFiles, config};

/// The client side. Clones share the loaded files.
#[derive(Clone, Debug)]
pub struct Connector {
    files: TlsFiles,
    config: Arc<OnceLock<Arc<HotReload<ClientConfig>>>>,
}

impl Connector {
    /// Reads the files; without `trusted_ca` the system's authorities are trusted. If no file is named, they are
    /// read at the first connection, which most programs never make.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn open(files: &TlsFiles) -> Result<Self, TlsError> {
        let connector = Self { files: files.clone(), config: Arc::default() };
        if files.any() {
            connector.config()?;
        }
        Ok(connector)
    }

    fn config(&self) -> Result<&Arc<HotReload<ClientConfig>>, TlsError> {
        if let Some(config) = self.config.get() {
            return Ok(config);
        }
        let opened = HotReload::open(&self.files, config::client)?;
        Ok(self.config.get_or_init(|| opened))
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
        let config = self.config().map_err(io::Error::other)?;
        let connector = TlsConnector::from(config.current().await);
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
    fn a_certificate_without_its_key_is_reported_with_the_flags_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("some.pem");
        std::fs::write(&path, "no pem at all\n").unwrap();
        let files = TlsFiles { cert: Some(path.clone()), peer: true, ..TlsFiles::default() };
        let says = Connector::open(&files).unwrap_err().to_string();
        assert_eq!(says, "--peer-cert-file has no effect alone; add --peer-key-file FILE");
        let files = TlsFiles { trusted_ca: Some(path), peer: true, ..TlsFiles::default() };
        let says = Connector::open(&files).unwrap_err().to_string();
        assert!(says.contains("some.pem: holds no certificate"), "{says}");
        assert!(says.contains("--peer-trusted-ca-file"), "{says}");
    }
}
