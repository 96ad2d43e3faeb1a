//! A proxy: ours, or etcd's own.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::etcd_cluster::etcd;
use crate::support::http::get;
use crate::support::port::Port;
use crate::support::proc::Proc;
use crate::support::{WAIT_TIMEOUT, eventually};

/// Which program it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProgram {
    Ours,
    Etcds,
}

/// A running proxy.
pub struct TestProxy {
    proc: Option<Proc>,
    folder: TempDir,
    port: Port,
}

impl TestProxy {
    /// Returns one that has its address but is not running.
    pub fn prepare() -> Self {
        let folder = tempfile::Builder::new().prefix("retune-proxy-").tempdir().unwrap();
        Self { proc: None, folder, port: Port::claim() }
    }

    /// Starts one in front of the cluster with these peer URLs, and waits until it has found its members.
    #[track_caller]
    pub fn start(whose: ProxyProgram, cluster: &str, words: &[&str]) -> Self {
        let mut front = Self::prepare();
        let all: Vec<&str> = ["--proxy", "on"].iter().chain(words).copied().collect();
        front.run(whose, cluster, &all);
        front.wait_for_members();
        front
    }

    /// Starts it in its folder, which a stopped one may have used before.
    #[track_caller]
    pub fn run(&mut self, whose: ProxyProgram, cluster: &str, words: &[&str]) {
        let mut command = match whose {
            ProxyProgram::Etcds => etcd(),
            ProxyProgram::Ours => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_retune"));
                for (name, _) in std::env::vars_os() {
                    let text = name.to_string_lossy();
                    if ["RETUNE_", "NOTIFY_SOCKET"].iter().any(|mine| text.starts_with(mine)) {
                        command.env_remove(&name);
                    }
                }
                command.arg("store").stdin(Stdio::null()).stdout(Stdio::null());
                command
            }
        };
        command
            .arg("--data-dir")
            .arg(self.data_dir())
            .args(["--listen-client-urls", &format!("http://{}", self.address())])
            .args(["--initial-cluster", cluster])
            .args(words)
            .stderr(File::create(self.folder.path().join("log")).unwrap());
        self.proc = Some(Proc::spawn(&mut command));
    }

    /// Waits until it has found members.
    #[track_caller]
    pub fn wait_for_members(&self) {
        eventually("the proxy finds members", WAIT_TIMEOUT, || !self.endpoints().is_empty());
        eventually("its log says so", WAIT_TIMEOUT, || {
            self.log().contains("proxy/httpproxy: endpoints found [\"")
        });
    }

    pub fn process(&mut self) -> &mut Proc {
        self.proc.as_mut().expect("it runs")
    }

    /// Kills it; its data stay.
    pub fn kill(&mut self) {
        self.proc = None;
    }

    /// Returns the addresses of the endpoints that it lists.
    pub fn endpoints(&self) -> Vec<String> {
        let text = get(&self.address(), "/v2/config/local/proxy").unwrap_or_default();
        let said: Value = serde_json::from_str(&text).unwrap_or_default();
        let all = said["endpoints"].as_array().cloned().unwrap_or_default();
        all.iter().map(|url| url.as_str().unwrap().trim_start_matches("http://").to_owned()).collect()
    }

    pub fn address(&self) -> String {
        self.port.address()
    }

    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}
