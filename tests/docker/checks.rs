//! A key exists only after the service passes its check, and never for a service that only seems to respond.

use std::net::{Ipv6Addr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use super::common::{node, register, value};
use crate::support::docker::{Container, Docker, host};
use crate::support::skips::Permitted;
use crate::support::{Dir, Store, WAIT_TIMEOUT, eventually, stays};

/// The container's own delay of two seconds before it responds: long enough to see that there is no key meanwhile.
const DELAYED_RESPONSE: [&str; 4] = ["-p", "80", "-e", "LATE=2"];

fn assert_registered_late(check: &[&str]) {
    let Some(docker) = Docker::acquire() else { return };
    let Some(image) = docker.image(&[80]) else { return };
    let (dir, store) = (Dir::new(), Store::start());
    let daemon = register(&dir, &store).args(&["--health-interval", "200ms"]).spawn();
    let named = ["-e", "SERVICE_NAME=late", "-e", "SERVICE_ID=one"];
    let started = Instant::now();
    let container = docker.run(&image, &[&DELAYED_RESPONSE[..], &named, check].concat());
    let port = container.mapped(80).unwrap();
    stays("no key before it answers", Duration::from_secs(2).saturating_sub(started.elapsed()), || {
        value(&store, "/late/one").is_none()
    });
    let wanted = format!("{}:{port}", host());
    eventually("the key", WAIT_TIMEOUT, || value(&store, "/late/one") == Some(wanted.clone()));
    assert!(serves(&container), "the key may not be there before the application is");
    daemon.terminate();
}

fn serves(container: &Container<'_>) -> bool {
    container.exec("cat /proc/net/tcp6").contains(":0050 00000000000000000000000000000000:0000 0A")
}

#[test]
fn a_tcp_check_delays_registration_until_the_container_listens() {
    assert_registered_late(&["-e", "SERVICE_CHECK_TCP=true"]);
}

#[test]
fn an_http_check_delays_registration_until_the_container_responds() {
    assert_registered_late(&["-e", "SERVICE_80_CHECK_HTTP=/"]);
}

#[test]
fn an_http_check_requests_its_path_and_requires_success() {
    let Some(docker) = Docker::acquire() else { return };
    let Some(image) = docker.image(&[80]) else { return };
    let (dir, store) = (Dir::new(), Store::start());
    let words = ["--ip", &host(), "--health-interval", "200ms"];
    let daemon = register(&dir, &store).args(&words).spawn();
    let named =
        ["-p", "80", "-e", "SERVICE_NAME=web", "-e", "SERVICE_ID=one", "-e", "SERVICE_CHECK_HTTP=/ready"];
    let container = docker.run(&image, &named);
    eventually("it answers", WAIT_TIMEOUT, || serves(&container));
    stays("no key as long as it answers 404", Duration::from_secs(1), || value(&store, "/web/one").is_none());
    container.exec("touch /www/ready");
    eventually("the key", WAIT_TIMEOUT, || value(&store, "/web/one").is_some());
    container.exec("rm /www/ready");
    eventually("it is gone again", WAIT_TIMEOUT, || value(&store, "/web/one").is_none());
    daemon.terminate();
}

#[test]
fn a_connection_accepted_by_the_engine_for_an_absent_application_does_not_pass() {
    let Some(docker) = Docker::acquire() else { return };
    let Some(image) = docker.image(&[80]) else { return };
    let (dir, store) = (Dir::new(), Store::start());
    let tcp = ["-p", "80", "-e", "SERVICE_CHECK_TCP=true", "-e", "SERVICE_ID=one"];
    let nobody = docker.run(&image, &[&tcp[..], &["-e", "PORT=none", "-e", "SERVICE_NAME=nobody"]].concat());
    let somebody = docker.run(&image, &[&tcp[..], &["-e", "SERVICE_NAME=somebody"]].concat());
    // Over IPv4 the kernel forwards connections to the container itself; over IPv6 the engine's proxy accepts them
    // first.
    let accepts = |ip: &Ipv6Addr| TcpStream::connect((*ip, nobody.mapped(80).unwrap())).is_ok();
    let Some(ip) = host_v6().filter(accepts) else {
        Permitted::NoDockerIpv6.skip();
        return;
    };
    let words = ["--ip", &ip.to_string(), "--health-interval", "200ms"];
    let daemon = register(&dir, &store).args(&words).spawn();
    let wanted = format!("[{ip}]:{}", somebody.mapped(80).unwrap());
    eventually("what is there is found", WAIT_TIMEOUT, || {
        value(&store, "/somebody/one") == Some(wanted.clone())
    });
    stays("a connection that ends at once is no service", Duration::from_secs(2), || {
        node(&store, "/nobody").is_none()
    });
    daemon.terminate();
}

/// Returns an address of the host that is neither loopback nor link-local.
fn host_v6() -> Option<Ipv6Addr> {
    let known = Command::new("ip").args(["-6", "-o", "address", "show", "scope", "global"]).output().ok()?;
    let text = String::from_utf8_lossy(&known.stdout).into_owned();
    text.split_whitespace().find_map(|word| word.split_once('/')?.0.parse().ok())
}

#[test]
fn a_containers_own_healthcheck_is_used() {
    let Some(docker) = Docker::acquire() else { return };
    let Some(image) = docker.image(&[80]) else { return };
    let (dir, store) = (Dir::new(), Store::start());
    let daemon = register(&dir, &store).args(&["--ip", "198.51.100.7"]).spawn();
    let health =
        ["--health-cmd", "/bin/test -f /tmp/well", "--health-interval", "500ms", "--health-retries", "1"];
    let named = ["-p", "80", "-e", "SERVICE_NAME=own", "-e", "SERVICE_ID=one"];
    let container = docker.run(&image, &[&health[..], &named].concat());
    stays("no key while it is starting or unhealthy", Duration::from_secs(2), || {
        value(&store, "/own/one").is_none()
    });
    container.exec("touch /tmp/well");
    eventually("the key", WAIT_TIMEOUT, || value(&store, "/own/one").is_some());
    container.exec("rm /tmp/well");
    eventually("it is gone again", WAIT_TIMEOUT, || value(&store, "/own/one").is_none());
    daemon.terminate();
}
