//! What the service manager receives, and when.

use std::cell::RefCell;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::{Daemon, Dir, Retune, WAIT_TIMEOUT, eventually, stays};

const VALUE: &str = "{{ getv(\"/x\") }}\n";

/// The service manager's end of the socket.
struct Manager {
    socket: UnixDatagram,
    heard: RefCell<String>,
}

impl Manager {
    fn start(dir: &Dir) -> (Self, Daemon<'_>) {
        Self::start_with(dir, &[])
    }

    fn start_with<'d>(dir: &'d Dir, words: &[&str]) -> (Self, Daemon<'d>) {
        dir.write("values.yaml", "x: one\n");
        let path = dir.text_path("notify.sock");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let daemon = Retune::watch(dir).file("values.yaml").args(words).env("NOTIFY_SOCKET", &path).spawn();
        (Self { socket, heard: RefCell::default() }, daemon)
    }

    fn received(&self, word: &str) -> bool {
        let (mut bytes, mut heard) = ([0; 4096], self.heard.borrow_mut());
        while let Ok(size) = self.socket.recv(&mut bytes) {
            heard.push_str(&String::from_utf8_lossy(&bytes[..size]));
            heard.push('\n');
        }
        heard.lines().any(|line| line == word)
    }
}

#[test]
fn ready_is_sent_although_a_reload_fails() {
    let dir = Dir::new();
    dir.resource("a", VALUE, "reload_cmd = 'echo try >> {dir}/tries; exit 1'").resource("b", VALUE, "");
    let (manager, daemon) = Manager::start(&dir);
    eventually("READY", WAIT_TIMEOUT, || manager.received("READY=1"));
    dir.assert_has("a.conf", "one\n");
    assert!(!dir.lines("tries").is_empty());
    daemon.terminate();
}

/// Writes a resource that fails and one that does not.
fn write_one_broken(dir: &Dir) {
    dir.resource("a", "{{ getv(\"/nowhere\") }}\n", "").resource("b", VALUE, "");
}

#[test]
fn a_failing_resource_does_not_delay_ready_while_its_file_exists() {
    let dir = Dir::new();
    write_one_broken(&dir);
    fs::write(dir.out("a.conf"), "from before\n").unwrap();
    let (manager, daemon) = Manager::start(&dir);
    eventually("READY", WAIT_TIMEOUT, || manager.received("READY=1"));
    dir.assert_has("b.conf", "one\n");
    dir.assert_has("a.conf", "from before\n");
    assert!(manager.received("STATUS=1 of 2 resources rendered, 1 failing (a)"), "{:?}", manager.heard);
    daemon.terminate();
}

#[test]
fn with_ready_rendered_a_failing_resource_delays_ready_although_its_file_exists() {
    let dir = Dir::new();
    write_one_broken(&dir);
    fs::write(dir.out("a.conf"), "from before\n").unwrap();
    let (manager, daemon) = Manager::start_with(&dir, &["--ready", "rendered"]);
    eventually("tried", WAIT_TIMEOUT, || manager.received("STATUS=1 of 2 resources rendered, 1 failing (a)"));
    stays("not ready", Duration::from_secs(1), || !manager.received("READY=1"));
    dir.write("values.yaml", "x: one\nnowhere: here\n");
    eventually("READY", WAIT_TIMEOUT, || manager.received("READY=1"));
    daemon.terminate();
}

#[test]
fn the_ready_timeout_ends_the_wait_for_a_missing_file() {
    let dir = Dir::new();
    write_one_broken(&dir);
    let (manager, daemon) = Manager::start_with(&dir, &["--ready-timeout", "2s"]);
    eventually("tried", WAIT_TIMEOUT, || manager.received("STATUS=1 of 2 resources rendered, 1 failing (a)"));
    assert!(!manager.received("READY=1"));
    eventually("READY", WAIT_TIMEOUT, || manager.received("READY=1"));
    daemon.eventually_says("--ready-timeout is over");
    daemon.terminate();
}

#[test]
fn the_ready_timeout_includes_the_wait_for_a_store() {
    let dir = Dir::new();
    dir.resource("a", VALUE, "");
    let path = dir.text_path("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    let manager = Manager { socket, heard: RefCell::default() };
    let daemon = Retune::watch(&dir).node("etcd", "http://127.0.0.1:1").args(&["--ready-timeout", "1s"]);
    let daemon = daemon.env("NOTIFY_SOCKET", &path).spawn();
    eventually("READY", WAIT_TIMEOUT, || manager.received("READY=1"));
    daemon.terminate();
}

#[test]
fn ready_waits_for_a_failing_template_without_a_file() {
    let dir = Dir::new();
    write_one_broken(&dir);
    let (manager, daemon) = Manager::start(&dir);
    eventually("the sound one", WAIT_TIMEOUT, || dir.has("b.conf", "one\n"));
    stays("not ready", Duration::from_secs(1), || !manager.received("READY=1"));
    dir.write("values.yaml", "x: one\nnowhere: here\n");
    eventually("READY", WAIT_TIMEOUT, || manager.received("READY=1"));
    dir.assert_has("a.conf", "here\n");
    daemon.terminate();
}

#[test]
fn a_broken_resource_file_does_not_delay_ready() {
    let dir = Dir::new();
    dir.resource("a", VALUE, "").write("confdir/conf.d/broken.toml", "[template\n");
    let (manager, daemon) = Manager::start(&dir);
    eventually("READY", WAIT_TIMEOUT, || manager.received("READY=1"));
    daemon.eventually_says("broken.toml");
    dir.assert_has("a.conf", "one\n");
    daemon.terminate();
}

#[test]
fn stopping_is_sent_while_a_reload_still_runs() {
    let dir = Dir::new();
    dir.resource("a", VALUE, "reload_cmd = 'echo start >> {dir}/steps; sleep 2; echo done >> {dir}/steps'");
    let (manager, mut daemon) = Manager::start(&dir);
    eventually("the reload runs", WAIT_TIMEOUT, || dir.lines("steps") == ["start"]);
    daemon.signal(Signal::SIGTERM);
    eventually("STOPPING", Duration::from_millis(1500), || manager.received("STOPPING=1"));
    assert_eq!(dir.lines("steps"), ["start"], "said before the reload ended");
    assert_eq!(daemon.wait_exit(WAIT_TIMEOUT), Some(0));
    assert_eq!(dir.lines("steps"), ["start", "done"]);
}

#[test]
fn an_empty_resource_folder_is_ready_and_loads_one_that_is_added_later() {
    let dir = Dir::new();
    assert_eq!(fs::read_dir(dir.path("confdir/conf.d")).unwrap().count(), 0);
    let (manager, mut daemon) = Manager::start(&dir);
    eventually("READY", WAIT_TIMEOUT, || manager.received("READY=1"));
    sleep(Duration::from_millis(300));
    assert!(daemon.is_running());
    dir.resource("a", VALUE, "");
    eventually("the new resource", WAIT_TIMEOUT, || dir.has("a.conf", "one\n"));
    daemon.terminate();
}
