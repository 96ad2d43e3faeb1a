//! Why the HTTP side cannot run.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::stop::EndedLoop;
use crate::tls::TlsError;

/// An error that keeps the client port from opening or staying open.
#[derive(Debug, Error)]
pub enum ApiError {
    /// An invalid listen URL.
    #[error("{url}: {why}")]
    Url {
        /// As configured.
        url: String,
        /// What is wrong and what is expected.
        why: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {url}: {error}{}", advice(.error))]
    Listen {
        /// As configured.
        url: String,
        /// The system's error.
        error: io::Error,
    },
    /// A file or folder that cannot be used.
    #[error("{path} {why}", path = path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// What is wrong and what to do.
        why: String,
    },
    /// A TLS file is missing, unreadable or of the wrong kind, or settings contradict each other.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A listener ended before the stop.
    #[error("{0}")]
    Ended(EndedLoop),
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; another process listens there: stop it or choose another port",
        io::ErrorKind::AddrNotAvailable => "; no interface of this machine has that address",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege: choose a higher one",
        _ => "",
    }
}
