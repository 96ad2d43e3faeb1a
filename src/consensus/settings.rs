//! The settings of a member of the store.

use std::path::PathBuf;
use std::time::Duration;

use super::peer_secret::PeerSecret;

/// All settings of the consensus room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// This member's name; must be in `initial_cluster` when the data folder is new.
    pub name: String,
    /// The folder of all its files; created with mode 0700 when missing.
    pub data_dir: PathBuf,
    /// Part of the ids of a new group, so that two groups on one machine are not confused.
    pub cluster_token: String,
    /// Name and peer URL of each member of a new group; a name may repeat for several URLs.
    pub initial_cluster: Vec<(String, String)>,
    /// Where to listen for peers: `http://IP:PORT` or `https://…`; port 0 picks a free one.
    pub listen_peer_urls: Vec<String>,
    /// TLS files for `https` peer URLs, whether this member listens on them or only connects to others.
    pub peer_tls: crate::tls::TlsFiles,
    /// What all members hold, and prove to each other.
    pub peer_secret: Option<PeerSecret>,
    /// What an empty data folder means.
    pub start: StartMode,
    /// Where peers reach this member.
    pub peer_urls: Vec<String>,
    /// The client URLs that this member publishes.
    pub client_urls: Vec<String>,
    /// A snapshot is written, and the log truncated, after this many entries.
    pub snapshot_count: u64,
    /// The interval between a leader's heartbeats.
    pub heartbeat: Duration,
    /// How long a member waits for a heartbeat before it starts an election.
    pub election: Duration,
    /// Largest state in bytes; beyond it only deletes are accepted. `None`: no limit.
    pub quota: Option<u64>,
    /// The version of the API that this member speaks, kept in the group's state.
    pub version: String,
}

/// How a member with an empty data folder starts, or one that is to be alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartMode {
    /// An empty folder founds the group with the others in `initial_cluster`.
    #[default]
    New,
    /// An empty folder joins the running group that the others in `initial_cluster` belong to.
    Join,
    /// The folder's member becomes the only one of its group, whatever its log says about the others.
    ForceNew,
}

impl Settings {
    /// Returns how long a request may wait for its result: etcd's five seconds plus two election timeouts.
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        Duration::from_secs(5) + 2 * self.election
    }
}
