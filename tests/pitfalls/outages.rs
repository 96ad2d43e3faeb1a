//! A store that is down, late, restarted or has lost data.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::port::Port;
use crate::support::{Dir, Etcd, Retune, TcpRelay, WAIT_TIMEOUT, eventually, stays};

const VALUE: &str = "{{ getv(\"/app/x\") }}\n";
const APP: &str = "keys = [\"/app\"]";

/// Returns the files of the state folder that contain `text`.
fn kept(dir: &Dir, text: &str) -> Vec<PathBuf> {
    let (mut folders, mut found) = (vec![dir.path("state")], vec![]);
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if fs::read(&path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(text)) {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn a_store_unreachable_at_startup_is_reported_and_waited_for() {
    let Some(mut etcd) = Etcd::prepare() else { return };
    let dir = Dir::new();
    dir.resource("a", VALUE, APP);
    let mut daemon = Retune::watch(&dir).etcd(&etcd).spawn();
    daemon.eventually_says(&etcd.address());
    assert!(daemon.is_running());
    etcd.start_again();
    etcd.put("/app/x", "one");
    eventually("the file", Etcd::notice(), || dir.has("a.conf", "one\n"));
    daemon.terminate();
}

#[test]
fn render_gives_up_within_its_limit_and_exits_2() {
    let (dir, nobody) = (Dir::new(), Port::claim());
    dir.resource("a", VALUE, APP).write_bytes("out/a.conf", b"old\n");
    for backend in ["etcd", "etcdv3"] {
        let url = format!("http://{}", nobody.address());
        let done = Retune::render(&dir).node(backend, &url).args(&["--timeout", "2s"]).run();
        done.exits(2).says(&nobody.address()).within(Duration::from_secs(5));
    }
    dir.assert_has("a.conf", "old\n");
}

#[test]
fn render_from_a_store_that_accepts_and_never_responds_exits_2() {
    let dir = Dir::new();
    dir.resource("a", VALUE, APP);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let done = Retune::render(&dir).node("etcd", &url).args(&["--timeout", "2s"]).run();
    done.exits(2).within(Duration::from_secs(5));
}

#[test]
fn a_missing_key_is_not_reported_as_an_unreachable_store() {
    let Some(etcd) = Etcd::start() else { return };
    let dir = Dir::new();
    dir.resource("a", VALUE, APP);
    etcd.put("/app/y", "one");
    Retune::render(&dir).etcd(&etcd).run().exits(1).says("/app/x");
}

#[test]
fn with_an_unreachable_store_it_starts_from_the_last_good_snapshot_and_reports_it_stale() {
    let Some(mut etcd) = Etcd::start() else { return };
    let dir = Dir::new();
    dir.resource("a", VALUE, APP);
    etcd.put("/app/x", "one");
    let daemon = Retune::watch(&dir).etcd(&etcd).spawn();
    eventually("the file", WAIT_TIMEOUT, || dir.has("a.conf", "one\n"));
    daemon.terminate();
    etcd.stop();
    fs::remove_file(dir.out("a.conf")).unwrap();

    let daemon = Retune::watch(&dir).etcd(&etcd).spawn();
    eventually("the file from the snapshot", Etcd::notice(), || dir.has("a.conf", "one\n"));
    daemon.eventually_says("stale");
    etcd.start_again();
    etcd.put("/app/x", "two");
    eventually("fresh again", Etcd::notice(), || dir.has("a.conf", "two\n"));
    daemon.terminate();
}

#[test]
fn only_the_owner_can_read_the_snapshot() {
    let Some(etcd) = Etcd::start() else { return };
    let dir = Dir::new();
    dir.resource("a", VALUE, APP);
    etcd.put("/app/x", "canary-in-the-state");
    let daemon = Retune::watch(&dir).etcd(&etcd).spawn();
    eventually("the file", WAIT_TIMEOUT, || dir.has("a.conf", "canary-in-the-state\n"));
    daemon.terminate();
    let kept = kept(&dir, "canary");
    assert!(!kept.is_empty(), "the snapshot is written at the end at the latest");
    for path in kept {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", path.display());
    }
}

#[test]
fn a_cleared_etcd_v2_history_is_handled() {
    let Some(etcd) = Etcd::start() else { return };
    let dir = Dir::new();
    dir.resource("a", VALUE, &format!("{APP}\nreload_cmd = 'cat {{out}}/a.conf >> {{dir}}/seen'"));
    etcd.put("/app/x", "one");
    let daemon = Retune::watch(&dir).etcd(&etcd).spawn();
    eventually("the first", WAIT_TIMEOUT, || dir.lines("seen") == ["one"]);
    daemon.signal(Signal::SIGSTOP);
    // The first wakes the open watch; the second comes after more events than the store remembers.
    etcd.put("/app/x", "two");
    etcd.put("/app/x", "three");
    etcd.flood("/other", 2000);
    daemon.signal(Signal::SIGCONT);
    eventually("the last", WAIT_TIMEOUT, || dir.has("a.conf", "three\n"));
    etcd.put("/app/x", "four");
    eventually("the watch lives on", WAIT_TIMEOUT, || {
        dir.lines("seen").last().map(String::as_str) == Some("four")
    });
    let seen = dir.lines("seen");
    assert_eq!(seen.iter().filter(|value| *value == "three").count(), 1, "{seen:?}");
    daemon.terminate();
}

#[test]
fn etcd_v2_over_a_cut_connection_loses_no_change() {
    let Some(etcd) = Etcd::start() else { return };
    let dir = Dir::new();
    dir.resource("a", "{% for v in getvs(\"/app/*\") %}{{ v }} {% endfor %}\n", APP);
    etcd.put("/app/x", "one");
    let relay = TcpRelay::to(&etcd.address());
    let daemon = Retune::watch(&dir).node("etcd", &relay.url()).args(&["--no-sync"]).spawn();
    eventually("the first", WAIT_TIMEOUT, || dir.has("a.conf", "one \n"));
    for round in 0..3 {
        relay.cut();
        etcd.put("/app/x", &format!("v{round}"));
        etcd.put("/app/gone", "soon");
        etcd.delete("/app/gone");
        sleep(Duration::from_millis(300));
        relay.restore();
        eventually("what changed meanwhile", Etcd::notice(), || dir.has("a.conf", &format!("v{round} \n")));
    }
    daemon.terminate();
}

#[test]
fn an_etcd_v3_compaction_while_disconnected_is_handled() {
    let Some(etcd) = Etcd::start() else { return };
    let dir = Dir::new();
    dir.resource("a", "{% for v in getvs(\"/app/*\") %}{{ v }} {% endfor %}\n", APP);
    etcd.put3("/app/x", "one");
    etcd.put3("/app/y", "gone soon");
    let relay = TcpRelay::to(&etcd.address());
    let daemon = Retune::watch(&dir).node("etcdv3", &relay.url()).args(&["--no-sync"]).spawn();
    eventually("the first", WAIT_TIMEOUT, || dir.has("a.conf", "gone soon one \n"));
    relay.cut();
    etcd.delete3("/app/y");
    etcd.put3("/app/x", "two");
    let revisions = [1, 2, 3].map(|number| etcd.put3("/other", number.to_string()));
    etcd.compact(revisions[2]);
    relay.restore();
    eventually("what changed meanwhile, the deletion too", Etcd::notice(), || dir.has("a.conf", "two \n"));
    etcd.put3("/app/x", "three");
    eventually("the watch lives on", WAIT_TIMEOUT, || dir.has("a.conf", "three \n"));
    daemon.terminate();
}

#[test]
fn a_restarted_etcd_is_followed_again_with_both_apis() {
    for v3 in [false, true] {
        let Some(mut etcd) = Etcd::start() else { return };
        let dir = Dir::new();
        dir.resource("a", VALUE, APP);
        let put = |etcd: &Etcd, value: &str| match v3 {
            true => drop(etcd.put3("/app/x", value)),
            false => etcd.put("/app/x", value),
        };
        put(&etcd, "one");
        let watch = Retune::watch(&dir);
        let mut daemon = if v3 { watch.etcdv3(&etcd).spawn() } else { watch.etcd(&etcd).spawn() };
        eventually("the first", WAIT_TIMEOUT, || dir.has("a.conf", "one\n"));
        etcd.stop();
        sleep(Duration::from_millis(300));
        assert!(dir.has("a.conf", "one\n"), "an outage changes nothing");
        etcd.start_again();
        put(&etcd, "two");
        eventually("after the restart", Etcd::notice(), || dir.has("a.conf", "two\n"));
        assert!(daemon.is_running());
        daemon.terminate();
    }
}

#[test]
fn a_frozen_store_changes_nothing_and_is_followed_again_later() {
    let Some(etcd) = Etcd::start() else { return };
    let dir = Dir::new();
    dir.resource("a", VALUE, APP);
    etcd.put("/app/x", "one");
    let mut daemon = Retune::watch(&dir).etcd(&etcd).spawn();
    eventually("the first", WAIT_TIMEOUT, || dir.has("a.conf", "one\n"));
    etcd.freeze();
    stays("the file", Duration::from_secs(2), || dir.has("a.conf", "one\n") && daemon.is_running());
    etcd.thaw();
    etcd.put("/app/x", "two");
    eventually("caught up", Etcd::notice(), || dir.has("a.conf", "two\n"));
    daemon.terminate();
}

#[test]
fn a_second_node_takes_over() {
    let Some(etcd) = Etcd::start() else { return };
    let (dir, nobody) = (Dir::new(), Port::claim());
    dir.resource("a", VALUE, APP);
    etcd.put("/app/x", "one");
    let dead = format!("http://{}", nobody.address());
    Retune::render(&dir).node("etcd", &dead).args(&["--node", &etcd.url()]).run().exits(0);
    dir.assert_has("a.conf", "one\n");
}

#[test]
fn the_daemon_renders_from_the_environment_too() {
    let dir = Dir::new();
    dir.resource("a", VALUE, APP);
    let daemon = Retune::watch(&dir).args(&["--backend", "env"]).bare_env().env("APP_X", "one").spawn();
    eventually("the file", WAIT_TIMEOUT, || dir.has("a.conf", "one\n"));
    daemon.terminate();
}
