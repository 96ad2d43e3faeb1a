//! The nodes of a store, and the order in which they are tried.
//!
//! The node that responded last is tried first, until it fails. After it come the members synced from the store
//! ([`member_sync`]), then the nodes given at the start, and last the nodes that failed, the earliest failure first. The
//! given nodes stay for ever: they are the fallback when every synced member is gone. Targets of an SRV record count as
//! given nodes; the record is looked up again after all nodes failed.
//!
//! A response counts only when it comes from the same cluster as the previous one. A node of another cluster is
//! skipped, and a node of unknown cluster is asked for its cluster before it gets a write or a password
//! ([`Endpoints::verify_cluster`]). The store counts as replaced or restored only when no node of the previous cluster
//! responds and a given node that belonged to it now belongs to another. That cluster is the store from then on: a new
//! [`Endpoints::epoch`] begins. A given node that never belonged to the previous cluster replaces it only after
//! [`FOREIGN_STORE_DELAY`], and one that was seen beside it never does.
//!
//! [`member_sync`]: super::member_sync

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand::seq::SliceRandom as _;
use tokio::sync::Notify;

use super::member_sync::MemberSync;
use super::{ClientError, Trust, srv};

/// Base URL of a node, without a trailing slash.
pub(crate) type NodeUrl = Arc<str>;

/// The store counts as replaced after a given node responded for another cluster, and no node for the previous one, for
/// this long: every node is tried once more meanwhile.
const REPLACED_STORE_DELAY: Duration = Duration::from_millis(300);
/// The same for a given node that never belonged to the previous cluster, which may only be restarting.
const FOREIGN_STORE_DELAY: Duration =
    if cfg!(test) { Duration::from_secs(2) } else { Duration::from_secs(30) };
/// Responses further apart do not count for that.
const MAX_FOREIGN_REPLY_GAP: Duration = Duration::from_secs(15);
/// How many nodes of other clusters are remembered, besides given ones.
const MAX_FOREIGN_NODES: usize = 128;

#[derive(Debug)]
pub(crate) struct Endpoints {
    scheme: String,
    record: Option<String>,
    timeout: Duration,
    /// `None`: members are not synced, and clusters are not compared.
    member_sync: Option<MemberSync>,
    state: Mutex<EndpointsState>,
    failure: Notify,
    /// How often the store was replaced by another cluster.
    epoch: AtomicU64,
}

#[derive(Debug, Default)]
struct EndpointsState {
    given: Vec<NodeUrl>,
    /// Whether an SRV record must be looked up for the given nodes.
    stale: bool,
    members: Vec<NodeUrl>,
    /// The node that responded last.
    current: Option<NodeUrl>,
    /// Nodes that failed and have not responded since, the earliest failure first.
    failed: Vec<NodeUrl>,
    cluster: Option<u64>,
    /// When a node of that cluster last responded.
    seen: Option<Instant>,
    /// Nodes of another cluster, with its id.
    foreign: BTreeMap<NodeUrl, u64>,
    /// Nodes that responded for the own cluster and have not failed since.
    verified: BTreeSet<NodeUrl>,
    /// Nodes that ever responded for it.
    was_verified: BTreeSet<NodeUrl>,
    /// Given nodes that responded for another cluster while the own one was reachable.
    conflicting: BTreeSet<NodeUrl>,
    /// When a given node first and last responded for another cluster since a node of the own one responded.
    replaced: Option<(Instant, Instant)>,
}

impl EndpointsState {
    /// Compares the cluster of `node` with the previous one.
    fn compare(&mut self, node: &NodeUrl, id: u64) -> Result<(), String> {
        let own = *self.cluster.get_or_insert(id);
        if own == id {
            self.seen = Some(Instant::now());
            self.replaced = None;
            self.foreign.remove(node);
            self.conflicting.remove(node);
            if !self.verified.contains(node) {
                self.verified.insert(NodeUrl::clone(node));
                self.was_verified.insert(NodeUrl::clone(node));
            }
            self.find_conflicting();
            return Ok(());
        }
        self.verified.remove(node);
        let why = format!("it belongs to another cluster, its id is {id:x}, not {own:x}");
        if self.foreign.insert(NodeUrl::clone(node), id) != Some(id) {
            tracing::warn!("{node} is not used: {why}");
        }
        Err(why)
    }

