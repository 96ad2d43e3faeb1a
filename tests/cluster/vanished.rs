//! Clients whose machine vanishes silently: no FIN, no RST. Their resources are freed, and idle clients that are
//! alive keep theirs.
//!
//! With `RETUNE_TEST_SLOW` there are ten thousand of each, or as many as the limit of open files allows, and etcd
//! is measured too; `RETUNE_TEST_PROGRAM` is another build.

use std::cell::RefCell;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::hosts::Hosts;
use crate::durable::member::{Member, MemberSlot, Program, retune};
use crate::durable::wire::Wire;
use crate::support::proc::Proc;
use crate::support::{WAIT_TIMEOUT, eventually};

/// How soon the resources of vanished clients must be freed.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(120);
/// etcd needs longer.
const ETCD_RELEASE_TIMEOUT: Duration = Duration::from_secs(600);

/// The hosts.
const SERVERS: usize = 0;
const VANISHING_HOST: usize = 1;
const LIVE_HOST: usize = 2;

/// The resources of a store: open files, watchers, and kilobytes of memory (without the pages of its program's
/// file).
#[derive(Clone, Copy, Debug)]
struct HeldResources {
    files: usize,
    watchers: u64,
    memory: u64,
}

/// A store on the first host, and a proxy in front of it unless it is etcd.
struct TestStore {
    // Dropped in this order: processes on a host end before the host.
    member: Member,
    proxy: Option<Proc>,
    hosts: Hosts,
    address: String,
    /// One connection for all requests, so that counts of files can be compared.
    wire: RefCell<Wire>,
}

impl TestStore {
    fn new(program: Program) -> Option<Self> {
        let hosts = Hosts::new(3)?;
        let host = hosts.address(SERVERS);
        let (client, peer) = (format!("{host}:2379"), format!("{host}:2380"));
        let slot = MemberSlot {
            name: "one".to_owned(),
            cluster: format!("one=http://{peer}"),
            advertised: peer.clone(),
            client: client.clone(),
            peer,
            scheme: "http",
        };
        let mut member = Member::in_slot(program, slot, Vec::new());
        member.under(&hosts.on(SERVERS));
        member.start();
        let proxy = (program == Program::Retune).then(|| proxy(&hosts, &member));
        let wire = RefCell::new(Wire::to(&client));
        let scene = Self { member, proxy, hosts, address: client, wire };
        if scene.proxy.is_some() {
            eventually("the proxy forwards", WAIT_TIMEOUT, || {
                Wire::to(&scene.front()).get("/v2/keys").is_ok_and(|answer| answer.status == 200)
            });
        }
        Some(scene)
    }

    /// Returns the proxy's address.
    fn front(&self) -> String {
        format!("{}:2378", self.hosts.address(SERVERS))
    }

    fn held(&self) -> HeldResources {
        let stats = self.wire.borrow_mut().get("/v2/stats/store").unwrap().json();
        HeldResources {
            files: files(self.member.pid()),
            watchers: stats["watchers"].as_u64().unwrap(),
            memory: self.member.memory("RssAnon"),
        }
    }

    fn write(&self, key: &str, value: &str) {
        let form = format!("value={value}");
        self.wire.borrow_mut().request("PUT", &format!("/v2/keys/{key}"), Some(&form)).unwrap();
    }

    /// Opens watches from a host: half of them long polls, half of them streams, half on a key that is written
    /// after the host has vanished.
    fn watch(&self, host: usize, address: &str, count: usize, written: &str) -> Vec<TcpStream> {
        let open = |number: usize| {
            let mut stream = TcpStream::connect(address).unwrap();
            let kind = if number.is_multiple_of(2) { "wait=true" } else { "wait=true&stream=true" };
            let key = if number % 4 < 2 { "quiet" } else { written };
            write!(stream, "GET /v2/keys/{key}?{kind} HTTP/1.1\r\nHost: store\r\n\r\n").unwrap();
            stream
        };
        self.hosts.within(host, || (0..count).map(open).collect())
    }

    /// Waits until that many watches are open.
    #[track_caller]
    fn until_watched(&self, count: usize) {
        eventually(&format!("{count} watches"), WAIT_TIMEOUT * 6, || self.held().watchers == count as u64);
    }
}

