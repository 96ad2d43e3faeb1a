//! Keeps the list of members in sync with the store.
//!
//! A member that responds is asked for the list of members: at the start, after a node failed, and every
//! [`REFRESH_INTERVAL`], because changes of members cannot be watched. The interval is short for the sake of a client
//! that is connected to the member that is removed last and sees no failure before. While a script replaces all
//! members, which takes less than ten seconds, that client must get at least one of the new ones. (etcd itself
//! accepts a change of members only after all have been connected for five seconds.) The list is one small response
//! from memory, on its own connection that is closed afterwards, so it takes no connection slot at the store.
//!
//! A member is used only after it responded to this client, without credentials, for the same cluster. So an address
//! that is unreachable from here, or is another machine's `localhost`, does no harm. A client with an `https` node
//! never uses an `http` one. The size of a list and the time of each request are bounded.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use rand::RngExt as _;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::endpoints::{Endpoints, NodeUrl, normalize};
use super::error_text::reason;
use super::{Trust, tls};
use crate::backoff::Backoff;

/// The longest interval between requests for the list; each client uses up to a quarter less.
const REFRESH_INTERVAL: Duration =
    if cfg!(test) { Duration::from_millis(400) } else { Duration::from_secs(6) };
/// The delay after a failed round; it doubles up to the interval.
const FIRST_RETRY_DELAY: Duration = Duration::from_secs(1);
/// The longest delay after a failure, so that clients do not all send requests at once.
const MAX_FAILURE_JITTER: Duration = Duration::from_millis(500);
/// The longest delay between two attempts to reach a member.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(300);
/// The time limit of one request for the list.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// How many nodes are asked for the list concurrently after a failure.
const MAX_CONCURRENT_REQUESTS: usize = 8;
/// A list with more URLs is invalid.
const MAX_URLS: usize = 64;
/// A longer response is invalid.
const MAX_RESPONSE_BYTES: usize = 256 << 10;

/// Gets the list of members from the store, repeatedly.
#[derive(Debug)]
pub(crate) struct MemberSync {
    trust: Trust,
    secure: bool,
    http: OnceLock<Option<reqwest::Client>>,
    /// Whether the list comes from the v3 gateway because the v2 API is missing.
    v3: AtomicBool,
    state: Mutex<MemberSyncState>,
}

#[derive(Debug, Default)]
struct MemberSyncState {
    /// Members that did not respond.
    unresponsive: Retries,
    /// Given nodes that did not report their cluster.
    unlisted: Retries,
    /// The last warning.
    warned: String,
}

/// Nodes that failed, and when each is tried again.
#[derive(Debug, Default)]
struct Retries(HashMap<NodeUrl, (Backoff, Instant)>);

impl Retries {
    fn is_due(&self, node: &NodeUrl) -> bool {
        self.0.get(node).is_none_or(|(_, due)| Instant::now() >= *due)
    }

    /// Notes a failure; returns whether it is the first.
    fn failed(&mut self, node: &NodeUrl) -> bool {
        let fresh = || (Backoff::new(REFRESH_INTERVAL, MAX_RETRY_DELAY), Instant::now());
        let (backoff, due) = self.0.entry(NodeUrl::clone(node)).or_insert_with(fresh);
        let first = backoff.attempts() == 0;
        *due = Instant::now() + backoff.next();
        first
    }
}

/// A node's information about its cluster, from either API.
#[derive(Debug, Default, Deserialize)]
struct MemberReply {
    #[serde(skip)]
    cluster: Option<u64>,
    #[serde(default)]
    header: Header,
    #[serde(default)]
    members: Option<Vec<Member>>,
}

#[derive(Debug, Default, Deserialize)]
struct Header {
    #[serde(default)]
    cluster_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Member {
    #[serde(default, rename = "clientURLs")]
    clients: Option<Vec<String>>,
    /// A learner does not vote and does not serve requests.
    #[serde(default)]
    is_learner: bool,
}

impl MemberSync {
    /// With `secure`, only members with TLS are used.
    pub(super) fn new(trust: Trust, secure: bool) -> Self {
        let (http, v3, state) = (OnceLock::new(), AtomicBool::new(false), Mutex::default());
        Self { trust, secure, http, v3, state }
    }

