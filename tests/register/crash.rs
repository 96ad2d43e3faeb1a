//! The program, killed and starved: whatever dies in whatever order, the store ends up matching the engine.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::oracle::{Rules, expected};
use super::store_view::{Seen, below_now};
use crate::support::fake_engine::{Container, FakeEngine, OnEngineStop};
use crate::support::fake_time::FakeTime;
use crate::support::{Daemon, Dir, Retune, Store, WAIT_TIMEOUT, eventually, scaled, stays};

const IP: &str = "198.51.100.7";

/// An engine, a store, and the wanted content of the store.
struct TestBed {
    engine: FakeEngine,
    store: Store,
    rules: Rules,
}

impl TestBed {
    fn new() -> Self {
        let rules =
            Rules { prefix: "/crash".to_owned(), node: "n1".to_owned(), ip: IP.to_owned(), suffix: true };
        Self { engine: FakeEngine::start(), store: Store::start(), rules }
    }

    /// Returns `retune register` with these further words.
    fn register<'d>(&self, dir: &'d Dir, words: &[&str]) -> Retune<'d> {
        let (engine, store) = (self.engine.url(), self.store.url());
        let plain = ["register", "--engine", &engine, "--etcd", &store, "--prefix", &self.rules.prefix];
        let fast = ["--suffix", "published", "--relist", "500ms", "--ttl", "3", "--ttl-refresh", "1"];
        Retune::new(dir, &plain)
            .args(&["--node-name", &self.rules.node, "--ip", &self.rules.ip])
            .args(&fast)
            .args(words)
    }

    fn seen(&self) -> Option<Seen> {
        below_now(&self.store.address(), &self.rules.prefix).ok()
    }

    fn wrong(&self) -> Vec<String> {
        let wanted = expected(&self.engine.containers(), &self.rules);
        self.seen()
            .map_or_else(|| vec!["the store does not answer".to_owned()], |seen| seen.differences(&wanted))
    }

    /// Waits until the store matches the engine.
    #[track_caller]
    fn right(&self, when: &str, limit: Duration) -> Duration {
        let (start, limit) = (Instant::now(), scaled(limit));
        let mut wrong = self.wrong();
        while !wrong.is_empty() {
            assert!(start.elapsed() < limit, "{when}, still after {limit:?}:\n{}", wrong.join("\n"));
            std::thread::sleep(Duration::from_millis(20));
            wrong = self.wrong();
        }
        start.elapsed()
    }

    fn key(&self, key: &str) -> Option<String> {
        self.seen()?.keys.remove(&format!("{}/{key}", self.rules.prefix))
    }
}

fn web(name: &str) -> Container {
    Container::new(name).env("SERVICE_NAME", "web").publish("80/tcp", None)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Registrar,
    Engine,
    Store,
}

const ORDERS: [[Victim; 3]; 6] = [
    [Victim::Registrar, Victim::Engine, Victim::Store],
    [Victim::Registrar, Victim::Store, Victim::Engine],
    [Victim::Engine, Victim::Registrar, Victim::Store],
    [Victim::Engine, Victim::Store, Victim::Registrar],
    [Victim::Store, Victim::Registrar, Victim::Engine],
    [Victim::Store, Victim::Engine, Victim::Registrar],
];

fn killed_in_this_order(order: [Victim; 3], together: bool) {
    let (dir, mut scene) = (Dir::new(), TestBed::new());
    scene.engine.run(web("stays"));
    scene.engine.run(web("moves").publish("443/tcp", None));
    scene.engine.run(web("goes"));
    let mut daemon: Option<Daemon<'_>> = Some(scene.register(&dir, &[]).spawn());
    scene.right("at the start", WAIT_TIMEOUT);
    let mut back = Vec::new();
    for (at, victim) in order.into_iter().enumerate() {
        match victim {
            Victim::Registrar => daemon.take().expect("it runs").kill(),
            Victim::Engine => scene.engine.down(),
            Victim::Store => scene.store.kill(),
        }
        // Something changes after each, whether or not a registrar sees it.
        match at {
            0 => scene.engine.crash("moves", 1, Duration::from_millis(1)),
            1 => scene.engine.remove("goes"),
            _ => drop(scene.engine.run(web("comes"))),
        }
        back.push(victim);
        if !together {
            restart(&mut scene, &mut daemon, &dir, back.pop().expect("just killed"));
        }
    }
    for victim in back {
        restart(&mut scene, &mut daemon, &dir, victim);
    }
    eventually("containers settle", WAIT_TIMEOUT, || scene.engine.settled());
    let took = scene.right(&format!("after {order:?}, together {together}"), WAIT_TIMEOUT);
    eprintln!("{order:?}, together {together}: right after {took:?}");
    drop(daemon);
}

