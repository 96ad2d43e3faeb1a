//! Clients that run while every member of their store is replaced: they follow, and with `--no-sync` they do not.
//! Each run has both, which shows that it would notice clients that do not follow.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::group::{AGREE_TIMEOUT, Group, Plan};
use super::membership::{join, remove_member};
use crate::durable::member::Program;
use crate::support::fake_engine::{Container, FakeEngine};
use crate::support::http::request;
use crate::support::skips::Permitted;
use crate::support::{Daemon, Dir, Retune, WAIT_TIMEOUT, eventually, stays};

/// The TTL of these registrars' leases.
const LEASE_TTL: Duration = Duration::from_secs(12);

/// Slightly more than the clients' interval of reading the members.
const REFRESH_INTERVAL: Duration = Duration::from_secs(8);

/// One folder per watching daemon: one per backend.
struct Folders(Vec<(&'static str, Dir)>);

impl Folders {
    fn new(backends: &[&'static str]) -> Self {
        let folder = |backend: &&'static str| {
            let dir = Dir::new();
            dir.resource("a", "{{ getv(\"/app/x\") }}\n", "keys = [\"/app\"]");
            (*backend, dir)
        };
        Self(backends.iter().map(folder).collect())
    }

    fn all_have(&self, value: &str) -> bool {
        self.0.iter().all(|(_, dir)| dir.has("a.conf", &format!("{value}\n")))
    }

    fn any_has(&self, value: &str) -> bool {
        self.0.iter().any(|(_, dir)| dir.has("a.conf", &format!("{value}\n")))
    }
}

/// One of each long-running client.
struct Clients<'d> {
    name: &'static str,
    watches: Vec<Daemon<'d>>,
    register: Daemon<'d>,
    ctl: Daemon<'d>,
}

impl<'d> Clients<'d> {
    /// Registers below `/NAME`.
    fn start(
        name: &'static str,
        folders: &'d Folders,
        engine: &FakeEngine,
        urls: &[String],
        words: &[&str],
    ) -> Self {
        let watch = |(backend, dir): &'d (&'static str, Dir)| {
            let nodes = urls.iter().flat_map(|url| ["--node", url]).collect::<Vec<_>>();
            Retune::watch(dir).args(&["--backend", backend]).args(&nodes).args(words).spawn()
        };
        let (dir, all, engine, prefix) = (&folders.0[0].1, urls.join(","), engine.url(), format!("/{name}"));
        let ttl = format!("{}s", LEASE_TTL.as_secs());
        let line = ["register", "--engine", &engine, "--endpoints", &all, "--prefix", &prefix];
        let more = ["--node-name", name, "--ip", "198.51.100.7", "--listen", "none", "--ttl", &ttl];
        let register = Retune::new(dir, &line).args(&more).args(words).spawn();
        let mut ctl = vec!["ctl", "--endpoints", &all];
        ctl.extend(words);
        ctl.extend(["watch", "-f", "-r", "/app"]);
        let ctl = Retune::new(dir, &ctl).spawn();
        Self { name, watches: folders.0.iter().map(watch).collect(), register, ctl }
    }

    /// Returns the createdIndex of the registered key at this member. A key that expired and came back has a higher
    /// one.
    fn created(&self, group: &Group, number: usize) -> Option<u64> {
        let tree = group.ask(number).get(&format!("/v2/keys/{}?recursive=true", self.name)).ok()?.json();
        tree["node"]["nodes"][0]["nodes"][0]["createdIndex"].as_u64()
    }

    fn logs(&self) -> String {
        let watches: String = self.watches.iter().map(Daemon::log).collect();
        format!("--- watch\n{watches}--- register\n{}", self.register.log())
    }
}

