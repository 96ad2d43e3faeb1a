//! Stopping, and reporting readiness.

use std::os::unix::net::UnixDatagram;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::{Dir, Retune, WAIT_TIMEOUT, eventually, scaled, stays};

const VALUE: &str = "{{ getv(\"/x\") }}\n";

fn site(reload: &str) -> Dir {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n");
    dir.resource("a", VALUE, reload);
    dir
}

#[test]
fn sigterm_lets_a_running_reload_finish_and_exits_0() {
    let dir = site("reload_cmd = 'echo start >> {dir}/steps; sleep 2; echo done >> {dir}/steps'");
    let mut daemon = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("the reload has begun", WAIT_TIMEOUT, || dir.lines("steps") == ["start"]);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(WAIT_TIMEOUT), Some(0));
    assert_eq!(dir.lines("steps"), ["start", "done"], "finished before the exit, not after it");
    Retune::render(&dir).file("values.yaml").run().exits(0);
    assert_eq!(dir.lines("steps").len(), 2, "a finished reload is not pending");
}

#[test]
fn a_second_sigterm_ends_at_once_and_the_reload_stays_pending() {
    let dir = site("reload_cmd = 'echo start >> {dir}/steps; test -f {dir}/fast || sleep 60'");
    let mut daemon = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("the reload has begun", WAIT_TIMEOUT, || dir.lines("steps").len() == 1);
    daemon.signal(Signal::SIGTERM);
    sleep(Duration::from_millis(300));
    assert!(daemon.is_running(), "the first signal waits for the command");
    daemon.signal(Signal::SIGTERM);
    let start = Instant::now();
    assert!(daemon.wait_exit(WAIT_TIMEOUT).is_some());
    assert!(start.elapsed() < scaled(Duration::from_secs(3)), "{:?}", start.elapsed());
    dir.write("fast", "");
    Retune::render(&dir).file("values.yaml").run().exits(0);
    assert_eq!(dir.lines("steps").len(), 2, "it never finished, so it runs again");
}

#[test]
fn the_shutdown_timeout_ends_an_endless_command() {
    let dir = site("reload_cmd = 'echo start >> {dir}/steps; sleep 60'");
    let mut daemon = Retune::watch(&dir).file("values.yaml").args(&["--shutdown-timeout", "1s"]).spawn();
    eventually("the reload has begun", WAIT_TIMEOUT, || dir.lines("steps").len() == 1);
    daemon.signal(Signal::SIGTERM);
    let start = Instant::now();
    assert!(daemon.wait_exit(WAIT_TIMEOUT).is_some());
    assert!(start.elapsed() < scaled(Duration::from_secs(5)), "{:?}", start.elapsed());
}

#[test]
fn an_idle_daemon_stops_at_once_on_sigterm_and_on_sigint() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let dir = site("");
        let mut daemon = Retune::watch(&dir).file("values.yaml").spawn();
        eventually("the file", WAIT_TIMEOUT, || dir.has("a.conf", "one\n"));
        let start = Instant::now();
        daemon.signal(signal);
        assert_eq!(daemon.wait_exit(WAIT_TIMEOUT), Some(0), "{signal}");
        assert!(start.elapsed() < scaled(Duration::from_secs(2)), "{signal}: {:?}", start.elapsed());
    }
}

#[test]
fn ready_is_sent_only_after_every_resource_has_rendered() {
    let dir = site("check_cmd = 'test -f {dir}/allow'");
    dir.resource("b", VALUE, "");
    let path = dir.path("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut heard = String::new();
    let mut listen = || {
        let mut bytes = [0; 1024];
        while let Ok(size) = socket.recv(&mut bytes) {
            heard.push_str(&String::from_utf8_lossy(&bytes[..size]));
            heard.push('\n');
        }
        heard.contains("READY=1")
    };
    let daemon = Retune::watch(&dir).file("values.yaml").env("NOTIFY_SOCKET", path.to_str().unwrap()).spawn();
    eventually("the sound resource", WAIT_TIMEOUT, || dir.has("b.conf", "one\n"));
    stays("not READY before the checked file is in place", Duration::from_millis(500), || !listen());
    dir.write("allow", "");
    eventually("READY=1", WAIT_TIMEOUT, &mut listen);
    dir.assert_has("a.conf", "one\n");
    daemon.terminate();
}
