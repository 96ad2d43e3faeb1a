//! Downloads one large response in pieces.

use std::time::Duration;

use reqwest::header::HeaderValue;
use tokio::time::timeout;

use super::endpoints::Pass;
use super::error_text::{excerpt, no_answer, reason};
use super::http::index;
use super::learn::cluster_id;
use super::{Client, ClientError};

/// How long a node may take until its response begins: it may have to write it to disk first.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(600);
/// How long the response may stall.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// How much of an error response is read.
const MAX_ERROR_BYTES: usize = 64 << 10;

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
        authorization: Option<&HeaderValue>,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Downloaded, E> {
        let (mut pass, mut faults) = (Pass::new(), Vec::new());
        while let Some(node) = self.endpoints.next(&mut pass).await? {
            if let Err(unproven) = self.endpoints.prove(&node).await {
                faults.push(format!("{node}: {}", unproven.why));
                continue;
            }
            let mut request = self.http(&node)?.get(format!("{node}{path}"));
            if let Some(value) = authorization {
                request = request.header(reqwest::header::AUTHORIZATION, value);
            }
            let mut response = match timeout(FIRST_BYTE_TIMEOUT, request.send()).await {
                Err(_) => {
                    faults.push(format!("{node}: {}", no_answer(FIRST_BYTE_TIMEOUT)));
                    continue;
                }
                Ok(Err(error)) => {
                    faults.push(format!("{node}: {}", reason(&error)));
                    continue;
                }
                Ok(Ok(response)) => response,
            };
            if let Err(why) = self.endpoints.admit(&node, cluster_id(&response)) {
                faults.push(format!("{node}: {why}"));
                continue;
            }
            let status = response.status();
            let index = index(&response);
            let unavailable = |why: String| ClientError::Unavailable { why: format!("{node}: {why}") };
            let mut body = Vec::new();
            loop {
                let chunk = timeout(STALL_TIMEOUT, response.chunk()).await;
                let chunk = chunk.map_err(|_| unavailable(no_answer(STALL_TIMEOUT)))?;
                let chunk = chunk
                    .map_err(|error| unavailable(format!("the response broke off: {}", reason(&error))))?;
                match chunk {
                    Some(chunk) if status.is_success() => take(&chunk)?,
                    Some(chunk) if body.len() + chunk.len() <= MAX_ERROR_BYTES => {
                        body.extend_from_slice(&chunk);
                    }
                    _ => break,
                }
            }
            if status.is_success() {
                return Ok(Downloaded { node: node.to_string(), index });
            }
            faults.push(format!("{node}: status {}: {}", status.as_u16(), excerpt(&body)));
        }
        Err(ClientError::Unavailable { why: faults.join("; ") }.into())
    }
}
