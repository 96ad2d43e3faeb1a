//! Changes of a running container.

use std::time::Duration;

use super::common::{register, value};
use crate::support::docker::{Container, Docker};
use crate::support::{Daemon, Dir, Store, WAIT_TIMEOUT, eventually, stays};

const KEY: &str = "/app/one";
const WITH_NAME: [&str; 6] = ["-p", "80", "-e", "SERVICE_NAME=app", "-e", "SERVICE_ID=one"];

/// Returns the wanted value of its key.
fn address(container: &Container<'_>) -> Option<String> {
    Some(format!("198.51.100.7:{}", container.mapped(80)?))
}

/// Runs `test` with a registered container and the registrar.
fn with_registered(words: &[&str], test: impl FnOnce(&Store, &Container<'_>, &Daemon<'_>)) {
    let Some(docker) = Docker::acquire() else { return };
    let Some(image) = docker.image(&[80]) else { return };
    let (dir, store) = (Dir::new(), Store::start());
    let container = docker.run(&image, &[&WITH_NAME[..], words].concat());
    let daemon = register(&dir, &store).args(&["--ip", "198.51.100.7"]).spawn();
    eventually("the key", WAIT_TIMEOUT, || {
        value(&store, KEY).is_some() && value(&store, KEY) == address(&container)
    });
    test(&store, &container, &daemon);
    daemon.terminate();
}

#[test]
fn a_harmless_signal_removes_nothing() {
    with_registered(&[], |store, container, _| {
        container.docker_command(&["kill", "-s", "HUP"]);
        stays("the key", Duration::from_secs(2), || value(store, KEY).is_some());
        container.docker_command(&["kill"]);
        eventually("one that does removes the key", WAIT_TIMEOUT, || value(store, KEY).is_none());
    });
}

#[test]
fn the_stop_signal_of_an_image_removes_the_key_whichever_it_is() {
    with_registered(&["--stop-signal", "HUP"], |store, container, _| {
        container.docker_command(&["kill", "-s", "HUP"]);
        eventually("the key is gone", WAIT_TIMEOUT, || value(store, KEY).is_none());
    });
}

#[test]
fn a_paused_container_is_unregistered_until_it_is_unpaused() {
    with_registered(&[], |store, container, _| {
        container.docker_command(&["pause"]);
        eventually("the key is gone", WAIT_TIMEOUT, || value(store, KEY).is_none());
        container.docker_command(&["unpause"]);
        eventually("the key is back", WAIT_TIMEOUT, || value(store, KEY) == address(container));
    });
}

#[test]
fn a_restart_that_changes_the_port_updates_the_value() {
    with_registered(&[], |store, container, _| {
        let first = address(container);
        // The engine takes the next free port, so nearly always another one.
        for _ in 0..3 {
            container.docker_command(&["restart"]);
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
fn a_forcibly_removed_container_leaves_no_key() {
    with_registered(&[], |store, container, daemon| {
        let short = container.short().to_owned();
        container.docker_command(&["rm", "-f"]);
        eventually("the key is gone", WAIT_TIMEOUT, || value(store, KEY).is_none());
        daemon.eventually_says(&format!("removed: {short} one"));
    });
}

#[test]
fn a_killed_registrar_finds_its_keys_again_and_removes_those_of_stopped_containers() {
    let Some(docker) = Docker::acquire() else { return };
    let Some(image) = docker.image(&[80]) else { return };
    let (dir, store) = (Dir::new(), Store::start());
    let stays_on = docker.run(&image, &WITH_NAME);
    let goes = docker.run(&image, &["-p", "80", "-e", "SERVICE_NAME=app", "-e", "SERVICE_ID=two"]);
    // The lease is so long that no key expires during the test.
    let start = || register(&dir, &store).args(&["--ip", "198.51.100.7", "--ttl", "10m"]).spawn();
    let daemon = start();
    eventually("both", WAIT_TIMEOUT, || value(&store, KEY).is_some() && value(&store, "/app/two").is_some());
    daemon.kill();
    goes.docker_command(&["rm", "-f"]);
    let daemon = start();
    eventually("the key of the one that went", WAIT_TIMEOUT, || value(&store, "/app/two").is_none());
    assert_eq!(value(&store, KEY), address(&stays_on));
    daemon.terminate();
}
