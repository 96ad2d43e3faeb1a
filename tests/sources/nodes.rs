//! Several nodes, wrong nodes, and how a watching daemon handles folders and signals.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::port::Port;
use crate::support::{Backend, Dir, Etcd, Retune, TcpRelay, WAIT_TIMEOUT, eventually, stays};

const BACKENDS: [&str; 2] = ["etcd", "etcdv3"];

fn site() -> Dir {
    let dir = Dir::new();
    dir.resource("a", "{{ getv(\"/app/x\") }}\n", "keys = [\"/app\"]");
    dir
}

fn put(etcd: &Etcd, backend: &str, value: &str) {
    match backend {
        "etcd" => etcd.put("/app/x", value),
        _ => drop(etcd.put3("/app/x", value)),
    }
}

#[test]
fn nodes_may_be_repeated_or_listed_and_dead_ones_are_skipped() {
    let Some(etcd) = Etcd::start() else { return };
    let (dir, nobody) = (site(), Port::claim());
    let dead = format!("http://{}", nobody.address());
    let listed = format!("{dead},{}", etcd.url());
    for backend in BACKENDS {
        let render = || Retune::render(&dir).args(&["--backend", backend]);
        let ways = [
            render().args(&["--node", &dead, "--node", &etcd.url()]),
            render().args(&["--node", &listed]),
            render().env("RETUNE_NODE", &listed),
            // Without a scheme.
            render().args(&["--node", &nobody.address(), "--node", &etcd.address()]),
        ];
        for (way, retune) in ways.into_iter().enumerate() {
            let value = format!("{backend} {way}");
            put(&etcd, backend, &value);
            retune.run().exits(0);
            dir.assert_has("a.conf", &format!("{value}\n"));
        }
    }
}

#[test]
fn when_the_watched_node_dies_another_takes_over_without_losing_a_change() {
    let Some(etcd) = Etcd::start() else { return };
    for backend in BACKENDS {
        let dir = site();
        put(&etcd, backend, "first");
        // Two addresses of one etcd, so that both nodes have the same data.
        let ways = [TcpRelay::to(&etcd.address()), TcpRelay::to(&etcd.address())];
        // A member synced from the store would be a third address.
        let words = ["--no-sync", "--backend", backend, "--node", &ways[0].url(), "--node", &ways[1].url()];
        let mut daemon = Retune::watch(&dir).args(&words).spawn();
        eventually("the first", WAIT_TIMEOUT, || dir.has("a.conf", "first\n"));
        for round in 0..4 {
            let used = &ways[round % 2];
            used.cut();
            let value = format!("round {round}");
            put(&etcd, backend, &value);
            eventually("the change by the other node", WAIT_TIMEOUT, || {
                dir.has("a.conf", &format!("{value}\n"))
            });
            let again = format!("{value} again");
            put(&etcd, backend, &again);
            eventually("the other node is watched", WAIT_TIMEOUT, || {
                dir.has("a.conf", &format!("{again}\n"))
            });
            used.restore();
        }
        assert!(daemon.is_running());
        daemon.terminate();
    }
}

#[test]
fn a_web_page_is_not_mistaken_for_a_store() {
    let dir = site();
    let page = Backend::start("<html>log in</html>");
    let url = format!("http://{}", page.address());
    for backend in BACKENDS {
        let done = Retune::render(&dir).node(backend, &url).run();
        done.exits(2).says(&url).says("<html>log in").within(Duration::from_secs(8));
        let mut daemon = Retune::watch(&dir).node(backend, &url).spawn();
        daemon.eventually_says("<html>log in");
        assert!(daemon.is_running());
        daemon.terminate();
    }
    assert!(dir.outputs().is_empty(), "{:?}", dir.outputs());
}

#[test]
fn sighup_without_changes_changes_nothing() {
    let Some(etcd) = Etcd::start() else { return };
    let dir = Dir::new();
    let extra = "keys = [\"/app\"]\nreload_cmd = 'echo r >> {dir}/reloads'";
    dir.resource("a", "{{ getv(\"/app/x\") }}\n", extra);
    etcd.put("/app/x", "one");
    let mut daemon = Retune::watch(&dir).etcd(&etcd).spawn();
    eventually("the first", WAIT_TIMEOUT, || dir.has("a.conf", "one\n"));
    eventually("its reload", WAIT_TIMEOUT, || dir.lines("reloads").len() == 1);
    let inode = || fs::metadata(dir.out("a.conf")).unwrap().ino();
    let before = inode();
    for _ in 0..3 {
        daemon.signal(Signal::SIGHUP);
        stays("the file", Duration::from_millis(400), || inode() == before && daemon.is_running());
    }
    assert_eq!(dir.lines("reloads").len(), 1);
    etcd.put("/app/x", "two");
    eventually("it follows on", WAIT_TIMEOUT, || dir.has("a.conf", "two\n"));
    daemon.terminate();
}

#[test]
fn files_added_or_removed_in_a_watched_folder_are_followed() {
    let dir = Dir::new();
    dir.resource("a", "{% for v in getvs(\"/app/*\") %}{{ v }} {% endfor %}\n", "keys = [\"/app\"]");
    dir.write("values/one.yaml", "app:\n  one: 1\n");
    let daemon = Retune::watch(&dir).file("values").spawn();
    eventually("the first", WAIT_TIMEOUT, || dir.has("a.conf", "1 \n"));
    dir.write("values/two.yaml", "app:\n  two: 2\n");
    eventually("the second file's", WAIT_TIMEOUT, || dir.has("a.conf", "1 2 \n"));
    dir.write("values/deep/er/three.json", "{\"app\": {\"tree\": \"3\"}}");
    eventually("a new folder's", WAIT_TIMEOUT, || dir.has("a.conf", "1 2 3 \n"));
    fs::remove_file(dir.path("values/one.yaml")).unwrap();
    eventually("without the first", WAIT_TIMEOUT, || dir.has("a.conf", "2 3 \n"));
    fs::remove_dir_all(dir.path("values/deep")).unwrap();
    eventually("without the folder", WAIT_TIMEOUT, || dir.has("a.conf", "2 \n"));
    dir.write("values/one.yaml", "app:\n  one: back\n");
    eventually("the first is back", WAIT_TIMEOUT, || dir.has("a.conf", "2 back \n"));
    daemon.terminate();
}
