//! Why a cluster did not do what it was asked, in the words of etcd's own client.

use std::fmt;

use serde::Deserialize;

/// An error of the v2 keys API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct EtcdError {
    /// The v2 error code, such as 100.
    #[serde(default, rename = "errorCode")]
    pub code: i64,
    /// What the code means.
    #[serde(default)]
    pub message: String,
    /// Mostly the key.
    #[serde(default)]
    pub cause: String,
    /// The store's index.
    #[serde(default)]
    pub index: u64,
}

impl fmt::Display for EtcdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({}) [{}]", self.code, self.message, self.cause, self.index)
    }
}

/// Why one endpoint did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointError {
    /// The reason, in the words Go's HTTP library has for it.
    pub text: String,
    /// Whether no connection came about or lasted; such an endpoint may be down.
    pub connection: bool,
}

/// Why a cluster did not do what it was asked; each variant is another decision for the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The store looked at it and says no.
    #[error("{0}")]
    Etcd(EtcdError),
    /// Every endpoint was tried.
    #[error("client: etcd cluster is unavailable or misconfigured{}", listed(.0))]
    All(Vec<EndpointError>),
    /// The one endpoint that was tried failed; whether the store did it is unknown, so no other was asked.
    #[error("{}", .0.text)]
    One(EndpointError),
    /// Another cluster has taken the place of the one that was watched, as after a restore: its indexes are others.
    #[error("the store was replaced or restored while it was watched")]
    Replaced,
    /// The time for the whole command is over.
    #[error("context deadline exceeded")]
    Deadline,
    /// No member publishes an address for clients.
    #[error("client: no endpoints available")]
    NoEndpoints,
    /// Whoever answered is no store.
    #[error("client: response is invalid json. The endpoint is probably not valid etcd cluster endpoint")]
    NotJson,
    /// A tree of more levels than the parser follows.
    #[error("the answer has more levels than can be read (about 60): ask for a key further down")]
    TooDeep,
    /// An answer without a body.
    #[error("client: response body is empty")]
    Empty,
    /// A status that this request never gets from a store.
    #[error("unexpected status code {0}")]
    Status(u16),
    /// Something the members API or a check before it says no to.
    #[error("{0}")]
    Refused(String),
}

fn listed(faults: &[EndpointError]) -> String {
    faults.iter().enumerate().map(|(number, fault)| format!("; error #{number}: {}\n", fault.text)).collect()
}

impl RequestError {
    /// A line per endpoint, for an error of all of them.
    #[must_use]
    pub fn detail(&self) -> Option<String> {
        let Self::All(faults) = self else { return None };
        let lines = faults.iter().enumerate();
        Some(lines.map(|(number, fault)| format!("error #{number}: {}\n", fault.text)).collect())
    }

    /// Whether nothing but missing connections stood in the way.
    #[must_use]
    pub fn is_connection(&self) -> bool {
        match self {
            Self::All(faults) => faults.iter().all(|fault| fault.connection),
            Self::One(fault) => fault.connection,
            Self::Deadline => true,
            Self::Etcd(_)
            | Self::Replaced
            | Self::NoEndpoints
            | Self::NotJson
            | Self::TooDeep
            | Self::Empty
            | Self::Status(_)
            | Self::Refused(_) => false,
        }
    }

    /// The store's error code, if the store said no.
    #[must_use]
    pub fn code(&self) -> Option<i64> {
        match self {
            Self::Etcd(error) => Some(error.code),
            _ => None,
        }
    }
}
