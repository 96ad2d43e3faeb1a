//! Hosts of a cluster: one network namespace each, joined by a bridge in another, with their own addresses.
//!
//! The test enters the bridge's namespace, so it reaches every host whatever is cut between them, and the machine's
//! own network sees nothing of it. A cut is a filter on incoming packets, like a network that drops them silently.
//! Everything is removed with the handle; the leftovers of a killed run are removed when the next one begins.

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
    /// The prefix of this network's namespaces.
    name: String,
    count: usize,
    /// The original network of the test's thread.
    home: File,
}

impl Hosts {
    /// Creates `count` hosts; the thread is in their network from now on, and so are the threads and processes it
    /// starts.
    pub fn new(count: usize) -> Option<Self> {
        static SERIAL: AtomicUsize = AtomicUsize::new(0);
        if !need_hosts() {
            return None;
        }
        remove_stale();
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

    /// Adds a host.
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

    /// Returns the address of a host.
    pub fn address(&self, number: usize) -> String {
        format!("10.77.0.{}", number + 1)
    }

    /// Returns the command prefix that runs a program on a host. It replaces itself by the program, so the process
    /// id is the program's.
    pub fn on(&self, number: usize) -> [&str; 4] {
        // Leaks a few bytes per host, for a test's command line.
        ["ip", "netns", "exec", self.host(number).leak()]
    }

    /// Runs some work on a thread on that host. Sockets it opens stay there.
    pub fn within<T: Send>(&self, number: usize, work: impl FnOnce() -> T + Send) -> T {
        let host = File::open(Path::new(NAMES).join(self.host(number))).unwrap();
        let there = || {
            setns(host, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        };
        std::thread::scope(|scope| scope.spawn(there).join().unwrap())
    }

    /// Drops packets from one host to the other.
    pub fn cut_one_way(&self, from: usize, to: usize) {
        self.filter(to, &["-I", "INPUT", "-s", &self.address(from), "-j", "DROP"]);
    }

    /// Drops packets between two hosts.
    pub fn cut(&self, one: usize, other: usize) {
        self.cut_one_way(one, other);
        self.cut_one_way(other, one);
    }

    /// Cuts a host off from all others; the test still reaches it.
    pub fn isolate(&self, number: usize) {
        for other in (0..self.count).filter(|other| *other != number) {
            self.cut(number, other);
        }
    }

    /// Drops everything that a host sends to the others, but not what they send to it.
    pub fn block_outgoing(&self, number: usize) {
        for other in (0..self.count).filter(|other| *other != number) {
            self.cut_one_way(number, other);
        }
    }

    /// From now on each packet between hosts is lost with this probability.
    pub fn set_packet_loss(&self, probability: f64) {
        for number in 0..self.count {
            // Between hosts only, not from the test.
            let rule = ["-A", "INPUT", "-s", "10.77.0.0/25", "-m", "statistic", "--mode", "random"];
            let probability = probability.to_string();
            self.filter(number, &[&rule[..], &["--probability", &probability, "-j", "DROP"]].concat());
        }
    }

    /// Removes all cuts and losses.
    pub fn heal(&self) {
        for number in 0..self.count {
            self.filter(number, &["-F", "INPUT"]);
        }
    }

    /// Unplugs a host's cable, or plugs it in; without it the test does not reach the host either.
    pub fn set_plugged(&self, number: usize, plugged: bool) {
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

/// Ends the processes in a namespace and removes it. Another test may be doing the same.
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

/// Removes the hosts of test processes that have ended.
fn remove_stale() {
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

    /// Returns whether a byte gets from one host to another and back.
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
    fn hosts_reach_one_another_until_they_are_partitioned() {
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
        hosts.set_packet_loss(1.0);
        assert!(!reaches(&hosts, 0, 1));
        hosts.heal();
        hosts.set_plugged(1, false);
        assert!(!reaches(&hosts, 0, 1));
        hosts.set_plugged(1, true);
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
    fn a_one_way_partition_lets_the_other_direction_through() {
        let Some(hosts) = Hosts::new(2) else { return };
        // Incoming packets are counted there.
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
