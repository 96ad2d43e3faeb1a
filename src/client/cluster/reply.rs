//! A response, before its body is parsed.

use serde::de::DeserializeOwned;

use super::error::RequestError;

/// A complete response of one endpoint.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) index: Option<String>,
    /// Why the request was refused, if the store says so.
    pub(super) reason: Option<String>,
    /// The id of the responding cluster, if it reports one.
    pub(super) cluster: Option<u64>,
    pub(super) body: Vec<u8>,
}

impl Reply {
    /// Returns the reply if its status is one of these.
    pub(super) fn expect(self, wanted: &[u16]) -> Result<Self, RequestError> {
        if wanted.contains(&self.status) { Ok(self) } else { Err(RequestError::Status(self.status)) }
    }

    /// Parses the body.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, RequestError> {
        serde_json::from_slice(&self.body).map_err(|_| RequestError::NotJson)
    }
}
