//! Several members of one cluster, each its own process: on this machine's ports, or on their own hosts.
//!
//! The program is `retune store`, or etcd if a test or `RETUNE_TEST_STORE=etcd` requests it: a test that fails with
//! etcd too shows a fault of the harness.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::hosts::Hosts;
use super::link::NetworkLink;
use crate::durable::member::{Member, MemberSlot, Program, program};
use crate::durable::wire::{Answer, Wire};
use crate::support::port::Port;
use crate::support::programs::need_program;
use crate::support::{eventually, scaled};

/// How long a group may take to agree after a fault was removed.
pub const AGREE_TIMEOUT: Duration = Duration::from_secs(20);

/// The flags of every member: elections in half a second, so that a test sees many.
const FAST_ELECTION_FLAGS: [&str; 4] = ["--heartbeat-interval", "50", "--election-timeout", "500"];

/// The plan of a group.
#[derive(Clone, Debug)]
pub struct Plan {
    pub program: Program,
    pub size: usize,
    pub words: Vec<String>,
    /// Whether traffic between members goes through lines.
    pub lines: bool,
    pub scheme: &'static str,
}

impl Plan {
    /// Plans this many members of the program under test; `None` when it is missing.
    pub fn new(size: usize) -> Option<Self> {
        program().map(|program| Self::of(program, size))
    }

    /// Plans this many members of etcd, to show what the harness finds with a correct store.
    pub fn control(size: usize) -> Option<Self> {
        need_program("etcd").then(|| Self::of(Program::Etcd, size))
    }

    fn of(program: Program, size: usize) -> Self {
        let words = FAST_ELECTION_FLAGS.iter().map(|word| (*word).to_owned()).collect();
        Self { program, size, words, lines: false, scheme: "http" }
    }

    /// Adds these flags to every command line.
    pub fn with(mut self, words: &[&str]) -> Self {
        self.words.extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    /// Adds lines between the members.
    pub fn with_links(mut self) -> Self {
        self.lines = true;
        self
    }

    /// Makes a group on this machine's ports that is not running yet.
    pub fn on_local_ports(self) -> Group {
        let mut group = Group { plan: self, members: Vec::new(), lines: Vec::new(), hosts: None };
        let slots: Vec<_> = (0..group.plan.size).map(|number| group.slot(number)).collect();
        group.add_members(slots);
        group
    }

    /// Makes a group in which each member has its own host; `None` where hosts cannot be created.
    pub fn on_hosts(self) -> Option<Group> {
        let hosts = Hosts::new(self.size)?;
        let mut group = Group { plan: self, members: Vec::new(), lines: Vec::new(), hosts: Some(hosts) };
        let slots: Vec<_> = (0..group.plan.size).map(|number| group.slot(number)).collect();
        group.add_members(slots);
        Some(group)
    }
}

/// A cluster.
#[derive(Debug)]
pub struct Group {
    pub plan: Plan,
    pub members: Vec<Member>,
    /// The line to each member, if there are any.
    pub lines: Vec<NetworkLink>,
    // After the members: they must end before their hosts are removed.
    hosts: Option<Hosts>,
}

impl Group {
    fn slot(&mut self, number: usize) -> (MemberSlot, Vec<Port>) {
        let (client, peer, ports) = match &self.hosts {
            Some(hosts) => {
                let address = hosts.address(number);
                (format!("{address}:2379"), format!("{address}:2380"), Vec::new())
            }
            None => {
                let ports = vec![Port::claim(), Port::claim()];
                (ports[0].address(), ports[1].address(), ports)
            }
        };
        let mut advertised = peer.clone();
        if self.plan.lines {
            self.lines.push(NetworkLink::to(&peer));
            advertised = self.lines[number].address();
        }
        let (name, scheme) = (format!("n{number}"), self.plan.scheme);
        (MemberSlot { name, client, peer, advertised, cluster: String::new(), scheme }, ports)
    }

