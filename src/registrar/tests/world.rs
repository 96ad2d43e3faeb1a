//! The model in a simulated world: an engine whose events are lost, late, duplicated and reordered, whose lists and
//! inspections fail, and whose containers come and go. Time is a number, so thousands of runs take seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

use super::super::container::{Container, ContainerState, Healthcheck, ListedContainer, Port, PublishedPort};
use super::super::engine::EngineEvent;
use super::super::model::{Model, NodeConfig};
use super::super::settings::{Checks, Deregister, Rules, Suffix};

const CONTAINER_COUNT: usize = 6;
const STEP_DURATION: Duration = Duration::from_millis(20);

/// A message in transit.
enum Message {
    Event(EngineEvent),
    Listed(Vec<ListedContainer>),
    Lost,
    Inspected(String, Box<Result<Option<Container>, ()>>),
}

struct World {
    rng: StdRng,
    now: Instant,
    /// The engine's clock, in nanoseconds.
    clock: i64,
    real: BTreeMap<String, Container>,
    made: usize,
    steady: BTreeSet<String>,
    under_way: Vec<(Instant, Message)>,
    model: Model,
    /// The percentage of messages and requests that go wrong.
    trouble: u32,
    next_list: Instant,
    listing: bool,
    script: Vec<String>,
}

pub(super) fn node_config() -> NodeConfig {
    NodeConfig {
        rules: Rules { ip: Some("198.51.100.7".into()), suffix: Suffix::Never, ..Rules::default() },
        node: "n".into(),
        host: None,
        own: None,
        checks: Checks::default(),
        deregister: Deregister::Always,
        grace: Duration::from_secs(60),
        ttl: Some(Duration::from_secs(20)),
    }
}

/// Returns a container that runs and publishes port 80.
pub(super) fn running(id: &str, port: u16, started: i64) -> Container {
    let published = vec![PublishedPort { ip: "0.0.0.0".into(), port: port.to_string() }];
    let http = Port::read("80/tcp").unwrap();
    Container {
        id: id.to_owned(),
        name: format!("name-{}", &id[..4]),
        image: "app:1".into(),
        run_state: ContainerState::Running,
        started: Some(started),
        network_mode: "bridge".into(),
        exposed: vec![http],
        ports: BTreeMap::from([(http, published)]),
        stop_signal: 15,
        ..Container::default()
    }
}

/// Returns a container's list entry.
pub(super) fn listed(container: &Container) -> ListedContainer {
    let Container { id, name, ports, run_state, healthcheck, .. } = container;
    let signature = format!("{name} {ports:?} {run_state:?} {healthcheck:?}");
    let (id, names, run_state) = (id.clone(), vec![name.clone()], Some(*run_state));
    ListedContainer { id, names, signature, run_state, healthcheck: *healthcheck }
}

/// Returns the wanted keys, computed only from the real containers.
fn expected(real: &BTreeMap<String, Container>) -> BTreeMap<String, String> {
    let up = real.values().filter(|container| {
        container.run_state == ContainerState::Running
            && matches!(container.healthcheck, None | Some(Healthcheck::Healthy))
    });
    up.map(|container| {
        let port = &container.ports.values().next().unwrap()[0].port;
        (format!("/app/n:{}:80", container.name), format!("198.51.100.7:{port}"))
    })
    .collect()
}

