//! The nodes of a store: which there are, and in which order they are asked.
//!
//! The node that answered last is asked first, until it fails. After it come the members that were learnt from the
//! store ([`learn`]), then the nodes given at the start, and last the nodes that failed, the one that
//! failed longest ago first. The given nodes stay for ever: they are the way back when every learnt member is gone.
//! Targets of an SRV record stand in for given nodes; the record is looked up again after all nodes failed.
//!
//! An answer counts only when it comes from the cluster that answered before. A node of another cluster is passed
//! over, and a node that has not answered for the cluster yet is asked for it before a write or a password goes there
//! ([`Endpoints::prove`]). Only when no node of the former cluster answers, and a given node that belonged to it answers
//! for another one, the store was replaced or restored, and that cluster is the store from then on: a new
//! [`Endpoints::epoch`] begins. A given node that never belonged to it takes its place only after [`ELSEWHERE`], and one
//! that was seen beside it never does.
//!
//! [`learn`]: super::learn

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand::seq::SliceRandom as _;
use tokio::sync::Notify;

use super::learn::Learner;
use super::{ClientError, Trust, srv};

/// Base URL of a node, without a trailing slash.
pub(crate) type NodeUrl = Arc<str>;

/// How long a given node has to answer for another cluster, and no node for the own one, until the store counts as
/// replaced: every node is tried once more meanwhile.
const REPLACED_STORE_DELAY: Duration = Duration::from_millis(300);
/// The same for a given node that never answered for the own cluster: that may only be restarting.
const ELSEWHERE: Duration = if cfg!(test) { Duration::from_secs(2) } else { Duration::from_secs(30) };
/// Answers further apart are no sign of that.
const MAX_FOREIGN_REPLY_GAP: Duration = Duration::from_secs(15);
/// So many nodes of other clusters are remembered, beside given ones.
const MAX_FOREIGN_NODES: usize = 128;

#[derive(Debug)]
pub(crate) struct Endpoints {
    scheme: String,
    record: Option<String>,
    timeout: Duration,
    /// `None`: members are not learnt and clusters are not compared.
    learner: Option<Learner>,
    state: Mutex<EndpointsState>,
    trouble: Notify,
    /// How often the store was replaced by another cluster.
    epoch: AtomicU64,
}

#[derive(Debug, Default)]
struct EndpointsState {
    given: Vec<NodeUrl>,
    /// Whether an SRV record has to be looked up for the given nodes.
    stale: bool,
    learnt: Vec<NodeUrl>,
    /// The node that answered last.
    current: Option<NodeUrl>,
    /// Nodes that failed and have not answered since, the one that failed longest ago first.
    failed: Vec<NodeUrl>,
    cluster: Option<u64>,
    /// When a node of that cluster answered last.
    seen: Option<Instant>,
    /// Nodes of another cluster, with its id.
    foreign: BTreeMap<NodeUrl, u64>,
    /// Nodes that answered for the own cluster and have not failed since.
    proven: BTreeSet<NodeUrl>,
    /// Nodes that ever answered for it.
    belonged: BTreeSet<NodeUrl>,
    /// Given nodes that answered for another cluster while the own one was there.
    strangers: BTreeSet<NodeUrl>,
    /// When a given node first and last answered for another cluster since a node of the own one answered.
    replaced: Option<(Instant, Instant)>,
}

impl EndpointsState {
    /// Compares the cluster that `node` answers for with the one that answered before.
    fn compare(&mut self, node: &NodeUrl, id: u64) -> Result<(), String> {
        let own = *self.cluster.get_or_insert(id);
        if own == id {
            self.seen = Some(Instant::now());
            self.replaced = None;
            self.foreign.remove(node);
            self.strangers.remove(node);
            if !self.proven.contains(node) {
                self.proven.insert(NodeUrl::clone(node));
                self.belonged.insert(NodeUrl::clone(node));
            }
            self.find_strangers();
            return Ok(());
        }
        self.proven.remove(node);
        let why = format!("it belongs to another cluster, its id is {id:x}, not {own:x}");
        if self.foreign.insert(NodeUrl::clone(node), id) != Some(id) {
            tracing::warn!("{node} is not used: {why}");
        }
        Err(why)
    }

