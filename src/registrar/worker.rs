//! The loops of a registrar, and the one that connects them.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::check_runner::{CheckReport, CheckRunner};
use super::container::{Container, short};
use super::engine::{Engine, EngineInfo};
use super::error::RegistrarError;
use super::follow::{EngineUpdate, follow};
use super::model::{Model, NodeConfig, unregistered};
use super::reconcile::{self, ReconcilerConfig, WantedKeys};
use super::settings::{OnExit, Rules, Settings};
use super::status_board::{Count, StatusBoard};
use super::{facts, node, start};
use crate::client::cluster::Cluster;
use crate::placement;
use crate::scalar::hex;
use crate::stop::{EndReason, Loops, Stop};

/// How many updates may be queued; more wait in the connection to the engine.
const EVENT_QUEUE_CAPACITY: usize = 1024;
/// How many inspections run concurrently.
const MAX_CONCURRENT_INSPECTIONS: usize = 16;
/// How long to wait for the engine at start before earlier keys are renewed without it; it usually responds sooner.
const ENGINE_START_TIMEOUT: Duration = Duration::from_millis(300);
/// How long the last writes may take.
const FINAL_WRITES_TIMEOUT: Duration = Duration::from_secs(8);
/// The shortest interval between two computations of the node's record.
const NODE_RECORD_INTERVAL: Duration = Duration::from_millis(500);
/// The shortest interval between two ticks.
const TICK_INTERVAL: Duration = Duration::from_millis(10);

/// How a registrar ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// It was stopped, or ran once; everything is as it should be.
    Done,
    /// It ran once, and something that should be registered is not.
    Incomplete,
    /// What would be written, one line each.
    Planned(Vec<String>),
}

/// Registers containers until the stop.
///
/// # Errors
/// Settings that can never work; for a run that does not wait, an unreachable engine or store.
pub async fn run(
    settings: Settings,
    cluster: Arc<Cluster>,
    board: Arc<StatusBoard>,
    stop: Stop,
) -> Result<RunEnd, RegistrarError> {
    let started = {
        let start = start::start(&settings, &board, &stop);
        renew_during_startup(start, &settings, &cluster, &board).await?
    };
    let Some(start::Started { engine, info, node_config, host_source }) = started else {
        // Stopped before it could begin; a one-time run has not done its work.
        let unfinished = settings.once || settings.dry_run;
        return Ok(if unfinished { RunEnd::Incomplete } else { RunEnd::Done });
    };
    let config = config(&settings, &node_config);
    let (wanted, wanted_keys) = watch::channel(WantedKeys::default());
    let (facts, published) = watch::channel(None);
    // The writers stop after the deciders, so that the last decisions are written.
    let (stop_first, stop_last) = (Stop::new(), Stop::new());
    let (mut first, mut last) = (Loops::new(stop_first.clone()), Loops::new(stop_last.clone()));
    if !settings.dry_run {
        let (cluster, board) = (Arc::clone(&cluster), Arc::clone(&board));
        let stop = stop_last.clone();
        let reconciler = reconcile::run_reconciler(cluster, config.clone(), wanted_keys, board, stop);
        last.spawn("reconciler", reconciler);
    }
    if settings.publish_node && !settings.dry_run && !settings.once {
        let (cluster, board, host) = (Arc::clone(&cluster), Arc::clone(&board), config.host.clone());
        let end = (settings.lease, settings.on_exit);
        last.spawn("node", node::publish(cluster, host, end, published, board, stop_last.clone()));
    }
    let (sender, updates) = mpsc::channel(EVENT_QUEUE_CAPACITY);
    first.spawn("engine", follow(Arc::clone(&engine), settings.relist, sender, stop_first.clone()));
    let mut worker =
        Worker::new(&settings, (engine, info), (node_config, host_source), Arc::clone(&board), wanted, facts);
    let ended = tokio::select! {
        ended = worker.work(updates) => Ok(ended),
        ended = first.first_failure() => Err(match ended.why {
            EndReason::Failed(why) => RegistrarError::StaleSocket(why),
            _ => RegistrarError::Settings(ended.to_string()),
        }),
        ended = last.first_failure() => Err(RegistrarError::Store(ended.to_string())),
        () = stop.wait() => Ok(!settings.once && !settings.dry_run),
    };
    first.drain(Duration::from_secs(1)).await;
    // After an error, report that, not a plan that covers only half of the containers.
    let planned = if settings.dry_run && ended.is_ok() {
        let plan = reconcile::dry_run(&cluster, &config, &worker.model.wanted()).await;
        Some(plan.map_err(RegistrarError::Store)?)
    } else {
        None
    };
    drop(worker);
    if matches!(ended, Err(RegistrarError::StaleSocket(_))) {
        // The containers keep running and the next registrar takes over the keys: they stay, whatever the exit setting
        // is.
        drop(last);
        return ended.map(|_| RunEnd::Incomplete);
    }
    let late = last.drain(FINAL_WRITES_TIMEOUT).await;
    if !late.is_empty() {
        tracing::warn!("did not end in time: {}", late.join(", "));
    }
    Ok(match (ended?, planned) {
        (true, Some(lines)) => RunEnd::Planned(lines),
        (false, Some(_)) if stop.requested() => RunEnd::Incomplete,
        (false, Some(lines)) => RunEnd::Planned(lines),
        (true, None) => RunEnd::Done,
        (false, None) => RunEnd::Incomplete,
    })
}