    /// Notes given nodes of other clusters: the own cluster is reachable, so they are not its replacement.
    fn find_conflicting(&mut self) {
        for (node, id) in &self.foreign {
            let known = self.was_verified.contains(node) || self.conflicting.contains(node);
            if !known && self.given.contains(node) {
                let own = self.cluster.unwrap_or_default();
                tracing::error!(
                    "the given URLs are of two clusters: {node} belongs to {id:x}, and {own:x} is in use. Give this client \
                     the URLs of one; {node} is not used, also when no member of {own:x} answers"
                );
                self.conflicting.insert(NodeUrl::clone(node));
            }
        }
    }

    /// Forgets nodes that are neither given nor members, except for a bounded number of foreign ones.
    fn forget_unknown(&mut self) {
        let Self { given, members, failed, current, foreign, verified, was_verified, conflicting, .. } = self;
        let is_known = |node: &NodeUrl| members.contains(node) || given.contains(node);
        failed.retain(is_known);
        for nodes in [verified, was_verified, conflicting] {
            nodes.retain(is_known);
        }
        current.take_if(|node| !is_known(node));
        // The log has one warning for each, as long as it is remembered.
        if foreign.len() > MAX_FOREIGN_NODES {
            foreign.retain(|node, _| is_known(node));
        }
    }

    fn is_known(&self, node: &NodeUrl) -> bool {
        self.members.contains(node) || self.given.contains(node)
    }

    fn order(&self) -> Vec<NodeUrl> {
        let mut order: Vec<NodeUrl> = Vec::with_capacity(self.members.len() + self.given.len());
        for node in self.current.iter().chain(&self.members).chain(&self.given) {
            if !self.failed.contains(node) && !order.contains(node) {
                order.push(NodeUrl::clone(node));
            }
        }
        order.extend(self.failed.iter().cloned());
        order
    }
}

/// Why it is unknown whether a node belongs to the previous cluster.
#[derive(Debug)]
pub(crate) struct Unverified {
    pub(crate) why: String,
    /// Whether it responds, but for another cluster.
    pub(crate) responds: bool,
}

/// The nodes that one request was already sent to.
#[derive(Debug)]
pub(crate) struct Failover {
    started: Instant,
    tried: Vec<NodeUrl>,
    /// Whether further nodes were looked for after all known ones had failed.
    extended: bool,
}

impl Failover {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), tried: Vec::new(), extended: false }
    }

    /// Returns the node that was tried last.
    pub(crate) fn last(&self) -> Option<&NodeUrl> {
        self.tried.last()
    }
}

impl Endpoints {
    pub(crate) fn new(
        nodes: &[String],
        record: Option<&str>,
        scheme: &str,
        timeout: Duration,
    ) -> Result<Self, ClientError> {
        if scheme != "http" && scheme != "https" {
            return Err(ClientError::Settings(format!("the scheme is http or https, not {scheme:?}")));
        }
        let record = record.map(str::trim).filter(|record| !record.is_empty()).map(str::to_owned);
        let nodes = if record.is_some() {
            Vec::new()
        } else {
            nodes.iter().map(|node| normalize(node, scheme)).collect::<Result<Vec<_>, _>>()?
        };
        if nodes.is_empty() && record.is_none() {
            return Err(ClientError::Settings("no node of the store is given; give at least one".into()));
        }
        let endpoints = Self { scheme: scheme.into(), timeout, ..Self::of(nodes) };
        endpoints.lock().stale = record.is_some();
        Ok(Self { record, ..endpoints })
    }

