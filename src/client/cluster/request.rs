//! Sends one request to the first endpoint that responds.

use std::sync::OnceLock;
use std::time::Duration;

use rand::seq::SliceRandom as _;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Response};
use tokio::time::{Instant, timeout_at};

use super::address::Address;
use super::error::{EndpointError, RequestError};
use super::reason;
use super::reply::Reply;
use super::waiting::WatchPosition;
use crate::client::endpoints::{Endpoints, NodeUrl, Pass};
use crate::client::learn::cluster_id;
use crate::client::{ClientError, Credentials, SetBy, Trust, excerpt, tls};
use crate::protocol::quoted;
use crate::tcp::Liveness;

/// The longest accepted response; a store never sends more.
const MAX_RESPONSE_BYTES: usize = 512 << 20;
/// How many redirects are followed; the same as Go's client.
const MAX_REDIRECTS: usize = 10;
/// Loop Detected.
const LOOP_DETECTED: u16 = 508;
/// How long a name lookup and a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// The address of a cluster and how to connect to it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Base URLs as they were typed.
    pub endpoints: Vec<String>,
    /// TLS for `https` endpoints.
    pub trust: Trust,
    /// Sent with each request.
    pub login: Option<Credentials>,
    /// How long one endpoint may take until its response begins; zero: no limit. A watch has no such limit.
    pub timeout: Duration,
    /// The time limit of a connection, if shorter than half a minute.
    pub dial: Duration,
    /// Receives a line about each request, as a `curl` command.
    pub trace: Option<fn(&str)>,
    /// Whether to learn the members from the cluster; the given endpoints remain as a fallback.
    pub sync: bool,
}

/// One request, for any endpoint.
#[derive(Debug)]
pub(super) struct ClusterRequest {
    pub(super) method: Method,
    pub(super) path: Vec<u8>,
    pub(super) query: String,
    /// Content type and text.
    pub(super) body: Option<(&'static str, String)>,
    /// Must go to one endpoint only, because a repetition would have another result.
    pub(super) once: bool,
    /// For a watch, which responds when something happens: its position.
    pub(super) wait: Option<WatchPosition>,
    /// The body must not be shown.
    pub(super) secret: bool,
}

impl ClusterRequest {
    pub(super) fn get(path: &[u8]) -> Self {
        let (path, query) = (path.to_vec(), String::new());
        Self { method: Method::GET, path, query, body: None, once: false, wait: None, secret: false }
    }
}

/// A v2 cluster.
#[derive(Debug)]
pub struct Cluster {
    options: Options,
    authorization: Option<HeaderValue>,
    plain: reqwest::Client,
    // Loading the system's trust roots takes milliseconds, so this waits until an endpoint needs them.
    secure: OnceLock<Result<reqwest::Client, String>>,
    endpoints: Endpoints,
    #[cfg(test)]
    wire: Option<super::wire::Wire>,
}

impl Cluster {
    /// Checks the endpoints and loads the certificate files; sends nothing yet. Shuffles the endpoints, so that clients
    /// spread over them.
    ///
    /// # Errors
    /// `Refused` for an endpoint or a certificate file.
    pub fn new(options: Options) -> Result<Self, RequestError> {
        let mut nodes = parsed(&options.endpoints)?;
        nodes.shuffle(&mut rand::rng());
        let plain = http(&options, false).map_err(RequestError::Refused)?;
        let authorization = options.login.as_ref().map(Credentials::basic);
        let endpoints = Endpoints::of(nodes).learning(options.sync, &options.trust);
        Ok(Self {
            options,
            authorization,
            plain,
            secure: OnceLock::new(),
            endpoints,
            #[cfg(test)]
            wire: None,
        })
    }

    /// Returns a cluster whose requests go over `wire` instead of the network.
    #[cfg(test)]
    pub(crate) fn over(wire: super::wire::Wire, options: Options) -> Result<Self, RequestError> {
        Ok(Self { wire: Some(wire), ..Self::new(options)? })
    }

    /// Returns the endpoints, in the order they are tried.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.endpoints.known().iter().map(|node| node.to_string()).collect()
    }

    /// Updates the list of members for ever; a long-running caller runs it concurrently. Does nothing without
    /// [`Options::sync`].
    pub async fn follow_members(&self) -> std::convert::Infallible {
        self.endpoints.follow().await
    }

