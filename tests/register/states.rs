//! What a watcher of the registrar's prefix sees at any time: no state lacks a container that was healthy throughout.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use super::naive::{Bug, Naive};
use super::oracle::Rules;
use crate::support::fake_engine::{Container, FakeEngine};
use crate::support::key_states::{KeyStates, RequiredService, first_missing, holds};
use crate::support::rng::TestRng;
use crate::support::{Dir, Retune, Store, WAIT_TIMEOUT, eventually};

const PREFIX: &str = "/seen";
/// How many containers run all the time and change only their names and addresses.
const MOVERS: usize = 4;
/// How many changes happen.
const STEPS: usize = 25;

struct TestBed {
    engine: FakeEngine,
    store: Store,
    states: KeyStates,
    rng: TestRng,
    movers: Vec<String>,
    required: Vec<RequiredService>,
    made: usize,
    /// Whether containers are registered at their own addresses.
    internal: bool,
}

impl TestBed {
    fn new(seed: u64, internal: bool) -> Self {
        let store = Store::start();
        let states = KeyStates::watch(&store.address(), PREFIX);
        let engine = FakeEngine::start_as(crate::support::fake_engine::Dialect::Docker, seed);
        let rng = TestRng::seeded(seed);
        let (movers, required) = (Vec::new(), Vec::new());
        Self { engine, store, states, rng, movers, required, made: 0, internal }
    }

    fn address(&self, id: &str) -> String {
        let container = self.engine.container(id).unwrap();
        if self.internal {
            format!("{}:80", container.ip)
        } else {
            format!("198.51.100.7:{}", container.bindings["80/tcp"])
        }
    }

    fn run(&mut self, name: &str) -> String {
        let container = Container::new(name).env("SERVICE_NAME", "web").publish("80/tcp", None);
        let id = self.engine.run(container);
        let address = self.address(&id);
        self.required.push(RequiredService { who: id.clone(), addresses: vec![address], until: None });
        id
    }

    fn is_there(&self, id: &str) {
        let address = self.address(id);
        eventually(&format!("{address} is registered"), WAIT_TIMEOUT, || {
            holds(&self.store.address(), PREFIX, &address)
        });
    }

    /// Notes that from now on it may be missing.
    fn no_longer_required(&mut self, id: &str) {
        let index = self.states.index();
        let must = self.required.iter_mut().rev().find(|must| must.who == id).unwrap();
        must.until = Some(index);
    }

    fn begin(&mut self) {
        for at in 0..MOVERS {
            let id = self.run(&format!("mover-{at}"));
            self.movers.push(id);
        }
        for id in self.movers.clone() {
            self.is_there(&id);
        }
    }

    fn fresh(&mut self) -> String {
        self.made += 1;
        format!("name-{}", self.made)
    }

    /// Makes one change; `only_names`: only to names.
    fn step(&mut self, only_names: bool) {
        let one = self.movers[self.rng.index(MOVERS)].clone();
        match self.rng.below(if only_names { 2 } else { 5 }) {
            0 => {
                let (name, before) = (self.fresh(), self.engine.container(&one).unwrap().name);
                self.engine.rename(&one, &name);
                // And back, while its consequences are in transit.
                if self.rng.one_in(2) {
                    sleep(Duration::from_millis(self.rng.below(30)));
                    self.engine.rename(&one, &before);
                }
            }
            1 => self.swap(&one),
            2 if self.internal => {
                self.engine.readdress(&one);
                let address = self.address(&one);
                self.required.iter_mut().find(|must| must.who == one).unwrap().addresses.push(address);
            }
            2 | 3 => self.replace(),
            _ => self.restart(),
        }
        sleep(Duration::from_millis(self.rng.below(60)));
    }

    fn swap(&mut self, one: &str) {
        let other = self.movers.iter().find(|id| *id != one).unwrap().clone();
        let name = |id: &str| self.engine.container(id).unwrap().name;
        let (first, second, between) = (name(one), name(&other), self.fresh());
        self.engine.rename(one, &between);
        if self.rng.one_in(2) {
            sleep(Duration::from_millis(self.rng.below(20)));
        }
        self.engine.rename(&other, &first);
        self.engine.rename(one, &second);
    }

