//! A source's settings; filled by `settings`.

use std::path::PathBuf;
use std::time::Duration;

use crate::client::{Client, ClientError, Config, Credentials, Trust};

/// The kind of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// etcd's v2 API (`--backend etcd`, or `store`). Where the server has no v2 API (etcd 3.4 and later without
    /// `--enable-v2`), its v3 API is used and this is logged once.
    Etcd,
    /// etcd's v3 API through its JSON gateway (`--backend etcdv3`).
    EtcdV3,
    /// The environment of the process (`--backend env`).
    Env,
    /// TOML, JSON and YAML files (`--backend file`).
    File,
}

impl Backend {
    /// Returns the name that users type and logs show.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::EtcdV3 => "etcdv3",
            Self::Env => "env",
            Self::File => "file",
        }
    }
}

/// Where values come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The kind of source.
    pub backend: Backend,
    /// URLs of the store's nodes, `http://host:port` or `https://host:port`; one that responds is enough.
    pub nodes: Vec<String>,
    /// A DNS SRV record (`_etcd._tcp.example.com.`) whose targets replace `nodes`.
    pub srv_record: Option<String>,
    /// The scheme of SRV targets and of nodes given without one: `http` or `https`.
    pub scheme: String,
    /// TLS for `https` nodes.
    pub tls: Trust,
    /// Whether to sync the list of members from the store; the given nodes stay as a fallback.
    pub sync: bool,
    /// Basic auth for etcd v2, name and password for etcd v3.
    pub login: Option<Credentials>,
    /// Files or folders of the file source; later ones win.
    pub files: Vec<PathBuf>,
    /// Which files of a folder are read, as a glob over the file name (`*.yaml`); `*` means all.
    pub filter: String,
    /// How long one request may take; also how long a node may take to accept a connection.
    pub timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            backend: Backend::Etcd,
            nodes: Vec::new(),
            srv_record: None,
            scheme: "http".to_owned(),
            tls: Trust::default(),
            sync: true,
            login: None,
            files: Vec::new(),
            filter: "*".to_owned(),
            timeout: Duration::from_secs(5),
        }
    }
}

impl Settings {
    /// Returns a client of the store.
    ///
    /// # Errors
    /// `Settings` for invalid settings, `File` for a certificate file that cannot be used.
    pub fn client(&self) -> Result<Client, ClientError> {
        Client::new(&Config {
            nodes: self.nodes.clone(),
            srv_record: self.srv_record.clone(),
            scheme: self.scheme.clone(),
            trust: self.tls.clone(),
            timeout: self.timeout,
            sync: self.sync,
        })
    }
}

/// How a source is followed after its first snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Follow {
    /// Whether to watch. Without it, only `relist` brings new values.
    pub watch: bool,
    /// How often the whole snapshot is read again, watched or not.
    pub relist: Option<Duration>,
}
