//! The server listing with real etcd and real nginx: a server added to the store gets requests, a removed one does
//! not, and no request is lost over the reloads.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::Duration;

use crate::support::front::{
    FAILURE_DELAY, TestSite, assert_no_failure_on_new_connections, assert_totals_agree,
};
use crate::support::nginx::Nginx;
use crate::support::{
    Backend, Dir, Etcd, Load, RequestKind, ResponseClass, Retune, WAIT_TIMEOUT, eventually,
};

/// Starts a site on a proxy that runs its configuration only.
fn site(dir: &Dir) -> Option<(Nginx, TestSite<'_>)> {
    let (etcd, nginx) = (Etcd::start()?, Nginx::start(dir)?);
    let site = TestSite::start(dir, etcd, nginx.front(true));
    nginx.until_old_workers_are_gone();
    Some((nginx, site))
}

#[test]
fn an_added_server_serves_and_a_removed_one_does_not() {
    let dir = Dir::new();
    let (Some(etcd), Some(nginx)) = (Etcd::start(), Nginx::start(&dir)) else { return };
    let (py1, py2) = (Backend::start("py1"), Backend::start("py2"));
    let front = nginx.front(true);
    front.resource(&dir);
    let daemon = Retune::watch(&dir).etcd(&etcd).spawn();

    etcd.put("/app/upstream/py1", &py1.address());
    front.eventually_serves(&["py1"]);
    eventually("only py1 answers", WAIT_TIMEOUT, || front.answering() == ["py1"]);

    etcd.put("/app/upstream/py2", &py2.address());
    front.eventually_serves(&["py1", "py2"]);
    eventually("both answer", WAIT_TIMEOUT, || front.answering() == ["py1", "py2"]);

    etcd.delete("/app/upstream/py1");
    front.eventually_serves(&["py2"]);
    eventually("only py2 answers", WAIT_TIMEOUT, || front.answering() == ["py2"]);

    let log = daemon.log();
    for words in ["out of sync", "has been updated"] {
        assert!(log.contains(&format!("Target config {} {words}", front.conf)), "{words:?} in\n{log}");
    }
    daemon.terminate();
}

#[test]
fn confds_command_line_renders_once() {
    let dir = Dir::new();
    let (Some(etcd), Some(nginx)) = (Etcd::start(), Nginx::start(&dir)) else { return };
    let py1 = Backend::start("py1");
    let front = nginx.front(true);
    front.resource(&dir);
    etcd.put("/app/upstream/py1", &py1.address());

    let words = ["-onetime", "-backend", "etcd", "-node", &etcd.url(), "-confdir", &dir.confdir()];
    Retune::called(&dir, "confd", &words).run().exits(0).says("has been updated");
    front.eventually_serves(&["py1"]);
    assert_eq!(front.answering(), ["py1"]);
    Retune::called(&dir, "confd", &words).run().exits(0);
    assert_eq!(dir.lines("reloads").len(), 1, "in sync needs no reload");
}

#[test]
fn thirty_reloads_lose_no_request() {
    let dir = Dir::new();
    let Some((nginx, site)) = site(&dir) else { return };
    let load = Load::start(site.front.port, 2);
    let mut reloads = site.switch(8);
    reloads.extend(site.replace(|| nginx.until_old_workers_are_gone()));

    let request_log = load.finish();
    eprintln!("{request_log}");
    assert!(site.reloads() >= 30, "{} reloads", site.reloads());
    assert_no_failure_on_new_connections(&request_log, &reloads);
    for kind in [RequestKind::KeepAliveGet, RequestKind::KeepAlivePost] {
        let race = request_log.count(kind, ResponseClass::ClosedReusedNoBytes);
        assert_eq!(request_log.failures(kind), race, "only the idle-close race may show: {request_log}");
    }
    assert_totals_agree(&request_log, [&site.blue, &site.green]);
    site.finish();
}

#[test]
fn after_the_old_workers_exit_the_old_server_gets_no_request() {
    let dir = Dir::new();
    let Some((nginx, site)) = site(&dir) else { return };
    let load = Load::start(site.front.port, 1);
    site.add(&site.green);
    site.remove(&site.blue);
    // A new worker may return the new generation while an old one still accepts: that alone is not enough.
    nginx.until_old_workers_are_gone();
    let proof = std::time::Instant::now();
    sleep(FAILURE_DELAY);
    let request_log = load.finish();
    let late =
        request_log.records.iter().filter(|record| record.kind == RequestKind::Fresh && record.from > proof);
    let late: Vec<_> = late.collect();
    assert!(late.len() > 5 && late.iter().all(|record| record.by == "green"), "{late:?}");
    site.finish();
}

#[test]
fn a_request_longer_than_a_whole_switch_succeeds() {
    let dir = Dir::new();
    let Some((nginx, site)) = site(&dir) else { return };
    site.blue.hold(true);
    let mut slow = TcpStream::connect(&site.front.address).unwrap();
    slow.set_read_timeout(Some(WAIT_TIMEOUT)).unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: slow\r\nConnection: close\r\n\r\n").unwrap();
    eventually("blue has the request", WAIT_TIMEOUT, || site.blue.seen().contains_key("slow"));

    site.add(&site.green);
    site.remove(&site.blue);
    // On a busy machine, old workers may accept one more connection after the new ones have started.
    eventually("only green answers", WAIT_TIMEOUT, || site.front.answering() == ["green"]);
    assert!(nginx.old_workers() > 0, "an old worker waits with the request");
    site.blue.hold(false);

    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("blue slow\n"), "{answer:?}");
    nginx.until_old_workers_are_gone();
    site.finish();
}

/// The control: the log must show a careless shutdown.
#[test]
fn control_a_server_killed_during_the_switch_causes_failures() {
    let dir = Dir::new();
    let Some((_nginx, site)) = site(&dir) else { return };
    site.assert_an_abrupt_shutdown_is_detected();
}

#[test]
fn control_an_empty_upstream_is_refused_and_the_dead_server_stays_in_service() {
    let dir = Dir::new();
    let (Some(etcd), Some(nginx)) = (Etcd::start(), Nginx::start(&dir)) else { return };
    let site = TestSite::start(&dir, etcd, nginx.front(false));
    let before = std::fs::read(&site.front.conf).unwrap();
    nginx.until_old_workers_are_gone();
    let load = Load::start(site.front.port, 1);
    site.etcd.delete("/app/upstream/blue");
    site.blue.kill();
    sleep(Duration::from_secs(1));
    let request_log = load.finish();
    assert!(request_log.failures(RequestKind::Fresh) > 0, "{request_log}");
    assert_eq!(std::fs::read(&site.front.conf).unwrap(), before, "a failed check leaves the old file");
    // The gap closes by itself as soon as there is a server again.
    site.etcd.put("/app/upstream/green", &site.green.address());
    site.front.eventually_serves(&["green"]);
    site.finish();
}
