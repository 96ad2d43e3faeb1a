//! The engine, its containers and their events.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::store::{NetworkState, Store};
use super::worker::{Life, Message};
use crate::registrar::container::{Container, ContainerState, Healthcheck, Network, PublishedPort};
use crate::registrar::engine::EngineEvent;
use crate::registrar::settings::Lease;
use crate::registrar::tests::world::running;

/// How many containers exist at the start; at most three times as many later.
const CONTAINER_COUNT: usize = 6;
/// Long enough that the registrar knows the new address, whatever events were lost.
const ADDRESS_CHANGE_OVERLAP: Duration = Duration::from_secs(180);

/// A container, and whether it responds.
pub(super) struct SimulatedContainer {
    pub(super) container: Container,
    pub(super) answers: bool,
    /// A previous address, and until when the container responds there as well.
    left: Option<(String, Instant)>,
}

impl SimulatedContainer {
    fn checked(&self) -> bool {
        !self.container.env.is_empty()
    }

    pub(super) fn address(&self) -> String {
        format!("{}:80", self.container.networks["bridge"].v4.unwrap())
    }

    /// Returns whether a check at this address would pass.
    pub(super) fn answers_at(&self, address: &str) -> bool {
        let left = |(left, until): &(String, Instant)| left == address && Instant::now() < *until;
        self.container.run_state == ContainerState::Running
            && self.answers
            && (self.address() == address || self.left.as_ref().is_some_and(left))
    }

    fn is_well(&self) -> bool {
        self.container.run_state == ContainerState::Running
            && matches!(self.container.healthcheck, None | Some(Healthcheck::Healthy))
            && (!self.checked() || self.answers)
    }
}

pub(super) struct World {
    pub(super) rng: StdRng,
    store: Store,
    lease: Lease,
    pub(super) real: BTreeMap<String, SimulatedContainer>,
    made: usize,
    next_address: u16,
    /// The engine's clock, in nanoseconds, starts here.
    begun: Instant,
    events: i64,
    /// The percentage of the engine's events that go wrong.
    pub(super) trouble: u32,
    /// The configuration of this run.
    prefix: &'static str,
    pub(super) life: Life,
    /// When the registrar of this run was started.
    life_begun: Instant,
    script: Vec<String>,
    /// Until when leases may expire.
    excused: Instant,
}

