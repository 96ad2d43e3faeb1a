//! The settings of the HTTP side.

use std::path::PathBuf;

use crate::tls;

/// The largest form body that etcd accepts.
pub const MAX_REQUEST_BYTES: usize = 10 << 20;

/// Where to listen, and which clients to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where to listen: `http://IP:PORT` or `https://…`; port 0 picks a free one.
    pub listen_client_urls: Vec<String>,
    /// Origins whose web pages may use the API; `*` is all. `None`: pages of all origins may read, and only those of
    /// this server may write.
    pub cors: Option<Vec<String>>,
    /// Host names a plain-HTTP request may carry; `*` is all, and so is an empty list.
    pub host_whitelist: Vec<String>,
    /// Largest form body in bytes (etcd's v2 limit: 10 MiB).
    pub max_request_bytes: usize,
    /// Certificate, key and client authority for `https` URLs.
    pub tls: Option<tls::TlsFiles>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen_client_urls: vec!["http://localhost:2379".to_owned()],
            cors: None,
            host_whitelist: vec!["*".to_owned()],
            max_request_bytes: MAX_REQUEST_BYTES,
            tls: None,
        }
    }
}

/// What responses contain about this program, and what the API needs of it.
#[derive(Clone, Debug)]
pub struct ServerInfo {
    /// This member's name.
    pub name: String,
    /// The version of etcd whose API this is, for `/version`. It must not contain `0.4` anywhere: Registrator would
    /// take the server for etcd 0.4, which had another API.
    pub server_version: String,
    /// The version that all members have in common, for `/version`; the same restriction applies.
    pub cluster_version: String,
    /// Called with the level that `PUT /config/local/log` requests.
    pub set_log_level: Option<fn(LogLevel)>,
    /// Where to remember which clients have logged in. `None`: only until this process ends.
    pub known_logins: Option<PathBuf>,
}

impl Default for ServerInfo {
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            server_version: "3.4.23".to_owned(),
            cluster_version: "3.4.0".to_owned(),
            set_log_level: None,
            known_logins: None,
        }
    }
}

/// The log levels that etcd and this program have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Failures only.
    Error,
    /// Also possible causes of failures.
    Warn,
    /// Also normal events.
    Info,
    /// Also their reasons.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// Parses a level as etcd does, in any case, by name, letter or digit.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_uppercase().as_str() {
            "CRITICAL" | "C" | "ERROR" | "0" | "E" => Self::Error,
            "WARNING" | "1" | "W" => Self::Warn,
            "NOTICE" | "2" | "N" | "INFO" | "3" | "I" => Self::Info,
            "DEBUG" | "4" | "D" => Self::Debug,
            "TRACE" | "5" | "T" => Self::Trace,
            _ => return None,
        })
    }
}
