//! Registrars under special conditions: another one on the same node, an engine without events, a stop that fails.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::store_view::below_now;
use crate::support::fake_engine::{Container, Dialect, Endpoint, Failure, FakeEngine, OnEngineStop};
use crate::support::http::request;
use crate::support::programs::need_mounts;
use crate::support::{Daemon, Dir, Mount, Retune, Store, WAIT_TIMEOUT, eventually, scaled, stays};

fn web(name: &str) -> Container {
    Container::new(name).env("SERVICE_NAME", "web").publish("80/tcp", Some(8080))
}

/// Returns `retune register` as node `n1`, below `prefix`.
fn register<'d>(
    dir: &'d Dir,
    engine: &FakeEngine,
    store: &Store,
    prefix: &str,
    words: &[&str],
) -> Daemon<'d> {
    let (engine, store) = (engine.url(), store.url());
    let plain = ["register", "--engine", &engine, "--etcd", &store, "--prefix", prefix, "--node-name", "n1"];
    let fast = ["--ip", "198.51.100.7", "--relist", "500ms", "--ttl", "3", "--ttl-refresh", "1"];
    let listen = if words.contains(&"--listen") { &[][..] } else { &["--listen", "none"] };
    Retune::new(dir, &plain).args(&fast).args(listen).args(words).spawn()
}

fn keys(store: &Store, prefix: &str) -> usize {
    below_now(&store.address(), prefix).map_or(0, |seen| seen.keys.len())
}

#[test]
fn a_second_registrar_with_another_prefix_leaves_the_keys_of_the_first_alone() {
    let (dir, engine, store) = (Dir::new(), FakeEngine::start(), Store::start());
    engine.run(web("one"));
    let first = register(&dir, &engine, &store, "/a", &[]);
    eventually("the first has its key", WAIT_TIMEOUT, || keys(&store, "/a") == 1);
    let second = register(&dir, &engine, &store, "/b", &[]);
    eventually("the second has its own", WAIT_TIMEOUT, || keys(&store, "/b") == 1);
    stays("both stand", Duration::from_secs(2), || keys(&store, "/a") == 1 && keys(&store, "/b") == 1);
    let log = first.log() + &second.log();
    assert!(!log.contains("removed:") && !log.contains("added again:"), "{log}");
    second.terminate();
    first.terminate();
}

#[test]
fn a_registrar_of_the_same_node_and_prefix_takes_over_without_a_gap() {
    let (dir, engine, store) = (Dir::new(), FakeEngine::start(), Store::start());
    engine.run(web("one"));
    let old = register(&dir, &engine, &store, "/a", &[]);
    eventually("the old one has its key", WAIT_TIMEOUT, || keys(&store, "/a") == 1);
    let new = register(&dir, &engine, &store, "/a", &[]);
    new.eventually_says("found: ");
    old.terminate();
    stays("it stands", Duration::from_secs(4), || keys(&store, "/a") == 1);
    engine.remove("one");
    eventually("and goes with its container", WAIT_TIMEOUT, || keys(&store, "/a") == 0);
    new.terminate();
}

#[test]
fn an_engine_that_refuses_events_is_followed_by_lists() {
    let (dir, engine, store) = (Dir::new(), FakeEngine::start(), Store::start());
    engine.fault(|faults| faults.requests.push((Some(Endpoint::Events), Failure::Error, 100)));
    engine.run(web("one"));
    let daemon = register(&dir, &engine, &store, "/a", &[]);
    eventually("what is there is registered", WAIT_TIMEOUT, || keys(&store, "/a") == 1);
    engine.remove("one");
    eventually("what went is removed", WAIT_TIMEOUT, || keys(&store, "/a") == 0);
    engine.run(web("two"));
    eventually("what comes is registered", WAIT_TIMEOUT, || keys(&store, "/a") == 1);
    assert!(daemon.log().contains("cannot follow events"), "{}", daemon.log());
    daemon.terminate();
}

#[test]
fn a_registrar_whose_engine_hangs_at_startup_stops_on_request() {
    let (dir, engine, store) = (Dir::new(), FakeEngine::start(), Store::start());
    engine.fault(|faults| faults.requests.push((None, Failure::Hang, 100)));
    let daemon = register(&dir, &engine, &store, "/a", &[]);
    eventually("it asks", WAIT_TIMEOUT, || engine.asked().values().sum::<u64>() > 0);
    let told = Instant::now();
    daemon.terminate();
    assert!(told.elapsed() < scaled(Duration::from_secs(4)), "it took {:?}", told.elapsed());
}

