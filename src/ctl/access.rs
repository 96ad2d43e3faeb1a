//! How to connect to a cluster.

use std::time::Duration;

use crate::client::Trust;

/// Endpoints, TLS, credentials and timeouts.
#[derive(Clone, Default)]
pub struct Access {
    /// Base URLs as they were typed.
    pub endpoints: Vec<String>,
    /// Replaces the endpoints when it finds any.
    pub discovery: Option<Discovery>,
    /// TLS for `https` endpoints.
    pub trust: Trust,
    /// A name, or `name:password`.
    pub username: Option<String>,
    /// How long one endpoint may take until its response begins; zero: no limit.
    pub timeout: Duration,
    /// The timeout of a command; a watch may take longer.
    pub total_timeout: Duration,
    /// Get the endpoints from the members first.
    pub sync: bool,
    /// Log every request.
    pub debug: bool,
}

/// A domain whose SRV records name the endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// The domain.
    pub domain: String,
    /// Also endpoints without TLS.
    pub insecure: bool,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The user name may hold a password.
        f.debug_struct("Access")
            .field("endpoints", &self.endpoints)
            .field("sync", &self.sync)
            .finish_non_exhaustive()
    }
}