    /// The own cluster is there: given nodes of another one are not what came in its place.
    fn find_strangers(&mut self) {
        for (node, id) in &self.foreign {
            let known = self.belonged.contains(node) || self.strangers.contains(node);
            if !known && self.given.contains(node) {
                let own = self.cluster.unwrap_or_default();
                tracing::error!(
                    "the given URLs are of two clusters: {node} belongs to {id:x}, and {own:x} is in use. Give this client \
                     the URLs of one; {node} is not used, also when no member of {own:x} answers"
                );
                self.strangers.insert(NodeUrl::clone(node));
            }
        }
    }

    /// Keeps nothing about nodes that are neither given nor learnt, but for a bounded number of foreign ones.
    fn forget_unknown(&mut self) {
        let Self { given, learnt, failed, current, foreign, proven, belonged, strangers, .. } = self;
        let is_known = |node: &NodeUrl| learnt.contains(node) || given.contains(node);
        failed.retain(is_known);
        for nodes in [proven, belonged, strangers] {
            nodes.retain(is_known);
        }
        current.take_if(|node| !is_known(node));
        // Each is warned of once as long as it is remembered.
        if foreign.len() > MAX_FOREIGN_NODES {
            foreign.retain(|node, _| is_known(node));
        }
    }

    fn is_known(&self, node: &NodeUrl) -> bool {
        self.learnt.contains(node) || self.given.contains(node)
    }

    fn order(&self) -> Vec<NodeUrl> {
        let mut order: Vec<NodeUrl> = Vec::with_capacity(self.learnt.len() + self.given.len());
        for node in self.current.iter().chain(&self.learnt).chain(&self.given) {
            if !self.failed.contains(node) && !order.contains(node) {
                order.push(NodeUrl::clone(node));
            }
        }
        order.extend(self.failed.iter().cloned());
        order
    }
}

/// Why it is not known that a node belongs to the cluster that answered before.
#[derive(Debug)]
pub(crate) struct Unproven {
    pub(crate) why: String,
    /// Whether it answers, but for another cluster.
    pub(crate) answers: bool,
}

/// The nodes that one request was sent to.
#[derive(Debug)]
pub(crate) struct Pass {
    begun: Instant,
    tried: Vec<NodeUrl>,
    /// Whether more nodes were looked for after all known ones had failed.
    extended: bool,
}

