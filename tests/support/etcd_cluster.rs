//! A cluster of real etcd members on loopback, each on its own ports.

use std::fs::File;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::http::{get, request};
use super::port::Port;
use super::proc::Proc;
use super::programs::need_program;
use super::{WAIT_TIMEOUT, eventually};

/// Some members of one cluster.
pub struct EtcdCluster {
    members: Vec<Member>,
    folder: TempDir,
}

struct Member {
    name: String,
    client: Port,
    peer: Port,
    proc: Option<Proc>,
}

impl Member {
    fn new(number: usize) -> Self {
        Self { name: format!("n{number}"), client: Port::claim(), peer: Port::claim(), proc: None }
    }
}

impl EtcdCluster {
    /// Starts three members; returns `None` where etcd is not installed.
    pub fn start() -> Option<Self> {
        if !need_program("etcd") {
            return None;
        }
        let folder = tempfile::Builder::new().prefix("retune-etcds-").tempdir().unwrap();
        let mut cluster = Self { members: (0..3).map(Member::new).collect(), folder };
        for number in 0..3 {
            cluster.spawn(number, "new");
        }
        cluster.healthy();
        Some(cluster)
    }

    /// Returns `n0=URL,n1=URL`: the peer URLs as in command lines.
    pub fn list(&self) -> String {
        let pair = |member: &Member| format!("{}=http://{}", member.name, member.peer.address());
        self.members.iter().map(pair).collect::<Vec<_>>().join(",")
    }

    /// Returns `127.0.0.1:port` of a member, for clients.
    pub fn address(&self, number: usize) -> String {
        self.members[number].client.address()
    }

    /// Returns the member with this client address.
    pub fn at(&self, address: &str) -> usize {
        self.members.iter().position(|member| member.client.address() == address).expect("a member's address")
    }

    /// Kills one; its data stay.
    pub fn kill(&mut self, number: usize) {
        self.members[number].proc = None;
    }

    /// Starts one again, without waiting for it.
    pub fn start_again(&mut self, number: usize) {
        self.spawn(number, "existing");
    }

    /// Adds a member and starts it; returns its number.
    pub fn add(&mut self) -> usize {
        let number = self.members.len();
        self.members.push(Member::new(number));
        let body = format!(r#"{{"peerURLs":["http://{}"]}}"#, self.members[number].peer.address());
        eventually("the member is added", WAIT_TIMEOUT, || {
            let answer = request(&self.address(0), "POST", "/v2/members", Some(("application/json", &body)));
            answer.is_ok_and(|answer| answer.status == 201)
        });
        self.spawn(number, "existing");
        self.healthy();
        number
    }

    /// Removes a member from the cluster; its process ends by itself.
    pub fn remove(&mut self, number: usize) {
        let other = self.address((number + 1) % self.members.len());
        let listed: Value = serde_json::from_str(&get(&other, "/v2/members").unwrap()).unwrap();
        let name = self.members[number].name.as_str();
        let all = listed["members"].as_array().unwrap();
        let own = all.iter().find(|member| member["name"] == name).expect("a listed member");
        let path = format!("/v2/members/{}", own["id"].as_str().unwrap());
        eventually("the member is removed", WAIT_TIMEOUT, || {
            request(&other, "DELETE", &path, None).is_ok_and(|answer| answer.status == 204)
        });
        self.members[number].proc = None;
    }

    /// Waits until every running member serves.
    pub fn healthy(&self) {
        for member in self.members.iter().filter(|member| member.proc.is_some()) {
            eventually("a member is healthy", WAIT_TIMEOUT, || {
                get(&member.client.address(), "/health").is_some_and(|body| body.contains("true"))
            });
        }
    }

    fn spawn(&mut self, number: usize, state: &str) {
        let list = self.list();
        let member = &mut self.members[number];
        let (client, peer) =
            (format!("http://{}", member.client.address()), format!("http://{}", member.peer.address()));
        let mut command = etcd();
        command
            .args(["--enable-v2", "--name", &member.name, "--logger", "zap", "--log-level", "error"])
            .arg("--data-dir")
            .arg(self.folder.path().join(&member.name))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &list, "--initial-cluster-state", state])
            .arg("--strict-reconfig-check=false")
            .stderr(File::create(self.folder.path().join(format!("{}.log", member.name))).unwrap());
        member.proc = Some(Proc::spawn(&mut command));
    }
}

/// Returns the program without the environment of the machine's own etcd.
pub fn etcd() -> Command {
    let mut command = Command::new("etcd");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ETCD") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}
