//! What a watcher sees while real containers are renamed, moved, restarted and replaced one by one.

use super::common::{register, value};
use crate::support::docker::{Container, Docker, Image, Network};
use crate::support::key_states::{KeyStates, RequiredService, first_missing, holds};
use crate::support::{Daemon, Dir, Store, WAIT_TIMEOUT, eventually};

const PREFIX: &str = "/seen";
const WEB: [&str; 2] = ["-e", "SERVICE_NAME=web"];

/// Starts a registrar that must rely on events, because lists are too rare.
fn registrar<'d>(dir: &'d Dir, store: &Store) -> Daemon<'d> {
    let words = ["--internal", "--prefix", PREFIX, "--node-name", "n1", "--relist", "1h"];
    let daemon = register(dir, store).args(&words).spawn();
    daemon.eventually_says("Syncing services");
    daemon
}

fn in_network<'d>(
    docker: &'d Docker,
    image: &Image<'d>,
    network: &Network<'d>,
    ip: &str,
    words: &[&str],
) -> Container<'d> {
    docker.run(image, &[&["--network", &network.name, "--ip", ip], &WEB[..], words].concat())
}

fn is_there(store: &Store, ip: &str) {
    let address = format!("{ip}:80");
    eventually(&format!("{address} is registered"), WAIT_TIMEOUT, || {
        holds(&store.address(), PREFIX, &address)
    });
}

fn required(who: &str, ips: &[&str], until: Option<u64>) -> RequiredService {
    let addresses = ips.iter().map(|ip| format!("{ip}:80")).collect();
    RequiredService { who: who.to_owned(), addresses, until }
}

#[test]
fn no_healthy_container_is_missing_in_any_state_of_the_store() {
    let Some(docker) = Docker::acquire() else { return };
    let Some(image) = docker.image(&[80]) else { return };
    let (dir, store) = (Dir::new(), Store::start());
    let states = KeyStates::watch(&store.address(), PREFIX);
    let (near, far) = (docker.network("10.213.1.0/24"), docker.network("10.213.2.0/24"));
    let daemon = registrar(&dir, &store);
    let mut one = in_network(&docker, &image, &near, "10.213.1.11", &[]);
    let mut two = in_network(&docker, &image, &near, "10.213.1.12", &[]);
    is_there(&store, "10.213.1.11");
    is_there(&store, "10.213.1.12");
    // Rename them, and swap their names.
    for round in 0..10 {
        one.rename(&format!("retune-test-one-{round}"));
    }
    for _ in 0..5 {
        let (first, second) = (one.name.clone(), two.name.clone());
        one.rename("retune-test-between");
        two.rename(&first);
        one.rename(&second);
    }
    // Move one to another network, and back with another address.
    one.connect(&far, "10.213.2.11");
    one.disconnect(&near);
    is_there(&store, "10.213.2.11");
    one.connect(&near, "10.213.1.21");
    one.disconnect(&far);
    is_there(&store, "10.213.1.21");
    let mut services = vec![
        required("one", &["10.213.1.11", "10.213.2.11", "10.213.1.21"], None),
        required("two", &["10.213.1.12"], None),
    ];
    // Replace them one by one, each by one with another label, as soon as the new one is registered.
    let mut present = in_network(&docker, &image, &near, "10.213.1.30", &["-l", "SERVICE_TAGS=v0"]);
    is_there(&store, "10.213.1.30");
    for round in 1..4 {
        let ip = format!("10.213.1.{}", 30 + round);
        let next = in_network(&docker, &image, &near, &ip, &["-l", &format!("SERVICE_TAGS=v{round}")]);
        is_there(&store, &ip);
        services.push(required("replaced", &[&format!("10.213.1.{}", 29 + round)], Some(states.index())));
        present.docker_command(&["stop", "-t", "1"]);
        present = next;
    }
    services.push(required("the last", &["10.213.1.33"], Some(states.index())));
    present.docker_command(&["restart", "-t", "1"]);
    is_there(&store, "10.213.1.33");
    let name = two.name.clone();
    let key = format!("{PREFIX}/web/n1:{name}:80");
    eventually("the last name", WAIT_TIMEOUT, || value(&store, &key).as_deref() == Some("10.213.1.12:80"));
    let seen = states.end();
    let wrong = first_missing(&seen, &services);
    assert!(wrong.is_none(), "{}\n{}", wrong.unwrap_or_default(), daemon.log());
    assert!(seen.len() > 20, "only {} states", seen.len());
    daemon.terminate();
}

#[test]
fn joining_and_leaving_a_network_is_detected_at_once() {
    let Some(docker) = Docker::acquire() else { return };
    let Some(image) = docker.image(&[80]) else { return };
    let (dir, store) = (Dir::new(), Store::start());
    let (near, far) = (docker.network("10.213.1.0/24"), docker.network("10.213.2.0/24"));
    let daemon = registrar(&dir, &store);
    let label = format!("SERVICE_NETWORK={}", far.name);
    let one = in_network(&docker, &image, &near, "10.213.1.11", &["-l", &label, "-e", "SERVICE_ID=one"]);
    let key = format!("{PREFIX}/web/one");
    for ip in ["10.213.2.11", "10.213.2.12"] {
        one.connect(&far, ip);
        eventually("it is found there", WAIT_TIMEOUT, || value(&store, &key) == Some(format!("{ip}:80")));
        one.disconnect(&far);
        eventually("it is found there no more", WAIT_TIMEOUT, || value(&store, &key).is_none());
    }
    daemon.terminate();
}
