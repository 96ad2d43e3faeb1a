//! One question to whichever endpoint answers it.

use std::sync::OnceLock;
use std::time::Duration;

use rand::seq::SliceRandom as _;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Response};
use tokio::time::{Instant, timeout_at};

use super::address::Address;
use super::error::{EndpointError, RequestError};
use super::escape::quoted;
use super::reason;
use super::waiting::WatchPosition;
use crate::client::endpoints::{Endpoints, NodeUrl, Pass};
use crate::client::http::cluster_id;
use crate::client::{ClientError, Credentials, SetBy, Trust, excerpt, tls};
use crate::tcp::Liveness;

/// No answer of a store is larger; a larger one is a fault.
const MAX_RESPONSE_BYTES: usize = 512 << 20;
/// As many redirects are followed, as by Go's client.
const MAX_REDIRECTS: usize = 10;
/// Loop Detected.
const LOOP_DETECTED: u16 = 508;
/// A name or a network that does not answer is given up after this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a cluster is and how to reach it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Base URLs as they were typed.
    pub endpoints: Vec<String>,
    /// TLS for `https` endpoints.
    pub trust: Trust,
    /// Sent with each request.
    pub login: Option<Credentials>,
    /// How long one endpoint may take to begin its answer; zero is for ever. A watch has no such limit.
    pub timeout: Duration,
    /// The limit of a connection, when shorter than half a minute.
    pub dial: Duration,
    /// Gets a line about each request, in the form of a `curl` command.
    pub trace: Option<fn(&str)>,
    /// Whether the members of the cluster are learnt from it; what was given stays as a way back.
    pub sync: bool,
}

/// One question, whichever endpoint it goes to.
#[derive(Debug)]
pub(super) struct ClusterRequest {
    pub(super) method: Method,
    pub(super) path: Vec<u8>,
    pub(super) query: String,
    /// Content type and text.
    pub(super) body: Option<(&'static str, String)>,
    /// To be sent to one endpoint only: done twice it would answer something else.
    pub(super) once: bool,
    /// A watch, which answers when something happens.
    pub(super) wait: Option<WatchPosition>,
    /// The body is not to be told.
    pub(super) secret: bool,
}

impl ClusterRequest {
    pub(super) fn get(path: &[u8]) -> Self {
        let (path, query) = (path.to_vec(), String::new());
        Self { method: Method::GET, path, query, body: None, once: false, wait: None, secret: false }
    }
}

/// A whole answer of one endpoint.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) index: Option<String>,
    /// The id of the cluster that answered, where it says so.
    pub(super) cluster: Option<u64>,
    pub(super) body: Vec<u8>,
}

/// A v2 cluster.
#[derive(Debug)]
pub struct Cluster {
    options: Options,
    authorization: Option<HeaderValue>,
    plain: reqwest::Client,
    // Reading the system's trust roots takes milliseconds, so this waits until an endpoint needs them.
    secure: OnceLock<Result<reqwest::Client, String>>,
    endpoints: Endpoints,
    #[cfg(test)]
    wire: Option<super::wire::Wire>,
}

impl Cluster {
    /// Checks the endpoints and reads the certificate files; nothing goes over the network yet. The order of the
    /// endpoints is left to chance, so that clients spread over them.
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

    /// One whose requests go over `wire` and not over the network.
    #[cfg(test)]
    pub(crate) fn over(wire: super::wire::Wire, options: Options) -> Result<Self, RequestError> {
        Ok(Self { wire: Some(wire), ..Self::new(options)? })
    }

