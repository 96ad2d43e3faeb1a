//! A reload that is due runs: once, late, again or after a crash, but it runs.

use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::port::random;
use crate::support::{Dir, Etcd, Retune, WAIT_TIMEOUT, eventually, scaled, stays};

const VALUE: &str = "{{ getv(\"/x\") }}\n";

#[test]
fn a_failed_reload_runs_again_on_the_next_render_until_it_succeeds() {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n");
    dir.resource("a", VALUE, "reload_cmd = 'echo try >> {dir}/tries; test -f {dir}/allow'");
    let render = || Retune::render(&dir).file("values.yaml").run();
    render().exits(1);
    dir.assert_has("a.conf", "one\n");
    render().exits(1);
    assert_eq!(dir.lines("tries").len(), 2, "the file is in sync, the reload is still pending");
    dir.write("allow", "");
    render().exits(0);
    assert_eq!(dir.lines("tries").len(), 3);
    render().exits(0);
    assert_eq!(dir.lines("tries").len(), 3, "paid is paid");
}

#[test]
fn a_failed_reload_is_retried_by_the_daemon_without_any_change() {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n");
    dir.resource(
        "a",
        VALUE,
        "reload_cmd = 'echo try >> {dir}/tries; test -f {dir}/allow && echo done >> {dir}/done'",
    );
    let daemon = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("a second try", WAIT_TIMEOUT, || dir.lines("tries").len() >= 2);
    dir.write("allow", "");
    eventually("the reload that succeeds", WAIT_TIMEOUT, || dir.lines("done").len() == 1);
    stays("one success is enough", Duration::from_millis(1500), || dir.lines("done").len() == 1);
    daemon.terminate();
}

#[test]
fn retries_have_growing_delays() {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n");
    dir.resource("a", VALUE, "reload_cmd = 'echo try >> {dir}/tries; exit 1'");
    let daemon = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("a second try", WAIT_TIMEOUT, || dir.lines("tries").len() >= 2);
    sleep(Duration::from_secs(4));
    let tries = dir.lines("tries").len();
    assert!(tries < 40, "{tries} tries in some five seconds");
    daemon.terminate();
}

#[test]
fn a_pending_reload_survives_sigterm() {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n");
    dir.resource(
        "a",
        VALUE,
        "reload_cmd = 'echo try >> {dir}/tries; test -f {dir}/allow && echo done >> {dir}/done'",
    );
    let daemon = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("the first try", WAIT_TIMEOUT, || !dir.lines("tries").is_empty());
    daemon.terminate();
    dir.write("allow", "");
    let daemon = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("the reload after the restart", WAIT_TIMEOUT, || dir.lines("done").len() == 1);
    daemon.terminate();
}

#[test]
fn a_reload_interrupted_by_a_crash_runs_after_the_restart() {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n");
    dir.resource(
        "a",
        VALUE,
        "reload_cmd = 'echo start >> {dir}/log1; test -f {dir}/fast || sleep 3; test -f {dir}/fast && echo done >> {dir}/log1'",
    );
    let daemon = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("the reload has begun", WAIT_TIMEOUT, || dir.lines("log1") == ["start"]);
    dir.assert_has("a.conf", "one\n");
    daemon.kill();
    // The cut-off shell may still sleep: the restarted program must not take it for its own.
    sleep(Duration::from_millis(3300));
    dir.write("fast", "");
    Retune::render(&dir).file("values.yaml").run().exits(0);
    assert_eq!(dir.lines("log1"), ["start", "start", "done"]);
}

#[test]
fn a_failed_check_is_retried_without_any_change() {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n");
    dir.resource("a", VALUE, "check_cmd = 'echo try >> {dir}/tries; test -f {dir}/allow'");
    let daemon = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("a check that fails", WAIT_TIMEOUT, || !dir.lines("tries").is_empty());
    assert!(dir.outputs().iter().all(|name| name != "a.conf"), "unchecked files stay out of service");
    dir.write("allow", "");
    eventually("the file after the check succeeds", WAIT_TIMEOUT, || dir.has("a.conf", "one\n"));
    daemon.terminate();
}

#[test]
fn an_update_during_a_reload_is_not_lost() {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n");
    dir.resource(
        "a",
        VALUE,
        "reload_cmd = 'echo begun >> {dir}/begun; sleep 1.5; cp {out}/a.conf {dir}/served'",
    );
    let daemon = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("its reload runs", WAIT_TIMEOUT, || dir.lines("begun").len() == 1);
    dir.assert_has("a.conf", "one\n");
    dir.write("values.yaml", "x: two\n");
    eventually("the later value is in place", WAIT_TIMEOUT, || dir.has("a.conf", "two\n"));
    eventually("the later value is served", WAIT_TIMEOUT, || dir.read("served").as_deref() == Some("two\n"));
    daemon.terminate();
}

#[test]
fn a_debounced_change_is_delayed_but_never_dropped() {
    let dir = Dir::new();
    dir.write("values.yaml", "x: 0\n");
    dir.resource(
        "a",
        VALUE,
        "debounce = '300ms'\nmax_wait = '1s'\nreload_cmd = 'cp {out}/a.conf {dir}/served; echo r >> {dir}/reloads'",
    );
    let daemon = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("the first value is served", WAIT_TIMEOUT, || dir.read("served").as_deref() == Some("0\n"));
    for value in 1..=40 {
        dir.write("values.yaml", &format!("x: {value}\n"));
        sleep(Duration::from_millis(50));
    }
    eventually("the last value is served", WAIT_TIMEOUT, || dir.read("served").as_deref() == Some("40\n"));
    let reloads = dir.lines("reloads").len();
    assert!(
        (3..=10).contains(&reloads),
        "40 changes in 2 s with quiet 300 ms and ceiling 1 s: {reloads} reloads"
    );
    daemon.terminate();
}

