//! The loop of a keeper: what is to be done is started, and what became of it noted down.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::act::{self, Outcome, Step, Write};
use super::handover;
use super::held::{Held, Owner, Standing};
use super::owned::{self, Entry, Ledger, Reading, Writing};
use super::reconcile::{Action, dues, go_on_after, reconcile};
use super::weather::Weather;
use super::{Keeping, Wanted};
#[cfg(test)]
use super::{Planted, is_planted};
use crate::backoff::Backoff;
use crate::client::cluster::{AskError, Cluster};
use crate::registrar::board::{Board, Count, KeyStatus};
use crate::stop::Stop;

/// So many requests are under way at once.
pub(super) const AT_ONCE: usize = 32;

/// What became of something that was under way.
pub(super) enum Done {
    Written {
        write: Write,
        outcome: Outcome,
        sent: Instant,
    },
    Removed {
        key: String,
        outcome: Outcome,
    },
    Tended {
        key: String,
        outcome: Outcome,
        sent: Instant,
    },
    ListRead(Result<Reading, AskError>),
    ListWritten {
        keys: BTreeMap<String, Entry>,
        result: Result<Writing, AskError>,
    },
    /// Asked only to see whether the store answers.
    Pinged(Option<AskError>),
}

type Task = Pin<Box<dyn Future<Output = Done> + Send>>;

/// Keeps the store as it is wished to be.
pub(super) struct Keeper {
    pub(super) cluster: Arc<Cluster>,
    pub(super) keeping: Arc<Keeping>,
    pub(super) board: Arc<Board>,
    pub(super) wish: Wanted,
    pub(super) held: BTreeMap<String, Held>,
    pub(super) ledger: Ledger,
    pub(super) weather: Weather,
    pub(super) running: FuturesUnordered<Task>,
    /// Keys of the wish that nobody asked for: they let services swap their keys.
    stand_ins: Vec<String>,
    /// Keys that something is under way for.
    pub(super) busy: BTreeSet<String>,
    /// The list is being read or written.
    pub(super) listing: bool,
    queue: VecDeque<Action>,
    /// When what is in the queue was found out.
    planned: Instant,
    /// When the list is to be read or written; `None`: to be found out.
    pub(super) list_at: Option<Option<Instant>>,
    /// The key that the last request failed for. While the store is away the next probe is another one: a key that it chokes
    /// on must not be all that is tried.
    pub(super) stuck: Option<String>,
    /// The list says nothing of another host's use of our name twice.
    pub(super) foreign_said: bool,
}

impl Keeper {
    pub(super) fn new(cluster: Arc<Cluster>, keeping: Keeping, board: Arc<Board>) -> Self {
        Self {
            cluster,
            keeping: Arc::new(keeping),
            board,
            wish: Wanted::default(),
            held: BTreeMap::new(),
            ledger: Ledger::Unread { from: Instant::now() },
            weather: Weather::fair(),
            running: FuturesUnordered::new(),
            stand_ins: Vec::new(),
            busy: BTreeSet::new(),
            listing: false,
            queue: VecDeque::new(),
            planned: Instant::now(),
            list_at: None,
            stuck: None,
            foreign_said: false,
        }
    }

