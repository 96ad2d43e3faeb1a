//! What a member of the store has to be told.

use std::path::PathBuf;
use std::time::Duration;

/// Everything the consensus room needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// This member's name; must be in `initial_cluster` when the data folder is new.
    pub name: String,
    /// Where all its files lie; made with mode 0700 when missing.
    pub data_dir: PathBuf,
    /// Part of the ids of a new group, so that two groups on one machine are not taken for each other.
    pub cluster_token: String,
    /// Name and peer URL of each member of a new group; a name may repeat for several URLs.
    pub initial_cluster: Vec<(String, String)>,
    /// Where to listen for peers: `http://IP:PORT` or `https://…`; port 0 picks a free one.
    pub listen_peer_urls: Vec<String>,
    /// The files for `https` peer URLs: this member's own, and those it calls, whichever URLs it listens on.
    pub peer_tls: crate::tls::Files,
    /// What an empty data folder means.
    pub start: Start,
    /// Where peers reach this member.
    pub peer_urls: Vec<String>,
    /// Where clients reach this member, as it publishes them.
    pub client_urls: Vec<String>,
    /// A snapshot is written, and the log cut back, after so many entries.
    pub snapshot_count: u64,
    /// Between two heartbeats of a leader.
    pub heartbeat: Duration,
    /// Without a heartbeat for this long, a member stands for election.
    pub election: Duration,
    /// Largest state in bytes; beyond it only deletes are taken. `None`: no limit.
    pub quota: Option<u64>,
    /// The version of the API that this member speaks, kept in the group's state.
    pub version: String,
}

/// How a member begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// An empty folder founds the group with the others in `initial_cluster`.
    #[default]
    New,
    /// An empty folder joins the running group that the others in `initial_cluster` belong to.
    Join,
    /// The folder's member becomes the only one of its group, whatever the folder says.
    ForceNew,
}

impl Settings {
    /// How long a request may go without an answer: etcd's five seconds and two elections.
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        Duration::from_secs(5) + 2 * self.election
    }
}