    /// Returns how often another cluster has replaced the previous one, as after a restore. An index of one cluster
    /// means nothing in the next.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.endpoints.epoch()
    }

    /// Returns whether the members are learnt from the cluster.
    pub(super) fn learns(&self) -> bool {
        self.endpoints.learns()
    }

    /// Replaces the endpoints, unless they are the same.
    pub(super) fn replace(&self, endpoints: &[String]) -> Result<(), RequestError> {
        if endpoints.is_empty() {
            return Err(RequestError::NoEndpoints);
        }
        self.endpoints.replace(parsed(endpoints)?);
        Ok(())
    }

    /// Returns the response of the first endpoint with a status below 500.
    pub(super) async fn execute(
        &self,
        outgoing: &ClusterRequest,
        deadline: Option<Instant>,
    ) -> Result<Reply, RequestError> {
        let (mut pass, mut faults, mut refused) = (Pass::new(), Vec::new(), None);
        outgoing.wait.as_ref().map(WatchPosition::lost);
        loop {
            self.check_epoch(outgoing)?;
            let next = self.endpoints.next(&mut pass);
            // Finding further endpoints may take long, so the deadline matters only after all have failed.
            let next = if faults.is_empty() { Some(next.await) } else { within(deadline, next).await };
            let Ok(next) = next.ok_or(RequestError::Deadline)? else { break };
            let Some(node) = next else { break };
            let address = match Address::parse(&node) {
                Ok(address) => address,
                Err(text) => {
                    self.endpoints.failed(&node);
                    faults.push(EndpointError { text, connection: false });
                    continue;
                }
            };
            if let Err(fault) = self.prove(&node, outgoing, deadline).await {
                // Nothing was sent to this endpoint, so any request may go to another.
                self.endpoints.failed(&node);
                faults.push(fault.ok_or(RequestError::Deadline)?);
                continue;
            }
            let fault = match self.ask_at(&node, &address, outgoing, deadline).await {
                Ok(reply) if reply.status < 500 => {
                    self.endpoints.served(&node);
                    return Ok(reply);
                }
                Ok(reply) => {
                    // Only our own store names a reason, and that says more than what the others return.
                    let reason =
                        reply.reason.as_ref().map(|reason| format!("{} refused: {reason}", address.text()));
                    refused = refused.or(reason);
                    server_error(&address, &reply)
                }
                Err(Some(fault)) => fault,
                Err(None) => {
                    // Otherwise an endpoint that does not respond would delay every later request.
                    self.endpoints.failed(&node);
                    return Err(RequestError::Deadline);
                }
            };
            self.check_epoch(outgoing)?;
            // The next request tries another endpoint first.
            self.endpoints.failed(&node);
            if outgoing.once {
                return Err(RequestError::One(fault));
            }
            if outgoing.wait.as_ref().is_some_and(WatchPosition::lost) {
                // The watch was established for a while, so all other endpoints get a new try.
                (pass, faults) = (Pass::new(), Vec::new());
            }
            // An endpoint that was given twice counts twice, as in etcd's client.
            faults.extend(std::iter::repeat_n(fault, self.times_given(&node).max(1)));
        }
        match refused {
            Some(refused) => Err(RequestError::Refused(refused)),
            None if faults.is_empty() => Err(RequestError::NoEndpoints),
            None => Err(RequestError::All(faults)),
        }
    }

    /// Ends a watch at an index of a cluster that this store no longer is.
    fn check_epoch(&self, outgoing: &ClusterRequest) -> Result<(), RequestError> {
        match &outgoing.wait {
            Some(waiting) if waiting.epoch != self.epoch() => Err(RequestError::Replaced),
            _ => Ok(()),
        }
    }

    /// Checks that a node belongs to the previous cluster, for a request that another cluster must not get.
    async fn prove(
        &self,
        node: &NodeUrl,
        outgoing: &ClusterRequest,
        deadline: Option<Instant>,
    ) -> Result<(), Option<EndpointError>> {
        if outgoing.method == Method::GET && self.authorization.is_none() {
            return Ok(());
        }
        let proven = within(deadline, self.endpoints.prove(node)).await.ok_or(None)?;
        proven.map_err(|unproven| {
            let text = format!("client: {node}: {}", unproven.why);
            Some(EndpointError { text, connection: !unproven.answers })
        })
    }

    fn times_given(&self, node: &NodeUrl) -> usize {
        let same = |given: &&String| Address::parse(given).is_ok_and(|address| address.text() == **node);
        self.options.endpoints.iter().filter(same).count()
    }

    /// Returns the response of this endpoint, or of the target of its redirect. An error without a fault: the deadline
    /// passed.
    async fn ask_at(
        &self,
        node: &NodeUrl,
        address: &Address,
        outgoing: &ClusterRequest,
        deadline: Option<Instant>,
    ) -> Result<Reply, Option<EndpointError>> {
        let query = outgoing.wait.as_ref().map(WatchPosition::query);
        let mut url = address.below(&outgoing.path, query.as_ref().unwrap_or(&outgoing.query));
        for _ in 0..=MAX_REDIRECTS {
            self.trace(&url, outgoing);
            if let Some(text) = address.hopeless() {
                let connection = text.starts_with("dial");
                return Err(Some(EndpointError { text, connection }));
            }
            let (reply, location) = self.send((node, address), &url, outgoing, deadline).await?;
            if reply.status / 100 != 3 {
                return Ok(reply);
            }
            let fault = |text: String| Some(EndpointError { text, connection: false });
            let location = location.ok_or_else(|| fault("location header not set".into()))?;
            if !location.starts_with("http://") && !location.starts_with("https://") {
                return Err(fault(format!("location header not valid URL: {location}")));
            }
            url = location;
        }
        Err(Some(EndpointError { text: "client: too many redirects".into(), connection: false }))
    }

    async fn send(
        &self,
        (node, address): (&NodeUrl, &Address),
        url: &str,
        outgoing: &ClusterRequest,
        deadline: Option<Instant>,
    ) -> Result<(Reply, Option<String>), Option<EndpointError>> {
        #[cfg(test)]
        if let Some(wire) = &self.wire {
            let lost = || Some(EndpointError { text: "EOF".to_owned(), connection: true });
            return match within(deadline, wire.execute(outgoing)).await {
                Some(reply) => Ok((reply.ok_or_else(lost)?, None)),
                None => Err(None),
            };
        }
        let http =
            self.http(url.starts_with("https:")).map_err(|text| EndpointError { text, connection: false })?;
        let mut request = http.request(outgoing.method.clone(), url);
        if let Some((kind, text)) = &outgoing.body {
            request = request.header(CONTENT_TYPE, *kind).body(text.clone());
        } else if outgoing.method == Method::DELETE {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        // A redirect may lead anywhere, so only a known endpoint gets the password.
        if let Some(value) = self.authorization.as_ref().filter(|_| self.knows(url)) {
            request = request.header(AUTHORIZATION, value);
        }
        let limit =
            (outgoing.wait.is_none() && !self.options.timeout.is_zero()).then_some(self.options.timeout);
        let head_by = limit.map(|limit| Instant::now() + limit);
        let by = match (head_by, deadline) {
            (Some(head), Some(whole)) => Some(head.min(whole)),
            (head, whole) => head.or(whole),
        };
        let response = match within(by, request.send()).await {
            Some(response) => response,
            None if deadline.is_some_and(|deadline| Instant::now() >= deadline) => return Err(None),
            None => {
                let text = format!("client: endpoint {node} exceeded header timeout");
                return Err(Some(EndpointError { text, connection: false }));
            }
        };
        let response = match response {
            Ok(response) => response,
            Err(error) => return Err(Some(reason::of(&error, address, &self.options.trust).await)),
        };
        self.endpoints
            .admit(node, cluster_id(&response))
            .map_err(|why| EndpointError { text: format!("client: {node}: {why}"), connection: false })?;
        if self.check_epoch(outgoing).is_err() {
            // The response to this index may take long, and would be useless.
            return Err(Some(EndpointError {
                text: format!("client: {node}: this is another store"),
                connection: false,
            }));
        }
        let index = header(&response, "x-etcd-index").and_then(|index| index.parse().ok());
        if let (Some(waiting), Some(index), true) = (&outgoing.wait, index, response.status().is_success()) {
            waiting.accepted(index);
        }
        let location = header(&response, "location");
        match within(deadline, whole(response, address, &self.options.trust)).await {
            Some(reply) => Ok((reply.map_err(Some)?, location)),
            None => Err(None),
        }
    }

    /// Fetches `url` unchanged and returns the body; the error is the reason as text.
    pub(super) async fn fetch(&self, url: &str, limit: Duration) -> Result<Vec<u8>, String> {
        let address = Address::parse(url)?;
        let deadline = Some(Instant::now() + limit);
        if let Some(why) = address.hopeless() {
            return Err(format!("Get {}: {why}", quoted(url)));
        }
        let http = self.http(address.scheme == "https")?;
        let answer = within(deadline, async {
            match http.get(url).send().await {
                Ok(response) => whole(response, &address, &self.options.trust).await.map(|reply| reply.body),
                Err(error) => Err(reason::of(&error, &address, &self.options.trust).await),
            }
        });
        match answer.await {
            Some(Ok(body)) => Ok(body),
            Some(Err(fault)) => Err(format!("Get {}: {}", quoted(url), fault.text)),
            None => Err(format!("Get {}: context deadline exceeded", quoted(url))),
        }
    }

    fn trace(&self, url: &str, outgoing: &ClusterRequest) {
        if let Some(trace) = self.options.trace {
            let body = outgoing.body.as_ref();
            let data = body.map_or_else(String::new, |(_, text)| {
                format!(
                    " -d {}",
                    quoted(if outgoing.secret { "(hidden: it holds a password)" } else { text })
                )
            });
            trace(&format!("cURL Command: curl -X {} {url}{data}", outgoing.method));
        }
    }

    fn knows(&self, url: &str) -> bool {
        self.endpoints.known().iter().filter_map(|node| Address::parse(node).ok()).any(|node| {
            let base = format!("{}://{}", node.scheme, node.host);
            url.strip_prefix(&base).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
        })
    }

    fn http(&self, secure: bool) -> Result<&reqwest::Client, String> {
        if !secure {
            return Ok(&self.plain);
        }
        self.secure.get_or_init(|| http(&self.options, true)).as_ref().map_err(Clone::clone)
    }
}

