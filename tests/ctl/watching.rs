//! Watches during changes, interrupts, and failover.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::{Dir, Etcd, Retune, WAIT_TIMEOUT, eventually};

#[test]
fn a_program_is_run_for_each_event_and_an_interrupt_ends_successfully() {
    let Some(etcd) = Etcd::start() else { return };
    let dir = Dir::new();
    etcd.put("/w/seen", "before");
    let words = [
        "--endpoints",
        &etcd.url(),
        "exec-watch",
        "--after-index",
        "3",
        "--recursive",
        "/w",
        "--",
        "sh",
        "-c",
    ];
    let script = "echo \"$ETCD_WATCH_ACTION $ETCD_WATCH_KEY=$ETCD_WATCH_VALUE\" >> events";
    let mut watch = Retune::called(&dir, "etcdctl", &words).args(&[script]).spawn();
    eventually("the first event", WAIT_TIMEOUT, || lines(&dir).len() == 1);
    etcd.put("/w/a b", "$(touch /tmp/never) 'x'");
    eventually("the second event", WAIT_TIMEOUT, || lines(&dir).len() == 2);
    etcd.delete("/w/seen");
    eventually("the third event", WAIT_TIMEOUT, || lines(&dir).len() == 3);
    let wanted = ["set /w/seen=before", "set /w/a b=$(touch /tmp/never) 'x'", "delete /w/seen="];
    assert_eq!(lines(&dir), wanted);
    watch.signal(Signal::SIGINT);
    assert_eq!(watch.wait_exit(WAIT_TIMEOUT), Some(0));
}

fn lines(dir: &Dir) -> Vec<String> {
    let text = std::fs::read_to_string(dir.path("events")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_watch_continues_for_ever_with_forever() {
    let Some(etcd) = Etcd::start() else { return };
    let dir = Dir::new();
    etcd.put("/w/a", "1");
    let mut watch = Retune::called(
        &dir,
        "etcdctl",
        &["--endpoints", &etcd.url(), "watch", "-f", "--after-index", "3", "-r", "/w"],
    )
    .spawn();
    eventually("the first event", WAIT_TIMEOUT, || watch.stdout() == "[set] /w/a\n1\n");
    etcd.put("/w/b", "2");
    eventually("the second event", WAIT_TIMEOUT, || watch.stdout() == "[set] /w/a\n1\n[set] /w/b\n2\n");
    watch.signal(Signal::SIGINT);
    assert_eq!(watch.wait_exit(WAIT_TIMEOUT), Some(0));
}

#[test]
fn a_missing_program_ends_the_watch() {
    let Some(etcd) = Etcd::start() else { return };
    let dir = Dir::new();
    etcd.put("/w", "1");
    let words = ["--endpoints", &etcd.url(), "exec-watch", "--after-index", "3", "/nowhere/x", "/w"];
    Retune::called(&dir, "etcdctl", &words)
        .run()
        .exits(1)
        .says("fork/exec /nowhere/x: no such file or directory");
}

#[test]
fn a_dead_endpoint_is_skipped_and_a_frozen_one_after_its_timeout() {
    let (Some(good), Some(frozen)) = (Etcd::start(), Etcd::start()) else { return };
    let dir = Dir::new();
    good.put("/a", "1");
    frozen.freeze();
    let all = format!("http://127.0.0.1:1,{},{}", good.url(), frozen.url());
    // The order is random, so some of these begin with a bad endpoint.
    for _ in 0..6 {
        let words = ["--endpoints", &all, "--no-sync", "--timeout", "300ms", "get", "/a"];
        let done = Retune::called(&dir, "etcdctl", &words).run().exits(0).within(Duration::from_secs(3));
        assert_eq!(done.stdout, "1\n");
    }
    frozen.thaw();
}

#[test]
fn a_request_that_must_not_be_repeated_is_sent_once() {
    let Some(good) = Etcd::start() else { return };
    let dir = Dir::new();
    let all = format!("http://127.0.0.1:1,{}", good.url());
    let (mut made, mut failed) = (0, 0);
    for number in 0..24 {
        let key = format!("/k{number}");
        let done =
            Retune::called(&dir, "etcdctl", &["--endpoints", &all, "--no-sync", "mk", &key, "1"]).run();
        match done.code {
            0 => made += 1,
            _ => {
                failed += 1;
                done.exits(4).says("Error:  dial tcp 127.0.0.1:1: connect: connection refused");
            }
        }
    }
    assert!(made > 0 && failed > 0, "{made} made, {failed} failed: the first endpoint is left to chance");
}
