//! Replaces the network in simulations with simulated time.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::reply::Reply;
use super::request::ClusterRequest;

/// A request as the store receives it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) key: String,
    /// The query and form parameters together.
    pub(crate) words: BTreeMap<String, String>,
}

/// Status, index and body; `None`: the connection was lost.
pub(crate) type RawReply = Option<(u16, u64, String)>;

type Serve = dyn Fn(Request) -> BoxFuture<'static, RawReply> + Send + Sync;

/// Carries requests to a store in the same process.
#[derive(Clone)]
pub(crate) struct Wire(Arc<Serve>);

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

impl Wire {
    pub(crate) fn new(
        serve: impl Fn(Request) -> BoxFuture<'static, RawReply> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(serve))
    }

    pub(super) async fn execute(&self, outgoing: &ClusterRequest) -> Option<Reply> {
        let body = outgoing.body.as_ref().map_or("", |(_, text)| text);
        let url = format!("http://store/?{}&{body}", outgoing.query);
        let url = reqwest::Url::parse(&url).expect("a query of our own making");
        let path = String::from_utf8_lossy(&outgoing.path).into_owned();
        let request = Request {
            method: outgoing.method.to_string(),
            key: path.strip_prefix("/v2/keys").unwrap_or(&path).to_owned(),
            words: url.query_pairs().into_owned().collect(),
        };
        let (status, index, body) = (self.0)(request).await?;
        Some(Reply {
            status,
            index: Some(index.to_string()),
            reason: None,
            cluster: None,
            body: body.into_bytes(),
        })
    }
}
