//! Sends requests to the first node that responds.

use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderValue};
use reqwest::{Response, StatusCode};
use tokio::time::timeout;

use super::endpoints::{Endpoints, NodeUrl, Pass};
use super::error_text::{excerpt, no_answer, reason};
use super::learn::cluster_id;
use super::lines::Lines;
use super::{ClientError, Trust, tls};
use crate::tcp::Liveness;

/// The longest accepted response; no snapshot of configuration values is larger.
const MAX_RESPONSE_BYTES: usize = 512 << 20;
/// How much of an error response is read.
const MAX_ERROR_BYTES: usize = 64 << 10;
/// How many timeouts a large response may take while bytes keep coming.
const MAX_BODY_TIMEOUTS: u32 = 12;

/// The address of a store and how to connect to it.
#[derive(Clone, Debug)]
pub struct Config {
    /// URLs of the nodes; one without a scheme gets `scheme`.
    pub nodes: Vec<String>,
    /// A DNS SRV record whose targets replace `nodes`.
    pub srv_record: Option<String>,
    /// `http` or `https`.
    pub scheme: String,
    /// TLS for `https` nodes.
    pub trust: Trust,
    /// How long a node may take to accept a connection, to begin its response, and to continue it.
    pub timeout: Duration,
    /// Whether to learn the members of the store from it.
    pub sync: bool,
}

/// Name and password; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub name: String,
    /// The user's password.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(hidden)")
    }
}

impl Credentials {
    /// Returns the `Authorization` header for basic auth.
    #[must_use]
    pub fn basic(&self) -> HeaderValue {
        secret(&format!("Basic {}", STANDARD.encode(format!("{}:{}", self.name, self.password))))
            .unwrap_or_else(|| HeaderValue::from_static("Basic"))
    }
}

/// Returns a header value that no log of the HTTP library prints.
pub(crate) fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// One request, for any node. With a body it is a POST of JSON, without one a GET.
#[derive(Clone, Debug, Default)]
pub(crate) struct HttpRequest {
    pub(crate) path: String,
    pub(crate) body: Option<Bytes>,
    pub(crate) authorization: Option<HeaderValue>,
}

/// A complete response with a status below 500.
#[derive(Debug)]
pub(crate) struct HttpResponse {
    pub(crate) node: NodeUrl,
    pub(crate) status: StatusCode,
    /// etcd v2's `X-Etcd-Index`.
    pub(crate) index: Option<u64>,
    pub(crate) body: Vec<u8>,
}

/// A response whose headers have arrived.
#[derive(Debug)]
pub(crate) enum Opened {
    /// A success, to be read line by line.
    Stream { node: NodeUrl, index: Option<u64>, lines: Lines },
    /// A rejection with a status below 500.
    Answer(HttpResponse),
}

/// A client of a store, with all its nodes.
#[derive(Debug)]
pub struct Client {
    plain: reqwest::Client,
    /// Created for the first request to an `https` node: loading the system's authorities takes milliseconds.
    secure: OnceLock<reqwest::Client>,
    trust: Trust,
    pub(super) endpoints: Endpoints,
    timeout: Duration,
}

impl Client {
    /// Checks the nodes and loads the certificate files; sends nothing yet.
    ///
    /// # Errors
    /// `Settings` for a node or a combination that cannot work, `File` for a certificate file.
    pub fn new(config: &Config) -> Result<Self, ClientError> {
        let endpoints =
            Endpoints::new(&config.nodes, config.srv_record.as_deref(), &config.scheme, config.timeout)?
                .learning(config.sync, &config.trust);
        let plain = http(&config.trust, false, config.timeout)?;
        let (trust, secure) = (config.trust.clone(), OnceLock::new());
        let client = Self { plain, secure, trust, endpoints, timeout: config.timeout };
        if client.endpoints.https() {
            client.http("https:")?;
        }
        Ok(client)
    }

    /// Returns the HTTP client for this node: one for `http`, and one for `https` that is created on first use.
    pub(super) fn http(&self, node: &str) -> Result<&reqwest::Client, ClientError> {
        if !node.starts_with("https:") {
            return Ok(&self.plain);
        }
        if let Some(secure) = self.secure.get() {
            return Ok(secure);
        }
        let made = http(&self.trust, true, self.timeout)?;
        Ok(self.secure.get_or_init(|| made))
    }

    /// Returns the nodes, for logs.
    #[must_use]
    pub fn describe(&self) -> String {
        self.endpoints.describe()
    }

    /// Updates the list of members for ever; a long-running caller runs it concurrently. Does nothing without
    /// [`Config::sync`].
    pub async fn follow_members(&self) -> std::convert::Infallible {
        self.endpoints.follow().await
    }

    /// Returns the time limit of one step of a request.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Returns which of the successive clusters of this store is in use.
    pub(crate) fn epoch(&self) -> u64 {
        self.endpoints.epoch()
    }

    /// Notes that a node failed in the middle of a response, so that another is tried first.
    pub(crate) fn failed(&self, node: &str) {
        self.endpoints.failed(node);
    }

