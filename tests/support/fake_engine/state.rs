//! The containers of the fake engine, and the events of their changes.

use std::collections::{BTreeMap, VecDeque};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::broadcast;

use super::super::rng::TestRng;
use super::container::{Container, ContainerState, Health};
use super::{CommandResult, Dialect, Endpoint, OnEngineStop};

/// The number of past events kept, as in Docker.
const MAX_PAST_EVENTS: usize = 256;
/// The number of events that wait for a subscriber before it misses some, as in Docker.
const MAX_PENDING_EVENTS: usize = 1024;

/// One event.
#[derive(Clone, Debug)]
pub(super) struct PastEvent {
    /// `container`, `image`, `network` or `daemon`.
    pub(super) of: &'static str,
    pub(super) action: String,
    pub(super) id: String,
    pub(super) attributes: BTreeMap<String, String>,
    /// Nanoseconds of the engine's clock since 1970.
    pub(super) at: i64,
    /// Podman sends the health beside the action.
    pub(super) health: Option<Health>,
}

/// A command to run in a container.
#[derive(Clone, Debug)]
pub(super) struct Exec {
    pub(super) container: String,
    pub(super) command: Vec<String>,
    pub(super) done: bool,
}

/// The whole state of the engine.
pub(super) struct State {
    dialect: Dialect,
    pub(super) containers: BTreeMap<String, Container>,
    pub(super) log: VecDeque<PastEvent>,
    pub(super) live: broadcast::Sender<PastEvent>,
    pub(super) serving: bool,
    /// From its clock to the host's, in nanoseconds.
    pub(super) offset: i64,
    last_time: i64,
    pub(super) rng: TestRng,
    pub(super) asked: BTreeMap<Endpoint, u64>,
    pub(super) wrongly_asked: Vec<String>,
    pub(super) told: CommandResult,
    pub(super) execs: BTreeMap<String, Exec>,
    /// The engine's labels.
    pub(super) labels: Vec<String>,
    next_port: u16,
    next_address: u16,
}

impl State {
    pub(super) fn new(dialect: Dialect, seed: u64) -> Self {
        Self {
            dialect,
            containers: BTreeMap::new(),
            log: VecDeque::new(),
            live: broadcast::Sender::new(MAX_PENDING_EVENTS),
            serving: false,
            offset: 0,
            last_time: 0,
            rng: TestRng::seeded(seed),
            asked: BTreeMap::new(),
            wrongly_asked: Vec::new(),
            told: CommandResult::default(),
            execs: BTreeMap::new(),
            labels: ["zone=a", "storage=ssd"].map(str::to_owned).to_vec(),
            next_port: 32_768,
            next_address: 2,
        }
    }

    /// Returns the nanoseconds of its clock.
    pub(super) fn now(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        i64::try_from(since.as_nanos()).unwrap() + self.offset
    }

    /// Returns 64 new digits.
    pub(super) fn new_id(&mut self) -> String {
        (0..4).map(|_| format!("{:016x}", self.rng.next())).collect()
    }

    /// Finds a container by id, name, or an unambiguous beginning of its id.
    pub(super) fn find(&self, word: &str) -> Option<&Container> {
        let word = word.trim_start_matches('/');
        let mut all = self.containers.values();
        if let Some(found) = all.clone().find(|one| one.id == word || one.name == word) {
            return Some(found);
        }
        let mut begins = all.by_ref().filter(|one| !word.is_empty() && one.id.starts_with(word));
        begins.next().filter(|_| begins.next().is_none())
    }

    fn is_taken(&self, name: &str) -> bool {
        self.containers.values().any(|one| one.name == name)
    }

    fn change(&mut self, word: &str) -> Option<&mut Container> {
        let id = self.find(word)?.id.clone();
        self.containers.get_mut(&id)
    }

    fn emit(&mut self, id: &str, action: &str, more: &[(&str, String)]) {
        let mut attributes = BTreeMap::new();
        if let Some(container) = self.containers.get(id) {
            attributes.clone_from(&container.labels);
            attributes.insert("image".to_owned(), container.image.clone());
            attributes.insert("name".to_owned(), container.name.clone());
        }
        attributes.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let at = self.time();
        let (action, id) = (action.to_owned(), id.to_owned());
        self.record_event(PastEvent { of: "container", action, id, attributes, at, health: None });
    }

    // No two events have the same nanosecond, while the clock goes forward.
    fn time(&mut self) -> i64 {
        let now = self.now();
        self.last_time = if now > self.last_time || self.last_time - now > 1_000_000_000 {
            now
        } else {
            self.last_time + 1
        };
        self.last_time
    }

    fn record_event(&mut self, event: PastEvent) {
        // Events while the engine is down reach nobody.
        if !self.serving {
            return;
        }
        if self.log.len() == MAX_PAST_EVENTS {
            self.log.pop_front();
        }
        self.log.push_back(event.clone());
        // An error means that there is no subscriber.
        self.live.send(event).ok();
    }