    /// Returns these nodes unchanged, in this order.
    pub(crate) fn of(given: Vec<NodeUrl>) -> Self {
        Self {
            scheme: String::new(),
            record: None,
            timeout: Duration::ZERO,
            member_sync: None,
            state: Mutex::new(EndpointsState { given, ..EndpointsState::default() }),
            failure: Notify::new(),
            epoch: AtomicU64::new(0),
        }
    }

    /// Returns the same nodes, with member sync if `sync` is set.
    pub(crate) fn with_member_sync(self, sync: bool, trust: &Trust) -> Self {
        let member_sync = sync.then(|| MemberSync::new(trust.clone(), self.https()));
        Self { member_sync, ..self }
    }

    /// Returns whether any given node may use TLS.
    pub(crate) fn https(&self) -> bool {
        match self.record {
            Some(_) => self.scheme == "https",
            None => self.lock().given.iter().any(|node| node.starts_with("https:")),
        }
    }

    pub(crate) fn syncs_members(&self) -> bool {
        self.member_sync.is_some()
    }

    /// Syncs the members of the store repeatedly. Without member sync it waits for ever.
    pub(crate) async fn follow(&self) -> std::convert::Infallible {
        match &self.member_sync {
            Some(member_sync) => member_sync.follow(self).await,
            None => std::future::pending().await,
        }
    }

    /// Returns every node, in the order they are to be tried now.
    pub(crate) async fn order(&self) -> Result<Vec<NodeUrl>, String> {
        let (order, stale) = {
            let state = self.lock();
            (state.order(), state.stale)
        };
        let Some(record) = self.record.as_ref().filter(|_| stale) else { return Ok(order) };
        match srv::look_up(record, self.timeout).await {
            Ok(targets) => {
                let nodes = targets.iter().map(|at| NodeUrl::from(at.url(&self.scheme)));
                let mut state = self.lock();
                (state.given, state.stale) = (nodes.collect(), false);
                state.forget_unknown();
                Ok(state.order())
            }
            Err(_) if !order.is_empty() => Ok(order),
            Err(why) => Err(why.to_string()),
        }
    }

    /// Returns the next node to try, `None` after the last. Uses the current state, because a request may run for days.
    pub(crate) async fn next(&self, failover: &mut Failover) -> Result<Option<NodeUrl>, String> {
        let mut order = if failover.tried.is_empty() { self.order().await? } else { self.known() };
        loop {
            order.retain(|node| !failover.tried.contains(node));
            if let Some(node) = order.into_iter().next() {
                failover.tried.push(NodeUrl::clone(&node));
                return Ok(Some(node));
            }
            if std::mem::replace(&mut failover.extended, true) {
                // The addresses behind DNS names may have changed.
                self.lock().stale = self.record.is_some();
                return Ok(None);
            }
            if self.may_be_replaced(failover.started) {
                // No node of the previous cluster responded. If that is still so in a moment, it is gone.
                tokio::time::sleep(REPLACED_STORE_DELAY).await;
                failover.tried.clear();
            } else {
                self.sync_from_responders(failover.started).await;
            }
            order = self.known();
        }
    }

    /// After all nodes failed: returns whether a given one responded for another cluster.
    fn may_be_replaced(&self, since: Instant) -> bool {
        self.lock().replaced.is_some_and(|(_, last)| last >= since)
    }

    /// After all nodes failed: syncs with a member that still responds, although it cannot serve.
    async fn sync_from_responders(&self, since: Instant) {
        let living = self.lock().seen.is_some_and(|seen| seen >= since);
        if let Some(member_sync) = self.member_sync.as_ref().filter(|_| living) {
            member_sync.round(self, true).await;
        }
    }

    /// Notes that this node responded: it is tried first from now on.
    pub(crate) fn served(&self, node: &NodeUrl) {
        let mut state = self.lock();
        if state.failed.is_empty() && !state.stale && state.current.as_ref() == Some(node) {
            return;
        }
        state.failed.retain(|failed| failed != node);
        state.stale = false;
        state.current = state.is_known(node).then(|| NodeUrl::clone(node));
    }