fn restart<'d>(scene: &mut TestBed, daemon: &mut Option<Daemon<'d>>, dir: &'d Dir, victim: Victim) {
    match victim {
        Victim::Registrar => *daemon = Some(scene.register(dir, &[]).spawn()),
        Victim::Engine => scene.engine.restart(OnEngineStop::Stay),
        Victim::Store => scene.store.start_again(),
    }
}

#[test]
fn after_successive_kills_in_any_order_the_store_becomes_correct() {
    for order in ORDERS {
        killed_in_this_order(order, false);
    }
}

#[test]
fn after_simultaneous_kills_in_any_order_the_store_becomes_correct() {
    for order in ORDERS {
        killed_in_this_order(order, true);
    }
}

#[test]
fn an_engine_restart_with_its_containers_restores_their_keys_with_new_ports() {
    let (dir, scene) = (Dir::new(), TestBed::new());
    scene.engine.run(web("always").always());
    scene.engine.run(web("once"));
    let daemon = scene.register(&dir, &[]).spawn();
    scene.right("at the start", WAIT_TIMEOUT);
    scene.engine.restart(OnEngineStop::End);
    scene.right("after the restart", WAIT_TIMEOUT);
    assert!(scene.key("web/n1:once:80").is_none() && scene.key("web/n1:always:80").is_some());
    daemon.terminate();
}

#[test]
fn five_hundred_containers_that_start_at_once_are_registered_soon() {
    let (dir, scene) = (Dir::new(), TestBed::new());
    let daemon = scene.register(&dir, &[]).spawn();
    scene.engine.run(web("first"));
    scene.right("with one", WAIT_TIMEOUT);
    let start = Instant::now();
    for number in 0..500 {
        scene.engine.run(web(&format!("c{number}")));
    }
    scene.right("with five hundred more", Duration::from_secs(30));
    eprintln!("500 containers: all keys after {:?}", start.elapsed());
    let start = Instant::now();
    for number in 0..500 {
        scene.engine.die(&format!("c{number}"), 1);
    }
    scene.right("when they are dead", Duration::from_secs(30));
    eprintln!("500 deaths: no key after {:?}", start.elapsed());
    daemon.terminate();
}

#[test]
fn a_constantly_restarting_container_ends_correct_and_affects_no_other() {
    let (dir, scene) = (Dir::new(), TestBed::new());
    scene.engine.run(web("calm"));
    let wild = scene.engine.run(web("wild"));
    let daemon = scene.register(&dir, &[]).spawn();
    scene.right("at the start", WAIT_TIMEOUT);
    let calm = "web/n1:calm:80";
    let value = scene.key(calm);
    let mut next = Instant::now();
    stays("the other's key", Duration::from_secs(5), || {
        if next <= Instant::now() {
            scene.engine.crash(&wild, 1, Duration::from_millis(50));
            next = Instant::now() + Duration::from_millis(100);
        }
        scene.key(calm) == value
    });
    eventually("it settles", WAIT_TIMEOUT, || scene.engine.settled());
    let port = scene.engine.container(&wild).unwrap().bindings["80/tcp"];
    scene.right("when it runs at last", WAIT_TIMEOUT);
    assert_eq!(scene.key("web/n1:wild:80"), Some(format!("{IP}:{port}")));
    daemon.terminate();
}