    /// Keeps the members of `endpoints` up to date for ever.
    pub(super) async fn follow(&self, endpoints: &Endpoints) -> Infallible {
        let mut retry = Backoff::new(FIRST_RETRY_DELAY, REFRESH_INTERVAL);
        let mut urgent = false;
        loop {
            let synced = self.round(endpoints, urgent).await;
            let wait = if synced {
                retry.reset();
                REFRESH_INTERVAL.mul_f64(rand::rng().random_range(0.75..1.0))
            } else {
                retry.next()
            };
            urgent = tokio::select! {
                () = sleep(wait) => !synced,
                () = endpoints.wait_for_failure(), if synced => {
                    let pause = MAX_FAILURE_JITTER.mul_f64(rand::rng().random_range(0.2..1.0));
                    sleep(pause).await;
                    true
                }
            };
        }
    }

    /// Syncs once, from the first node that returns a list; returns whether there was one. An `urgent` round also
    /// tries members that did not respond a short while ago.
    pub(super) async fn round(&self, endpoints: &Endpoints, urgent: bool) -> bool {
        let Ok(order) = endpoints.order().await else { return false };
        let asked = order.into_iter().map(|node| async move {
            let listed = self.list(&node).await;
            (node, listed)
        });
        // In this order, however fast each is: a member that was partitioned may have an old list.
        let mut answers =
            futures_util::stream::iter(asked).buffered(if urgent { MAX_CONCURRENT_REQUESTS } else { 1 });
        while let Some((node, listed)) = answers.next().await {
            match listed {
                // Without a cluster id there is no way to tell whether a member belongs to this store.
                Ok(listed) if listed.cluster.is_none() => {
                    tracing::debug!("{node} does not report its cluster: no members are learnt");
                }
                Ok(listed) if endpoints.is_same_cluster(&node, listed.cluster) => {
                    if let Some(urls) = self.urls(&node, listed) {
                        let members = self.reachable(endpoints, &node, urls, urgent).await;
                        endpoints.set_members(&node, members);
                    }
                    self.check_given_nodes(endpoints).await;
                    return true;
                }
                Ok(_) => {}
                Err(why) => tracing::debug!("{node} does not list the members: {why}"),
            }
        }
        false
    }

    /// Determines the clusters of the given nodes while the own one is reachable: nodes of another cluster are reported
    /// at the start, and are not mistaken for a restored store later.
    async fn check_given_nodes(&self, endpoints: &Endpoints) {
        let unknown = endpoints.unknown().into_iter().map(|node| async move {
            if !self.lock().unlisted.is_due(&node) {
                return;
            }
            if let Ok(Some(id)) = self.cluster_of(&node).await {
                self.lock().unlisted.0.remove(&node);
                endpoints.is_same_cluster(&node, Some(id));
                return;
            }
            self.lock().unlisted.failed(&node);
        });
        let asked = futures_util::stream::iter(unknown).buffer_unordered(MAX_CONCURRENT_REQUESTS);
        asked.collect::<()>().await;
        endpoints.find_conflicting();
    }

    /// Returns the listed URLs that may be used; `None` for an invalid list.
    fn urls(&self, node: &NodeUrl, listed: MemberReply) -> Option<Vec<NodeUrl>> {
        let members = listed.members.unwrap_or_default().into_iter().filter(|member| !member.is_learner);
        let mut texts: Vec<String> = members.flat_map(|member| member.clients.unwrap_or_default()).collect();
        texts.sort_unstable();
        texts.dedup();
        if texts.len() > MAX_URLS {
            let count = texts.len();
            self.warn(format!("{node} lists {count} URLs of members, more than {MAX_URLS}: none is used"));
            return None;
        }
        let scheme = if self.secure { "https" } else { "http" };
        let (urls, others): (Vec<&String>, Vec<&String>) =
            texts.iter().partition(|url| url.to_ascii_lowercase().starts_with(&format!("{scheme}://")));
        if let (true, Some(other)) = (self.secure, others.first()) {
            self.warn(format!("member {other} is not used: its URL is not https, but the given ones are"));
        }
        Some(urls.into_iter().filter_map(|url| normalize(url, scheme).ok()).collect())
    }

