//! Downloads one large response in pieces.

use std::time::Duration;

use reqwest::header::HeaderValue;

use super::request::{Attempts, Expected, HttpRequest, NodeError, within};
use super::{Client, ClientError};

/// How long a node may take until its response begins: it may have to write it to disk first.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(600);
/// How long the response may stall.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The result of a download.
#[derive(Debug)]
pub struct Downloaded {
    /// The node that responded.
    pub node: String,
    /// etcd v2's `X-Etcd-Index`.
    pub index: Option<u64>,
}

impl Client {
    /// Downloads `path` from the first node that has it and passes the bytes to `take`. A failure in the middle ends
    /// the download, because parts of two nodes' responses do not fit together.
    ///
    /// # Errors
    /// `Unavailable` with each node's reason, or the error of `take`.
    pub async fn download<E: From<ClientError>>(
        &self,
        path: &str,
        authorization: Option<HeaderValue>,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Downloaded, E> {
        let limit = Some(FIRST_BYTE_TIMEOUT);
        let request = HttpRequest {
            authorization,
            limit,
            expected: Expected::Stream,
            ..HttpRequest::get(path.to_owned())
        };
        let mut attempts = Attempts::new();
        let (reply, mut response) = loop {
            let Some(mut reply) = self.run(&request, &mut attempts).await else {
                return Err(self.unavailable(&attempts.errors).into());
            };
            match reply.rest.take() {
                Some(response) => break (reply, response),
                None => attempts.errors.push((reply.node.clone(), NodeError::Status(Box::new(reply)))),
            }
        };
        loop {
            let chunk = within(Some(STALL_TIMEOUT), response.chunk()).await;
            match chunk.and_then(|chunk| chunk.map_err(NodeError::Interrupted)) {
                Ok(Some(chunk)) => take(&chunk)?,
                Ok(None) => break,
                Err(error) => return Err(self.unavailable(&[(reply.node, error)]).into()),
            }
        }
        Ok(Downloaded { index: reply.index(), node: reply.node.to_string() })
    }
}