impl World {
    fn new(seed: u64) -> Self {
        let now = Instant::now();
        let mut world = Self {
            rng: StdRng::seed_from_u64(seed),
            now,
            clock: 1_000_000_000,
            real: BTreeMap::new(),
            made: 0,
            steady: BTreeSet::new(),
            under_way: Vec::new(),
            model: Model::new(node_config()),
            trouble: 0,
            next_list: now,
            listing: false,
            script: Vec::new(),
        };
        for at in 0..CONTAINER_COUNT {
            world.make();
            if at < 2 {
                world.steady.insert(world.real.keys().next_back().unwrap().clone());
            }
        }
        world
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn make(&mut self) {
        self.made += 1;
        let id = format!("{:04x}{}", self.made, "e".repeat(60));
        let mut container = running(&id, 20_000 + u16::try_from(self.made).unwrap(), self.clock);
        if self.chance(20) {
            container.healthcheck = Some(Healthcheck::Healthy);
        }
        self.real.insert(id.clone(), container);
        self.say(&id, "start", None);
    }

    /// Sends an event, or loses it.
    fn say(&mut self, id: &str, action: &str, signal: Option<i32>) {
        self.clock += 1_000;
        let event = EngineEvent {
            action: action.to_owned(),
            id: id.to_owned(),
            at: Some(self.clock),
            signal,
            ..EngineEvent::default()
        };
        let copies = if self.chance(self.trouble) { self.rng.random_range(0..3) } else { 1 };
        for _ in 0..copies {
            let late = if self.chance(self.trouble) { self.rng.random_range(0..600) } else { 1 };
            let due = self.now + Duration::from_millis(late);
            self.under_way.push((due, Message::Event(event.clone())));
        }
        self.clock += 1_000;
    }

    /// Changes one of the containers that are not steady.
    fn act(&mut self) {
        let moving: Vec<String> = self.real.keys().filter(|id| !self.steady.contains(*id)).cloned().collect();
        if moving.is_empty() || (moving.len() < 3 * CONTAINER_COUNT && self.chance(15)) {
            self.script.push("make".into());
            return self.make();
        }
        let id = moving[self.rng.random_range(0..moving.len())].clone();
        let what = self.rng.random_range(0..8);
        self.script.push(format!("{what} on {}", &id[..4]));
        let run_state = self.real[&id].run_state;
        match (what, run_state) {
            (0, ContainerState::Running) => self.end(&id, Some(15)),
            (1, ContainerState::Running) => self.end(&id, Some(9)),
            (2, ContainerState::Running) => self.end(&id, None),
            (0..=2, ContainerState::NotRunning) => self.begin(&id),
            (3, ContainerState::Running) => {
                self.end(&id, Some(15));
                self.begin(&id);
            }
            (4, ContainerState::Running | ContainerState::Paused) => {
                let (next, word) = if run_state == ContainerState::Running {
                    (ContainerState::Paused, "pause")
                } else {
                    (ContainerState::Running, "unpause")
                };
                self.change(&id, |container| container.run_state = next);
                self.say(&id, word, None);
            }
            (5, ContainerState::Running) => self.say(&id, "kill", Some(1)),
            (6, ContainerState::NotRunning) => {
                self.real.remove(&id);
                self.say(&id, "destroy", None);
            }
            (7, ContainerState::Running) if self.real[&id].healthcheck.is_some() => {
                let states = [Healthcheck::Starting, Healthcheck::Healthy, Healthcheck::Unhealthy];
                let next = states[self.rng.random_range(0..3)];
                self.change(&id, |container| container.healthcheck = Some(next));
                self.say(&id, "health_status", None);
            }
            _ => {}
        }
    }

    fn change(&mut self, id: &str, change: impl FnOnce(&mut Container)) {
        change(self.real.get_mut(id).unwrap());
    }

    fn end(&mut self, id: &str, signal: Option<i32>) {
        if let Some(signal) = signal {
            self.say(id, "kill", Some(signal));
        }
        self.say(id, "die", None);
        self.change(id, |container| {
            container.run_state = ContainerState::NotRunning;
            container.ports.clear();
        });
    }

    /// Starts a new run of a container, often with another port.
    fn begin(&mut self, id: &str) {
        self.clock += 1_000;
        let (clock, port) = (self.clock, self.rng.random_range(30_000..40_000));
        self.change(id, |container| {
            let healthcheck = container.healthcheck.map(|_| Healthcheck::Healthy);
            *container = Container { healthcheck, ..running(&container.id.clone(), port, clock) };
        });
        self.say(id, "start", None);
    }

    /// Does the worker's part, and advances time.
    fn pass(&mut self) {
        self.now += STEP_DURATION;
        self.clock += i64::try_from(STEP_DURATION.as_nanos()).unwrap();
        if !self.listing && self.now >= self.next_list {
            self.listing = true;
            let late = if self.chance(self.trouble) { self.rng.random_range(0..400) } else { 1 };
            let message = if self.chance(self.trouble) {
                Message::Lost
            } else {
                Message::Listed(self.real.values().map(listed).collect())
            };
            self.under_way.push((self.now + Duration::from_millis(late), message));
        }
        self.model.tick(self.now);
        for id in self.model.due_inspections(4, self.now) {
            let found = if self.chance(self.trouble) { Err(()) } else { Ok(self.real.get(&id).cloned()) };
            let late = if self.chance(self.trouble) { self.rng.random_range(0..300) } else { 1 };
            self.under_way
                .push((self.now + Duration::from_millis(late), Message::Inspected(id, Box::new(found))));
        }
        let now = self.now;
        let (due, later) = std::mem::take(&mut self.under_way).into_iter().partition(|(at, _)| *at <= now);
        self.under_way = later;
        let due: Vec<(Instant, Message)> = due;
        for (_, message) in due {
            match message {
                Message::Event(event) => self.model.event(&event, now),
                Message::Listed(all) => {
                    self.model.listed(all, now);
                    (self.listing, self.next_list) = (false, now + Duration::from_millis(300));
                }
                Message::Lost => {
                    self.model.lost(now);
                    (self.listing, self.next_list) = (false, now + Duration::from_millis(100));
                }
                Message::Inspected(id, found) => self.model.inspected(&id, *found, now),
            }
        }
    }

    fn keys(&mut self) -> BTreeMap<String, String> {
        self.model.wanted().keys.into_iter().map(|(key, claim)| (key, claim.value)).collect()
    }

    /// Checks that steady containers always have their keys once all have been inspected.
    fn look(&mut self) -> Result<(), String> {
        if !self.model.complete() {
            return Ok(());
        }
        let keys = self.keys();
        let steady = expected(
            &self
                .real
                .iter()
                .filter(|(id, _)| self.steady.contains(*id))
                .map(|(id, container)| (id.clone(), container.clone()))
                .collect(),
        );
        match steady.keys().find(|key| !keys.contains_key(*key)) {
            Some(key) => Err(format!("{key} went although nothing happened to its container")),
            None => Ok(()),
        }
    }
}

/// Runs one seed: faults for a while, then none; then everything must be right within one list and its inspections.
fn script(seed: u64) -> Result<(), String> {
    let mut world = World::new(seed);
    for _ in 0..60 {
        if world.chance(20) {
            world.trouble = [0, 10, 40, 80][world.rng.random_range(0..4)];
        }
        for _ in 0..world.rng.random_range(0..4) {
            world.act();
        }
        for _ in 0..world.rng.random_range(1..6) {
            world.pass();
            world.look().map_err(|why| format!("{why}; script: {:?}", world.script))?;
        }
    }
    world.trouble = 0;
    // Messages in transit still arrive, then one list and its inspections.
    for _ in 0..(1_500 / STEP_DURATION.as_millis()) {
        world.pass();
    }
    let (is, should) = (world.keys(), expected(&world.real));
    if is == should {
        return Ok(());
    }
    Err(format!("{is:?}\nshould be {should:?}\nscript: {:?}", world.script))
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::test(start_paused = true)]
async fn after_any_script_the_keys_match_the_running_containers_and_no_steady_key_was_lost() {
    let first = number("RETUNE_TEST_SEED", 1);
    for seed in first..first + number("RETUNE_TEST_SEEDS", 2_000) {
        if let Err(why) = script(seed) {
            panic!("seed {seed} (again with RETUNE_TEST_SEED={seed} RETUNE_TEST_SEEDS=1): {why}");
        }
    }
}