fn http(options: &Options, secure: bool) -> Result<reqwest::Client, String> {
    let tls =
        tls::config(&options.trust, secure).map_err(|error| file_words(&error, options.trust.set_by))?;
    let http = reqwest::Client::builder()
        .use_preconfigured_tls(tls)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(if options.dial.is_zero() {
            CONNECT_TIMEOUT
        } else {
            options.dial.min(CONNECT_TIMEOUT)
        });
    // Keepalive probes detect a dead connection within seconds, also under an idle watch.
    Liveness::TO_STORE
        .of_client(http)
        .build()
        .map_err(|error| format!("cannot set up the HTTP client: {error}"))
}

/// Describes a missing certificate file in Go's words for etcdctl, and other errors in ours.
fn file_words(error: &ClientError, set_by: SetBy) -> String {
    match error {
        ClientError::File { path, .. } if set_by == SetBy::Etcdctl && !path.exists() => {
            format!("open {}: no such file or directory", path.display())
        }
        other => other.to_string(),
    }
}

/// Returns the `message` of a body, or the body's beginning.
fn message(body: &[u8]) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let reported = json.as_ref().and_then(|json| json["message"].as_str());
    excerpt(reported.map_or(body, str::as_bytes))
}

/// Parses the base URLs; the result is spelt as Go prints them.
fn parsed(endpoints: &[String]) -> Result<Vec<NodeUrl>, RequestError> {
    let parse = |text: &String| Address::parse(text).map(|address| NodeUrl::from(address.text()));
    endpoints.iter().map(parse).collect::<Result<_, _>>().map_err(RequestError::Refused)
}

