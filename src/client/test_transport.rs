//! Replaces the network in simulations with simulated time.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::request::HttpRequest;
use crate::protocol::unescaped;

/// A request as the store receives it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) key: String,
    /// The query and form parameters together.
    pub(crate) params: BTreeMap<String, String>,
}

/// Status, index and body; `None`: the connection was lost.
pub(crate) type RawReply = Option<(u16, u64, String)>;

type Handler = dyn Fn(Request) -> BoxFuture<'static, RawReply> + Send + Sync;

/// Carries requests to a store in the same process.
#[derive(Clone)]
pub(crate) struct TestTransport(Arc<Handler>);

impl fmt::Debug for TestTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestTransport")
    }
}

impl TestTransport {
    pub(crate) fn new(
        serve: impl Fn(Request) -> BoxFuture<'static, RawReply> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(serve))
    }

    pub(super) async fn send(&self, url: &str, outgoing: &HttpRequest) -> Option<reqwest::Response> {
        let mut url = reqwest::Url::parse(url).expect("a URL of our own making");
        let form = outgoing.body.as_ref().map_or("".into(), |(_, form)| String::from_utf8_lossy(form));
        url.set_query(Some(&format!("{}&{form}", url.query().unwrap_or_default())));
        let path = unescaped(url.path());
        let request = Request {
            method: outgoing.method.to_string(),
            key: path.strip_prefix("/v2/keys").unwrap_or(&path).to_owned(),
            params: url.query_pairs().into_owned().collect(),
        };
        let (status, index, body) = (self.0)(request).await?;
        let response = hyper::Response::builder().status(status).header("x-etcd-index", index).body(body);
        response.ok().map(reqwest::Response::from)
    }
}