    pub(super) fn create(&mut self, mut container: Container) -> String {
        assert!(!self.is_taken(&container.name), "there is a container {:?} already", container.name);
        container.id = self.new_id();
        container.created_at = self.now();
        let id = container.id.clone();
        self.containers.insert(id.clone(), container);
        self.emit(&id, "create", &[]);
        id
    }

    pub(super) fn begin(&mut self, word: &str) {
        let Some(found) = self.find(word).filter(|one| !one.up()) else { return };
        let (id, wanted, host) = (found.id.clone(), found.publish.clone(), found.network_mode == "host");
        let mut bindings = BTreeMap::new();
        for (port, on) in wanted.into_iter().filter(|_| !host) {
            bindings.insert(port, on.unwrap_or_else(|| self.free_port()));
        }
        let (now, address) = (self.now(), self.free_address());
        let container = self.containers.get_mut(&id).expect("just found");
        container.bindings = bindings;
        container.ip = if host { String::new() } else { address };
        container.doing = ContainerState::Running;
        container.started_at = now;
        container.stopping = false;
        container.life += 1;
        container.health = container.health.map(|_| Health::Starting);
        if self.dialect == Dialect::Podman {
            self.emit(&id, "init", &[]);
        }
        self.emit(&id, "start", &[]);
    }

    const fn free_port(&mut self) -> u16 {
        self.next_port = if self.next_port > 60_000 { 32_768 } else { self.next_port + 1 };
        self.next_port
    }

    fn free_address(&mut self) -> String {
        self.next_address = if self.next_address > 60_000 { 2 } else { self.next_address + 1 };
        format!("172.17.{}.{}", self.next_address / 250, self.next_address % 250 + 2)
    }

    /// Sends the stop signal; returns what is needed to end it later.
    pub(super) fn ask_to_stop(&mut self, word: &str) -> Option<(String, u64)> {
        let container = self.change(word).filter(|one| one.up() && !one.stopping)?;
        container.stopping = true;
        let asked = (container.id.clone(), container.life);
        let signal = container.stop_signal;
        self.signalled(&asked.0, signal, true);
        Some(asked)
    }

    fn signalled(&mut self, id: &str, signal: i32, by_stop: bool) {
        match self.dialect {
            Dialect::Docker => self.emit(id, "kill", &[("signal", signal.to_string())]),
            Dialect::Podman if by_stop => {}
            Dialect::Podman => self.emit(id, "kill", &[]),
        }
    }

    fn is_same_run(&self, id: &str, life: u64) -> bool {
        self.containers.get(id).is_some_and(|one| one.up() && one.life == life)
    }

    pub(super) fn stopped(&mut self, id: &str, life: u64) {
        if self.is_same_run(id, life) {
            self.die(id, 0);
            self.emit(id, "stop", &[]);
        }
    }

    pub(super) fn restarted(&mut self, id: &str, life: u64) {
        if self.is_same_run(id, life) {
            self.stopped(id, life);
            self.begin(id);
            self.emit(id, "restart", &[]);
        }
    }

    pub(super) fn kill(&mut self, word: &str, signal: i32) {
        let Some(found) = self.find(word).filter(|one| one.up()) else { return };
        let (id, stop_signal) = (found.id.clone(), found.stop_signal);
        self.signalled(&id, signal, false);
        if signal == 9 || signal == 15 || signal == stop_signal {
            self.die(&id, 128 + i64::from(signal));
        }
    }

    pub(super) fn die(&mut self, word: &str, code: i64) {
        self.end(word, code, ContainerState::Exited);
    }

    fn end(&mut self, word: &str, code: i64, then: ContainerState) -> Option<(String, u64)> {
        let now = self.now();
        let container = self.change(word).filter(|one| one.up())?;
        container.doing = then;
        container.exit_code = code;
        container.finished_at = now;
        container.stopping = false;
        container.bindings.clear();
        container.ip.clear();
        container.health = container.health.map(|_| Health::Unhealthy);
        let ended = (container.id.clone(), container.life);
        self.emit(&ended.0, "die", &[("exitCode", code.to_string())]);
        if self.dialect == Dialect::Podman {
            self.emit(&ended.0, "cleanup", &[]);
        }
        Some(ended)
    }

    pub(super) fn crash(&mut self, word: &str, code: i64) -> Option<(String, u64)> {
        self.end(word, code, ContainerState::Restarting)
    }

    pub(super) fn back(&mut self, id: &str, life: u64) {
        let waits = |one: &&Container| one.doing == ContainerState::Restarting && one.life == life;
        if self.containers.get(id).filter(waits).is_some() {
            self.begin(id);
        }
    }

    pub(super) fn pause(&mut self, word: &str, paused: bool) {
        let (from, to) = if paused {
            (ContainerState::Running, ContainerState::Paused)
        } else {
            (ContainerState::Paused, ContainerState::Running)
        };
        let Some(container) = self.change(word).filter(|one| one.doing == from && !one.stopping) else {
            return;
        };
        container.doing = to;
        let id = container.id.clone();
        self.emit(&id, if paused { "pause" } else { "unpause" }, &[]);
    }

