//! TLS as every port of ours speaks it: certificates, keys and authorities from files, read anew when they change.
//!
//! Owns: reading PEM files with errors that name the file and the flag, the server side ([`Acceptor`]) and the client
//! side ([`Connector`]) of a connection between members or from a client, noticing that a file is another now,
//! certificates that members make for themselves, and what a person can do about a handshake that failed.
//!
//! Promises: a certificate that was renewed on disk is shown a second later, without a restart; a bad file leaves the
//! last good ones in use and is said once. Keys never reach an error's words. A failed handshake's error says what to do.
//!
//! Leaves out: who listens where (`api`, `consensus`), deadlines of handshakes, and HTTP.

mod acceptor;
pub(crate) mod advice;
mod any;
mod config;
mod connector;
mod contents;
pub(crate) mod identity;
pub(crate) mod pem;
mod renewed;
mod self_made;

use std::path::PathBuf;

use thiserror::Error;

pub use acceptor::{Acceptor, refuse_tls};
pub(crate) use any::AnyCertificate;
pub use connector::Connector;

/// The files of one port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// PEM certificate chain.
    pub cert: Option<PathBuf>,
    /// PEM private key.
    pub key: Option<PathBuf>,
    /// PEM authorities that the other side's certificate must come from.
    pub trusted_ca: Option<PathBuf>,
    /// Whether a client must show a certificate.
    pub client_auth: bool,
    /// Whether this is the port between members: errors name the flags with `peer-` before them.
    pub peer: bool,
    /// The hosts that `cert` is to be for when it and `key` are made here, unless they are there already.
    pub self_made: Option<Vec<String>>,
    /// Whether every certificate of a server is believed: those are self-made, too.
    pub unverified: bool,
}

impl Files {
    /// Whether any file is named.
    #[must_use]
    pub fn any(&self) -> bool {
        self.cert.is_some() || self.key.is_some() || self.trusted_ca.is_some()
    }

    /// The flag that sets a file: `cert-file` is `--peer-cert-file` for the port between members.
    fn flag(&self, name: &str) -> String {
        if self.peer { format!("--peer-{name}") } else { format!("--{name}") }
    }
}

/// Why TLS cannot be spoken.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct TlsError(pub String);
