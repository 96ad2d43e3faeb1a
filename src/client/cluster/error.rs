//! Why a request to a cluster failed, in the words of etcd's own client.

use crate::client::v2_wire::EtcdError;

/// Why a request to one endpoint failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointError {
    /// The reason, in the words of Go's HTTP library.
    pub text: String,
    /// Whether the connection failed or broke; such an endpoint may be down.
    pub connection: bool,
}

/// Why a request to a cluster failed; the caller must act differently for each variant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The store processed the request and rejected it.
    #[error("{0}")]
    Etcd(EtcdError),
    /// All endpoints were tried.
    #[error("client: etcd cluster is unavailable or misconfigured{}", numbered(.0))]
    AllFailed(Vec<EndpointError>),
    /// The only endpoint that was tried failed. Whether the store applied the request is unknown, so no other was
    /// tried.
    #[error("{}", .0.text)]
    OneFailed(EndpointError),
    /// Another cluster replaced the watched one, as after a restore: its indexes are different.
    #[error("the store was replaced or restored while it was watched")]
    Replaced,
    /// The time limit of the whole command is over.
    #[error("context deadline exceeded")]
    Deadline,
    /// No member publishes an address for clients.
    #[error("client: no endpoints available")]
    NoEndpoints,
    /// The sender of the response is not a store.
    #[error("client: response is invalid json. The endpoint is probably not valid etcd cluster endpoint")]
    NotJson,
    /// An event from before the wanted index, which the watch has passed already.
    #[error("the store sent {}", crate::client::v2::old_event(*.found, *.from))]
    OldEvent {
        /// The index of the event.
        found: u64,
        /// The wanted index.
        from: u64,
    },
    /// A response without a body.
    #[error("client: response body is empty")]
    Empty,
    /// A status that a store never returns for this request.
    #[error("unexpected status code {0}")]
    Status(u16),
    /// Rejected by the members API, or by a check before it.
    #[error("{0}")]
    Refused(String),
}

fn numbered(errors: &[EndpointError]) -> String {
    errors.iter().enumerate().map(|(number, error)| format!("; error #{number}: {}\n", error.text)).collect()
}

impl RequestError {
    /// Returns one line per endpoint, for an error of all of them.
    #[must_use]
    pub fn detail(&self) -> Option<String> {
        let Self::AllFailed(errors) = self else { return None };
        let lines = errors.iter().enumerate();
        Some(lines.map(|(number, error)| format!("error #{number}: {}\n", error.text)).collect())
    }

    /// Returns whether missing connections were the only cause.
    #[must_use]
    pub fn is_connection(&self) -> bool {
        match self {
            Self::AllFailed(errors) => errors.iter().all(|error| error.connection),
            Self::OneFailed(error) => error.connection,
            Self::Deadline => true,
            Self::Etcd(_)
            | Self::Replaced
            | Self::NoEndpoints
            | Self::NotJson
            | Self::OldEvent { .. }
            | Self::Empty
            | Self::Status(_)
            | Self::Refused(_) => false,
        }
    }

    /// Returns the store's error code, if the store rejected the request.
    #[must_use]
    pub fn code(&self) -> Option<i64> {
        match self {
            Self::Etcd(error) => Some(error.code),
            _ => None,
        }
    }
}