fn config(settings: &Settings, node_config: &NodeConfig) -> ReconcilerConfig {
    // A sidecar knows only one container: with its own list it does not take the others' keys for leftovers.
    let node = match &node_config.own {
        Some(own) => format!("{}.{}", node_config.node, short(&own.id)),
        None => node_config.node.clone(),
    };
    reconciler_config(settings, node)
}

/// Separates the keys of this registrar from those of another one on the same node.
fn scope(settings: &Settings) -> String {
    let Rules { prefix, layout, .. } = &settings.rules;
    let sidecar = settings.own.as_ref().map(|own| &own.ports);
    let all = format!("{:?}", (&settings.engine.url, prefix, layout, sidecar));
    hex(&Sha256::digest(all.as_bytes())[..6])
}

fn reconciler_config(settings: &Settings, node: String) -> ReconcilerConfig {
    ReconcilerConfig {
        node,
        scope: scope(settings),
        publishes: settings.publish_node,
        host: start::host_identity(&settings.engine.url),
        prefix: settings.rules.prefix.clone(),
        lease: settings.lease,
        on_exit: settings.on_exit,
        attempts: settings.attempts,
        pause: settings.pause,
    }
}

/// While startup is slow, renews the leases of the previous run: its containers may run well although their engine does
/// not respond.
async fn renew_during_startup(
    start: impl Future<Output = Result<Option<start::Started>, RegistrarError>>,
    settings: &Settings,
    cluster: &Arc<Cluster>,
    status_board: &Arc<StatusBoard>,
) -> Result<Option<start::Started>, RegistrarError> {
    let mut start = std::pin::pin!(start);
    let soon = tokio::time::timeout(ENGINE_START_TIMEOUT, &mut start).await;
    let node = start::guess_node_name(settings).filter(|_| !settings.once && !settings.dry_run);
    let (Err(_), Some(node)) = (&soon, node) else {
        return match soon {
            Ok(started) => started,
            Err(_) => start.await,
        };
    };
    let config = ReconcilerConfig { on_exit: OnExit::Keep, ..reconciler_config(settings, node) };
    let (_wanted, nothing) = watch::channel(WantedKeys::default());
    let stop = Stop::new();
    let mut tending = std::pin::pin!(reconcile::run_reconciler(
        Arc::clone(cluster),
        config,
        nothing,
        Arc::clone(status_board),
        stop.clone()
    ));
    let started = tokio::select! {
        started = &mut start => started,
        ended = &mut tending => return Err(RegistrarError::Store(ended.err().unwrap_or_default())),
    };
    stop.request();
    tending.await.ok();
    started
}