    /// Reads what an earlier life left. An error is that the store did not answer as often as it was to be tried.
    pub(super) async fn begin(&mut self) -> Result<(), String> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            let error = match owned::read(&self.cluster, &self.keeping).await {
                Ok(reading) => {
                    self.weather.answered(&self.board);
                    if let Reading::Ours { keys, .. } = &reading {
                        self.adopt(keys);
                    }
                    self.list_read(reading);
                    return Ok(());
                }
                Err(error) => error,
            };
            self.weather.failed(&error, &self.board);
            let pause = backoff.next();
            match self.keeping.attempts {
                Some(attempts) if backoff.attempts() >= attempts => {
                    let tries =
                        if attempts == 1 { "one try".to_owned() } else { format!("{attempts} tries") };
                    return Err(format!("{} (after {tries})", act::one_line(&error)));
                }
                Some(_) => tokio::time::sleep(self.keeping.pause).await,
                None => tokio::time::sleep(pause).await,
            }
        }
    }

    /// Takes over the keys of an earlier life; whether they stand, and whether they are wanted, will show.
    pub(super) fn adopt(&mut self, keys: &BTreeMap<String, Entry>) {
        let due = Instant::now();
        for (key, entry) in keys {
            let (mine, owner) = (entry.values.clone(), entry.values.values().next_back().cloned());
            let held = Held { mine, before: true, owner: owner.unwrap_or_default(), ..Held::new(due) };
            self.held.entry(key.clone()).or_insert(held);
        }
    }

    /// Works until the stop.
    pub(super) async fn run(&mut self, wanted: &mut watch::Receiver<Wanted>, stop: &Stop) {
        self.wish = wanted.borrow_and_update().clone();
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
                    self.wish = wanted.borrow_and_update().clone();
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

    /// Finds out what is to be done.
    fn plan(&mut self) {
        self.planned = Instant::now();
        self.hand_over(self.planned);
        let actions = reconcile(&self.wish, &self.held, self.planned);
        self.queue.clear();
        for action in actions {
            match action {
                Action::Forget { key } if !self.busy.contains(&key) => self.forget(&key),
                Action::Leave { key } if !self.busy.contains(&key) => self.leave(&key),
                Action::Forget { .. } | Action::Leave { .. } => {}
                other => self.queue.push_back(other),
            }
        }
        if let Some(stuck) = &self.stuck {
            go_on_after(stuck, self.queue.make_contiguous(), &self.held, self.planned);
        }
    }

    /// Works out which keys wait for the new keys of their services.
    pub(super) fn hand_over(&mut self, now: Instant) {
        for key in std::mem::take(&mut self.stand_ins) {
            self.wish.keys.remove(&key);
        }
        handover::mark(&self.wish, &mut self.held, now);
        for (key, claim) in handover::stand_ins(&self.wish, &self.held, now) {
            if !self.held.contains_key(&key) {
                self.list_at = None;
            }
            // A service may want a key with the name of a stand-in: that one stays when the stand-in goes.
            if let std::collections::btree_map::Entry::Vacant(free) = self.wish.keys.entry(key.clone()) {
                free.insert(claim);
                self.stand_ins.push(key);
            }
        }
    }

    /// When there is something to do although nothing happened.
    fn next(&mut self) -> Option<Instant> {
        if let Some(until) = self.weather.until() {
            return self.running.is_empty().then_some(until);
        }
        if self.running.len() >= AT_ONCE {
            return None;
        }
        // What was due at the plan is under way, or waits for the list.
        let dues = dues(&self.wish, &self.held)
            .filter(|(key, due)| *due > self.planned && !self.busy.contains(*key));
        let keys = dues.map(|(_, due)| due).min();
        let list = if self.listing { None } else { self.list_due() };
        keys.into_iter().chain(list).min()
    }

    /// Starts what there is room for.
    fn start(&mut self) {
        if self.weather.until().is_some_and(|until| Instant::now() < until) {
            return;
        }
        let room = if self.weather.is_down() { 1 } else { AT_ONCE };
        if self.running.len() < room {
            self.start_list();
        }
        while self.running.len() < room {
            let Some(action) = self.queue.pop_front() else { break };
            self.start_one(action);
        }
        if self.weather.is_down() && self.running.is_empty() {
            let (cluster, keeping) = (Arc::clone(&self.cluster), Arc::clone(&self.keeping));
            self.running
                .push(Box::pin(async move { Done::Pinged(owned::read(&cluster, &keeping).await.err()) }));
        }
    }

    pub(super) fn start_one(&mut self, action: Action) {
        if self.busy.contains(action.key()) {
            return;
        }
        let (key, first) = match action {
            Action::Create { key } => (key, Step::Create),
            Action::Replace { key, guard } => (key, Step::Swap(guard)),
            Action::Renew { key, guard } => (key, Step::Renew(guard)),
            Action::Remove { key, guard } => return self.start_removal(key, guard),
            Action::Tend { key } => return self.tend(key),
            Action::Forget { key } => return self.forget(&key),
            Action::Leave { key } => return self.leave(&key),
        };
        let Some(claim) = self.wish.keys.get(&key) else { return };
        let value = claim.value.clone();
        if !matches!(first, Step::Renew(_)) && !self.ledger.covers(&key, &value) {
            return;
        }
        let held = self.held.entry(key.clone()).or_insert_with(|| Held::new(Instant::now()));
        // What an earlier run left is mostly there, and a look at it leads to a mere renewal.
        let first = if held.before && first == Step::Create { Step::Look } else { first };
        let tried = !held.before && held.mine.contains_key(&value);
        (held.before, held.left, held.owner) = (false, None, Owner::of(claim));
        if !matches!(&held.standing, Standing::Kept { value: kept, .. } if *kept == value) {
            held.in_motion();
        }
        let mine = held.mine.keys().cloned().collect();
        held.mine.insert(value.clone(), held.owner.clone());
        let ttl = self.keeping.lease.ttl.map(|ttl| ttl.as_secs().max(1));
        let (write, cluster) =
            (Write { key: key.clone(), value, ttl, mine, tried, first }, Arc::clone(&self.cluster));
        self.busy.insert(key);
        let sent = Instant::now();
        self.running.push(Box::pin(async move {
            let outcome = act::write(&cluster, &write).await;
            Done::Written { write, outcome, sent }
        }));
    }

    /// Keeps alive what an earlier life left, until it is known whether it is wanted.
    fn tend(&mut self, key: String) {
        #[cfg(test)]
        if is_planted(Planted::NotRenewed) && self.held.get(&key).is_some_and(|held| held.waits.is_some()) {
            return;
        }
        let Some(held) = self.held.get_mut(&key) else { return };
        let sent = Instant::now();
        let ttl = self.keeping.lease.ttl.map(|ttl| ttl.as_secs().max(1));
        let unclear = held.mine.len() > 1 && held.standing == Standing::Unknown;
        if ttl.is_none() && !unclear {
            // What has no lease lives by itself.
            held.due = sent + Duration::from_secs(3_600);
            return;
        }
        let (mine, cluster) = (held.mine.keys().cloned().collect(), Arc::clone(&self.cluster));
        self.busy.insert(key.clone());
        self.running.push(Box::pin(async move {
            let outcome = act::tend(&cluster, &key, &mine, ttl).await;
            Done::Tended { key, outcome, sent }
        }));
    }

    fn start_removal(&mut self, key: String, guard: Option<u64>) {
        let Some(held) = self.held.get_mut(&key) else { return };
        held.in_motion();
        if held.waits.is_some() {
            let Owner { id, service, .. } = &held.owner;
            tracing::warn!(
                "{id} {service}: its new key is still not in the store; the old key {key} is removed all the same"
            );
        }
        let (mine, cluster, keeping) =
            (held.mine.keys().cloned().collect(), Arc::clone(&self.cluster), Arc::clone(&self.keeping));
        self.busy.insert(key.clone());
        self.running.push(Box::pin(async move {
            let outcome = act::remove(&cluster, &key, guard, &mine, &keeping.prefix).await;
            Done::Removed { key, outcome }
        }));
    }

    /// Drops what is known of a key that is gone.
    pub(super) fn forget(&mut self, key: &str) {
        self.held.remove(key);
        self.list_at = None;
        self.board.key(key, None);
    }

    fn leave(&mut self, key: &str) {
        let ttl = self.keeping.lease.ttl;
        let Some(held) = self.held.get_mut(key) else { return };
        // Far enough to be never, near enough to be a time.
        held.left = Some(Instant::now() + ttl.unwrap_or(Duration::from_secs(10 * 365 * 86_400)));
        self.board.key(key, None);
        let Owner { id, service, .. } = &held.owner;
        match ttl {
            Some(_) => tracing::info!("left to its lease: {id} {service}"),
            None => {
                tracing::warn!("left for ever, since keys have no lease: {id} {service} ({key})");
            }
        }
    }

    /// What the list is to hold.
    pub(super) fn ours(&self) -> BTreeMap<String, Entry> {
        let known = self.held.iter().filter(|(_, held)| !held.mine.is_empty());
        let mut ours: BTreeMap<String, Entry> =
            known.map(|(key, held)| (key.clone(), Entry { values: held.mine.clone() })).collect();
        for (key, claim) in &self.wish.keys {
            let entry = ours.entry(key.clone()).or_default();
            entry.values.entry(claim.value.clone()).or_insert_with(|| Owner::of(claim));
        }
        ours
    }

    /// When the list is to be read or written.
    fn list_due(&mut self) -> Option<Instant> {
        if let Some(known) = self.list_at {
            return known;
        }
        let due = match self.ledger {
            Ledger::Unread { from } | Ledger::Foreign { from } => Some(from),
            Ledger::Off => None,
            Ledger::Ours { .. } => {
                let ours = self.ours();
                self.ledger.write_at(&ours, Instant::now())
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
        let (cluster, keeping) = (Arc::clone(&self.cluster), Arc::clone(&self.keeping));
        let Ledger::Ours { index: guard, .. } = self.ledger else {
            self.running.push(Box::pin(async move { Done::ListRead(owned::read(&cluster, &keeping).await) }));
            return;
        };
        let keys = self.ours();
        self.running.push(Box::pin(async move {
            let result = owned::write(&cluster, &keeping, guard, &keys).await;
            Done::ListWritten { keys, result }
        }));
    }

    /// Says how a key does.
    pub(super) fn tell(&self, key: &str, held: bool, why: &str) {
        self.board.key(key, Some(KeyStatus { held, why: why.to_owned() }));
    }

    pub(super) fn count(&self, what: Count) {
        self.board.count(what);
    }
}