#[test]
fn of_two_containers_that_claim_one_key_one_holds_it_until_it_is_removed() {
    let (dir, scene) = (Dir::new(), TestBed::new());
    let one = scene.engine.run(web("one").env("SERVICE_ID", "same"));
    let daemon = scene.register(&dir, &[]).spawn();
    scene.right("with one", WAIT_TIMEOUT);
    let first = scene.key("web/same");
    let two = scene.engine.run(web("two").env("SERVICE_ID", "same"));
    eventually("the claim is reported", WAIT_TIMEOUT, || {
        daemon.log().lines().any(|line| line.contains(&two[..12]) && line.contains("/crash/web/same"))
    });
    stays("the key is the first one's", Duration::from_millis(1500), || scene.key("web/same") == first);
    scene.engine.die(&one, 0);
    let port = scene.engine.container(&two).unwrap().bindings["80/tcp"];
    let second = format!("{IP}:{port}");
    eventually("the second takes over", WAIT_TIMEOUT, || scene.key("web/same").as_ref() == Some(&second));
    scene.engine.begin(&one);
    stays("the key is the second one's", Duration::from_millis(1500), || {
        scene.key("web/same").as_ref() == Some(&second)
    });
    daemon.terminate();
}

/// Longer than any lease; `RETUNE_TEST_SLOW` makes it ten minutes.
#[test]
fn after_a_long_store_outage_all_keys_are_restored() {
    let slow = std::env::var_os("RETUNE_TEST_SLOW").is_some();
    let (dir, mut scene) = (Dir::new(), TestBed::new());
    for number in 0..5 {
        scene.engine.run(web(&format!("c{number}")));
    }
    let mut daemon = scene.register(&dir, &[]).spawn();
    scene.right("at the start", WAIT_TIMEOUT);
    scene.store.kill();
    scene.engine.remove("c0");
    scene.engine.crash("c1", 1, Duration::ZERO);
    scene.engine.run(web("late"));
    let away = Duration::from_secs(if slow { 600 } else { 15 });
    stays("the registrar waits", away, || daemon.is_running());
    scene.store.start_again();
    // Delays grow, but not beyond what a person would accept.
    let took = scene.right("when the store is back", Duration::from_secs(45));
    eprintln!("a store that was away for {away:?}: right after {took:?}");
    daemon.terminate();
}

#[test]
fn a_wall_clock_that_jumps_changes_nothing() {
    let (dir, scene) = (Dir::new(), TestBed::new());
    let Some(clock) = FakeTime::new(&dir.path("")) else { return };
    scene.engine.run(web("one"));
    let mut register = scene.register(&dir, &[]);
    for (name, value) in clock.env() {
        register = register.env(name, &value);
    }
    let daemon = register.spawn();
    scene.right("at the start", WAIT_TIMEOUT);
    let wanted: BTreeMap<String, String> = expected(&scene.engine.containers(), &scene.rules);
    for jump in ["+1d", "-1d", "+400d"] {
        clock.set(jump);
        stays("the key", Duration::from_secs(4), || {
            scene.seen().is_some_and(|seen| seen.differences(&wanted).is_empty())
        });
    }
    scene.engine.run(web("two"));
    let took = scene.right("a new container after the jumps", WAIT_TIMEOUT);
    assert!(took < scaled(Duration::from_secs(2)), "it came by chance, after {took:?}");
    daemon.terminate();
}

#[test]
fn an_engines_clock_that_jumps_hides_no_container() {
    let (dir, scene) = (Dir::new(), TestBed::new());
    let daemon = scene.register(&dir, &["--relist", "1h"]).spawn();
    scene.engine.run(web("one"));
    scene.right("at the start", WAIT_TIMEOUT);
    for (number, back) in [(0, true), (1, false), (2, true)] {
        scene.engine.clock(Duration::from_secs(86_400), back);
        scene.engine.cut_streams(false);
        scene.engine.run(web(&format!("jumped{number}")));
        scene.right("after a jump", WAIT_TIMEOUT);
    }
    daemon.terminate();
}

#[test]
fn on_exit_remove_leaves_no_keys_and_keep_leaves_them_to_the_lease() {
    let (dir, scene) = (Dir::new(), TestBed::new());
    scene.engine.run(web("one"));
    let daemon = scene.register(&dir, &["--on-exit", "keep"]).spawn();
    scene.right("at the start", WAIT_TIMEOUT);
    daemon.terminate();
    assert!(scene.key("web/n1:one:80").is_some(), "kept");
    eventually("its lease runs out", WAIT_TIMEOUT, || scene.key("web/n1:one:80").is_none());
    let daemon = scene.register(&dir, &["--on-exit", "remove"]).spawn();
    scene.right("again", WAIT_TIMEOUT);
    daemon.terminate();
    assert_eq!(scene.seen().map(|seen| seen.keys), Some(BTreeMap::new()));
}
