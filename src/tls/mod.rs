//! TLS of all ports: certificates, keys and authorities from files, read again when they change.
//!
//! Owns: reading PEM files with errors that name the file and the flag, the server side ([`Acceptor`]) and the
//! client side ([`Connector`]) of a connection between members or from a client, noticing changed files,
//! self-signed certificates of members, and advice about failed handshakes.
//!
//! Promises: a certificate that was renewed on disk is in use a second later, without a restart; a bad file leaves
//! the last good ones in use and is logged once. Keys never appear in errors. A failed handshake's error says what
//! to do.
//!
//! Leaves out: who listens where (`api`, `consensus`), deadlines of handshakes, and HTTP.

mod accept_any;
mod acceptor;
pub(crate) mod advice;
mod config;
mod connector;
mod contents;
mod hot_reload;
pub(crate) mod identity;
pub(crate) mod pem;
mod self_signed;

use std::path::PathBuf;

use thiserror::Error;

pub use acceptor::{Acceptor, refuse_tls};
pub(crate) use config::{client_config, system_roots};
pub use connector::Connector;

/// The files of one port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM certificate chain.
    pub cert: Option<PathBuf>,
    /// PEM private key.
    pub key: Option<PathBuf>,
    /// PEM authorities that must have issued the other side's certificate.
    pub trusted_ca: Option<PathBuf>,
    /// Whether clients must present a certificate.
    pub client_auth: bool,
    /// Whether this is the port between members: errors then name the `peer-` flags.
    pub peer: bool,
    /// The hosts of a self-signed certificate: `cert` and `key` are generated unless they already exist.
    pub self_signed: Option<Vec<String>>,
    /// Whether every server certificate is accepted: those are self-signed, too.
    pub unverified: bool,
}

impl TlsFiles {
    /// Returns whether any file is named.
    #[must_use]
    pub fn any(&self) -> bool {
        self.cert.is_some() || self.key.is_some() || self.trusted_ca.is_some()
    }

    /// Returns the flag that sets a file: `cert-file` is `--peer-cert-file` for the port between members.
    fn flag(&self, name: &str) -> String {
        if self.peer { format!("--peer-{name}") } else { format!("--{name}") }
    }
}

/// Why TLS cannot be used.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct TlsError(pub String);
