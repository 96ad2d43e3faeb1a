//! The reconciler's loop: starts actions and records their results.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::actions::{self, ActionError, RemoveOutcome, RenewOutcome, Write, WriteOutcome, WriteStep};
use super::availability::StoreAvailability;
use super::handover;
use super::held::{HeldKey, KeyState, Owner};
use super::owned::{self, ListRead, OwnedKey, OwnedListState};
use super::plan::{ActionKind, KeyAction, due_times, plan_actions, resume_after};
use super::request::one_line;
use super::{ReconcilerConfig, WantedKeys};
use crate::backoff::Backoff;
use crate::client::cluster::Cluster;
use crate::registrar::status_board::{Count, KeyStatus, StatusBoard};
use crate::stop::Stop;

/// How many requests run concurrently.
pub(super) const MAX_CONCURRENT_REQUESTS: usize = 32;

/// The result of something that was in progress.
pub(super) enum Done {
    Written {
        write: Write,
        outcome: Result<WriteOutcome, ActionError>,
        sent: Instant,
    },
    Removed {
        key: String,
        outcome: Result<RemoveOutcome, ActionError>,
    },
    OursRenewed {
        key: String,
        outcome: Result<RenewOutcome, ActionError>,
        sent: Instant,
    },
    ListRead(Result<ListRead, ActionError>),
    ListWritten {
        keys: BTreeMap<String, OwnedKey>,
        result: Result<Option<u64>, ActionError>,
    },
    /// Sent only to see whether the store responds.
    Pinged(Result<ListRead, ActionError>),
}

type Task = Pin<Box<dyn Future<Output = Done> + Send>>;

/// Keeps the store in the wanted state.
pub(super) struct Reconciler {
    pub(super) cluster: Arc<Cluster>,
    pub(super) config: Arc<ReconcilerConfig>,
    pub(super) status_board: Arc<StatusBoard>,
    pub(super) desired: WantedKeys,
    pub(super) held: BTreeMap<String, HeldKey>,
    pub(super) owned_list: OwnedListState,
    pub(super) availability: StoreAvailability,
    pub(super) running: FuturesUnordered<Task>,
    /// Wanted keys that belong to no service: they let services swap their keys.
    temporary_keys: Vec<String>,
    /// Keys with an action in progress.
    pub(super) busy: BTreeSet<String>,
    /// Whether a read or write of the list is in progress.
    pub(super) listing: bool,
    queue: VecDeque<KeyAction>,
    /// When the queue was computed.
    planned: Instant,
    /// When to read or write the list; outer `None`: not computed yet.
    pub(super) list_at: Option<Option<Instant>>,
    /// The key of the last failed request. During an outage the next probe uses another key, so that one bad key does
    /// not block all probes.
    pub(super) last_failed: Option<String>,
    /// Whether the log already says that another host uses our name.
    pub(super) foreign_logged: bool,
}

impl Reconciler {
    pub(super) fn new(
        cluster: Arc<Cluster>,
        config: ReconcilerConfig,
        status_board: Arc<StatusBoard>,
    ) -> Self {
        Self {
            cluster,
            config: Arc::new(config),
            status_board,
            desired: WantedKeys::default(),
            held: BTreeMap::new(),
            owned_list: OwnedListState::Unread { from: Instant::now() },
            availability: StoreAvailability::default(),
            running: FuturesUnordered::new(),
            temporary_keys: Vec::new(),
            busy: BTreeSet::new(),
            listing: false,
            queue: VecDeque::new(),
            planned: Instant::now(),
            list_at: None,
            last_failed: None,
            foreign_logged: false,
        }
    }