#[test]
fn a_single_run_stopped_before_it_began_does_not_succeed() {
    let (dir, engine, store) = (Dir::new(), FakeEngine::start(), Store::start());
    engine.fault(|faults| faults.requests.push((None, Failure::Hang, 100)));
    let mut daemon = register(&dir, &engine, &store, "/a", &["--once"]);
    eventually("it asks", WAIT_TIMEOUT, || engine.asked().values().sum::<u64>() > 0);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(WAIT_TIMEOUT), Some(1), "{}", daemon.log());
}

#[test]
fn a_failed_stop_undoes_its_drain() {
    let (dir, engine, store) = (Dir::new(), FakeEngine::start(), Store::start());
    engine.run(web("one"));
    let listen = format!("unix://{}", dir.text_path("register.sock"));
    let daemon = register(&dir, &engine, &store, "/a", &["--listen", &listen]);
    eventually("the key is there", WAIT_TIMEOUT, || keys(&store, "/a") == 1);
    let stop = |engine: &str| {
        let words = ["register", "stop", "one", "--drain", "300ms", "--listen", &listen, "--engine", engine];
        Retune::new(&dir, &words).run()
    };
    stop("unix:///nowhere/docker.sock").exits(1).says("neither drained nor stopped");
    assert_eq!(keys(&store, "/a"), 1, "nothing was drained for a stop that could not come");
    engine.fault(|faults| faults.requests.push((Some(Endpoint::Stop), Failure::Error, 100)));
    stop(&engine.url()).exits(1).says("was not stopped");
    eventually("the key is back", WAIT_TIMEOUT, || keys(&store, "/a") == 1);
    engine.clear_faults();
    stop(&engine.url()).exits(0);
    assert_eq!(keys(&store, "/a"), 0);
    daemon.terminate();
}

#[test]
fn an_unregistrable_service_makes_a_single_run_exit_1() {
    let (dir, engine, store) = (Dir::new(), FakeEngine::start(), Store::start());
    let once = || {
        let (engine, store) = (engine.url(), store.url());
        let words = ["register", "--once", "--engine", &engine, "--etcd", &store, "--node-name", "n1"];
        Retune::new(&dir, &words).args(&["--ip", "198.51.100.7", "--listen", "none"]).run()
    };
    engine.run(web("one"));
    once().exits(0).says("added: ");
    engine.run(web("two").env("SERVICE_CHECK_HTTP", "http://198.51.100.9/x").publish("81/tcp", Some(81)));
    once().exits(1).says("refused: ");
}

#[test]
fn a_single_run_reports_which_service_has_no_key_and_why() {
    let (dir, engine, store) = (Dir::new(), FakeEngine::start(), Store::start());
    engine.run(web("one"));
    // An address for documentation: nothing there speaks HTTP.
    engine.run(web("shut").env("SERVICE_CHECK_HTTP", "/x"));
    let (url, etcd) = (engine.url(), store.url());
    let words = ["register", "--once", "--engine", &url, "--etcd", &etcd, "--node-name", "n1"];
    let limits = [
        "--ip",
        "198.51.100.7",
        "--listen",
        "none",
        "--health-interval",
        "200ms",
        "--health-timeout",
        "500ms",
    ];
    let done = Retune::new(&dir, &words).args(&limits).run().exits(1);
    let line = done.stderr.lines().find(|line| line.contains("is not registered: "));
    let line = line.unwrap_or_else(|| panic!("no reason in\n{}", done.stderr));
    assert!(line.contains("shut (") && line.contains("port 80/tcp"), "{line}");
    assert!(line.split("is not registered: ").nth(1).is_some_and(|why| why.len() > 5), "{line}");
    assert_eq!(done.stderr.matches("is not healthy yet").count(), 1, "{}", done.stderr);
}

/// Lists are so rare that only events can report it.
#[test]
fn network_changes_are_detected_where_the_registrar_is_and_engine_labels_are_read_again() {
    for dialect in [Dialect::Docker, Dialect::Podman] {
        let (dir, engine, store) = (Dir::new(), FakeEngine::start_as(dialect, 0), Store::start());
        let container = Container::new("one").env("SERVICE_NAME", "web").label("SERVICE_NETWORK", "front");
        engine.run(container.expose("80/tcp"));
        let (at, into) = (engine.url(), store.url());
        let words = ["register", "--engine", &at, "--etcd", &into, "--prefix", "/a", "--node-name", "n1"];
        let rare = ["--internal", "--relist", "1h", "--listen", "none"];
        let daemon = Retune::new(&dir, &words).args(&rare).spawn();
        let value = || {
            let seen = below_now(&store.address(), "/a").ok()?;
            seen.keys.into_values().next()
        };
        let front = || format!("{}:80", engine.container("one").unwrap().more_networks["front"]);
        daemon.eventually_says("Syncing services");
        assert_eq!(value(), None, "it is not in that network");
        engine.connect("one", "front");
        eventually(&format!("{dialect:?}: connected"), WAIT_TIMEOUT, || value() == Some(front()));
        engine.disconnect("one", "front");
        eventually(&format!("{dialect:?}: disconnected"), WAIT_TIMEOUT, || value().is_none());
        engine.connect("one", "front");
        eventually(&format!("{dialect:?}: connected again"), WAIT_TIMEOUT, || value() == Some(front()));
        let record = || {
            let answer = request(&store.address(), "GET", "/v2/keys/_retune/nodes/n1", None).unwrap();
            answer.body
        };
        eventually("the node's record", WAIT_TIMEOUT, || record().contains("ssd"));
        engine.reload(&["storage=slow"]);
        eventually(&format!("{dialect:?}: the engine's new labels"), WAIT_TIMEOUT, || {
            record().contains("slow")
        });
        daemon.terminate();
    }
}