#[test]
fn a_command_shared_by_several_resources_runs_once_per_pass() {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n");
    for name in ["a", "b", "c"] {
        dir.resource(name, VALUE, "reload_cmd = 'echo r >> {dir}/reloads'");
    }
    dir.resource("other", VALUE, "reload_cmd = 'echo o >> {dir}/others'");
    Retune::render(&dir).file("values.yaml").run().exits(0);
    assert_eq!((dir.lines("reloads").len(), dir.lines("others").len()), (1, 1));
}

#[test]
fn the_same_values_in_a_hundred_orders_give_one_file_and_one_reload() {
    let Some(etcd) = Etcd::start() else { return };
    let dir = Dir::new();
    let template = "{% for name in ls(\"/app\") %}{{ name }}={{ getv(\"/app/\" ~ name) }}\n{% endfor %}";
    dir.resource("a", template, "reload_cmd = 'echo r >> {dir}/reloads'");
    let mut keys: Vec<u64> = (0..20).collect();
    keys.iter().for_each(|key| etcd.put(&format!("/app/{key:02}"), &key.to_string()));
    let expected: String = keys.iter().map(|key| format!("{key:02}={key}\n")).collect();
    let daemon = Retune::watch(&dir).etcd(&etcd).spawn();
    eventually("the file", WAIT_TIMEOUT, || dir.has("a.conf", &expected));
    eventually("its reload", WAIT_TIMEOUT, || dir.lines("reloads").len() == 1);
    let written = std::fs::metadata(dir.out("a.conf")).unwrap().modified().unwrap();

    for round in 0..100 {
        keys.sort_by_key(|key| random(*key));
        // Only some of them: a round need not be complete for its order to leak.
        for key in &keys[..10] {
            let (path, value) = (format!("/app/{key:02}"), key.to_string());
            if round % 2 == 0 { etcd.put(&path, &value) } else { etcd.put_ttl(&path, &value, 300) }
        }
    }
    // A visible change proves that everything before it has been handled.
    etcd.put("/app/99", "99");
    eventually("the marker", WAIT_TIMEOUT, || dir.has("a.conf", &format!("{expected}99=99\n")));
    eventually("its reload", WAIT_TIMEOUT, || dir.lines("reloads").len() == 2);
    sleep(Duration::from_millis(200));
    assert_eq!(dir.lines("reloads").len(), 2, "one reload each for two contents");
    assert_ne!(std::fs::metadata(dir.out("a.conf")).unwrap().modified().unwrap(), written);
    daemon.terminate();
}

#[test]
fn a_background_child_that_holds_the_output_open_does_not_block_the_program() {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n");
    dir.resource(
        "a",
        VALUE,
        "check_cmd = 'echo checked; sleep 15 & echo started'\nreload_cmd = '(sleep 1; echo late >> {dir}/late) &'",
    );
    let done = Retune::render(&dir).file("values.yaml").run().exits(0);
    done.within(Duration::from_secs(8));
    dir.assert_has("a.conf", "one\n");
    eventually("a daemon started by a reload lives on", WAIT_TIMEOUT, || dir.lines("late").len() == 1);
}

#[test]
fn a_command_that_times_out_ends_with_all_its_children() {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n");
    dir.resource(
        "a",
        VALUE,
        "reload_timeout = '500ms'\nreload_cmd = 'echo begun; (sleep 3; echo alive >> {dir}/alive) & sleep 60'",
    );
    let done = Retune::render(&dir).file("values.yaml").run().exits(1).says("begun");
    done.within(Duration::from_secs(8));
    sleep(scaled(Duration::from_millis(3500)));
    assert!(dir.lines("alive").is_empty(), "the whole process group ends");
}

#[test]
fn excessive_command_output_is_bounded() {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n");
    dir.resource(
        "a",
        VALUE,
        "check_cmd = 'head -c 50000000 /dev/zero | tr \"\\0\" x; echo; echo last words; exit 3'",
    );
    let done = Retune::render(&dir).file("values.yaml").run().exits(1);
    assert!(done.stderr.len() < 1 << 20, "{} bytes of log", done.stderr.len());
    assert!(dir.outputs().is_empty(), "{:?}", dir.outputs());
}

#[test]
fn the_daemon_survives_every_kind_of_command_failure() {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n");
    dir.resource("a", VALUE, "reload_cmd = 'kill -SEGV $$'");
    dir.resource("b", VALUE, "reload_cmd = '/no/such/program'");
    dir.resource("c", VALUE, "check_cmd = 'kill -KILL 0'");
    dir.resource("d", VALUE, "reload_cmd = 'echo ok >> {dir}/ok'");
    let mut daemon = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("the sound one works", WAIT_TIMEOUT, || dir.lines("ok").len() == 1);
    stays("the daemon lives", Duration::from_millis(500), || daemon.is_running());
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(WAIT_TIMEOUT), Some(0));
}
