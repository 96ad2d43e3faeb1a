//! Registrator's best known use: one published port of two, its own name and id. The resulting key changed over
//! Registrator's versions; each is one option away.

use std::time::Duration;

use super::common::{everything, node, register, value};
use crate::support::docker::Docker;
use crate::support::port::Port;
use crate::support::{Dir, Retune, Store, WAIT_TIMEOUT, eventually};

const WITH_NAME: [&str; 4] = ["-e", "SERVICE_NAME=nginx", "-e", "SERVICE_ID=nginx"];

#[test]
fn under_the_name_registrator_a_container_is_registered_while_it_runs() {
    let Some(docker) = Docker::acquire() else { return };
    let Some(image) = docker.image(&[80, 443]) else { return };
    let (dir, store, port) = (Dir::new(), Store::start(), Port::claim());
    let registry = format!("etcd://{}/", store.address());
    let socket = format!("unix://{}", dir.text_path("register.sock"));
    let registrator = Retune::called(&dir, "registrator", &["-ip", "198.51.100.7", &registry])
        .env("RETUNE_LISTEN", &socket);
    let daemon = registrator.spawn();

    let publish = format!("{}:80", port.number());
    let nginx = docker.run(&image, &[&["-p", &publish][..], &WITH_NAME].concat());
    let wanted = format!("198.51.100.7:{}", port.number());
    eventually("the key", WAIT_TIMEOUT, || value(&store, "/nginx-80/nginx") == Some(wanted.clone()));
    daemon.eventually_says(&format!("ignored: {} port 443 not published on host", nginx.short()));
    daemon.eventually_says(&format!("added: {} nginx", nginx.short()));
    let ttl = node(&store, "/nginx-80/nginx").unwrap()["ttl"].as_i64();
    assert!(ttl.is_some_and(|ttl| (1..=20).contains(&ttl)), "a crash must not leave it for ever: {ttl:?}");

    nginx.docker_command(&["stop"]);
    eventually("the key is gone", WAIT_TIMEOUT, || value(&store, "/nginx-80/nginx").is_none());
    daemon.eventually_says(&format!("removed: {} nginx", nginx.short()));
    eventually("so is its directory", WAIT_TIMEOUT, || node(&store, "/nginx-80").is_none());
    daemon.terminate();
}

#[test]
fn with_suffix_published_a_single_published_port_needs_no_suffix() {
    let Some(docker) = Docker::acquire() else { return };
    let Some(image) = docker.image(&[80, 443]) else { return };
    let (dir, store, port) = (Dir::new(), Store::start(), Port::claim());
    let publish = format!("{}:80", port.number());
    let nginx = docker.run(&image, &[&["-p", &publish][..], &WITH_NAME].concat());
    let daemon = register(&dir, &store).args(&["--ip", "198.51.100.7", "--suffix", "published"]).spawn();

    let wanted = format!("198.51.100.7:{}", port.number());
    eventually("the key", WAIT_TIMEOUT, || value(&store, "/nginx/nginx") == Some(wanted.clone()));
    assert!(node(&store, "/nginx-80").is_none(), "{}", everything(&store));
    nginx.docker_command(&["stop"]);
    eventually("all is gone", WAIT_TIMEOUT, || node(&store, "/nginx").is_none());
    daemon.terminate();
}

#[test]
fn the_key_is_removed_when_the_stop_is_requested_and_not_when_the_process_exits() {
    let Some(docker) = Docker::acquire() else { return };
    // It ignores SIGTERM, so that its stop takes the whole timeout.
    let deaf = "trap '' TERM; httpd -p 80 -h /www; sleep 600";
    let Some(image) = docker.image_with(&[80], &["/bin/sh", "-c", deaf], |_| {}) else { return };
    let (dir, store) = (Dir::new(), Store::start());
    let container = docker.run(&image, &["-p", "80", "-e", "SERVICE_NAME=deaf", "-e", "SERVICE_ID=one"]);
    let daemon = register(&dir, &store).args(&["--ip", "198.51.100.7"]).spawn();
    eventually("the key", WAIT_TIMEOUT, || value(&store, "/deaf/one").is_some());

    std::thread::scope(|scope| {
        let stop = scope.spawn(|| container.docker_command(&["stop", "-t", "5"]));
        eventually("the key is gone", Duration::from_secs(4), || value(&store, "/deaf/one").is_none());
        assert!(!stop.is_finished(), "the container is still there to answer its last requests");
        assert_eq!(container.docker_command(&["inspect", "-f", "{{.State.Running}}"]), "true");
    });
    daemon.terminate();
}