fn proxy(hosts: &Hosts, member: &Member) -> Proc {
    let words = hosts.on(SERVERS);
    let log = fs::File::create(member.path("proxy.log")).unwrap();
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .args([&retune(), "store", "--proxy", "on", "--data-dir"])
        .arg(member.path("proxy"))
        .args(["--listen-client-urls", &format!("http://{}:2378", hosts.address(SERVERS))])
        .args(["--initial-cluster", &member.slot.cluster])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    Proc::spawn(&mut command)
}

/// Returns how many files a process has open.
fn files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// Returns whether a watch received the event.
fn received_event(mut stream: &TcpStream) -> bool {
    stream.set_read_timeout(Some(WAIT_TIMEOUT)).unwrap();
    let mut said = String::new();
    let mut piece = [0; 4096];
    while !said.contains("\"value\":\"to the living\"") {
        match stream.read(&mut piece) {
            Ok(count @ 1..) => said.push_str(&String::from_utf8_lossy(&piece[..count])),
            Ok(0) | Err(_) => return false,
        }
    }
    true
}

/// Returns whether a connection was closed, after any number of bytes.
fn is_closed(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let mut piece = [0; 4096];
    let cut = loop {
        match stream.read(&mut piece) {
            Ok(1..) => {}
            Ok(0) => break true,
            Err(error) => break error.kind() != std::io::ErrorKind::WouldBlock,
        }
    };
    stream.set_nonblocking(false).unwrap();
    cut
}

/// The number of clients of each kind, and of each kind over the proxy.
#[derive(Clone, Copy)]
struct ClientCounts {
    vanishing: usize,
    living: usize,
    over_proxy: usize,
}

impl ClientCounts {
    fn of(each: usize) -> Self {
        Self { vanishing: each, living: each, over_proxy: each / 10 }
    }
}

/// Disconnects the clients that are to vanish, and measures the time until their resources are freed.
fn pull_the_cable(program: Program, counts: ClientCounts, limit: Duration) {
    let Some(scene) = TestStore::new(program) else { return };
    let over_proxy = if scene.proxy.is_some() { counts.over_proxy } else { 0 };
    let living = scene.watch(LIVE_HOST, &scene.address, counts.living, "quiet");
    let living_too = scene.watch(LIVE_HOST, &scene.front(), over_proxy, "quiet");
    let all_living = counts.living + over_proxy;
    scene.until_watched(all_living);
    let before = scene.held();
    let front_before = scene.proxy.as_ref().map(|proxy| files(proxy.pid()));

    let vanishing = scene.watch(VANISHING_HOST, &scene.address, counts.vanishing, "written");
    let vanishing_too = scene.watch(VANISHING_HOST, &scene.front(), over_proxy, "written");
    scene.until_watched(all_living + counts.vanishing + over_proxy);
    let full = scene.held();
    scene.hosts.set_plugged(VANISHING_HOST, false);
    let pulled = Instant::now();
    // Now data is pending to half of them: probes alone would not detect those.
    scene.write("written", "x");

    let mut seen = scene.held();
    let forgotten = |seen: &HeldResources| {
        let front = scene.proxy.as_ref().map(|proxy| files(proxy.pid()));
        // The proxy keeps connections to the member for the next requests when long polls have ended.
        seen.watchers == all_living as u64
            && seen.files <= before.files + before.files / 20 + over_proxy
            && front <= front_before.map(|files| files + files / 20 + over_proxy / 2)
    };
    while !forgotten(&seen) && pulled.elapsed() < limit {
        std::thread::sleep(Duration::from_millis(250));
        seen = scene.held();
    }
    let after = pulled.elapsed();
    let cut = [&living, &living_too].map(|streams| streams.iter().filter(|stream| is_closed(stream)).count());
    assert!(
        forgotten(&seen),
        "{program:?} after {after:?}: {seen:?}, and before {before:?}; cut were {cut:?} of the living"
    );
    // With few clients the pages of the program itself dominate.
    let most = if counts.living < 1000 { u64::MAX } else { before.memory + before.memory / 20 };
    while seen.memory > most && pulled.elapsed() < limit + Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(250));
        seen = scene.held();
    }
    println!(
        "{program:?}: {} and {over_proxy} over the proxy gone after {after:?}, {} stay; \
         before {before:?}, with all {full:?}, at the end {seen:?} after {:?}",
        counts.vanishing,
        counts.living,
        pulled.elapsed()
    );
    if program == Program::Retune {
        assert!(seen.memory <= most, "{seen:?}, and before {before:?}");
    }
    scene.write("quiet", "to+the+living");
    let told = living.iter().chain(&living_too).filter(|stream| received_event(stream)).count();
    assert_eq!(told, all_living, "{program:?}: some that were quiet and lived were cut");
    drop((vanishing, vanishing_too));
}

