//! The server listing with real etcd and real HAProxy: master-worker reloads lose no request of any kind.

use std::thread::sleep;
use std::time::Duration;

use crate::support::front::{TestSite, assert_no_failure_on_new_connections, assert_totals_agree};
use crate::support::haproxy::Haproxy;
use crate::support::{Backend, Dir, Etcd, Load, RequestKind, Retune, WAIT_TIMEOUT, eventually};

/// Starts a site on a proxy that runs its configuration only.
fn site(dir: &Dir) -> Option<(Haproxy, TestSite<'_>)> {
    let (etcd, haproxy) = (Etcd::start()?, Haproxy::start(dir)?);
    let site = TestSite::start(dir, etcd, haproxy.front());
    haproxy.until_old_workers_are_gone();
    Some((haproxy, site))
}

#[test]
fn an_added_server_serves_and_a_removed_one_does_not() {
    let dir = Dir::new();
    let (Some(etcd), Some(haproxy)) = (Etcd::start(), Haproxy::start(&dir)) else { return };
    let (py1, py2) = (Backend::start("py1"), Backend::start("py2"));
    let front = haproxy.front();
    front.resource(&dir);
    let daemon = Retune::watch(&dir).etcd(&etcd).spawn();
    etcd.put("/app/upstream/py1", &py1.address());
    front.eventually_serves(&["py1"]);
    etcd.put("/app/upstream/py2", &py2.address());
    front.eventually_serves(&["py1", "py2"]);
    eventually("both answer", WAIT_TIMEOUT, || front.answering() == ["py1", "py2"]);
    etcd.delete("/app/upstream/py1");
    front.eventually_serves(&["py2"]);
    eventually("only py2 answers", WAIT_TIMEOUT, || front.answering() == ["py2"]);
    daemon.terminate();
}

#[test]
fn thirty_reloads_lose_no_request_of_any_kind() {
    let dir = Dir::new();
    let Some((haproxy, site)) = site(&dir) else { return };
    let load = Load::start(site.front.port, 2);
    let mut reloads = site.switch(8);
    reloads.extend(site.replace(|| haproxy.until_old_workers_are_gone()));

    let request_log = load.finish();
    eprintln!("{request_log}");
    assert!(site.reloads() >= 30, "{} reloads", site.reloads());
    assert_no_failure_on_new_connections(&request_log, &reloads);
    for kind in [RequestKind::KeepAliveGet, RequestKind::KeepAlivePost] {
        assert_eq!(request_log.failures(kind), 0, "{request_log}");
    }
    assert_totals_agree(&request_log, [&site.blue, &site.green]);
    site.finish();
}

/// The control for the test above: the same log must show a careless shutdown.
#[test]
fn control_a_server_killed_during_the_switch_causes_failures() {
    let dir = Dir::new();
    let Some((_haproxy, site)) = site(&dir) else { return };
    site.assert_an_abrupt_shutdown_is_detected();
}

#[test]
fn an_invalid_configuration_never_reaches_haproxy() {
    let dir = Dir::new();
    let (Some(etcd), Some(haproxy)) = (Etcd::start(), Haproxy::start(&dir)) else { return };
    let site = TestSite::start(&dir, etcd, haproxy.front());
    let (before, reloads) = (std::fs::read(&site.front.conf).unwrap(), site.reloads());
    site.etcd.put("/app/upstream/green", "not an address");
    sleep(Duration::from_secs(1));
    assert_eq!(std::fs::read(&site.front.conf).unwrap(), before);
    assert_eq!(site.reloads(), reloads);
    site.add(&site.green);
    site.finish();
}
