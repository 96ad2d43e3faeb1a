//! A resource whose keys change is never rendered from values that were not fetched.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::{Dir, Etcd, Retune, WAIT_TIMEOUT, eventually, stays};

const VALUE: &str = "{% if exists(\"/x\") %}{{ getv(\"/x\") }}{% else %}EMPTY{% endif %}\n";

/// Writes both resources: one with one file for one key, one with a file for each site.
fn point_at(dir: &Dir, prefix: &str, by_keys: bool) {
    let conf = |name: &str, fields: &str, line: &str| {
        dir.write(
            &format!("new-{name}"),
            &format!("[template]\nsrc = '{name}.tmpl'\nprefix = '{prefix}'\n{fields}reload_cmd = '{line}'\n"),
        );
        fs::rename(dir.path(&format!("new-{name}")), dir.path(&format!("confdir/conf.d/{name}.toml")))
            .unwrap();
    };
    let keys = if by_keys { "keys = ['/x']\n" } else { "keys = ['/']\n" };
    conf("a", &format!("dest = '{{out}}/a.conf'\n{keys}"), "cat {out}/a.conf >> {dir}/versions");
    let each = "dest = '{out}/site-{{ item }}.conf'\nfor_each = '/sites'\nkeys = ['/sites']\n";
    conf("site", each, "ls {out} | grep -c site- >> {dir}/counts");
}

fn fill(dir: &Dir, rounds: usize, put: impl Fn(&str, &str)) {
    dir.template("a.tmpl", VALUE).template("site.tmpl", "{{ getv(\"/sites/\" ~ item) }}\n");
    for round in 0..rounds {
        put(&format!("/p{round}/x"), &format!("v{round}"));
        put(&format!("/p{round}/sites/all"), &format!("v{round}"));
        put(&format!("/p{round}/sites/s{round}"), "own");
    }
}

fn shown(dir: &Dir, round: usize) -> bool {
    let value = format!("v{round}\n");
    let has = dir.has("a.conf", &value) && dir.has("site-all.conf", &value);
    has && dir.has(&format!("site-s{round}.conf"), "own\n")
}

fn sites(dir: &Dir) -> usize {
    dir.outputs().iter().filter(|name| name.starts_with("site-")).count()
}

fn put(backend: &str, etcd: &Etcd, key: &str, value: &str) {
    if backend == "etcd" {
        etcd.put(key, value);
    } else {
        etcd.put3(key, value);
    }
}

fn ten_rounds(backend: &str, etcd: &Etcd) {
    let dir = Dir::new();
    fill(&dir, 10, |key, value| put(backend, etcd, key, value));
    point_at(&dir, "/p0", false);
    let daemon = Retune::watch(&dir).node(backend, &etcd.url()).spawn();
    eventually("the first", WAIT_TIMEOUT, || shown(&dir, 0));
    let (over, looks) = (AtomicBool::new(false), AtomicUsize::new(0));
    let seen = scope(|scope| {
        let reader = scope.spawn(|| {
            let mut wrong = Vec::new();
            while !over.load(Ordering::SeqCst) {
                looks.fetch_add(1, Ordering::SeqCst);
                let text = dir.read("out/a.conf").unwrap_or_default();
                if !text.starts_with('v') || sites(&dir) == 0 {
                    wrong.push((text, dir.outputs()));
                }
                sleep(Duration::from_millis(1));
            }
            wrong
        });
        // A round that panics must still let the reader end.
        let rounds = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 1..10 {
                point_at(&dir, &format!("/p{round}"), round % 2 == 1);
                daemon.signal(Signal::SIGHUP);
                eventually("the new keys", WAIT_TIMEOUT, || shown(&dir, round));
            }
        }));
        over.store(true, Ordering::SeqCst);
        let seen = reader.join().unwrap();
        rounds.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        seen
    });
    assert!(looks.into_inner() > 50, "the reader looked too seldom to prove anything");
    assert!(seen.is_empty(), "{seen:?}");
    eventually("the last reload", WAIT_TIMEOUT, || {
        dir.lines("versions").last().is_some_and(|last| last == "v9")
    });
    let versions = dir.lines("versions");
    assert!(versions.len() >= 10 && !versions.contains(&"EMPTY".to_owned()), "{versions:?}");
    assert!(!dir.lines("counts").contains(&"0".to_owned()));
    daemon.terminate();
}

#[test]
fn new_keys_of_a_v3_store_are_waited_for_and_never_reported_missing() {
    let Some(etcd) = Etcd::start() else { return };
    ten_rounds("etcdv3", &etcd);
}

#[test]
fn new_keys_of_a_v2_store_are_waited_for_and_never_reported_missing() {
    let Some(etcd) = Etcd::start() else { return };
    ten_rounds("etcd", &etcd);
}

#[test]
fn new_keys_of_an_unresponsive_store_change_nothing_until_it_responds() {
    let Some(etcd) = Etcd::start() else { return };
    for backend in ["etcd", "etcdv3"] {
        let dir = Dir::new();
        fill(&dir, 2, |key, value| put(backend, &etcd, key, value));
        point_at(&dir, "/p0", false);
        let daemon = Retune::watch(&dir).node(backend, &etcd.url()).args(&["--interval", "300ms"]).spawn();
        eventually("the first", WAIT_TIMEOUT, || shown(&dir, 0));
        etcd.freeze();
        point_at(&dir, "/p1", true);
        daemon.signal(Signal::SIGHUP);
        stays("the old files", Duration::from_secs(4), || shown(&dir, 0));
        etcd.thaw();
        eventually("the new keys", Etcd::notice(), || shown(&dir, 1));
        let versions = dir.lines("versions");
        assert!(!versions.contains(&"EMPTY".to_owned()), "{versions:?}");
        daemon.terminate();
    }
}