/// How many packets wait between the hosts of this test. They share the queue of one processor: with the kernel's
/// default of 1,000, the probes of ten thousand connections that were opened in one second push each other out.
struct Queue {
    before: Option<Vec<u8>>,
}

impl Queue {
    const PATH: &str = "/proc/sys/net/core/netdev_max_backlog";

    fn of_a_network() -> Self {
        let before = fs::read(Self::PATH).ok();
        if let Err(error) = fs::write(Self::PATH, "100000") {
            println!("{} stays as it is: {error}", Self::PATH);
        }
        Self { before }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            fs::write(Self::PATH, before).ok();
        }
    }
}

/// The target number of clients of one kind.
const TARGET_CLIENTS: usize = 10_000;

/// Returns how many clients the limit of open files allows: the test holds all of them, the store those of the proxy as well.
fn max_clients() -> usize {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    usize::try_from(hard).unwrap_or(usize::MAX).saturating_sub(500)
}

/// Returns the target number of each kind, or as many as the limit allows.
fn client_counts() -> ClientCounts {
    ClientCounts::of((max_clients() / 22 * 10).min(TARGET_CLIENTS))
}

#[test]
fn connections_of_vanished_clients_are_closed_and_idle_live_ones_are_not() {
    if std::env::var_os("RETUNE_TEST_SLOW").is_none() {
        return pull_the_cable(Program::Retune, ClientCounts::of(200), RELEASE_TIMEOUT);
    }
    let _queue = Queue::of_a_network();
    pull_the_cable(Program::Retune, client_counts(), RELEASE_TIMEOUT);
    if client_counts().living < TARGET_CLIENTS && max_clients() > TARGET_CLIENTS {
        // Too few files for both at once: ten thousand of each, beside as many of the other as there is room for.
        let other = max_clients() - TARGET_CLIENTS;
        for (vanishing, living) in [(TARGET_CLIENTS, other), (other, TARGET_CLIENTS)] {
            pull_the_cable(
                Program::Retune,
                ClientCounts { vanishing, living, over_proxy: 0 },
                RELEASE_TIMEOUT,
            );
        }
    }
}

/// A client that waits for changes from a vanished store would wait forever.
#[test]
fn a_watch_on_a_store_that_vanished_ends_within_seconds() {
    let Some(scene) = TestStore::new(Program::Retune) else { return };
    let host = scene.hosts.on(VANISHING_HOST);
    let url = format!("http://{}", scene.address);
    let program = retune();
    let ctl = [&program, "ctl", "--no-sync", "--endpoints", &url, "watch", "--forever", "/quiet"];
    let mut command = Command::new(host[0]);
    command.args(&host[1..]).args(ctl).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let watcher = Proc::spawn(&mut command);
    scene.until_watched(1);
    let open = || {
        let list =
            Command::new(host[0]).args(&host[1..]).args(["ss", "-Htn", "state", "established"]).output();
        String::from_utf8_lossy(&list.unwrap().stdout).lines().count()
    };
    assert_eq!(open(), 1);
    scene.hosts.set_plugged(VANISHING_HOST, false);
    let pulled = Instant::now();
    while open() > 0 && pulled.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(100));
    }
    let after = pulled.elapsed();
    // The kernel's timer, which does not depend on the load of the machine.
    assert!(after < Duration::from_secs(15), "it ended after {after:?}");
    drop(watcher);
}

#[test]
fn control_etcd_also_closes_them_though_later() {
    if std::env::var_os("RETUNE_TEST_SLOW").is_some() && crate::support::programs::need_program("etcd") {
        pull_the_cable(Program::Etcd, client_counts(), ETCD_RELEASE_TIMEOUT);
    }
}
