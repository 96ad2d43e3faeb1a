//! Runs a script against a registrar, and checks the result.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use retune::client::Trust;
use retune::client::cluster::{Cluster, Options};
use retune::registrar::{
    self, EngineEndpoint, Lease, RegistrarError, Rules, RunEnd, Settings, StatusBoard, Suffix,
};
use retune::stop::Stop;
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::faulty_link::{FaultyLink, Mode};
use super::naive::{Bug, Naive};
use super::oracle::{self, expected};
use super::plan::{ContainerKind, Fault, Plan, SLOTS, Step};
use super::store_view::{below, first_change};
use crate::support::fake_engine::{Container, FakeEngine, Health, runtime};
use crate::support::scaled;

const RELIST_INTERVAL: Duration = Duration::from_millis(300);
const CHECK_INTERVAL: Duration = Duration::from_millis(200);
/// Longer than any outage of the store in a script.
const LEASE_TTL: Duration = Duration::from_secs(3);
const REFRESH_INTERVAL: Duration = Duration::from_millis(300);
/// How long a request from before the repair may take to end, with its delay, on a shared machine.
const SETTLE_MARGIN: Duration = Duration::from_millis(2500);
/// The registrar under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RegistrarKind {
    /// The program's own.
    Ours,
    /// The program's own, with lists disabled.
    WithoutLists,
    /// The simplest one.
    Naive(Bug),
}

/// Returns an address of this host that others could reach, and whether there really is one.
fn address() -> (String, bool) {
    // Reads the routing table; sends nothing.
    let own = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect((Ipv4Addr::new(198, 51, 100, 7), 9))?;
        socket.local_addr()
    });
    match own.map(|address| address.ip()) {
        Ok(IpAddr::V4(ip)) if !ip.is_loopback() && !ip.is_unspecified() => (ip.to_string(), true),
        _ => ("198.51.100.7".to_owned(), false),
    }
}

struct TestBed<'p> {
    plan: &'p Plan,
    who: RegistrarKind,
    engine: FakeEngine,
    down: bool,
    line: FaultyLink,
    store: String,
    rules: oracle::Rules,
    slots: [Option<String>; SLOTS],
    registrar: Option<Registrar>,
    // Ports of steady containers that accept connections.
    ports: JoinSet<()>,
}

struct Registrar {
    task: JoinHandle<Result<RunEnd, RegistrarError>>,
    stop: Stop,
    status_board: Arc<StatusBoard>,
}

/// Stops a task when dropped.
struct Watcher(AbortHandle);

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs it; returns how long the store took to become right after all faults were repaired.
pub(super) async fn play(plan: &Plan, who: RegistrarKind, store: &str) -> Result<Duration, String> {
    let mut scene = TestBed::set(plan, who, store).await;
    let done = scene.play().await;
    if let Some(registrar) = &scene.registrar {
        registrar.stop.request();
        registrar.task.abort();
    }
    done.map_err(|why| scene.describe(&why))
}

impl<'p> TestBed<'p> {
    async fn set(plan: &'p Plan, who: RegistrarKind, store: &str) -> Self {
        let (ip, _) = address();
        let rules = oracle::Rules {
            prefix: format!("/{}-{}", if who == RegistrarKind::Ours { "script" } else { "other" }, plan.seed),
            node: format!("node-{}", plan.seed),
            ip,
            suffix: plan.suffix,
        };
        Self {
            plan,
            who,
            engine: FakeEngine::start_as(plan.dialect, plan.seed),
            down: false,
            line: FaultyLink::to(store.to_owned()).await,
            store: store.to_owned(),
            rules,
            slots: Default::default(),
            registrar: None,
            ports: JoinSet::new(),
        }
    }