/// Sends a value if it differs from the last one.
fn send_change<T: PartialEq>(to: &watch::Sender<T>, value: T) {
    to.send_if_modified(|old| {
        let changed = *old != value;
        *old = value;
        changed
    });
}

/// The result of an inspection.
type Inspected = (String, Result<Option<Container>, ()>);

/// The main loop: passes updates to the model and acts on the result.
struct Worker {
    model: Model,
    host_source: start::HostAddressSource,
    engine: Arc<Engine>,
    status_board: Arc<StatusBoard>,
    check_runner: CheckRunner,
    inspections: JoinSet<Inspected>,
    facts: facts::NodeFacts,
    wanted: watch::Sender<WantedKeys>,
    published: watch::Sender<Option<placement::Node>>,
    /// When to compute the node's record next, and when that was done last.
    record: (Option<Instant>, Option<Instant>),
    /// When a one-time run stops waiting; set once everything has been inspected.
    once: Option<Option<Instant>>,
    dry_run: bool,
    result_timeout: Duration,
}

impl Worker {
    fn new(
        settings: &Settings,
        (engine, info): (Arc<Engine>, EngineInfo),
        (node_config, host_source): (NodeConfig, start::HostAddressSource),
        status_board: Arc<StatusBoard>,
        wanted: watch::Sender<WantedKeys>,
        published: watch::Sender<Option<placement::Node>>,
    ) -> Self {
        let facts = facts::NodeFacts::new(settings, &node_config, info);
        status_board.write(|status| {
            status.node.clone_from(&node_config.node);
            engine.url().clone_into(&mut status.engine);
        });
        Self {
            model: Model::new(node_config),
            host_source,
            check_runner: CheckRunner::new(Arc::clone(&engine)),
            engine,
            status_board,
            inspections: JoinSet::new(),
            facts,
            wanted,
            published,
            record: (None, None),
            once: (settings.once || settings.dry_run).then_some(None),
            dry_run: settings.dry_run,
            result_timeout: settings.checks.timeout + settings.checks.interval,
        }
    }

    /// Runs until a one-time run is done; returns whether everything is as it should be.
    async fn work(&mut self, mut updates: mpsc::Receiver<EngineUpdate>) -> bool {
        let mut changes = self.status_board.changes();
        loop {
            changes.mark_unchanged();
            self.follow_up();
            if let Some(end) = self.is_done() {
                return end;
            }
            let next = self.next();
            tokio::select! {
                Some(update) = updates.recv() => self.take_update(update),
                Some(done) = self.inspections.join_next() => self.inspected(done.ok()),
                checked = self.check_runner.next() => self.checked(checked),
                asked = self.status_board.drain_requests() => self.drain(asked),
                // A one-time run also depends on the results of its keys.
                Ok(()) = changes.changed(), if self.once.is_some() => {}
                () = sleep_until(next) => {}
            }
            // Take all queued updates at once, so that the consequences are computed once.
            while let Ok(update) = updates.try_recv() {
                self.take_update(update);
            }
            while let Some(done) = self.inspections.try_join_next() {
                self.inspected(done.ok());
            }
            while let Some(checked) = self.check_runner.try_next() {
                self.checked(checked);
            }
        }
    }

    /// Returns when to continue although no update comes.
    fn next(&self) -> Instant {
        let now = Instant::now();
        let next = self.model.next().map_or(now + Duration::from_secs(60), |at| at.max(now + TICK_INTERVAL));
        let next = self.record.0.map_or(next, |at| next.min(at));
        match self.once {
            Some(Some(until)) => next.min(until),
            _ => next,
        }
    }