impl Pass {
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now(), tried: Vec::new(), extended: false }
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
            nodes.iter().map(|node| normal(node, scheme)).collect::<Result<Vec<_>, _>>()?
        };
        if nodes.is_empty() && record.is_none() {
            return Err(ClientError::Settings("no node of the store is named; give at least one".into()));
        }
        let endpoints = Self { scheme: scheme.into(), timeout, ..Self::of(nodes) };
        endpoints.lock().stale = record.is_some();
        Ok(Self { record, ..endpoints })
    }

    /// These nodes as they are, in this order.
    pub(crate) fn of(given: Vec<NodeUrl>) -> Self {
        Self {
            scheme: String::new(),
            record: None,
            timeout: Duration::ZERO,
            learner: None,
            state: Mutex::new(EndpointsState { given, ..EndpointsState::default() }),
            trouble: Notify::new(),
            epoch: AtomicU64::new(0),
        }
    }

    /// The same, but members are learnt from the store when `sync` says so.
    pub(crate) fn learning(self, sync: bool, trust: &Trust) -> Self {
        let learner = sync.then(|| Learner::new(trust.clone(), self.https()));
        Self { learner, ..self }
    }

    /// Whether any given node may speak TLS.
    pub(crate) fn https(&self) -> bool {
        match self.record {
            Some(_) => self.scheme == "https",
            None => self.lock().given.iter().any(|node| node.starts_with("https:")),
        }
    }

    pub(crate) fn learns(&self) -> bool {
        self.learner.is_some()
    }

    /// Learns the members of the store again and again. Without learning it waits for ever.
    pub(crate) async fn follow(&self) -> std::convert::Infallible {
        match &self.learner {
            Some(learner) => learner.follow(self).await,
            None => std::future::pending().await,
        }
    }

    /// Every node, in the order they are to be tried now.
    pub(crate) async fn order(&self) -> Result<Vec<NodeUrl>, ClientError> {
        let (order, stale) = {
            let state = self.lock();
            (state.order(), state.stale)
        };
        let Some(record) = self.record.as_ref().filter(|_| stale) else { return Ok(order) };
        match srv::look_up(record, self.timeout).await {
            Ok(targets) => {
                let nodes = targets
                    .iter()
                    .map(|at| NodeUrl::from(format!("{}://{}:{}", self.scheme, at.host, at.port)));
                let mut state = self.lock();
                (state.given, state.stale) = (nodes.collect(), false);
                state.forget_unknown();
                Ok(state.order())
            }
            Err(_) if !order.is_empty() => Ok(order),
            Err(why) => Err(ClientError::Unavailable { why: format!("SRV record {record}: {why}") }),
        }
    }

    /// The next node to ask, `None` after the last. A request may go on for days, so this goes by what is known now.
    pub(crate) async fn next(&self, pass: &mut Pass) -> Result<Option<NodeUrl>, ClientError> {
        let mut order = if pass.tried.is_empty() { self.order().await? } else { self.known() };
        loop {
            order.retain(|node| !pass.tried.contains(node));
            if let Some(node) = order.into_iter().next() {
                pass.tried.push(NodeUrl::clone(&node));
                return Ok(Some(node));
            }
            if std::mem::replace(&mut pass.extended, true) {
                // Hosts that came from DNS may have moved.
                self.lock().stale = self.record.is_some();
                return Ok(None);
            }
            if self.may_be_replaced(pass.begun) {
                // Nothing of the former cluster answered. If that is so a moment later, it is gone.
                tokio::time::sleep(REPLACED_STORE_DELAY).await;
                pass.tried.clear();
            } else {
                self.learn_from_the_living(pass.begun).await;
            }
            order = self.known();
        }
    }

    /// Every node failed. Whether a given one answered, but for another cluster.
    fn may_be_replaced(&self, since: Instant) -> bool {
        self.lock().replaced.is_some_and(|(_, last)| last >= since)
    }

    /// Every node failed. A member that still answers, although it cannot serve, knows the others.
    async fn learn_from_the_living(&self, since: Instant) {
        let living = self.lock().seen.is_some_and(|seen| seen >= since);
        if let Some(learner) = self.learner.as_ref().filter(|_| living) {
            learner.round(self, true).await;
        }
    }

    /// This node answered: it is asked first from now on.
    pub(crate) fn served(&self, node: &NodeUrl) {
        let mut state = self.lock();
        if state.failed.is_empty() && !state.stale && state.current.as_ref() == Some(node) {
            return;
        }
        state.failed.retain(|failed| failed != node);
        state.stale = false;
        state.current = state.is_known(node).then(|| NodeUrl::clone(node));
    }

    /// This node failed: the others are asked before it from now on.
    pub(crate) fn failed(&self, node: &str) {
        let mut state = self.lock();
        state.failed.retain(|failed| **failed != *node);
        // Who answers there next may be another.
        state.proven.remove(node);
        let known = state.learnt.iter().chain(&state.given).find(|known| ***known == *node).cloned();
        state.failed.extend(known);
        if state.current.as_ref().is_some_and(|current| **current == *node) {
            state.current = None;
        }
        drop(state);
        self.trouble.notify_one();
    }

    /// Waits until a node fails.
    pub(crate) async fn trouble(&self) {
        self.trouble.notified().await;
    }

    /// Checks that an answer of `node` comes from the cluster that answered before, where it says which it is. An
    /// error is the reason as text.
    pub(crate) fn admit(&self, node: &NodeUrl, id: Option<u64>) -> Result<(), String> {
        let Some(id) = id.filter(|_| self.learns()) else { return Ok(()) };
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
            let wait = if state.belonged.contains(node) { REPLACED_STORE_DELAY } else { ELSEWHERE };
            if gone_for >= wait && !state.strangers.contains(node) {
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

    /// Which of the clusters that were this store one after the other is in use: indexes of one mean nothing in the next.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Has `node` say which cluster it belongs to, unless it has answered for this one and not failed since. Whoever is
    /// about to send something that another cluster must not get waits for it.
    pub(crate) async fn prove(&self, node: &NodeUrl) -> Result<(), Unproven> {
        let Some(learner) = self.learner.as_ref().filter(|_| self.is_unproven(node)) else { return Ok(()) };
        match learner.cluster_of(node).await {
            Ok(Some(id)) => self.admit(node, Some(id)).map_err(|why| Unproven { why, answers: true }),
            // It does not say, as behind a proxy that lets only keys through.
            Ok(None) => {
                self.lock().proven.insert(NodeUrl::clone(node));
                Ok(())
            }
            Err(why) => Err(Unproven { why, answers: false }),
        }
    }

    /// Whether it is not known that `node` belongs to the cluster that answered before.
    fn is_unproven(&self, node: &NodeUrl) -> bool {
        let state = self.lock();
        state.cluster.is_some() && !state.proven.contains(node)
    }

    /// Given nodes of which nobody knows yet which cluster they belong to.
    pub(crate) fn unknown(&self) -> Vec<NodeUrl> {
        let state = self.lock();
        let is_unknown =
            |node: &&NodeUrl| !state.belonged.contains(*node) && !state.foreign.contains_key(*node);
        state.given.iter().filter(is_unknown).cloned().collect()
    }

    /// Whether a member belongs to the cluster that answered before.
    pub(crate) fn is_own(&self, node: &NodeUrl, id: Option<u64>) -> bool {
        id.is_some_and(|id| self.lock().compare(node, id).is_ok())
    }

    /// The own cluster answered a moment ago: whoever answered for another one is beside it.
    pub(crate) fn compared(&self) {
        self.lock().find_strangers();
    }

    /// Whether this is a member that answered for this cluster and has not failed since.
    pub(crate) fn is_trusted(&self, node: &NodeUrl) -> bool {
        let state = self.lock();
        state.learnt.contains(node) && !state.failed.contains(node)
    }

    /// Whether this is a member that answered once and is listed still.
    pub(crate) fn is_learnt(&self, node: &NodeUrl) -> bool {
        self.lock().learnt.contains(node)
    }

    /// Takes `members` as the ones there are, as `teacher` lists them. They come in random order, so that clients
    /// spread over them.
    pub(crate) fn learn(&self, teacher: &NodeUrl, mut members: Vec<NodeUrl>) {
        members.shuffle(&mut rand::rng());
        let mut state = self.lock();
        let before = std::mem::replace(&mut state.learnt, members);
        let (learnt, given) = (&state.learnt, &state.given);
        let added: Vec<&str> = learnt
            .iter()
            .filter(|node| !before.contains(node) && (!before.is_empty() || !given.contains(node)))
            .map(|node| &**node)
            .collect();
        let removed: Vec<&str> =
            before.iter().filter(|node| !learnt.contains(node)).map(|node| &**node).collect();
        match (added.join(", "), removed.join(", ")) {
            (added, removed) if added.is_empty() && removed.is_empty() => {}
            (added, removed) if removed.is_empty() => tracing::info!("members of the store: added {added}"),
            (added, removed) if added.is_empty() => tracing::info!("members of the store: removed {removed}"),
            (added, removed) => {
                tracing::info!("members of the store: added {added}; removed {removed}");
            }
        }
        state.forget_unknown();
        // The given node that answers comes before the members.
        state.current.get_or_insert_with(|| NodeUrl::clone(teacher));
    }

    /// This member answered a question about its cluster.
    pub(crate) fn answered(&self, node: &NodeUrl) {
        self.lock().failed.retain(|failed| failed != node);
    }

    /// Takes these nodes in place of the given ones, unless they are the same.
    pub(crate) fn replace(&self, mut nodes: Vec<NodeUrl>) {
        let mut state = self.lock();
        let same = state.given.len() == nodes.len() && nodes.iter().all(|node| state.given.contains(node));
        if !same {
            nodes.shuffle(&mut rand::rng());
            *state = EndpointsState { given: nodes, ..EndpointsState::default() };
        }
    }

    /// What logs call this store.
    pub(crate) fn describe(&self) -> String {
        match &self.record {
            Some(record) => format!("SRV record {record}"),
            None => self.lock().given.join(", "),
        }
    }

    /// Every known node, without looking anything up.
    pub(crate) fn known(&self) -> Vec<NodeUrl> {
        self.lock().order()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, EndpointsState> {
        // Nothing can panic while the lock is held; a poisoned one still holds whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn normal(text: &str, scheme: &str) -> Result<NodeUrl, ClientError> {
    let bad = |what: &str| Err(ClientError::Settings(format!("node {what}")));
    let text = text.trim();
    let whole = if text.contains("://") { text.to_owned() } else { format!("{scheme}://{text}") };
    let whole = whole.trim_end_matches('/');
    // The text may hold a password, so it is not repeated before this is ruled out.
    let authority = whole.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or(""));
    if authority.contains('@') {
        return bad("URL holds a user name or password; give them by their own settings instead");
    }
    match reqwest::Url::parse(whole) {
        Ok(url) if url.scheme() != "http" && url.scheme() != "https" => {
            bad(&format!("{text:?} is neither an http:// nor an https:// URL"))
        }
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            bad(&format!("{text:?} must not hold `?` or `#`"))
        }
        Ok(url) if url.has_host() => Ok(whole.into()),
        Ok(_) => bad(&format!("{text:?} names no host")),
        Err(error) => bad(&format!("{text:?} is no URL: {error}")),
    }
}