    async fn play(&mut self) -> Result<Duration, String> {
        let steady = self.steady().await;
        self.register();
        self.right("before the script", scaled(Duration::from_secs(15))).await?;
        let seen = below(&self.store, &self.rules.prefix).await.map_err(|error| error.to_string())?;
        let (address, prefix) = (self.store.clone(), self.rules.prefix.clone());
        let calm = self.plan.calm() && self.who == RegistrarKind::Ours;
        let mut watch =
            runtime().spawn(async move { first_change(&address, &prefix, &steady, calm, seen.index).await });
        let _watcher = Watcher(watch.abort_handle());
        let judged = async {
            for (step, pause) in &self.plan.steps {
                self.step(step).await?;
                sleep(Duration::from_millis(*pause)).await;
            }
            let took = self.repair().await?;
            // It must stay right: no request in transit may make it wrong.
            sleep(RELIST_INTERVAL * 2).await;
            self.right("a while after it was right", scaled(SETTLE_MARGIN)).await?;
            Ok::<_, String>(took)
        };
        let took = tokio::select! {
            took = judged => took?,
            touch = &mut watch => return Err(touch.unwrap_or_else(|error| error.to_string())),
        };
        self.end().await?;
        match self.engine.invalid_requests().first() {
            Some(asked) => Err(format!("the engine was asked what it must not be asked: {asked}")),
            None => Ok(took),
        }
    }

    /// Returns the containers that no step changes, and their keys.
    async fn steady(&mut self) -> BTreeMap<String, String> {
        let (ip, there) = address();
        let mut containers = Vec::new();
        for (name, kind) in [("steady-0", ContainerKind::One), ("steady-1", ContainerKind::Two)] {
            let mut container = kind.container(name, 0).env("SERVICE_NAME", "steady").always();
            for (_, host) in &mut container.publish {
                if there && self.plan.short_grace {
                    *host = Some(self.listen(&ip).await);
                }
            }
            containers.push(container);
        }
        containers[1] = containers[1].clone().healthcheck();
        let ids: Vec<_> = containers.into_iter().map(|one| self.engine.run(one)).collect();
        self.engine.probe(&ids[1], Health::Healthy);
        // Where nothing responds at their ports, an engine outage longer than the grace time makes them fail.
        if !self.plan.has_steady() || (self.plan.short_grace && !there) {
            return BTreeMap::new();
        }
        expected(&self.engine.containers(), &self.rules)
    }

