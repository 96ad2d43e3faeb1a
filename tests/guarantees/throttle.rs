//! Reloads that wait: too soon after the last one, or cut short by a stop.

use std::net::TcpListener;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::{Dir, Retune, WAIT_TIMEOUT, eventually, scaled, stays};

const VALUE: &str = "{{ getv(\"/x\") }}\n";

fn site(interval: &str) -> Dir {
    let dir = Dir::new();
    dir.write("values.yaml", "x: 0\n");
    let extra =
        format!("min_reload_interval = '{interval}'\nreload_cmd = 'cat {{out}}/a.conf >> {{dir}}/reloads'");
    dir.resource("a", VALUE, &extra);
    dir
}

fn change(dir: &Dir, value: usize) {
    dir.write("values.yaml", &format!("x: {value}\n"));
    eventually("the file", WAIT_TIMEOUT, || dir.has("a.conf", &format!("{value}\n")));
}

#[test]
fn a_burst_reloads_at_once_and_again_after_the_interval_with_the_newest_content() {
    let dir = site("3s");
    let daemon = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("the first", WAIT_TIMEOUT, || dir.lines("reloads") == ["0"]);
    sleep(Duration::from_millis(3200));
    change(&dir, 1);
    eventually("a reload at once", Duration::from_secs(1), || dir.lines("reloads") == ["0", "1"]);
    let first = Instant::now();
    (2..=6).for_each(|value| change(&dir, value));
    eventually("the merged one", WAIT_TIMEOUT, || dir.lines("reloads").len() > 2);
    assert!(first.elapsed() > Duration::from_millis(2500), "too early: {:?}", first.elapsed());
    stays("one is enough", Duration::from_millis(3500), || dir.lines("reloads") == ["0", "1", "6"]);
    daemon.terminate();
}

#[test]
fn a_throttled_reload_survives_sigterm_and_the_next_run_does_it() {
    let dir = site("60s");
    let daemon = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("the first", WAIT_TIMEOUT, || dir.lines("reloads") == ["0"]);
    change(&dir, 1);
    stays("throttled", Duration::from_millis(500), || dir.lines("reloads") == ["0"]);
    daemon.terminate();
    assert_eq!(dir.lines("reloads"), ["0"]);
    Retune::render(&dir).file("values.yaml").run().exits(0);
    assert_eq!(dir.lines("reloads"), ["0", "1"]);
    Retune::render(&dir).file("values.yaml").run().exits(0);
    assert_eq!(dir.lines("reloads").len(), 2, "paid is paid");
}

#[test]
fn sigterm_among_several_due_reloads_finishes_the_running_one_and_leaves_the_others_pending() {
    let dir = Dir::new();
    dir.write("values.yaml", "x: 0\n");
    for name in ["a", "b", "c"] {
        let line = format!("echo start {name} >> {{dir}}/steps; sleep 1; echo done {name} >> {{dir}}/steps");
        dir.resource(name, VALUE, &format!("reload_cmd = '{line}'"));
    }
    let mut daemon = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("the first has begun", WAIT_TIMEOUT, || dir.lines("steps").len() == 1);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(WAIT_TIMEOUT), Some(0));
    let steps = dir.lines("steps");
    let first = steps[0].trim_start_matches("start ").to_owned();
    assert_eq!(steps, [format!("start {first}"), format!("done {first}")]);
    Retune::render(&dir).file("values.yaml").run().exits(0);
    for name in ["a", "b", "c"] {
        let done = dir.lines("steps").iter().filter(|step| **step == format!("done {name}")).count();
        assert_eq!(done, 1, "{name}: {:?}", dir.lines("steps"));
    }
}

#[test]
fn sigint_immediately_ends_a_render_whose_store_does_not_respond() {
    let dir = Dir::new();
    dir.resource("a", VALUE, "");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    for backend in ["etcd", "etcdv3"] {
        let mut run = Retune::render(&dir).node(backend, &url).spawn();
        sleep(Duration::from_millis(700));
        assert!(run.is_running(), "it waits for the store");
        let start = Instant::now();
        run.signal(Signal::SIGINT);
        assert!(run.wait_exit(WAIT_TIMEOUT).is_some_and(|code| code != 0), "cut off is not done");
        assert!(start.elapsed() < scaled(Duration::from_secs(1)), "{:?}", start.elapsed());
    }
}