    /// The endpoints, in the order they are tried.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.endpoints.known().iter().map(|node| node.to_string()).collect()
    }

    /// Keeps up with the members of the cluster for ever; whoever uses this for long runs it beside. It does nothing
    /// without [`Options::sync`].
    pub async fn follow_members(&self) -> std::convert::Infallible {
        self.endpoints.follow().await
    }

    /// How often another cluster has taken the place of the one before, as after a restore. An index that one of them
    /// told means nothing to the next.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.endpoints.epoch()
    }

    /// Whether the members of the cluster are learnt from it.
    pub(super) fn learns(&self) -> bool {
        self.endpoints.learns()
    }

    /// Takes these as the endpoints from now on, unless they are what it has already.
    pub(super) fn replace(&self, endpoints: &[String]) -> Result<(), RequestError> {
        if endpoints.is_empty() {
            return Err(RequestError::NoEndpoints);
        }
        self.endpoints.replace(parsed(endpoints)?);
        Ok(())
    }

    /// The answer of the first endpoint that gives one below 500.
    pub(super) async fn execute(
        &self,
        outgoing: &ClusterRequest,
        deadline: Option<Instant>,
    ) -> Result<Reply, RequestError> {
        let (mut pass, mut faults) = (Pass::new(), Vec::new());
        outgoing.wait.as_ref().map(WatchPosition::lost);
        loop {
            self.is_where_it_was(outgoing)?;
            let next = self.endpoints.next(&mut pass);
            // Only after all have failed it may take a while to find another.
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
                // Nothing was sent there, so another one may get it, whatever it is.
                self.endpoints.failed(&node);
                faults.push(fault.ok_or(RequestError::Deadline)?);
                continue;
            }
            let fault = match self.ask_at(&node, &address, outgoing, deadline).await {
                Ok(reply) if reply.status < 500 => {
                    self.endpoints.served(&node);
                    return Ok(reply);
                }
                Ok(reply) => server_error(&address, &reply),
                Err(Some(fault)) => fault,
                Err(None) => {
                    // Otherwise one that is silent would eat up the time of every request to come.
                    self.endpoints.failed(&node);
                    return Err(RequestError::Deadline);
                }
            };
            self.is_where_it_was(outgoing)?;
            // Another one is asked first by whatever comes next.
            self.endpoints.failed(&node);
            if outgoing.once {
                return Err(RequestError::One(fault));
            }
            if outgoing.wait.as_ref().is_some_and(WatchPosition::lost) {
                // The watch ran: every other endpoint deserves a new try.
                (pass, faults) = (Pass::new(), Vec::new());
            }
            // An endpoint that was given twice counts twice, as with etcd's client.
            faults.extend(std::iter::repeat_n(fault, self.times_given(&node).max(1)));
        }
        if faults.is_empty() { Err(RequestError::NoEndpoints) } else { Err(RequestError::All(faults)) }
    }

    /// Ends a watch on an index of a cluster that is not this store any more.
    fn is_where_it_was(&self, outgoing: &ClusterRequest) -> Result<(), RequestError> {
        match &outgoing.wait {
            Some(waiting) if waiting.epoch != self.epoch() => Err(RequestError::Replaced),
            _ => Ok(()),
        }
    }

    /// Checks that a node belongs to the cluster that answered before, when another one must not get the request.
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

    /// The answer of this endpoint or of whom it points to. No fault means that the deadline is over.
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
        // A redirect may lead anywhere; only a known endpoint is told the password.
        if let Some(value) = self.authorization.as_ref().filter(|_| self.knows(url)) {
            request = request.header(AUTHORIZATION, value);
        }
        let patience =
            (outgoing.wait.is_none() && !self.options.timeout.is_zero()).then_some(self.options.timeout);
        let head_by = patience.map(|patience| Instant::now() + patience);
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
        if self.is_where_it_was(outgoing).is_err() {
            // Its answer to this index could be long in coming, and would be of no use.
            return Err(Some(EndpointError {
                text: format!("client: {node}: the store is another"),
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

    /// Gets `url` as it is and answers the body; an error is the reason.
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
    // A link that died without a word is found by the kernel within seconds, also under an idle watch.
    Liveness::TO_STORE
        .of_client(http)
        .build()
        .map_err(|error| format!("the HTTP client cannot be set up: {error}"))
}

/// A missing certificate file in Go's words for etcdctl, anything else in ours.
fn file_words(error: &ClientError, set_by: SetBy) -> String {
    match error {
        ClientError::File { path, .. } if set_by == SetBy::Etcdctl && !path.exists() => {
            format!("open {}: no such file or directory", path.display())
        }
        other => other.to_string(),
    }
}

/// The `message` of a body, or its beginning.
fn message(body: &[u8]) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let reported = json.as_ref().and_then(|json| json["message"].as_str());
    excerpt(reported.map_or(body, str::as_bytes))
}

/// The base URLs as Go prints them.
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
            // No store returns this one: a proxy of ours says which address to change.
            if status == LOOP_DETECTED { format!("{text}: {}", message(&reply.body)) } else { text }
        }
    };
    EndpointError { text, connection: false }
}

/// What the work came to, `None` when that was not in time. The timer is coarser than the shortest limit one can
/// ask for, so the clock has the last word.
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
    let cluster = cluster_id(&response);
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > MAX_RESPONSE_BYTES => {
                let text = format!("the response is larger than {} MiB", MAX_RESPONSE_BYTES >> 20);
                return Err(EndpointError { text, connection: false });
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(Reply { status, index, cluster, body }),
            Err(error) => return Err(reason::of(&error, node, trust).await),
        }
    }
}
