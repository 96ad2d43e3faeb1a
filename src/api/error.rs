//! Why the HTTP side cannot run.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::stop::EndedLoop;
use crate::tls::TlsError;

/// What keeps the client port from opening or from staying open.
#[derive(Debug, Error)]
pub enum ApiError {
    /// A listen URL that is none.
    #[error("{url}: {why}")]
    Url {
        /// As it was given.
        url: String,
        /// What is wrong and what would be right.
        why: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {url}: {error}{}", advice(.error))]
    Listen {
        /// As it was given.
        url: String,
        /// The system's word.
        error: io::Error,
    },
    /// A file or folder that cannot be used.
    #[error("{path} {why}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong and what to do.
        why: String,
    },
    /// A TLS file that is missing, unreadable or of the wrong kind, or settings that do not go together.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A listener ended without being told to.
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