impl World {
    fn new(seed: u64, store: Store) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let ttl = [20, 20, 60, 120][rng.random_range(0..4)];
        let lease = Lease { ttl: Some(Duration::from_secs(ttl)), refresh: Duration::from_secs(ttl) / 3 };
        let now = Instant::now();
        let life = Life::begin(&store, lease, "/");
        let mut world = Self {
            rng,
            store,
            lease,
            real: BTreeMap::new(),
            made: 0,
            next_address: 1,
            begun: now,
            events: 0,
            trouble: 0,
            prefix: "/",
            life,
            life_begun: now,
            script: Vec::new(),
            excused: now,
        };
        for _ in 0..CONTAINER_COUNT {
            world.make(None);
        }
        world
    }

    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn note(&mut self, what: impl Into<String>) {
        let at = self.begun.elapsed().as_secs_f64();
        self.script.push(format!("{at:.3} s: {}", what.into()));
    }

    /// Returns the engine's clock.
    fn clock(&mut self) -> i64 {
        self.events += 1;
        1_000_000_000 + i64::try_from(self.begun.elapsed().as_nanos()).unwrap() + self.events
    }

    fn address(&mut self) -> Network {
        self.next_address += 1;
        let [high, low] = self.next_address.to_be_bytes();
        Network { v4: Some(format!("172.17.{high}.{low}").parse().unwrap()), v6: None }
    }

    fn make(&mut self, name: Option<String>) -> String {
        self.made += 1;
        let id = format!("{:04x}{}", self.made, "e".repeat(60));
        let clock = self.clock();
        let mut container = running(&id, 8080, clock);
        container.name = name.unwrap_or_else(|| format!("c{}", self.made));
        container.networks = BTreeMap::from([("bridge".to_owned(), self.address())]);
        // Published ports do not matter for a container that is registered at its own address.
        container.ports.values_mut().for_each(Vec::<PublishedPort>::clear);
        match self.rng.random_range(0..4) {
            0 => container.healthcheck = Some(Healthcheck::Healthy),
            1 | 2 => container.env.push(("SERVICE_CHECK_TCP".into(), "true".into())),
            _ => {}
        }
        self.note(format!("make {} as {}", &id[..4], container.name));
        self.real.insert(id.clone(), SimulatedContainer { container, answers: true, left: None });
        self.say(&id, "start", None);
        id
    }

    /// Sends an event, or loses it.
    fn say(&mut self, id: &str, action: &str, signal: Option<i32>) {
        let at = Some(self.clock());
        let event = EngineEvent {
            action: action.to_owned(),
            id: id.to_owned(),
            at,
            signal,
            ..EngineEvent::default()
        };
        let copies = if self.chance(self.trouble) { self.rng.random_range(0..3) } else { 1 };
        for _ in 0..copies {
            let late = if self.chance(self.trouble) { self.rng.random_range(0..2_000) } else { 1 };
            let due = Instant::now() + Duration::from_millis(late);
            self.life.under_way.push((due, Message::Event(event.clone())));
        }
    }

    fn up(&self) -> Vec<String> {
        let up = self.real.iter().filter(|(_, real)| real.container.run_state == ContainerState::Running);
        up.map(|(id, _)| id.clone()).collect()
    }

    fn change(&mut self, id: &str, change: impl FnOnce(&mut Container)) {
        change(&mut self.real.get_mut(id).unwrap().container);
    }

    fn rename(&mut self, id: &str, name: &str) {
        self.note(format!("rename {} to {name}", &id[..4]));
        self.change(id, |container| container.name = name.to_owned());
        self.say(id, "rename", None);
        self.set_healthy();
    }

    fn end(&mut self, id: &str) {
        self.note(format!("end {}", &id[..4]));
        self.change(id, |container| container.run_state = ContainerState::NotRunning);
        self.say(id, "kill", Some(15));
        self.say(id, "die", None);
    }

    /// Starts a new run, at a new address.
    fn begin(&mut self, id: &str) {
        self.note(format!("begin {}", &id[..4]));
        let (clock, address) = (self.clock(), self.address());
        self.change(id, |container| {
            container.run_state = ContainerState::Running;
            container.started = Some(clock);
            container.networks.insert("bridge".into(), address);
            container.healthcheck = container.healthcheck.map(|_| Healthcheck::Healthy);
        });
        self.say(id, "start", None);
    }

    /// Changes one or two containers.
    async fn act(&mut self) {
        let all: Vec<String> = self.real.keys().cloned().collect();
        let up = self.up();
        if up.len() < 3 || (all.len() < 3 * CONTAINER_COUNT && self.chance(10)) {
            self.make(None);
            return self.set_healthy();
        }
        let id = up[self.rng.random_range(0..up.len())].clone();
        match self.rng.random_range(0..12) {
            0 | 1 => {
                let (name, before) = (format!("r{}", self.events), self.real[&id].container.name.clone());
                self.rename(&id, &name);
                // And back, while the responses about the first change are in transit.
                if self.chance(50) {
                    self.pass_some(12).await;
                    self.rename(&id, &before);
                }
            }
            2 | 3 => self.swap(&id, &up).await,
            4 | 5 => self.readdress(&id),
            6 => self.end(&id),
            7 => self.recreate(&id).await,
            8 => self.toggle_response(&id),
            9 => {
                self.note(format!("pause {} for a moment", &id[..4]));
                self.change(&id, |container| container.run_state = ContainerState::Paused);
                self.say(&id, "pause", None);
                self.set_healthy();
                self.pass_some(2_000).await;
                self.change(&id, |container| container.run_state = ContainerState::Running);
                self.say(&id, "unpause", None);
            }
            10 => self.say(&id, "kill", Some(1)),
            _ => match all
                .iter()
                .find(|id| self.real[*id].container.run_state == ContainerState::NotRunning)
                .cloned()
            {
                Some(ended) if self.chance(50) => self.begin(&ended),
                Some(ended) => {
                    self.real.remove(&ended);
                    self.say(&ended, "destroy", None);
                }
                None => {}
            },
        }
        self.set_healthy();
    }

    /// Two containers swap their names, or three rotate theirs, through a temporary name.
    async fn swap(&mut self, id: &str, up: &[String]) {
        let mut ring = vec![id.to_owned()];
        ring.extend(up.iter().filter(|other| *other != id).take(self.rng.random_range(1..3)).cloned());
        let names: Vec<String> = ring.iter().map(|id| self.real[id].container.name.clone()).collect();
        let slowly = self.chance(40);
        let between = format!("tmp{}", self.events);
        self.rename(&ring[0], &between);
        for at in 1..ring.len() {
            if slowly {
                self.pass_some(50).await;
            }
            if !self.real.contains_key(&ring[at]) {
                return;
            }
            self.rename(&ring[at], &names[at - 1]);
        }
        if slowly {
            self.pass_some(50).await;
        }
        self.rename(&ring[0], &names[ring.len() - 1]);
    }

    /// Connects it to another network, and disconnects it from the first some time later.
    fn readdress(&mut self, id: &str) {
        self.note(format!("another address for {}", &id[..4]));
        let address = self.address();
        let real = self.real.get_mut(id).unwrap();
        real.left = Some((real.address(), Instant::now() + ADDRESS_CHANGE_OVERLAP));
        self.change(id, |container| {
            container.networks.insert("bridge".into(), address);
        });
        self.say(id, "connect", None);
        if self.chance(30) {
            let name = format!("r{}", self.events);
            self.rename(id, &name);
        }
    }

    /// The new container starts before the old one is removed, and may take its name, as with changed labels.
    async fn recreate(&mut self, id: &str) {
        let name = self.real[id].container.name.clone();
        let late = self.chance(50);
        let new = late.then(|| self.make(None));
        self.set_healthy();
        if late {
            self.pass_some(3_000).await;
        }
        self.end(id);
        self.real.remove(id);
        self.say(id, "destroy", None);
        match new {
            Some(new) => self.rename(&new, &name),
            None => {
                self.make(Some(name));
            }
        }
    }

    /// Makes it stop responding, or respond again.
    fn toggle_response(&mut self, id: &str) {
        let real = self.real.get_mut(id).unwrap();
        if real.checked() {
            real.answers = !real.answers;
        } else if let Some(now) = real.container.healthcheck {
            let well = now == Healthcheck::Healthy;
            let next = if well { Healthcheck::Unhealthy } else { Healthcheck::Healthy };
            real.container.healthcheck = Some(next);
            self.say(id, "health_status", None);
        }
        self.note(format!("another health for {}", &id[..4]));
    }

    /// Sets for the checker which containers are healthy.
    pub(super) fn set_healthy(&mut self) {
        let well = self.real.iter().filter(|(_, real)| real.is_well());
        let well = well.map(|(id, real)| (id.clone(), real.address())).collect();
        let mut state = self.store.state();
        state.checker.excused = Some(self.excused);
        state.checker.set_healthy(&well);
    }

    fn line(&mut self, line: NetworkState) {
        self.note(format!("the line is {line:?}"));
        let before = std::mem::replace(&mut self.store.state().line, line);
        // A request that met a fault just before may end after it.
        if before.excuses_expiry() || line.excuses_expiry() {
            let ttl = self.lease.ttl.unwrap();
            let far = Duration::from_secs(86_400);
            self.excused =
                Instant::now() + if line.excuses_expiry() { far } else { ttl + Duration::from_secs(12) };
        }
        self.set_healthy();
    }

    /// Ends the registrar, regularly or not, and starts another, sometimes with another configuration.
    async fn restart_registrar(&mut self) {
        let (crash, other) = (self.chance(60), self.chance(40));
        self.note(format!("another registrar; crash: {crash}, other prefix: {other}"));
        if crash {
            self.life.tasks.shutdown().await;
        } else {
            self.life.stop.request();
            self.life.tasks.join_next().await;
        }
        let ttl = self.lease.ttl.unwrap();
        let down = ttl.mul_f64(self.rng.random_range(0.0..0.3));
        // A run that was too short to renew every lease gets no second pause: two in a row outlast a lease.
        if self.life_begun.elapsed() >= ttl {
            sleep(down).await;
        }
        if other {
            self.prefix = if self.prefix == "/" { "/p" } else { "/" };
        }
        self.life = Life::begin(&self.store, self.lease, self.prefix);
        self.life_begun = Instant::now();
    }

    /// Begins or ends a fault.
    fn toggle_fault(&mut self) {
        if self.chance(30) {
            self.trouble = [0, 0, 10, 40][self.rng.random_range(0..4)];
            self.note(format!("the engine's trouble is {}", self.trouble));
        }
        if self.chance(40) {
            let share = self.rng.random_range(5..60);
            let lines = [
                NetworkState::Fair,
                NetworkState::Fair,
                NetworkState::Slow,
                NetworkState::NoNewKeys,
                NetworkState::Lossy(share),
                NetworkState::Away,
            ];
            let next = lines[self.rng.random_range(0..lines.len())];
            self.line(next);
        }
    }

    /// Makes several changes within seconds.
    async fn burst(&mut self) {
        self.toggle_fault();
        for _ in 0..self.rng.random_range(1..7) {
            if self.chance(8) {
                self.restart_registrar().await;
            }
            self.act().await;
            let span = [0, 20, 300, 8_000][self.rng.random_range(0..4)];
            self.pass_some(span + 1).await;
        }
        // No fault lasts longer than an old key waits.
        if self.store.state().line != NetworkState::Fair {
            self.pass_some(20_000).await;
            self.line(NetworkState::Fair);
        }
    }

    fn wrong(&self) -> Option<String> {
        let why = self.store.state().checker.wrong.clone()?;
        let from = self.script.len().saturating_sub(40);
        Some(format!(
            "{why}\nat {:?}; before that:\n{}",
            self.begun.elapsed(),
            self.script[from..].join("\n")
        ))
    }

    /// Calm at the end: the store must hold exactly the healthy containers.
    async fn settle(&mut self) -> Result<(), String> {
        self.trouble = 0;
        self.line(NetworkState::Fair);
        self.pass(Duration::from_secs(150)).await;
        let wanted: BTreeSet<String> =
            self.real.values().filter(|real| real.is_well()).map(SimulatedContainer::address).collect();
        let all = self.store.state().all();
        let found: BTreeSet<String> = all.iter().map(|(_, value)| value.clone()).collect();
        if found == wanted && all.len() == wanted.len() {
            return Ok(());
        }
        let from = self.script.len().saturating_sub(40);
        Err(format!("at the end {all:?}\nshould be {wanted:?}\n{}", self.script[from..].join("\n")))
    }
}

/// Simulates a time of this length; returns how many states of the store were checked.
pub(super) async fn simulate(seed: u64, span: Duration) -> Result<u64, String> {
    let (store, serving) = Store::new(seed);
    let mut served = JoinSet::new();
    served.spawn(serving);
    let mut world = World::new(seed, store);
    let end = Instant::now() + span;
    while Instant::now() < end {
        world.burst().await;
        let quiet = world.rng.random_range(1..600);
        world.pass(Duration::from_secs(quiet)).await;
        if let Some(why) = world.wrong() {
            return Err(why);
        }
    }
    world.settle().await?;
    if let Some(why) = world.wrong() {
        return Err(why);
    }
    let states = world.store.state().checker.states;
    Ok(states)
}