    async fn listen(&mut self, ip: &str) -> u16 {
        let listener = tokio::net::TcpListener::bind((ip, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        self.ports.spawn(async move {
            let mut held = std::collections::VecDeque::new();
            while let Ok((stream, _)) = listener.accept().await {
                held.push_back(stream);
                if held.len() > 20 {
                    held.pop_front();
                }
            }
        });
        port
    }

    fn register(&mut self) {
        let (stop, status_board) = (Stop::new(), Arc::new(StatusBoard::new()));
        let task = if let RegistrarKind::Naive(bug) = self.who {
            let (socket, store) = (self.engine.socket().to_owned(), self.line.address().to_owned());
            let naive = Naive { socket, store, rules: self.rules.clone(), bug };
            let stop = stop.clone();
            runtime().spawn_blocking(move || {
                naive.run(|| stop.requested());
                Ok(RunEnd::Done)
            })
        } else {
            let cluster = Arc::new(Cluster::new(options(self.line.url())).unwrap());
            runtime().spawn(registrar::run(self.settings(), cluster, Arc::clone(&status_board), stop.clone()))
        };
        self.registrar = Some(Registrar { task, stop, status_board });
    }

    fn settings(&self) -> Settings {
        let mut settings = Settings {
            engine: EngineEndpoint { url: self.engine.url(), trust: Trust::default(), tls: false },
            node: Some(self.rules.node.clone()),
            publish_node: self.plan.publish_node,
            rules: Rules {
                ip: Some(self.rules.ip.clone()),
                suffix: if self.rules.suffix { Suffix::Published } else { Suffix::Never },
                prefix: self.rules.prefix.clone(),
                ..Rules::default()
            },
            lease: Lease { ttl: Some(LEASE_TTL), refresh: REFRESH_INTERVAL },
            relist: if self.who == RegistrarKind::WithoutLists {
                Duration::from_secs(3600)
            } else {
                RELIST_INTERVAL
            },
            grace: Duration::from_millis(if self.plan.short_grace { 500 } else { 60_000 }),
            ..Settings::default()
        };
        settings.checks.interval = CHECK_INTERVAL;
        settings.checks.timeout = Duration::from_millis(500);
        settings
    }

    /// Stops it regularly.
    async fn end(&mut self) -> Result<(), String> {
        let Some(registrar) = self.registrar.take() else { return Ok(()) };
        registrar.stop.request();
        match timeout(scaled(Duration::from_secs(8)), registrar.task).await {
            Ok(Ok(Ok(RunEnd::Done))) => Ok(()),
            Ok(other) => Err(format!("it ended with {other:?}")),
            Err(_) => Err("it does not end when it is told to".to_owned()),
        }
    }

    async fn step(&mut self, step: &Step) -> Result<(), String> {
        if let Some(registrar) = self.registrar.as_mut().filter(|one| one.task.is_finished()) {
            return Err(format!("the registrar ended of its own accord: {:?}", (&mut registrar.task).await));
        }
        match step {
            Step::Fault(fault) => self.fault(fault),
            Step::Mend => self.engine.clear_faults(),
            Step::CutStreams { in_a_line } => self.engine.cut_streams(*in_a_line),
            Step::Pull(times) => self.engine.pull("busybox:latest", *times),
            Step::EngineDown if !self.down => {
                self.engine.down();
                self.down = true;
            }
            Step::EngineUp => self.engine_up(),
            Step::EngineDown => {}
            Step::EngineRestart(on_stop) => {
                self.engine.restart(*on_stop);
                self.down = false;
            }
            Step::StoreAway(mode, span) => {
                self.line.set(*mode);
                sleep(*span).await;
                self.line.set(Mode::Open);
            }
            Step::Registrar { killed } => self.another_registrar(*killed).await?,
            other => self.live(other),
        }
        Ok(())
    }

    /// Stops one and starts another, whatever the engine does meanwhile. The simplest one knows nothing of its
    /// predecessor, so for that one the engine works.
    async fn another_registrar(&mut self, killed: bool) -> Result<(), String> {
        if matches!(self.who, RegistrarKind::Naive(_)) {
            self.engine.clear_faults();
            self.engine_up();
        }
        if !killed {
            self.end().await?;
        } else if let Some(registrar) = self.registrar.take() {
            // A thread can only be asked to stop.
            if matches!(self.who, RegistrarKind::Naive(_)) {
                registrar.stop.request();
            }
            registrar.task.abort();
            registrar.task.await.ok();
        }
        self.register();
        Ok(())
    }

    fn engine_up(&mut self) {
        if std::mem::replace(&mut self.down, false) {
            self.engine.up();
        }
    }

    /// Changes one container.
    fn live(&mut self, step: &Step) {
        let (engine, slots) = (&self.engine, &mut self.slots);
        let at = |slot: &usize| slots[*slot].clone().unwrap_or_else(|| "nobody".to_owned());
        match step {
            Step::Run(slot, kind) => {
                if slots[*slot].is_none() {
                    let container: Container = kind.container(&format!("c{slot}"), *slot);
                    slots[*slot] = Some(engine.run(container));
                }
            }
            Step::Begin(slot) => engine.begin(&at(slot)),
            Step::Stop(slot, takes) => engine.stop(&at(slot), *takes),
            Step::Kill(slot, signal) => engine.kill(&at(slot), *signal),
            Step::Die(slot, code) => engine.die(&at(slot), *code),
            Step::Crash(slot, back) => engine.crash(&at(slot), 1, *back),
            Step::Restart(slot, takes) => engine.restart_container(&at(slot), *takes),
            Step::Pause(slot) => engine.pause(&at(slot)),
            Step::Unpause(slot) => engine.unpause(&at(slot)),
            Step::Probe(slot, health) => engine.probe(&at(slot), *health),
            Step::Rename(slot) => {
                let now = engine.container(&at(slot)).map(|one| one.name);
                let new = if now.is_some_and(|name| name.ends_with('x')) { "" } else { "x" };
                engine.rename(&at(slot), &format!("c{slot}{new}"));
            }
            Step::Remove(slot) => {
                engine.remove(&at(slot));
                slots[*slot] = None;
            }
            other => unreachable!("{other:?} is no step of a container"),
        }
    }

    fn fault(&self, fault: &Fault) {
        self.engine.fault(|faults| match fault {
            Fault::Lost(share) => faults.lost = *share,
            Fault::Doubled(share) => faults.doubled = *share,
            Fault::Late(wait) => faults.late = *wait,
            Fault::Jitter(wait) => faults.jitter = *wait,
            Fault::Silent => faults.silent = true,
            Fault::LateHead => faults.late_head = true,
            Fault::Since(since) => faults.since = *since,
            Fault::Request(of, how, share) => faults.requests.push((*of, *how, *share)),
        });
    }

    /// Repairs everything; returns how long it takes until the store is right.
    async fn repair(&mut self) -> Result<Duration, String> {
        let wait = Instant::now();
        while !self.engine.settled() {
            if wait.elapsed() > Duration::from_secs(5) {
                return Err("a container does not settle: an error of the test".to_owned());
            }
            sleep(Duration::from_millis(10)).await;
        }
        self.engine.clear_faults();
        self.engine_up();
        self.right("after everything was mended", RELIST_INTERVAL + CHECK_INTERVAL + scaled(SETTLE_MARGIN))
            .await
    }

    /// Waits until the store matches the engine.
    async fn right(&mut self, when: &str, limit: Duration) -> Result<Duration, String> {
        let start = Instant::now();
        let wanted = expected(&self.engine.containers(), &self.rules);
        // Only where nobody was killed between two writes.
        let tidy = self.who == RegistrarKind::Ours && self.plan.calm();
        loop {
            let wrong = match below(&self.store, &self.rules.prefix).await {
                Ok(seen) => {
                    let mut wrong = seen.differences(&wanted);
                    if tidy {
                        wrong.extend(seen.empty.iter().map(|dir| format!("{dir} is empty and stands there")));
                    }
                    wrong
                }
                Err(error) => vec![format!("the store itself: {error}")],
            };
            if wrong.is_empty() {
                return Ok(start.elapsed());
            }
            if let Some(registrar) = self.registrar.as_mut().filter(|one| one.task.is_finished()) {
                return Err(format!(
                    "the registrar ended of its own accord: {:?}",
                    (&mut registrar.task).await
                ));
            }
            if start.elapsed() > limit {
                return Err(format!("{when}, still after {limit:?}:\n    {}", wrong.join("\n    ")));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Returns all information that helps to find the cause.
    fn describe(&self, why: &str) -> String {
        let containers = self.engine.containers().into_iter().map(|one| {
            let health = one.health.map_or("", Health::word);
            format!("  {} {:?} {health} {:?} {}\n", one.name, one.doing, one.bindings, &one.id[..12])
        });
        let containers: String = containers.collect();
        let status_board = self.registrar.as_ref().map(|one| one.status_board.status());
        let asked = self.engine.asked();
        format!(
            "{why}\n{}containers at the end:\n{containers}asked of the engine: {asked:?}\nstatus: {status_board:?}\n",
            self.plan
        )
    }
}

fn options(url: String) -> Options {
    Options {
        endpoints: vec![url],
        trust: Trust::default(),
        login: None,
        timeout: Duration::from_millis(500),
        dial: Duration::from_millis(500),
        trace: None,
        sync: false,
    }
}
