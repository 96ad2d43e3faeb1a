//! Hosts of a cluster: one network namespace each, joined by a bridge in one more, with addresses of their own.
//!
//! The test enters the bridge's namespace, so it reaches every host whatever is cut between them, and nothing of all
//! this can be seen from the machine's own network. Cuts are filters where packets come in, which is what a network
//! that drops them looks like: nobody is told. It all goes with the handle; what a killed run left behind goes when
//! the next one begins.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::programs::need_hosts;

/// Where `ip netns` keeps its names.
const NAMES: &str = "/run/netns";
const PREFIX: &str = "retune-";

/// Some hosts on one network.
#[derive(Debug)]
pub struct Hosts {
    /// What the names of this network's namespaces begin with.
    name: String,
    count: usize,
    /// The network the test's thread came from.
    home: File,
}

impl Hosts {
    /// So many hosts; the thread is in their network from now on, and so are threads and processes it starts.
    pub fn new(count: usize) -> Option<Self> {
        static SERIAL: AtomicUsize = AtomicUsize::new(0);
        if !need_hosts() {
            return None;
        }
        sweep();
        let name = format!("{PREFIX}{}-{}", std::process::id(), SERIAL.fetch_add(1, Ordering::SeqCst));
        let home = File::open("/proc/thread-self/ns/net").unwrap();
        let mut hosts = Self { name, count: 0, home };
        let hub = hosts.hub();
        ip(&["netns", "add", &hub]);
        ip(&["-n", &hub, "link", "set", "lo", "up"]);
        ip(&["-n", &hub, "link", "add", "bridge", "type", "bridge"]);
        ip(&["-n", &hub, "addr", "add", "10.77.0.254/24", "dev", "bridge"]);
        ip(&["-n", &hub, "link", "set", "bridge", "up"]);
        for _ in 0..count {
            hosts.add();
        }
        setns(File::open(Path::new(NAMES).join(&hub)).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
        Some(hosts)
    }

    /// One more host.
    pub fn add(&mut self) {
        let (number, hub) = (self.count, self.hub());
        let (host, cable) = (self.host(number), format!("to{number}"));
        self.count += 1;
        ip(&["netns", "add", &host]);
        ip(&["-n", &hub, "link", "add", &cable, "type", "veth", "peer", "name", "eth0", "netns", &host]);
        ip(&["-n", &hub, "link", "set", &cable, "master", "bridge", "up"]);
        ip(&["-n", &host, "link", "set", "lo", "up"]);
        ip(&["-n", &host, "addr", "add", &format!("{}/24", self.address(number)), "dev", "eth0"]);
        ip(&["-n", &host, "link", "set", "eth0", "up"]);
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.name)
    }

    fn host(&self, number: usize) -> String {
        format!("{}-{number}", self.name)
    }

    /// The address of a host.
    pub fn address(&self, number: usize) -> String {
        format!("10.77.0.{}", number + 1)
    }

    /// The words before a program that is to run there. They are gone once it runs: its process id is its own.
    pub fn on(&self, number: usize) -> [&str; 4] {
        // A leak of a few bytes a host, for a test's command line.
        ["ip", "netns", "exec", self.host(number).leak()]
    }