fn server_error(node: &Address, reply: &Reply) -> EndpointError {
    let text = match reply.status {
        500 | 503 => format!("client: etcd member {} has no leader", node.text()),
        status => {
            let code = reqwest::StatusCode::from_u16(status).ok();
            let reason = code.and_then(|code| code.canonical_reason()).unwrap_or_default();
            let text = format!("client: etcd member {} returns server error [{reason}]", node.text());
            // Only our own proxy returns this status, and its message says which address to change.
            if status == LOOP_DETECTED { format!("{text}: {}", message(&reply.body)) } else { text }
        }
    };
    EndpointError { text, connection: false }
}

/// Runs `work` until the deadline; `None`: it was late. The timer is coarser than the shortest possible limit, so the
/// clock decides.
async fn within<T>(by: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match by {
        Some(by) => timeout_at(by, work).await.ok().filter(|_| Instant::now() < by),
        None => Some(work.await),
    }
}

fn header(response: &Response, name: &str) -> Option<String> {
    Some(response.headers().get(name)?.to_str().ok()?.to_owned())
}

async fn whole(mut response: Response, node: &Address, trust: &Trust) -> Result<Reply, EndpointError> {
    let (status, index) = (response.status().as_u16(), header(&response, "x-etcd-index"));
    let (cluster, reason) = (cluster_id(&response), header(&response, "x-retune-reason"));
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > MAX_RESPONSE_BYTES => {
                let text = format!("the response is larger than {} MiB", MAX_RESPONSE_BYTES >> 20);
                return Err(EndpointError { text, connection: false });
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(Reply { status, index, reason, cluster, body }),
            Err(error) => return Err(reason::of(&error, node, trust).await),
        }
    }
}
