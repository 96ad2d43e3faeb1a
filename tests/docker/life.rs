//! Changes of a running container.

use std::time::Duration;

use super::common::{register, value};
use crate::support::docker::{Container, Docker};
use crate::support::{Daemon, Dir, Store, WAIT_TIMEOUT, eventually, stays};

const KEY: &str = "/app/one";
const NAMED: [&str; 6] = ["-p", "80", "-e", "SERVICE_NAME=app", "-e", "SERVICE_ID=one"];

/// Returns the wanted value of its key.
fn address(container: &Container<'_>) -> Option<String> {
    Some(format!("198.51.100.7:{}", container.mapped(80)?))
}

/// Runs `test` with a registered container and the registrar.
fn with_one(words: &[&str], test: impl FnOnce(&Store, &Container<'_>, &Daemon<'_>)) {
    let Some(docker) = Docker::there() else { return };
    let Some(image) = docker.image(&[80]) else { return };
    let (dir, store) = (Dir::new(), Store::start());
    let container = docker.run(&image, &[&NAMED[..], words].concat());
    let daemon = register(&dir, &store).args(&["--ip", "198.51.100.7"]).spawn();
    eventually("the key", WAIT_TIMEOUT, || {
        value(&store, KEY).is_some() && value(&store, KEY) == address(&container)
    });
    test(&store, &container, &daemon);
    daemon.terminate();
}

#[test]
fn a_signal_that_ends_nothing_removes_nothing() {
    with_one(&[], |store, container, _| {
        container.told(&["kill", "-s", "HUP"]);
        stays("the key", Duration::from_secs(2), || value(store, KEY).is_some());
        container.told(&["kill"]);
        eventually("one that does removes the key", WAIT_TIMEOUT, || value(store, KEY).is_none());
    });
}

#[test]
fn the_signal_that_an_image_stops_by_removes_whatever_it_is() {
    with_one(&["--stop-signal", "HUP"], |store, container, _| {
        container.told(&["kill", "-s", "HUP"]);
        eventually("the key is gone", WAIT_TIMEOUT, || value(store, KEY).is_none());
    });
}

#[test]
fn a_paused_container_is_out_until_it_goes_on() {
    with_one(&[], |store, container, _| {
        container.told(&["pause"]);
        eventually("the key is gone", WAIT_TIMEOUT, || value(store, KEY).is_none());
        container.told(&["unpause"]);
        eventually("the key is back", WAIT_TIMEOUT, || value(store, KEY) == address(container));
    });
}

#[test]
fn a_restart_that_changes_the_port_changes_the_value() {
    with_one(&[], |store, container, _| {
        let first = address(container);
        // The engine takes the next free port, so nearly always another one.
        for _ in 0..3 {
            container.told(&["restart"]);
            let now = address(container);
            assert!(now.is_some());
            eventually("the key holds the present port", WAIT_TIMEOUT, || value(store, KEY) == now);
            if now != first {
                return;
            }
        }
        panic!("three restarts and still {first:?}: this proves nothing");
    });
}

#[test]
fn a_container_that_is_removed_by_force_leaves_nothing() {
    with_one(&[], |store, container, daemon| {
        let short = container.short().to_owned();
        container.told(&["rm", "-f"]);
        eventually("the key is gone", WAIT_TIMEOUT, || value(store, KEY).is_none());
        daemon.eventually_says(&format!("removed: {short} one"));
    });
}

#[test]
fn a_registrar_that_was_killed_finds_its_keys_again_and_drops_those_of_containers_that_went() {
    let Some(docker) = Docker::there() else { return };
    let Some(image) = docker.image(&[80]) else { return };
    let (dir, store) = (Dir::new(), Store::start());
    let stays_on = docker.run(&image, &NAMED);
    let goes = docker.run(&image, &["-p", "80", "-e", "SERVICE_NAME=app", "-e", "SERVICE_ID=two"]);
    // The lease is so long that no key expires during the test.
    let start = || register(&dir, &store).args(&["--ip", "198.51.100.7", "--ttl", "10m"]).spawn();
    let daemon = start();
    eventually("both", WAIT_TIMEOUT, || value(&store, KEY).is_some() && value(&store, "/app/two").is_some());
    daemon.kill();
    goes.told(&["rm", "-f"]);
    let daemon = start();
    eventually("the key of the one that went", WAIT_TIMEOUT, || value(&store, "/app/two").is_none());
    assert_eq!(value(&store, KEY), address(&stays_on));
    daemon.terminate();
}