    /// Notes that this node failed: the others are tried before it from now on.
    pub(crate) fn failed(&self, node: &str) {
        let mut state = self.lock();
        state.failed.retain(|failed| **failed != *node);
        // Another node may respond at this URL next.
        state.verified.remove(node);
        let known = state.members.iter().chain(&state.given).find(|known| ***known == *node).cloned();
        state.failed.extend(known);
        if state.current.as_ref().is_some_and(|current| **current == *node) {
            state.current = None;
        }
        drop(state);
        self.failure.notify_one();
    }

    /// Waits until a node fails.
    pub(crate) async fn wait_for_failure(&self) {
        self.failure.notified().await;
    }

    /// Checks that a response of `node` comes from the previous cluster, if it reports its cluster. The error is the
    /// reason as text.
    pub(crate) fn check_cluster(&self, node: &NodeUrl, id: Option<u64>) -> Result<(), String> {
        let Some(id) = id.filter(|_| self.syncs_members()) else { return Ok(()) };
        let mut state = self.lock();
        let Err(why) = state.compare(node, id) else { return Ok(()) };
        if state.given.contains(node) {
            let now = Instant::now();
            let (first, last) = state.replaced.get_or_insert((now, now));
            if now.duration_since(*last) > MAX_FOREIGN_REPLY_GAP {
                *first = now;
            }
            *last = now;
            let gone_for = now.duration_since(*first);
            let wait =
                if state.was_verified.contains(node) { REPLACED_STORE_DELAY } else { FOREIGN_STORE_DELAY };
            if gone_for >= wait && !state.conflicting.contains(node) {
                tracing::warn!("the store at {node} was replaced or restored and is used from now on: {why}");
                let given = std::mem::take(&mut state.given);
                *state = EndpointsState { given, cluster: Some(id), ..EndpointsState::default() };
                state.compare(node, id)?;
                self.epoch.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
        }
        Err(why)
    }

    /// Returns which of the successive clusters of this store is in use: indexes of one mean nothing in the next.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Asks `node` for its cluster, unless it has responded for this one and not failed since. Called before a request
    /// that another cluster must not get.
    pub(crate) async fn verify_cluster(&self, node: &NodeUrl) -> Result<(), Unverified> {
        let Some(member_sync) = self.member_sync.as_ref().filter(|_| self.is_unverified(node)) else {
            return Ok(());
        };
        match member_sync.cluster_of(node).await {
            Ok(Some(id)) => {
                self.check_cluster(node, Some(id)).map_err(|why| Unverified { why, responds: true })
            }
            // It does not report its cluster, for example behind a proxy that passes only keys.
            Ok(None) => {
                self.lock().verified.insert(NodeUrl::clone(node));
                Ok(())
            }
            Err(why) => Err(Unverified { why, responds: false }),
        }
    }

    /// Returns whether it is unknown if `node` belongs to the previous cluster.
    fn is_unverified(&self, node: &NodeUrl) -> bool {
        let state = self.lock();
        state.cluster.is_some() && !state.verified.contains(node)
    }

    /// Returns the given nodes of unknown cluster.
    pub(crate) fn unknown(&self) -> Vec<NodeUrl> {
        let state = self.lock();
        let is_unknown =
            |node: &&NodeUrl| !state.was_verified.contains(*node) && !state.foreign.contains_key(*node);
        state.given.iter().filter(is_unknown).cloned().collect()
    }

    /// Returns whether a member belongs to the previous cluster.
    pub(crate) fn is_same_cluster(&self, node: &NodeUrl, id: Option<u64>) -> bool {
        id.is_some_and(|id| self.lock().compare(node, id).is_ok())
    }

    /// Notes that the own cluster just responded: nodes of another cluster exist beside it.
    pub(crate) fn find_conflicting(&self) {
        self.lock().find_conflicting();
    }

    /// Returns whether this member responded for this cluster and has not failed since.
    pub(crate) fn is_trusted(&self, node: &NodeUrl) -> bool {
        let state = self.lock();
        state.members.contains(node) && !state.failed.contains(node)
    }

    /// Returns whether this member responded once and is still listed.
    pub(crate) fn is_member(&self, node: &NodeUrl) -> bool {
        self.lock().members.contains(node)
    }

    /// Replaces the members by `members`, as listed by `listed_by`. They come in random order, so that clients spread
    /// over them.
    pub(crate) fn set_members(&self, listed_by: &NodeUrl, mut members: Vec<NodeUrl>) {
        members.shuffle(&mut rand::rng());
        let mut state = self.lock();
        let before = std::mem::replace(&mut state.members, members);
        let (members, given) = (&state.members, &state.given);
        let added: Vec<&str> = members
            .iter()
            .filter(|node| !before.contains(node) && (!before.is_empty() || !given.contains(node)))
            .map(|node| &**node)
            .collect();
        let removed: Vec<&str> =
            before.iter().filter(|node| !members.contains(node)).map(|node| &**node).collect();
        match (added.join(", "), removed.join(", ")) {
            (added, removed) if added.is_empty() && removed.is_empty() => {}
            (added, removed) if removed.is_empty() => tracing::info!("members of the store: added {added}"),
            (added, removed) if added.is_empty() => tracing::info!("members of the store: removed {removed}"),
            (added, removed) => {
                tracing::info!("members of the store: added {added}; removed {removed}");
            }
        }
        state.forget_unknown();
        // The given node that responds comes before the members.
        state.current.get_or_insert_with(|| NodeUrl::clone(listed_by));
    }

    /// Notes that this member responded to a request for its cluster.
    pub(crate) fn responded(&self, node: &NodeUrl) {
        self.lock().failed.retain(|failed| failed != node);
    }

    /// Replaces the given nodes, unless they are the same.
    pub(crate) fn replace(&self, mut nodes: Vec<NodeUrl>) {
        let mut state = self.lock();
        let same = state.given.len() == nodes.len() && nodes.iter().all(|node| state.given.contains(node));
        if !same {
            nodes.shuffle(&mut rand::rng());
            *state = EndpointsState { given: nodes, ..EndpointsState::default() };
        }
    }

    /// Returns the name of this store in logs.
    pub(crate) fn describe(&self) -> String {
        match &self.record {
            Some(record) => format!("SRV record {record}"),
            None => self.lock().given.join(", "),
        }
    }

    /// Returns every known node, without a lookup.
    pub(crate) fn known(&self) -> Vec<NodeUrl> {
        self.lock().order()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, EndpointsState> {
        // Nothing panics while the lock is held, so the state is consistent even if the lock is poisoned.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn normalize(text: &str, scheme: &str) -> Result<NodeUrl, ClientError> {
    let bad = |what: &str| Err(ClientError::Settings(format!("node {what}")));
    let text = text.trim();
    let whole = if text.contains("://") { text.to_owned() } else { format!("{scheme}://{text}") };
    let whole = whole.trim_end_matches('/');
    // The text may hold a password, so no error shows it before this is ruled out.
    let authority = whole.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or(""));
    if authority.contains('@') {
        return bad("URL contains a user name or password; use the settings for them instead");
    }
    match reqwest::Url::parse(whole) {
        Ok(url) if url.scheme() != "http" && url.scheme() != "https" => {
            bad(&format!("{text:?} is neither an http:// nor an https:// URL"))
        }
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            bad(&format!("{text:?} must not contain `?` or `#`"))
        }
        // In lower case: the scheme decides about TLS.
        Ok(url) if url.has_host() => Ok(format!("{}{}", url.scheme(), &whole[url.scheme().len()..]).into()),
        Ok(_) => bad(&format!("{text:?} has no host")),
        Err(error) => bad(&format!("{text:?} is not a URL: {error}")),
    }
}