    /// Reads what an earlier run left. An error means that all attempts to reach the store failed.
    pub(super) async fn begin(&mut self) -> Result<(), String> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            let error = match owned::read(&self.cluster, &self.config).await {
                Err(ActionError::Failed(error)) => error,
                read => {
                    if let Ok(ListRead::Ours { keys, .. }) = &read {
                        self.adopt(keys);
                    }
                    self.list_read(read);
                    return Ok(());
                }
            };
            self.availability.failed(&error, &self.status_board);
            let pause = backoff.next();
            match self.config.attempts {
                Some(attempts) if backoff.attempts() >= attempts => {
                    let tries =
                        if attempts == 1 { "one try".to_owned() } else { format!("{attempts} tries") };
                    return Err(format!("{} (after {tries})", one_line(&error)));
                }
                Some(_) => tokio::time::sleep(self.config.pause).await,
                None => tokio::time::sleep(pause).await,
            }
        }
    }

    /// Adopts the keys of an earlier run; whether they exist and are wanted is not known yet.
    pub(super) fn adopt(&mut self, keys: &BTreeMap<String, OwnedKey>) {
        let due = Instant::now();
        for (key, entry) in keys {
            let (own_values, owner) = (entry.values.clone(), entry.values.values().next_back().cloned());
            let held =
                HeldKey { own_values, before: true, owner: owner.unwrap_or_default(), ..HeldKey::new(due) };
            self.held.entry(key.clone()).or_insert(held);
        }
    }

    /// Runs until the stop.
    pub(super) async fn run(&mut self, wanted: &mut watch::Receiver<WantedKeys>, stop: &Stop) {
        self.desired = wanted.borrow_and_update().clone();
        let (mut open, mut plan) = (true, true);
        loop {
            if plan || self.queue.is_empty() {
                self.plan();
            }
            self.start();
            let next = self.next();
            tokio::select! {
                () = stop.wait() => return,
                changed = wanted.changed(), if open => {
                    open = changed.is_ok();
                    self.desired = wanted.borrow_and_update().clone();
                    (plan, self.list_at) = (true, None);
                }
                Some(done) = self.running.next() => {
                    plan = matches!(done, Done::ListRead(_) | Done::ListWritten { .. });
                    self.finish(done);
                }
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => plan = true,
            }
        }
    }

    /// Computes the queue of actions.
    fn plan(&mut self) {
        self.planned = Instant::now();
        self.hand_over(self.planned);
        let (now, later) = plan_actions(&self.desired, &self.held, self.planned)
            .into_iter()
            .partition::<Vec<_>, _>(|action| matches!(action.what, ActionKind::Forget | ActionKind::Leave));
        self.queue = later.into();
        for action in now {
            self.start_one(action);
        }
        if let Some(last_failed) = &self.last_failed {
            resume_after(last_failed, self.queue.make_contiguous(), &self.held, self.planned);
        }
    }

    /// Determines which keys wait for the new keys of their services.
    pub(super) fn hand_over(&mut self, now: Instant) {
        for key in std::mem::take(&mut self.temporary_keys) {
            self.desired.keys.remove(&key);
        }
        handover::mark(&self.desired, &mut self.held, now);
        for (key, registration) in handover::temporary_keys(&self.desired, &self.held, now) {
            if !self.held.contains_key(&key) {
                self.list_at = None;
            }
            // A wanted key may have the name of a temporary key: it stays when the temporary key is removed.
            if let std::collections::btree_map::Entry::Vacant(free) = self.desired.keys.entry(key.clone()) {
                free.insert(registration);
                self.temporary_keys.push(key);
            }
        }
    }

    /// Returns when something is due if nothing else happens.
    fn next(&mut self) -> Option<Instant> {
        if let Some(until) = self.availability.until() {
            return self.running.is_empty().then_some(until);
        }
        if self.running.len() >= MAX_CONCURRENT_REQUESTS {
            return None;
        }
        // Keys that were due at the last plan are in progress, or wait for the list.
        let due_times = due_times(&self.desired, &self.held)
            .filter(|(key, due)| *due > self.planned && !self.busy.contains(*key));
        let keys = due_times.map(|(_, due)| due).min();
        let list = if self.listing { None } else { self.list_due() };
        keys.into_iter().chain(list).min()
    }

    /// Starts queued actions up to the limit.
    fn start(&mut self) {
        if self.availability.until().is_some_and(|until| Instant::now() < until) {
            return;
        }
        let room = if self.availability.is_down() { 1 } else { MAX_CONCURRENT_REQUESTS };
        if self.running.len() < room {
            self.start_list();
        }
        while self.running.len() < room {
            let Some(action) = self.queue.pop_front() else { break };
            self.start_one(action);
        }
        if self.availability.is_down() && self.running.is_empty() {
            let (cluster, config) = (Arc::clone(&self.cluster), Arc::clone(&self.config));
            self.running.push(Box::pin(async move { Done::Pinged(owned::read(&cluster, &config).await) }));
        }
    }

    pub(super) fn start_one(&mut self, KeyAction { key, what }: KeyAction) {
        if self.busy.contains(&key) {
            return;
        }
        match what {
            ActionKind::Write(first) => self.start_write(key, first),
            ActionKind::Remove(guard) => self.start_removal(key, guard),
            ActionKind::RenewOurs => self.start_renewing_ours(key),
            ActionKind::Forget => self.forget(&key),
            ActionKind::Leave => self.leave(&key),
        }
    }

    fn start_write(&mut self, key: String, first: WriteStep) {
        let Some(registration) = self.desired.keys.get(&key) else { return };
        let value = registration.value.clone();
        if !matches!(first, WriteStep::Renew(_)) && !self.owned_list.covers(&key, &value) {
            return;
        }
        let held = self.held.entry(key.clone()).or_insert_with(|| HeldKey::new(Instant::now()));
        // A key of an earlier run mostly exists; reading it first turns the write into a renewal.
        let adopts = held.before && matches!(first, WriteStep::Create | WriteStep::Renew(_));
        let first = if adopts { WriteStep::Read } else { first };
        let tried = !held.before && held.own_values.contains_key(&value);
        (held.before, held.left, held.owner) = (false, None, Owner::of(registration));
        if !matches!(&held.key_state, KeyState::Kept { value: kept, .. } if *kept == value) {
            held.request_started();
        }
        let own_values = held.own_values.keys().cloned().collect();
        held.own_values.insert(value.clone(), held.owner.clone());
        let ttl = self.config.lease.ttl.map(|ttl| ttl.as_secs().max(1));
        let (write, cluster) =
            (Write { key: key.clone(), value, ttl, own_values, tried, first }, Arc::clone(&self.cluster));
        self.busy.insert(key);
        let sent = Instant::now();
        self.running.push(Box::pin(async move {
            let outcome = actions::write(&cluster, &write).await;
            Done::Written { write, outcome, sent }
        }));
    }

    /// Renews the lease of a key that holds a value of ours: it may still become wanted, or its successor is not confirmed.
    fn start_renewing_ours(&mut self, key: String) {
        let Some(held) = self.held.get_mut(&key) else { return };
        fault!(
            NotRenewed,
            if !held.waits.is_empty() {
                return;
            }
        );
        let sent = Instant::now();
        let ttl = self.config.lease.ttl.map(|ttl| ttl.as_secs().max(1));
        let unclear = held.own_values.len() > 1 && held.key_state == KeyState::Unknown;
        if ttl.is_none() && !unclear {
            // A key without a lease needs no renewal.
            held.due = sent + Duration::from_secs(3_600);
            return;
        }
        let (own_values, cluster) = (held.own_values.keys().cloned().collect(), Arc::clone(&self.cluster));
        self.busy.insert(key.clone());
        self.running.push(Box::pin(async move {
            let outcome = actions::renew_ours(&cluster, &key, &own_values, ttl).await;
            Done::OursRenewed { key, outcome, sent }
        }));
    }

    fn start_removal(&mut self, key: String, guard: Option<u64>) {
        let Some(held) = self.held.get_mut(&key) else { return };
        held.request_started();
        if !held.waits.is_empty() {
            let Owner { id, service, .. } = &held.owner;
            tracing::warn!(
                "{id} {service}: its new key is still not in the store; removing the old key {key} anyway"
            );
        }
        let (own_values, cluster, config) =
            (held.own_values.keys().cloned().collect(), Arc::clone(&self.cluster), Arc::clone(&self.config));
        self.busy.insert(key.clone());
        self.running.push(Box::pin(async move {
            let outcome = actions::remove(&cluster, &key, guard, &own_values, &config.prefix).await;
            Done::Removed { key, outcome }
        }));
    }

    /// Drops the state of a key that is gone.
    pub(super) fn forget(&mut self, key: &str) {
        self.held.remove(key);
        self.list_at = None;
        self.status_board.key(key, None);
    }

    fn leave(&mut self, key: &str) {
        let ttl = self.config.lease.ttl;
        let Some(held) = self.held.get_mut(key) else { return };
        // Far enough away to mean never, but still a valid time.
        held.left = Some(Instant::now() + ttl.unwrap_or(Duration::from_secs(10 * 365 * 86_400)));
        self.status_board.key(key, None);
        let Owner { id, service, .. } = &held.owner;
        match ttl {
            Some(_) => tracing::info!("left to its lease: {id} {service}"),
            None => {
                tracing::warn!("left for ever, because keys have no lease: {id} {service} ({key})");
            }
        }
    }

    /// Returns what the list must hold.
    pub(super) fn ours(&self) -> BTreeMap<String, OwnedKey> {
        let known = self.held.iter().filter(|(_, held)| !held.own_values.is_empty());
        let mut ours: BTreeMap<String, OwnedKey> =
            known.map(|(key, held)| (key.clone(), OwnedKey { values: held.own_values.clone() })).collect();
        for (key, registration) in &self.desired.keys {
            let entry = ours.entry(key.clone()).or_default();
            entry.values.entry(registration.value.clone()).or_insert_with(|| Owner::of(registration));
        }
        ours
    }

    /// Returns when the list must be read or written.
    fn list_due(&mut self) -> Option<Instant> {
        if let Some(known) = self.list_at {
            return known;
        }
        let due = match self.owned_list {
            OwnedListState::Unread { from } | OwnedListState::Foreign { from } => Some(from),
            OwnedListState::Off => None,
            OwnedListState::Ours { .. } => {
                let ours = self.ours();
                self.owned_list.write_at(&ours, Instant::now())
            }
        };
        self.list_at = Some(due);
        due
    }

    fn start_list(&mut self) {
        if self.listing || self.list_due().is_none_or(|due| due > Instant::now()) {
            return;
        }
        (self.listing, self.list_at) = (true, None);
        let (cluster, config) = (Arc::clone(&self.cluster), Arc::clone(&self.config));
        let OwnedListState::Ours { index: guard, .. } = self.owned_list else {
            self.running.push(Box::pin(async move { Done::ListRead(owned::read(&cluster, &config).await) }));
            return;
        };
        let keys = self.ours();
        self.running.push(Box::pin(async move {
            let result = owned::write(&cluster, &config, guard, &keys).await;
            Done::ListWritten { keys, result }
        }));
    }

    /// Publishes a key's state on the status board.
    pub(super) fn report(&self, key: &str, held: bool, why: &str) {
        self.status_board.key(key, Some(KeyStatus { held, why: why.to_owned() }));
    }

    pub(super) fn count(&self, what: Count) {
        self.status_board.count(what);
    }
}