    /// Returns the complete response of the first node with a status below 500.
    pub(crate) async fn request(&self, call: &HttpRequest) -> Result<HttpResponse, ClientError> {
        self.first(|node| async move { self.request_at(&node, call).await }).await
    }

    /// Asks one node after the other, and returns what the first gives that does not fail.
    async fn first<T, F>(&self, ask: impl Fn(NodeUrl) -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, String>>,
    {
        let (mut pass, mut faults) = (Pass::new(), Vec::new());
        while let Some(node) = self.endpoints.next(&mut pass).await? {
            match ask(NodeUrl::clone(&node)).await {
                Ok(found) => {
                    self.endpoints.served(&node);
                    return Ok(found);
                }
                Err(why) => {
                    self.endpoints.failed(&node);
                    faults.push(format!("{node}: {why}"));
                }
            }
        }
        Err(ClientError::Unavailable { why: faults.join("; ") })
    }

    /// Returns the complete response of one node. The error is the reason as text.
    pub(crate) async fn request_at(
        &self,
        node: &NodeUrl,
        call: &HttpRequest,
    ) -> Result<HttpResponse, String> {
        let response = self.head(node, call, false).await?;
        let whole = self.timeout.saturating_mul(MAX_BODY_TIMEOUTS);
        timeout(whole, self.finish(node, response)).await.map_err(|_| no_answer(whole))?
    }

    /// Returns the headers of the first response with a status below 500; its connection serves nothing else.
    pub(crate) async fn open(&self, call: &HttpRequest) -> Result<Opened, ClientError> {
        self.first(|node| async move { self.open_at(&node, call).await }).await
    }

    async fn open_at(&self, node: &NodeUrl, call: &HttpRequest) -> Result<Opened, String> {
        let response = self.head(node, call, call.body.is_some()).await?;
        if response.status().is_success() {
            let index = index(&response);
            return Ok(Opened::Stream { node: NodeUrl::clone(node), index, lines: Lines::new(response) });
        }
        Ok(Opened::Answer(self.finish(node, response).await?))
    }

    async fn head(&self, node: &NodeUrl, call: &HttpRequest, alone: bool) -> Result<Response, String> {
        // A node of another cluster must not get the password, and is not waited for.
        self.endpoints.prove(node).await.map_err(|unproven| unproven.why)?;
        let url = format!("{node}{}", call.path);
        let http = self.http(node).map_err(|error| error.to_string())?;
        let mut request = match &call.body {
            Some(body) => http.post(url).header(CONTENT_TYPE, "application/json").body(Bytes::clone(body)),
            None => http.get(url),
        };
        if let Some(value) = &call.authorization {
            request = request.header(AUTHORIZATION, value);
        }
        if alone {
            // Go's server discards the unread rest of a request body when its response begins, unless the connection
            // closes afterwards: the second half of a long list of watches would be lost silently.
            request = request.header(CONNECTION, "close");
        }
        let limit = self.timeout;
        let response = timeout(limit, request.send())
            .await
            .map_err(|_| no_answer(limit))?
            .map_err(|error| if error.is_timeout() { no_answer(limit) } else { reason(&error) })?;
        self.endpoints.admit(node, cluster_id(&response))?;
        Ok(response)
    }

    async fn finish(&self, node: &NodeUrl, mut response: Response) -> Result<HttpResponse, String> {
        let status = response.status();
        let limit = if status.is_success() { MAX_RESPONSE_BYTES } else { MAX_ERROR_BYTES };
        let index = index(&response);
        let known = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        let mut body = Vec::with_capacity(known.min(limit).min(1 << 20));
        while let Some(chunk) = timeout(self.timeout, response.chunk())
            .await
            .map_err(|_| no_answer(self.timeout))?
            .map_err(|error| format!("the response broke off: {}", reason(&error)))?
        {
            if body.len() + chunk.len() > limit {
                if status.is_success() {
                    return Err(format!("the response is larger than {} MiB", limit >> 20));
                }
                break;
            }
            body.extend_from_slice(&chunk);
        }
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(format!("status {}: {}", status.as_u16(), excerpt(&body)));
        }
        Ok(HttpResponse { node: NodeUrl::clone(node), status, index, body })
    }
}

fn http(trust: &Trust, https: bool, timeout: Duration) -> Result<reqwest::Client, ClientError> {
    let http = reqwest::Client::builder()
        .use_preconfigured_tls(tls::config(trust, https)?)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(timeout)
        .pool_idle_timeout(Duration::from_secs(15));
    // Keepalive probes detect a dead connection within seconds, also under an idle watch.
    Liveness::TO_STORE
        .of_client(http)
        .build()
        .map_err(|error| ClientError::Settings(format!("cannot set up the HTTP client: {}", reason(&error))))
}

pub(super) fn index(response: &Response) -> Option<u64> {
    response.headers().get("x-etcd-index")?.to_str().ok()?.parse().ok()
}