    pub(super) fn probe(&mut self, word: &str, health: Health) {
        let up = |one: &&mut Container| one.doing == ContainerState::Running && one.health.is_some();
        let Some(container) = self.change(word).filter(up) else { return };
        let changed = container.health.replace(health) != Some(health);
        let id = container.id.clone();
        match self.dialect {
            Dialect::Docker => {
                for action in ["exec_create: /bin/check", "exec_start: /bin/check", "exec_die"] {
                    self.emit(&id, action, &[]);
                }
                if changed {
                    self.emit(&id, &format!("health_status: {}", health.word()), &[]);
                }
            }
            Dialect::Podman => {
                self.emit(&id, "exec", &[]);
                self.emit(&id, "exec_died", &[]);
                let at = self.time();
                let (action, attributes) = ("health_status".to_owned(), BTreeMap::new());
                self.record_event(PastEvent {
                    of: "container",
                    action,
                    id,
                    attributes,
                    at,
                    health: Some(health),
                });
            }
        }
    }

    pub(super) fn rename(&mut self, word: &str, name: &str) {
        if self.is_taken(name) {
            return;
        }
        let Some(container) = self.change(word) else { return };
        let old = std::mem::replace(&mut container.name, name.to_owned());
        let id = container.id.clone();
        self.emit(&id, "rename", &[("oldName", format!("/{old}"))]);
    }

    /// Connects it to one more network, with a new address each time; `false`: disconnects it.
    pub(super) fn network(&mut self, word: &str, network: &str, connected: bool) {
        let address = self.free_address();
        let Some(container) = self.change(word).filter(|one| one.up()) else { return };
        let there = container.more_networks.contains_key(network);
        if there == connected {
            return;
        }
        if connected {
            container.more_networks.insert(network.to_owned(), address);
        } else {
            container.more_networks.remove(network);
        }
        let id = container.id.clone();
        self.of_network(&id, network, if connected { "connect" } else { "disconnect" });
    }

    /// Gives it another address in its network, as leaving and rejoining the network does.
    pub(super) fn readdress(&mut self, word: &str) {
        let address = self.free_address();
        let Some(container) = self.change(word).filter(|one| one.up()) else { return };
        container.ip = address;
        let id = container.id.clone();
        for action in ["disconnect", "connect"] {
            self.of_network(&id, "bridge", action);
        }
    }

    fn of_network(&mut self, container: &str, network: &str, action: &str) {
        let at = self.time();
        let named = BTreeMap::from([("name".to_owned(), network.to_owned())]);
        let (id, attributes) = match self.dialect {
            Dialect::Podman => (container.to_owned(), named),
            Dialect::Docker => {
                let docker = [("container", container), ("type", "bridge")];
                let docker = docker.map(|(name, value)| (name.to_owned(), value.to_owned()));
                (format!("{network:0>64}"), named.into_iter().chain(docker).collect())
            }
        };
        let action = action.to_owned();
        self.record_event(PastEvent { of: "network", action, id, attributes, at, health: None });
    }

    /// Rereads its configuration, with these labels.
    pub(super) fn reload(&mut self, labels: &[&str]) {
        self.labels = labels.iter().map(|label| (*label).to_owned()).collect();
        let (at, id) = (self.time(), "fake-host".to_owned());
        let (action, attributes) = ("reload".to_owned(), BTreeMap::new());
        self.record_event(PastEvent { of: "daemon", action, id, attributes, at, health: None });
    }

    pub(super) fn remove(&mut self, word: &str) {
        let Some(id) = self.find(word).map(|one| one.id.clone()) else { return };
        self.kill(&id, 9);
        match self.dialect {
            Dialect::Docker => self.emit(&id, "destroy", &[]),
            Dialect::Podman => self.emit(&id, "remove", &[]),
        }
        self.containers.remove(&id);
    }

    pub(super) fn pull(&mut self, image: &str, times: usize) {
        for _ in 0..times {
            let (at, attributes) = (self.time(), BTreeMap::from([("name".to_owned(), image.to_owned())]));
            let (action, id) = ("pull".to_owned(), image.to_owned());
            self.record_event(PastEvent { of: "image", action, id, attributes, at, health: None });
        }
    }

    /// What a restart of the engine does before it serves again.
    pub(super) fn forget(&mut self, on_stop: OnEngineStop) {
        self.log.clear();
        self.execs.clear();
        if on_stop == OnEngineStop::End {
            let ids: Vec<String> = self.containers.keys().cloned().collect();
            for id in ids {
                self.end(&id, 137, ContainerState::Exited);
                let container = self.containers.get_mut(&id).expect("a container of the list");
                if container.doing == ContainerState::Restarting {
                    container.doing = ContainerState::Exited;
                }
            }
        }
    }

    pub(super) fn start_always(&mut self, on_stop: OnEngineStop) {
        if on_stop == OnEngineStop::End {
            let always = self.containers.values().filter(|one| one.always && !one.up());
            let ids: Vec<String> = always.map(|one| one.id.clone()).collect();
            ids.iter().for_each(|id| self.begin(id));
        }
    }
}