    fn take_update(&mut self, update: EngineUpdate) {
        let now = Instant::now();
        match update {
            EngineUpdate::Up(info) => {
                self.model.set_host(self.host_source.host());
                self.status_board.write(|status| status.engine_error.clear());
                self.facts.info(info);
                self.record_soon();
            }
            EngineUpdate::Down(why) => {
                self.status_board.count(Count::EngineErrors);
                self.status_board.write(|status| status.engine_error = why);
                self.model.lost(now);
            }
            EngineUpdate::Listed(all) => {
                self.model.set_host(self.host_source.host());
                self.status_board.count(Count::Lists);
                self.status_board.write(|status| status.engine_error.clear());
                self.model.listed(all, now);
            }
            EngineUpdate::Event(event) => {
                self.status_board.count(Count::Events);
                self.model.event(&event, now);
            }
            EngineUpdate::Images(images) => {
                self.facts.images(images);
                self.record_soon();
            }
        }
    }

    fn inspected(&mut self, done: Option<Inspected>) {
        // A panic in an inspection is a bug, but no reason to give up on its container.
        let Some((id, found)) = done else { return self.model.inspections_lost() };
        self.status_board.count(Count::Inspections);
        self.model.inspected(&id, found, Instant::now());
    }

    fn checked(&mut self, checked: CheckReport) {
        self.status_board.count(Count::Checks);
        if checked.result.is_err() {
            self.status_board.count(Count::FailedChecks);
        }
        self.model.checked(&checked.service_id, &checked.probe, checked.result);
    }

    fn drain(&mut self, asked: Vec<(String, bool)>) {
        for (asked, out) in asked {
            if !self.model.drain(&asked, out) {
                tracing::warn!("cannot drain {asked:?}: no such container here");
            }
        }
    }

    /// Acts on the current state of the model.
    fn follow_up(&mut self) {
        let now = Instant::now();
        self.model.tick(now);
        let room = MAX_CONCURRENT_INSPECTIONS.saturating_sub(self.inspections.len());
        for id in self.model.due_inspections(room, now) {
            let engine = Arc::clone(&self.engine);
            self.inspections.spawn(async move {
                let found = engine.inspect(&id).await;
                let found = found.map_err(|error| {
                    tracing::warn!("cannot inspect container {}: {error}", short(&id));
                });
                (id, found)
            });
        }
        if self.model.take_touched() {
            self.publish();
            self.record_soon();
        }
        if self.record.0.is_some_and(|at| now >= at) {
            self.record = (None, Some(now));
            let record = self.facts.record(&self.model);
            send_change(&self.published, Some(record));
        }
    }

    /// Publishes checks, keys and status from the model.
    fn publish(&mut self) {
        self.check_runner.set_wanted(&self.model.probes());
        let wanted = self.model.wanted();
        let complete = wanted.complete;
        send_change(&self.wanted, wanted);
        let containers = self.model.status();
        self.status_board.write(|status| {
            status.complete = complete;
            status.containers = containers;
        });
    }

    /// Notes that the node's record may have to change.
    fn record_soon(&mut self) {
        let now = Instant::now();
        // A partial record would make others place containers on ports that are in use.
        if self.model.complete() {
            let due = self.record.1.map_or(now, |last| now.max(last + NODE_RECORD_INTERVAL));
            self.record.0.get_or_insert(due);
        }
    }

    /// Returns, for a one-time run, whether it is done and whether everything is as it should be.
    fn is_done(&mut self) -> Option<bool> {
        let until = self.once.as_mut()?;
        if !self.model.complete() {
            return None;
        }
        let now = Instant::now();
        let until = *until.get_or_insert(now + self.result_timeout);
        let status = self.status_board.status();
        let services = || status.containers.iter().flat_map(|container| &container.services);
        let starting = services().any(|service| service.state == "starting");
        let unkept =
            !self.dry_run && services().any(|service| service.state == "passing" && service.kept.is_none());
        if now < until && (starting || unkept) {
            return None;
        }
        let missing = unregistered(&status.containers, !self.dry_run);
        for line in &missing {
            tracing::error!("{line}");
        }
        // A container without a service was logged as refused.
        Some(missing.is_empty() && status.containers.iter().all(|container| container.state != "failing"))
    }
}