/// Simulates `docker run -v /run/docker.sock:/run/docker.sock` and a restart of the engine.
#[test]
fn a_recreated_socket_mounted_as_a_file_ends_the_registrar_and_keeps_the_keys() {
    if !need_mounts() {
        return;
    }
    for remove in [false, true] {
        let (dir, engine, store) = (Dir::new(), FakeEngine::start(), Store::start());
        engine.run(web("one"));
        let inside = dir.path("engine.sock");
        std::fs::write(&inside, "").unwrap();
        let _mount = Mount::bind(engine.socket(), &inside);
        let url = format!("unix://{}", inside.display());
        let on_exit = ["--on-exit", if remove { "remove" } else { "keep" }];
        let words = [&["--engine", &url, "--ttl", "60"], &on_exit[..]].concat();
        let mut daemon = register(&dir, &engine, &store, "/a", &words);
        eventually("the key", WAIT_TIMEOUT, || keys(&store, "/a") == 1);
        // An engine that stops removes its socket: this one comes back elsewhere.
        engine.restart(OnEngineStop::Stay);
        assert_eq!(daemon.wait_exit(WAIT_TIMEOUT), Some(1), "{}", daemon.log());
        let log = daemon.log();
        assert!(log.contains("the old one is still mounted here") && !log.contains("removed:"), "{log}");
        assert_eq!(keys(&store, "/a"), 1, "its lease keeps it until the next registrar is there");
        // The next run, which finds the dead socket at its start, ends as well; one that sees the new socket continues.
        let mut again = register(&dir, &engine, &store, "/a", &words);
        assert_eq!(again.wait_exit(WAIT_TIMEOUT), Some(1), "{}", again.log());
        let next = register(&dir, &engine, &store, "/a", &[]);
        next.eventually_says("found: ");
        next.terminate();
    }
}

/// A dry run must report the dead socket, and not that the store does not respond.
#[test]
fn a_plan_interrupted_by_a_dead_socket_is_reported() {
    if !need_mounts() {
        return;
    }
    let (dir, engine) = (Dir::new(), FakeEngine::start());
    // The dry run waits for its first check.
    engine.run(web("one").healthcheck());
    let inside = dir.path("engine.sock");
    std::fs::write(&inside, "").unwrap();
    let _mount = Mount::bind(engine.socket(), &inside);
    let url = format!("unix://{}", inside.display());
    let words = ["register", "--dry-run", "--engine", &url, "--etcd", "http://127.0.0.1:1", "--prefix", "/a"];
    let more = ["--node-name", "n1", "--ip", "198.51.100.7", "--health-timeout", "60s", "--listen", "none"];
    let mut daemon = Retune::new(&dir, &words).args(&more).spawn();
    daemon.eventually_says("Syncing services");
    engine.restart(OnEngineStop::Stay);
    assert_eq!(daemon.wait_exit(WAIT_TIMEOUT), Some(1), "{}", daemon.log());
    let log = daemon.log();
    assert!(log.contains("the old one is still mounted here"), "{log}");
}

/// The folder of the socket is mounted, so nothing is stale.
#[test]
fn an_absent_engine_is_waited_for_where_its_folder_is_mounted() {
    if !need_mounts() {
        return;
    }
    let (dir, engine, store) = (Dir::new(), FakeEngine::start(), Store::start());
    engine.run(web("one"));
    let inside = dir.path("host-run");
    std::fs::create_dir(&inside).unwrap();
    let _mount = Mount::bind(engine.socket().parent().unwrap(), &inside);
    let url = format!("unix://{}/engine.sock", inside.display());
    let daemon = register(&dir, &engine, &store, "/a", &["--engine", &url]);
    eventually("the key", WAIT_TIMEOUT, || keys(&store, "/a") == 1);
    engine.down();
    daemon.eventually_says("the socket does not exist");
    engine.up();
    engine.run(Container::new("two").env("SERVICE_NAME", "web").publish("80/tcp", Some(8081)));
    eventually("it is followed again", WAIT_TIMEOUT, || keys(&store, "/a") == 2);
    daemon.terminate();
}