    /// Returns those of `urls` that respond for the same cluster, or did so once and are still listed.
    async fn reachable(
        &self,
        endpoints: &Endpoints,
        listed_by: &NodeUrl,
        urls: Vec<NodeUrl>,
        urgent: bool,
    ) -> Vec<NodeUrl> {
        self.lock().unresponsive.0.retain(|node, _| urls.contains(node));
        let checks = urls.into_iter().map(|url| async move {
            if url == *listed_by || endpoints.is_trusted(&url) {
                return Some(url);
            }
            if !urgent && !self.lock().unresponsive.is_due(&url) {
                return endpoints.is_member(&url).then_some(url);
            }
            match self.list(&url).await {
                Ok(MemberReply { cluster: None, .. }) => None,
                Ok(listed) => {
                    self.lock().unresponsive.0.remove(&url);
                    if !endpoints.is_same_cluster(&url, listed.cluster) {
                        return None;
                    }
                    endpoints.responded(&url);
                    Some(url)
                }
                Err(why) => {
                    if self.lock().unresponsive.failed(&url) {
                        tracing::debug!(
                            "member {url} does not respond here ({why}): it is not used until it does"
                        );
                    }
                    endpoints.is_member(&url).then_some(url)
                }
            }
        });
        join_all(checks).await.into_iter().flatten().collect()
    }

    /// Returns the id of the cluster of `node`, if it serves a list of members with it.
    pub(super) async fn cluster_of(&self, node: &NodeUrl) -> Result<Option<u64>, String> {
        Ok(self.find(node).await?.and_then(|listed| listed.cluster))
    }

    /// Returns what `node` reports about its cluster. The error is the reason as text.
    async fn list(&self, node: &NodeUrl) -> Result<MemberReply, String> {
        self.find(node).await?.ok_or_else(|| "it serves no list of members".into())
    }

    /// Gets the list from whichever API has one.
    async fn find(&self, node: &NodeUrl) -> Result<Option<MemberReply>, String> {
        for _ in 0..2 {
            let v3 = self.v3.load(Ordering::Relaxed);
            if let Some(listed) = self.list_by(node, v3).await? {
                return Ok(Some(listed));
            }
            self.v3.store(!v3, Ordering::Relaxed);
        }
        Ok(None)
    }

    /// Gets the list from one API; `None` if that is not served.
    async fn list_by(&self, node: &NodeUrl, v3: bool) -> Result<Option<MemberReply>, String> {
        let http = self.http.get_or_init(|| http(&self.trust, self.secure)).as_ref();
        let http = http.ok_or("cannot set up the HTTP client")?;
        let base = node.trim_end_matches('/');
        // The list needs no authentication, so no password is sent.
        let request = if v3 {
            http.post(format!("{base}/v3/cluster/member/list"))
                .header(CONTENT_TYPE, "application/json")
                .body("{}")
        } else {
            http.get(format!("{base}/v2/members"))
        };
        let mut response = request.send().await.map_err(|error| reason(&error))?;
        // A proxy in front of the store may reject this one, too.
        if response.status().is_client_error() {
            return Ok(None);
        }
        if !response.status().is_success() {
            return Err(format!("status {}", response.status().as_u16()));
        }
        let cluster = cluster_id(response.headers());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| reason(&error))? {
            if body.len() + chunk.len() > MAX_RESPONSE_BYTES {
                self.warn(format!("{node} returned an impossibly long list of members: none is used"));
                return Err(format!("its list is larger than {} KiB", MAX_RESPONSE_BYTES >> 10));
            }
            body.extend_from_slice(&chunk);
        }
        let listed: MemberReply =
            serde_json::from_slice(&body).map_err(|error| format!("not a list of members: {error}"))?;
        let cluster = cluster.or_else(|| listed.header.cluster_id.parse().ok().filter(|id| *id != 0));
        Ok(Some(MemberReply { cluster, ..listed }))
    }

    /// Logs a warning, but not the same one twice in a row.
    fn warn(&self, text: String) {
        let mut state = self.lock();
        if state.warned != text {
            tracing::warn!("{text}");
            state.warned = text;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, MemberSyncState> {
        // Nothing panics while the lock is held, so the state is consistent even if the lock is poisoned.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns a client that keeps no connection open, so that it takes no connection slot at the store.
fn http(trust: &Trust, secure: bool) -> Option<reqwest::Client> {
    let http = tls::http_client(trust, secure).ok()?.pool_max_idle_per_host(0);
    http.timeout(REQUEST_TIMEOUT).build().ok()
}

/// Returns the cluster of a node, if it reports one.
pub(super) fn cluster_id(headers: &HeaderMap) -> Option<u64> {
    u64::from_str_radix(headers.get("x-etcd-cluster-id")?.to_str().ok()?, 16).ok()
}
