//! The settings of a proxy.

use std::path::PathBuf;
use std::time::Duration;

use super::super::settings::Settings;
use crate::http::client::{Dialer, Timeouts};
use crate::tls::{Connector, TlsError, TlsFiles};

/// The timeout of a TLS handshake.
const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Which requests are forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyMode {
    /// Everything.
    All,
    /// Reads: GET alone.
    Reads,
}

/// The cluster behind a proxy, and how to forward to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxySettings {
    /// Where to listen and whom to serve.
    pub api: Settings,
    /// Which requests are forwarded.
    pub mode: ProxyMode,
    /// The members' peer URLs, used while the data folder has none.
    pub peer_urls: Vec<String>,
    /// The folder that keeps the peer URLs for the next start.
    pub data_dir: PathBuf,
    /// How long a member that did not respond is suspended.
    pub failure_wait: Duration,
    /// How long the list of members is used before it is read again.
    pub refresh_interval: Duration,
    /// The timeout of connecting to a member; `None` is the system's.
    pub dial_timeout: Option<Duration>,
    /// The timeout of a write to a member.
    pub write_timeout: Option<Duration>,
    /// The timeout of a read from a member. It ends watches too.
    pub read_timeout: Option<Duration>,
    /// The certificate for members' client ports, and the authorities for theirs.
    pub client_tls: TlsFiles,
    /// The same for peer ports.
    pub peer_tls: TlsFiles,
}

impl ProxySettings {
    /// Reads the TLS files, if any are given, so that a bad one is reported at the start.
    pub(super) fn dialer(&self, files: &TlsFiles, read: Option<Duration>) -> Result<Dialer, TlsError> {
        let timeouts = Timeouts {
            connect: self.dial_timeout,
            handshake: TLS_HANDSHAKE_TIMEOUT,
            write: self.write_timeout,
            read,
        };
        Ok(Dialer::new(Connector::open(files)?, timeouts))
    }
}
