//! One run of the registrar: replaces the worker between the model and the reconciler.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::store::Store;
use super::world::World;
use crate::registrar::container::{Container, ListedContainer};
use crate::registrar::engine::EngineEvent;
use crate::registrar::model::{Model, NodeConfig, Probe, ServiceId};
use crate::registrar::reconcile::{ReconcilerConfig, WantedKeys, run_reconciler};
use crate::registrar::settings::{Checks, Lease, OnExit, Rules};
use crate::registrar::status_board::StatusBoard;
use crate::registrar::tests::world::node_config;
use crate::stop::Stop;

const RELIST_INTERVAL: Duration = Duration::from_secs(30);
const TICK_INTERVAL: Duration = Duration::from_millis(10);

/// A message in transit.
pub(super) enum Message {
    Event(EngineEvent),
    Listed(Vec<ListedContainer>),
    Lost,
    Inspected(String, Box<Result<Option<Container>, ()>>),
    Checked(ServiceId, Probe, Result<(), String>),
}

/// One run of the registrar.
pub(super) struct Life {
    pub(super) model: Model,
    pub(super) wanted: watch::Sender<WantedKeys>,
    pub(super) stop: Stop,
    pub(super) tasks: JoinSet<Result<(), String>>,
    pub(super) under_way: Vec<(Instant, Message)>,
    pub(super) probes: BTreeMap<ServiceId, (Probe, Instant)>,
    pub(super) next_list: Instant,
    pub(super) listing: bool,
}

fn listed(container: &Container) -> ListedContainer {
    let Container { id, name, networks, run_state, healthcheck, labels, .. } = container;
    let signature = format!("{name} {networks:?} {run_state:?} {healthcheck:?} {labels:?}");
    let (id, names, run_state) = (id.clone(), vec![name.clone()], Some(*run_state));
    ListedContainer { id, names, signature, run_state, healthcheck: *healthcheck }
}

impl Life {
    pub(super) fn begin(store: &Store, lease: Lease, prefix: &str) -> Self {
        // Longer than the default, to save CPU time.
        let checks = Checks { interval: Duration::from_secs(30), ..Checks::default() };
        let rules = Rules { internal: true, ip: None, prefix: prefix.to_owned(), ..node_config().rules };
        let config = ReconcilerConfig {
            node: "n".into(),
            scope: "s".into(),
            publishes: false,
            host: "machine".into(),
            lease,
            on_exit: OnExit::Keep,
            attempts: None,
            pause: Duration::from_millis(10),
            prefix: prefix.to_owned(),
        };
        let (wanted, wanted_keys) = watch::channel(WantedKeys::default());
        let (stop, mut tasks) = (Stop::new(), JoinSet::new());
        tasks.spawn(run_reconciler(
            store.cluster(),
            config,
            wanted_keys,
            Arc::new(StatusBoard::new()),
            stop.clone(),
        ));
        Self {
            model: Model::new(NodeConfig { rules, checks, ttl: lease.ttl, ..node_config() }),
            wanted,
            stop,
            tasks,
            under_way: Vec::new(),
            probes: BTreeMap::new(),
            next_list: Instant::now(),
            listing: false,
        }
    }
}

impl World {
    pub(super) async fn pass_some(&mut self, longest: u64) {
        let span = self.rng.random_range(0..longest);
        self.pass(Duration::from_millis(span)).await;
    }

    /// Does the worker's part, for a while.
    pub(super) async fn pass(&mut self, span: Duration) {
        let until = Instant::now() + span;
        loop {
            let now = Instant::now();
            self.receive(now);
            self.list(now);
            self.inspect(now);
            self.check(now);
            self.publish();
            if now >= until {
                return;
            }
            let life = &self.life;
            let news = life.under_way.iter().map(|(at, _)| *at);
            let checks = life.probes.values().map(|(_, at)| *at);
            let list = (!life.listing).then_some(life.next_list);
            let model = life.model.next().map(|at| at.max(now + TICK_INTERVAL));
            let next = news.chain(checks).chain(list).chain(model).min().map_or(until, |at| at.min(until));
            sleep_until(next.max(now + Duration::from_millis(1))).await;
        }
    }

    fn receive(&mut self, now: Instant) {
        let (due, later) =
            std::mem::take(&mut self.life.under_way).into_iter().partition(|(at, _)| *at <= now);
        self.life.under_way = later;
        let due: Vec<(Instant, Message)> = due;
        let life = &mut self.life;
        for (_, message) in due {
            match message {
                Message::Event(event) => life.model.event(&event, now),
                Message::Listed(all) => {
                    life.model.listed(all, now);
                    (life.listing, life.next_list) = (false, now + RELIST_INTERVAL);
                }
                Message::Lost => {
                    life.model.lost(now);
                    (life.listing, life.next_list) = (false, now + Duration::from_millis(500));
                }
                Message::Inspected(id, found) => life.model.inspected(&id, *found, now),
                Message::Checked(service_id, probe, result) => {
                    life.model.checked(&service_id, &probe, result);
                }
            }
        }
        life.model.tick(now);
    }

    fn late(&mut self, longest: u64) -> Instant {
        let late = if self.chance(self.trouble) { self.rng.random_range(0..longest) } else { 1 };
        Instant::now() + Duration::from_millis(late)
    }

    fn list(&mut self, now: Instant) {
        if self.life.listing || now < self.life.next_list {
            return;
        }
        self.life.listing = true;
        let due = self.late(1_000);
        let message = if self.chance(self.trouble) {
            Message::Lost
        } else {
            Message::Listed(self.real.values().map(|real| listed(&real.container)).collect())
        };
        self.life.under_way.push((due, message));
    }

    fn inspect(&mut self, now: Instant) {
        for id in self.life.model.due_inspections(4, now) {
            let real = self.real.get(&id).map(|real| real.container.clone());
            let found = if self.chance(self.trouble) { Err(()) } else { Ok(real) };
            let due = self.late(1_500);
            self.life.under_way.push((due, Message::Inspected(id, Box::new(found))));
        }
    }

    /// Runs checks at their intervals; their results arrive a little later.
    fn check(&mut self, now: Instant) {
        let wanted = self.life.model.probes();
        self.life.probes.retain(|service_id, (probe, _)| wanted.get(service_id) == Some(probe));
        for (service_id, probe) in wanted {
            let (probe, next) = self.life.probes.entry(service_id.clone()).or_insert((probe, now));
            if *next > now {
                continue;
            }
            *next = now + probe.check.interval;
            let target = format!("{}:{}", probe.target.host, probe.target.port);
            let there = self.real.get(&service_id.0).is_some_and(|real| real.answers_at(&target));
            let result = if there { Ok(()) } else { Err("no answer".to_owned()) };
            let due = now + Duration::from_millis(self.rng.random_range(1..40));
            self.life.under_way.push((due, Message::Checked(service_id, probe.clone(), result)));
        }
    }

    fn publish(&mut self) {
        if !self.life.model.take_touched() {
            return;
        }
        let wanted = self.life.model.wanted();
        self.life.wanted.send_if_modified(|old| {
            let changed = *old != wanted;
            *old = wanted;
            changed
        });
    }
}
