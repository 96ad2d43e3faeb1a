//! What a proxy needs to know.

use std::path::PathBuf;
use std::time::Duration;

use super::super::settings::Settings;
use crate::tls::Files;

/// What is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyMode {
    /// Everything.
    All,
    /// Reads: GET alone.
    Reads,
}

/// In front of which cluster to stand, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxySettings {
    /// Where to listen and whom to serve.
    pub api: Settings,
    /// What is let through.
    pub way: ProxyMode,
    /// The members' peer URLs, while the data folder knows none.
    pub peer_urls: Vec<String>,
    /// The folder that keeps the peer URLs for the next start.
    pub data_dir: PathBuf,
    /// How long a member that did not answer is not asked.
    pub failure_wait: Duration,
    /// How long the list of members holds.
    pub refresh_interval: Duration,
    /// How long connecting to a member may take; `None` is as long as the system lets it.
    pub dial_timeout: Option<Duration>,
    /// How long a member may take in nothing of a request.
    pub write_timeout: Option<Duration>,
    /// How long a member may send nothing. That ends watches too.
    pub read_timeout: Option<Duration>,
    /// The certificate that is shown to members' client ports, and whose certificates theirs have to be.
    pub client_tls: Files,
    /// The same for peer ports.
    pub peer_tls: Files,
}