/// Writes `/app/x` through both APIs where there are two.
#[track_caller]
fn put(group: &Group, number: usize, value: &str) {
    group.put_until_accepted(number, "/app/x", value);
    if group.plan.program == Program::Etcd {
        let encoded = |text: &str| STANDARD.encode(text);
        let body = format!(r#"{{"key":"{}","value":"{}"}}"#, encoded("/app/x"), encoded(value));
        let address = group.members[number].address();
        eventually("a write by the v3 API", AGREE_TIMEOUT, || {
            request(&address, "POST", "/v3/kv/put", Some(("application/json", &body)))
                .is_ok_and(|answer| answer.status == 200)
        });
    }
}

fn urls(group: &Group) -> Vec<String> {
    group.addresses().iter().map(|address| format!("http://{address}")).collect()
}

/// Waits until all clients have rendered, registered and watched; returns the createdIndex of their key.
#[track_caller]
fn under_way(group: &Group, folders: &Folders, clients: &Clients<'_>, value: &str) -> u64 {
    eventually("the first value is rendered", WAIT_TIMEOUT, || folders.all_have(value));
    let mut number = 0;
    eventually("the watch has begun", WAIT_TIMEOUT, || {
        number += 1;
        group.put_until_accepted(0, "/app/begin", &number.to_string());
        std::thread::sleep(Duration::from_millis(100));
        clients.ctl.stdout().contains("/app/begin")
    });
    eventually("the key is there", WAIT_TIMEOUT, || clients.created(group, 0))
}

/// Replaces all members while clients run.
fn all_replaced(plan: Plan, backends: &[&'static str]) {
    let engine = FakeEngine::start();
    engine.run(Container::new("one").env("SERVICE_NAME", "web").publish("80/tcp", Some(8080)));
    let mut group = plan.on_local_ports();
    group.start();
    put(&group, 0, "first");
    let given = urls(&group);
    let (folders, left_folders) = (Folders::new(backends), Folders::new(backends));
    let follow = Clients::start("follow", &folders, &engine, &given, &[]);
    let mut left = Clients::start("left", &left_folders, &engine, &given, &["--no-sync"]);
    let created = under_way(&group, &folders, &follow, "first");
    under_way(&group, &left_folders, &left, "first");
    for _ in 0..3 {
        group.extend();
    }
    let mut active = vec![0, 1, 2];
    for old in 0..3 {
        join(&mut group, &active, old + 3);
        if old == 0 {
            // etcd takes ten seconds and more to replace three members. Ours takes two, in which a client on the
            // last one may not have read the list.
            std::thread::sleep(REFRESH_INTERVAL);
        }
        active.push(old + 3);
        active.retain(|number| *number != old);
        remove_member(&mut group, &active, old);
        let value = format!("without {old}");
        put(&group, old + 3, &value);
        eventually(&format!("{value} is rendered\n{}", follow.logs()), WAIT_TIMEOUT, || {
            folders.all_have(&value)
        });
        eventually(&format!("{value} is watched"), WAIT_TIMEOUT, || follow.ctl.stdout().contains(&value));
        let now = eventually("the key is there", WAIT_TIMEOUT, || follow.created(&group, old + 3));
        assert_eq!(now, created, "the key was away\n{}", follow.logs());
    }
    // No event is skipped or repeated.
    let seen: Vec<String> = follow.ctl.stdout().lines().map(str::to_owned).collect();
    let seen: Vec<&String> = seen.iter().filter(|line| line.starts_with("without")).collect();
    assert_eq!(seen, ["without 0", "without 1", "without 2"]);
    let log = follow.logs();
    assert!(log.contains("members of the store: added http://"), "{log}");
    // Clients that know only the given members are left behind: their key expires.
    let begun = Instant::now();
    eventually("the other key runs out", 2 * LEASE_TTL + WAIT_TIMEOUT, || left.created(&group, 3).is_none());
    assert!(!left_folders.any_has("without 2") && !left.ctl.stdout().contains("without 2"));
    assert!(!left.ctl.is_running(), "a watch whose endpoints are all gone ends, as etcdctl's does");
    let rest = LEASE_TTL.saturating_sub(begun.elapsed());
    stays("the key outlives its lease", rest, || follow.created(&group, 3).is_none_or(|now| now == created));
    assert_eq!(follow.created(&group, 4), Some(created), "{}", follow.logs());
}

#[test]
fn clients_follow_when_all_members_are_replaced_unless_sync_is_off() {
    let Some(plan) = Plan::new(3) else { return };
    all_replaced(plan, &["etcd"]);
}

#[test]
fn clients_of_etcd_follow_when_all_members_are_replaced_with_either_api() {
    if std::env::var_os("RETUNE_TEST_SLOW").is_none() {
        Permitted::Slow.skip();
        return;
    }
    let Some(plan) = Plan::control(3) else { return };
    all_replaced(plan, &["etcd", "etcdv3"]);
}

#[test]
fn when_all_members_are_gone_the_configured_addresses_are_used_again() {
    let Some(plan) = Plan::new(1) else { return };
    let engine = FakeEngine::start();
    engine.run(Container::new("one").env("SERVICE_NAME", "web").publish("80/tcp", Some(8080)));
    let mut group = plan.on_local_ports();
    group.start();
    put(&group, 0, "first");
    let (folders, given) = (Folders::new(&["etcd"]), urls(&group));
    let follow = Clients::start("follow", &folders, &engine, &given, &[]);
    under_way(&group, &folders, &follow, "first");
    // The store moves to another address, and the clients follow.
    group.extend();
    join(&mut group, &[0], 1);
    // The watch of ctl has no log line for it.
    for daemon in follow.watches.iter().chain([&follow.register]) {
        daemon.eventually_says("members of the store: added http://");
    }
    remove_member(&mut group, &[1], 0);
    put(&group, 1, "moved");
    eventually("it is rendered from there", WAIT_TIMEOUT, || folders.all_have("moved"));
    // The old member dies, and a new store serves at the first address.
    group.members[1].kill();
    std::thread::sleep(Duration::from_millis(500));
    std::fs::remove_dir_all(group.members[0].data()).unwrap();
    group.members[0].slot.cluster =
        format!("n0={}://{}", group.members[0].slot.scheme, group.members[0].slot.advertised);
    let words = group.plan.words.clone();
    let words: Vec<&str> =
        words.iter().map(String::as_str).chain(["--initial-cluster-token", "new"]).collect();
    group.members[0].set_flags(&words);
    group.members[0].start();
    put(&group, 0, "back");
    eventually(&format!("it is rendered from there\n{}", follow.logs()), 2 * WAIT_TIMEOUT, || {
        folders.all_have("back")
    });
    eventually("the key is registered there", 2 * WAIT_TIMEOUT, || follow.created(&group, 0));
    put(&group, 0, "and on");
    eventually("it is watched there", WAIT_TIMEOUT, || folders.all_have("and on"));
    assert!(follow.logs().contains("was replaced or restored"), "{}", follow.logs());
}