    fn add_members(&mut self, slots: Vec<(MemberSlot, Vec<Port>)>) {
        for (slot, ports) in slots {
            let number = self.members.len();
            let mut member = Member::in_slot(self.plan.program, slot, ports);
            if let Some(hosts) = &self.hosts {
                member.under(&hosts.on(number));
            }
            let words: Vec<&str> = self.plan.words.iter().map(String::as_str).collect();
            member.set_flags(&words);
            self.members.push(member);
        }
        let cluster = self.cluster();
        for member in &mut self.members {
            member.slot.cluster.clone_from(&cluster);
        }
    }

    /// Returns `--initial-cluster` for all members.
    pub fn cluster(&self) -> String {
        let entry = |member: &Member| {
            let MemberSlot { name, advertised, scheme, .. } = &member.slot;
            format!("{name}={scheme}://{advertised}")
        };
        self.members.iter().map(entry).collect::<Vec<_>>().join(",")
    }

    /// Adds a member that is not part of the cluster yet and not running.
    pub fn extend(&mut self) -> &mut Member {
        if let Some(hosts) = &mut self.hosts {
            hosts.add();
        }
        let number = self.members.len();
        let (slot, ports) = self.slot(number);
        let mut member = Member::in_slot(self.plan.program, slot, ports);
        if let Some(hosts) = &self.hosts {
            member.under(&hosts.on(number));
        }
        self.members.push(member);
        self.members.last_mut().expect("just added")
    }

    /// Returns the hosts of a group that has them.
    pub fn hosts(&self) -> &Hosts {
        self.hosts.as_ref().expect("a group on hosts")
    }

    /// Starts all members that are not running and waits until they serve and agree on a leader; returns its
    /// number.
    #[track_caller]
    pub fn start(&mut self) -> usize {
        for member in &mut self.members {
            if !member.is_running() {
                member.kill();
                member.spawn();
            }
        }
        self.until_serving();
        self.leader()
    }

    /// Waits until every running member serves.
    #[track_caller]
    pub fn until_serving(&mut self) {
        for member in &mut self.members {
            if member.is_running()
                && let Err(why) = member.until_serving(AGREE_TIMEOUT)
            {
                panic!("{}: {why}\n--- log\n{}", member.slot.name, member.log_tail());
            }
        }
    }

    /// Returns the numbers of the running members.
    pub fn running(&mut self) -> Vec<usize> {
        (0..self.members.len()).filter(|number| self.members[*number].is_running()).collect()
    }

    /// Returns the client addresses of all members.
    pub fn addresses(&self) -> Vec<String> {
        self.members.iter().map(Member::address).collect()
    }

    /// Returns the name of the leader according to this member.
    pub fn leader_seen_by(&self, number: usize) -> Option<String> {
        let answer = self.ask(number).get("/v2/members/leader").ok()?;
        if answer.status != 200 {
            return None;
        }
        answer.json()["name"].as_str().map(str::to_owned)
    }

    /// Waits until most of the running members name the same one of them as leader; returns its number.
    #[track_caller]
    pub fn leader(&mut self) -> usize {
        let running = self.running();
        self.leader_among(&running)
    }

    /// Waits until all of these members name the same one of them as leader.
    #[track_caller]
    pub fn leader_among(&self, among: &[usize]) -> usize {
        let agreed = || {
            let name = self.leader_seen_by(among[0])?;
            let all = among.iter().all(|number| self.leader_seen_by(*number).as_ref() == Some(&name));
            among.iter().copied().find(|number| all && self.members[*number].slot.name == name)
        };
        eventually(&format!("members {among:?} agree on a leader\n{}", self.logs()), AGREE_TIMEOUT, agreed)
    }

    /// Returns any member but this one.
    pub fn other_than(&self, number: usize) -> usize {
        (number + 1) % self.members.len()
    }

    /// Opens a connection to a member with a short timeout, for a request that is quick.
    pub fn ask(&self, number: usize) -> Wire {
        self.members[number].wire().with_timeout(Duration::from_secs(2))
    }