    /// Starts the new container, with other labels, and stops the old one once the new one is registered.
    fn replace(&mut self) {
        let (old, new) = (self.fresh(), self.fresh());
        let old = self.run(&old);
        self.is_there(&old);
        let new = self.run(&new);
        self.is_there(&new);
        self.no_longer_required(&old);
        self.engine.stop(&old, Duration::ZERO);
        self.engine.remove(&old);
        self.no_longer_required(&new);
        self.engine.remove(&new);
    }

    fn restart(&mut self) {
        let name = self.fresh();
        let id = self.run(&name);
        self.is_there(&id);
        self.no_longer_required(&id);
        self.engine.restart_container(&id, Duration::ZERO);
        eventually("it runs again", WAIT_TIMEOUT, || {
            self.engine.container(&id).is_some_and(|one| one.up() && one.life == 2)
        });
        self.required.push(RequiredService {
            who: id.clone(),
            addresses: vec![self.address(&id)],
            until: None,
        });
        self.is_there(&id);
        self.no_longer_required(&id);
        self.engine.remove(&id);
    }

    /// Returns the first error, if any, and the number of states.
    fn check(self) -> (Option<String>, usize) {
        for id in &self.movers {
            self.is_there(id);
        }
        let states = self.states.end();
        (first_missing(&states, &self.required), states.len())
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn no_healthy_container_is_missing_in_any_state_that_a_watcher_sees() {
    let first = number("RETUNE_TEST_SEED", 1);
    for seed in first..first + number("RETUNE_TEST_SEEDS", 2) {
        let dir = Dir::new();
        let mut scene = TestBed::new(seed, seed % 2 == 1);
        let (engine, store) = (scene.engine.url(), scene.store.url());
        let words =
            ["register", "--engine", &engine, "--etcd", &store, "--prefix", PREFIX, "--node-name", "n1"];
        // Lists are so rare that only events are seen.
        let more = ["--relist", "1h", "--listen", "none"];
        let place = if scene.internal { &["--internal"][..] } else { &["--ip", "198.51.100.7"] };
        let daemon = Retune::new(&dir, &words).args(&more).args(place).spawn();
        scene.begin();
        for _ in 0..STEPS {
            scene.step(false);
        }
        let (wrong, states) = scene.check();
        assert!(wrong.is_none(), "seed {seed}: {}\n{}", wrong.unwrap_or_default(), daemon.log());
        assert!(states > STEPS, "seed {seed}: only {states} states");
        daemon.terminate();
    }
}

/// The same watch over the simplest registrar with the bug that it deletes before it writes.
#[test]
fn a_registrar_that_removes_keys_before_it_adds_new_ones_is_detected() {
    for (bug, found_out) in [(Bug::BreaksFirst, true), (Bug::None, false)] {
        let mut scene = TestBed::new(7, false);
        let over = Arc::new(AtomicBool::new(false));
        let rules = Rules {
            prefix: PREFIX.to_owned(),
            node: "n1".to_owned(),
            ip: "198.51.100.7".to_owned(),
            suffix: false,
        };
        let naive =
            Naive { socket: scene.engine.socket().to_owned(), store: scene.store.address(), rules, bug };
        let ended = Arc::clone(&over);
        let thread = std::thread::spawn(move || naive.run(|| ended.load(Ordering::Relaxed)));
        scene.begin();
        for _ in 0..10 {
            let one = scene.movers[scene.rng.index(MOVERS)].clone();
            let name = scene.fresh();
            scene.engine.rename(&one, &name);
            let key = format!("{PREFIX}/web/n1:{name}:80");
            eventually("the new name is there", WAIT_TIMEOUT, || {
                super::store_view::below_now(&scene.store.address(), PREFIX)
                    .is_ok_and(|seen| seen.keys.contains_key(&key))
            });
        }
        let (wrong, _) = scene.check();
        over.store(true, Ordering::Relaxed);
        thread.join().unwrap();
        assert_eq!(wrong.is_some(), found_out, "{bug:?}: {wrong:?}");
    }
}