    /// Does some work on a thread that is on that host. Sockets it opens stay there.
    pub fn within<T: Send>(&self, number: usize, work: impl FnOnce() -> T + Send) -> T {
        let host = File::open(Path::new(NAMES).join(self.host(number))).unwrap();
        let there = || {
            setns(host, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        };
        std::thread::scope(|scope| scope.spawn(there).join().unwrap())
    }

    /// Nothing from one host arrives at the other any more.
    pub fn cut_one_way(&self, from: usize, to: usize) {
        self.filter(to, &["-I", "INPUT", "-s", &self.address(from), "-j", "DROP"]);
    }

    /// Nothing passes between two hosts any more.
    pub fn cut(&self, one: usize, other: usize) {
        self.cut_one_way(one, other);
        self.cut_one_way(other, one);
    }

    /// Cuts a host from all others; the test still reaches it.
    pub fn isolate(&self, number: usize) {
        for other in (0..self.count).filter(|other| *other != number) {
            self.cut(number, other);
        }
    }

    /// Nothing that a host sends arrives at any other; what is sent to it does.
    pub fn mute(&self, number: usize) {
        for other in (0..self.count).filter(|other| *other != number) {
            self.cut_one_way(number, other);
        }
    }

    /// From now on each packet between hosts is lost with this probability.
    pub fn lose(&self, probability: f64) {
        for number in 0..self.count {
            // The hosts, and not the test.
            let rule = ["-A", "INPUT", "-s", "10.77.0.0/25", "-m", "statistic", "--mode", "random"];
            let probability = probability.to_string();
            self.filter(number, &[&rule[..], &["--probability", &probability, "-j", "DROP"]].concat());
        }
    }

    /// Every cut is mended and nothing is lost any more.
    pub fn heal(&self) {
        for number in 0..self.count {
            self.filter(number, &["-F", "INPUT"]);
        }
    }

    /// Pulls a host's cable, or puts it back; without it the test does not reach the host either.
    pub fn plug(&self, number: usize, plugged: bool) {
        let state = if plugged { "up" } else { "down" };
        ip(&["-n", &self.hub(), "link", "set", &format!("to{number}"), state]);
    }

    fn filter(&self, number: usize, words: &[&str]) {
        run(Command::new("ip").args(["netns", "exec", &self.host(number), "iptables", "-w"]).args(words));
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        if let Err(error) = setns(&self.home, CloneFlags::CLONE_NEWNET) {
            eprintln!("this thread cannot return to its network: {error}");
        }
        for number in 0..self.count {
            remove(&self.host(number));
        }
        remove(&self.hub());
    }
}

fn ip(words: &[&str]) {
    run(Command::new("ip").args(words));
}

#[track_caller]
fn run(command: &mut Command) {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Ends what runs in a namespace and removes it. Another test may be doing the same.
fn remove(name: &str) {
    let inside = Command::new("ip").args(["netns", "pids", name]).output();
    for pid in inside
        .map(|done| String::from_utf8_lossy(&done.stdout).into_owned())
        .iter()
        .flat_map(|pids| pids.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>())
    {
        if pid != std::process::id().cast_signed() {
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
    }
    Command::new("ip").args(["netns", "del", name]).output().ok();
}

/// Removes the hosts of test processes that are gone.
fn sweep() {
    for entry in fs::read_dir(NAMES).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            remove(&name);
        }
    }
}

mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;

    /// Whether a byte gets from one host to another and an answer comes back.
    fn reaches(hosts: &Hosts, from: usize, to: usize) -> bool {
        let enter = &|number: usize| {
            let host = File::open(Path::new(NAMES).join(hosts.host(number))).unwrap();
            setns(host, CloneFlags::CLONE_NEWNET).unwrap();
        };
        let address = format!("{}:2000", hosts.address(to)).parse().unwrap();
        std::thread::scope(|scope| {
            let listener = scope
                .spawn(|| {
                    enter(to);
                    TcpListener::bind(address).unwrap()
                })
                .join()
                .unwrap();
            scope
                .spawn(move || {
                    enter(from);
                    let Ok(mut near) = TcpStream::connect_timeout(&address, Duration::from_millis(300))
                    else {
                        return false;
                    };
                    let (mut far, _) = listener.accept().unwrap();
                    near.write_all(b"x").unwrap();
                    far.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
                    far.read_exact(&mut [0]).is_ok()
                })
                .join()
                .unwrap()
        })
    }

    #[test]
    fn hosts_reach_one_another_until_they_are_cut() {
        let Some(hosts) = Hosts::new(3) else { return };
        let name = hosts.name.clone();
        assert!(reaches(&hosts, 0, 1) && reaches(&hosts, 1, 0) && reaches(&hosts, 0, 2));
        hosts.cut(0, 1);
        assert!(!reaches(&hosts, 0, 1) && !reaches(&hosts, 1, 0) && reaches(&hosts, 0, 2));
        hosts.heal();
        assert!(reaches(&hosts, 0, 1));
        hosts.isolate(2);
        assert!(!reaches(&hosts, 0, 2) && !reaches(&hosts, 2, 1) && reaches(&hosts, 0, 1));
        hosts.heal();
        hosts.lose(1.0);
        assert!(!reaches(&hosts, 0, 1));
        hosts.heal();
        hosts.plug(1, false);
        assert!(!reaches(&hosts, 0, 1));
        hosts.plug(1, true);
        assert!(reaches(&hosts, 0, 1));
        drop(hosts);
        let left: Vec<_> = fs::read_dir(NAMES)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&name))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn a_one_way_cut_lets_the_other_way_through() {
        let Some(hosts) = Hosts::new(2) else { return };
        // What came in is counted there.
        let filter = |number: usize| {
            let list = ["netns", "exec", &hosts.host(number), "iptables", "-nvxL", "INPUT"];
            let done = Command::new("ip").args(list).output().unwrap();
            String::from_utf8_lossy(&done.stdout).into_owned()
        };
        hosts.cut_one_way(0, 1);
        assert!(!reaches(&hosts, 0, 1) && !reaches(&hosts, 1, 0), "no answer comes either way");
        let dropped = filter(1);
        let line = dropped.lines().find(|line| line.contains("DROP")).unwrap_or_default();
        let packets = line.split_whitespace().next().and_then(|count| count.parse::<u64>().ok());
        assert!(packets.is_some_and(|count| count > 0), "{dropped}");
        assert!(!filter(0).contains("DROP"), "the other way has no filter");
    }
}