    /// Writes through one member.
    pub fn put(&self, number: usize, key: &str, value: &str) -> std::io::Result<Answer> {
        self.members[number].wire().request("PUT", &format!("/v2/keys{key}"), Some(&format!("value={value}")))
    }

    /// Writes through one member until it succeeds, as after a fault was removed.
    #[track_caller]
    pub fn put_until_accepted(&self, number: usize, key: &str, value: &str) {
        let begun = Instant::now();
        let mut last = "nothing".to_owned();
        loop {
            last = match self.put(number, key, value) {
                Ok(answer) if matches!(answer.status, 200 | 201) => break,
                Ok(answer) => answer.text(),
                Err(error) => error.to_string(),
            };
            assert!(
                begun.elapsed() < scaled(AGREE_TIMEOUT),
                "no write of {key} through member {number}: {last}\n{}",
                self.logs()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        if last != "nothing" {
            eprintln!("a write through member {number} after {:?}; before that {last}", begun.elapsed());
        }
    }

    /// Returns the value of a key at this member.
    pub fn value(&self, number: usize, key: &str) -> Option<String> {
        let answer = self.ask(number).get(&format!("/v2/keys{key}")).ok()?;
        answer.json()["node"]["value"].as_str().map(str::to_owned)
    }

    /// Returns the whole tree and its index at one member.
    pub fn tree(&self, number: usize) -> Option<(u64, Value)> {
        let answer = self.members[number].wire().get("/v2/keys/?recursive=true&sorted=true").ok()?;
        (answer.status == 200).then(|| (answer.index.unwrap_or(0), without_ttl(answer.json())))
    }

    /// Waits until all running members have the same tree at the same index; returns both.
    #[track_caller]
    pub fn level(&mut self) -> (u64, Value) {
        let running = self.running();
        let what = format!("members {running:?} have the same tree");
        let (begun, limit) = (Instant::now(), scaled(AGREE_TIMEOUT));
        loop {
            let trees: Vec<_> = running.iter().map(|number| self.tree(*number)).collect();
            if let Some(Some(first)) = trees.first()
                && trees.iter().all(|tree| tree.as_ref() == Some(first))
            {
                return first.clone();
            }
            let indexes: Vec<_> = trees.iter().map(|tree| tree.as_ref().map(|(index, _)| *index)).collect();
            assert!(begun.elapsed() < limit, "{what}: at {indexes:?} after {limit:?}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until a member has everything that the others had at this call.
    #[track_caller]
    pub fn catches_up(&self, number: usize) {
        let index = self.tree(self.other_than(number)).map_or(0, |(index, _)| index);
        eventually(&format!("member {number} gets to {index}\n{}", self.logs()), AGREE_TIMEOUT, || {
            self.tree(number).is_some_and(|(own, _)| own >= index)
        });
    }

    /// Returns the ends of all logs.
    pub fn logs(&self) -> String {
        let log = |member: &Member| format!("--- {}\n{}\n", member.slot.name, member.log_tail());
        self.members.iter().map(log).collect()
    }

    /// Freezes a member: it neither responds nor closes its connections.
    pub fn freeze(&self, number: usize) {
        self.members[number].signal(Signal::SIGSTOP);
    }

    /// Lets it continue.
    pub fn thaw(&self, number: usize) {
        self.members[number].signal(Signal::SIGCONT);
    }
}

/// Removes from a tree what changes over time.
fn without_ttl(mut tree: Value) -> Value {
    fn strip(node: &mut Value) {
        if let Some(fields) = node.as_object_mut() {
            fields.remove("ttl");
        }
        for child in node.get_mut("nodes").and_then(Value::as_array_mut).into_iter().flatten() {
            strip(child);
        }
    }
    if let Some(root) = tree.get_mut("node") {
        strip(root);
    }
    tree
}

impl Drop for Group {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
    }
}
