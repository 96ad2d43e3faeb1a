//! A real etcd with both APIs, on its own ports and in its own folder.

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::{encode, request};
use super::port::Port;
use super::proc::Proc;
use super::programs::need_program;
use super::{WAIT_TIMEOUT, eventually};

/// One member.
pub struct Etcd {
    proc: Option<Proc>,
    data: TempDir,
    client: Port,
    peer: Port,
    tls: Option<(Port, Vec<String>)>,
}

impl Etcd {
    /// Starts a member; returns `None` where etcd is not installed.
    pub fn start() -> Option<Self> {
        let mut etcd = Self::prepare()?;
        etcd.start_again();
        Some(etcd)
    }

    /// Returns a member that has its address but does not run yet.
    pub fn prepare() -> Option<Self> {
        if !need_program("etcd") {
            return None;
        }
        let data = tempfile::Builder::new().prefix("retune-etcd-").tempdir().unwrap();
        Some(Self { proc: None, data, client: Port::claim(), peer: Port::claim(), tls: None })
    }

    /// Starts a member that also serves TLS with these extra arguments; its plain address is for the test itself.
    pub fn start_with_tls(words: &[&str]) -> Option<Self> {
        let mut etcd = Self::prepare()?;
        etcd.tls = Some((Port::claim(), words.iter().map(|word| (*word).to_owned()).collect()));
        etcd.start_again();
        Some(etcd)
    }

    /// Starts it on the same ports with the same data, and waits until it serves.
    pub fn start_again(&mut self) {
        let (client, peer) = (self.url(), format!("http://{}", self.peer.address()));
        let secure =
            self.tls.as_ref().map_or_else(String::new, |(port, _)| format!(",https://{}", port.address()));
        let listen = format!("{client}{secure}");
        let log = File::create(self.data.path().join("log")).unwrap();
        let mut command = Command::new("etcd");
        // Variables for the machine's own etcd must not affect this one.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ETCD") {
                command.env_remove(name);
            }
        }
        command
            .args(["--enable-v2", "--name", "one", "--logger", "zap", "--log-level", "error"])
            .arg("--data-dir")
            .arg(self.data.path().join("data"))
            .args(["--listen-client-urls", &listen, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("one={peer}")])
            .args(self.tls.iter().flat_map(|(_, words)| words))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        self.proc = Some(Proc::spawn(&mut command));
        eventually("etcd is healthy", WAIT_TIMEOUT, || {
            let answer = request(&self.address(), "GET", "/health", None);
            answer.is_ok_and(|answer| answer.body.contains("true"))
        });
    }

    /// Kills it; its data stay.
    pub fn stop(&mut self) {
        self.proc = None;
    }

    /// Stops it (SIGSTOP): connections stay open and nothing responds.
    pub fn freeze(&self) {
        self.proc.as_ref().expect("etcd runs").signal(Signal::SIGSTOP);
    }

    /// Resumes it.
    pub fn thaw(&self) {
        self.proc.as_ref().expect("etcd runs").signal(Signal::SIGCONT);
    }

    /// Returns `127.0.0.1:port` for clients.
    pub fn address(&self) -> String {
        self.client.address()
    }

    /// Returns `http://127.0.0.1:port` for clients.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Returns `http://127.0.0.1:port` for peers.
    pub fn peer_url(&self) -> String {
        format!("http://{}", self.peer.address())
    }

    /// Returns `https://127.0.0.1:port` for clients of one started with TLS.
    pub fn tls_url(&self) -> String {
        format!("https://{}", self.tls.as_ref().expect("started with TLS").0.address())
    }

    /// Sets a key through the v2 API.
    #[track_caller]
    pub fn put(&self, key: &str, value: &str) {
        let body = format!("value={}", encode(value, false));
        self.v2("PUT", key, "", Some(("application/x-www-form-urlencoded", &body)));
    }

    /// Sets a key that expires, through the v2 API.
    #[track_caller]
    pub fn put_ttl(&self, key: &str, value: &str, seconds: u32) {
        let body = format!("value={}&ttl={seconds}", encode(value, false));
        self.v2("PUT", key, "", Some(("application/x-www-form-urlencoded", &body)));
    }

    /// Deletes a key or a folder through the v2 API.
    #[track_caller]
    pub fn delete(&self, key: &str) {
        self.v2("DELETE", key, "?recursive=true", None);
    }

    #[track_caller]
    fn v2(&self, method: &str, key: &str, query: &str, body: Option<(&str, &str)>) {
        let path = format!("/v2/keys{}{query}", encode(key, true));
        let answer = request(&self.address(), method, &path, body).unwrap();
        assert!(matches!(answer.status, 200 | 201), "{method} {key}: {answer:?}");
    }

    /// Sets a key through the v3 API; returns the revision.
    #[track_caller]
    pub fn put3(&self, key: &str, value: impl AsRef<[u8]>) -> u64 {
        let value = STANDARD.encode(value.as_ref());
        self.v3("/v3/kv/put", &json!({ "key": STANDARD.encode(key), "value": value }))
    }

    /// Deletes a key through the v3 API; returns the revision.
    #[track_caller]
    pub fn delete3(&self, key: &str) -> u64 {
        self.v3("/v3/kv/deleterange", &json!({ "key": STANDARD.encode(key) }))
    }

    /// Compacts the history before this revision.
    #[track_caller]
    pub fn compact(&self, revision: u64) {
        self.v3("/v3/kv/compaction", &json!({ "revision": revision.to_string(), "physical": true }));
    }

    #[track_caller]
    fn v3(&self, path: &str, body: &Value) -> u64 {
        let body = body.to_string();
        let answer = request(&self.address(), "POST", path, Some(("application/json", &body))).unwrap();
        assert_eq!(answer.status, 200, "{path} {body}: {answer:?}");
        let parsed: Value = serde_json::from_str(&answer.body).unwrap();
        parsed["header"]["revision"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// Makes many writes below one folder, from four connections at a time.
    pub fn flood(&self, folder: &str, writes: usize) {
        std::thread::scope(|scope| {
            for lane in 0..4 {
                scope.spawn(move || {
                    for number in 0..writes / 4 {
                        self.put(&format!("{folder}/{lane}"), &number.to_string());
                    }
                });
            }
        });
    }

    /// Returns how long it takes at most to notice a frozen or dead member; for tests that wait for it.
    pub const fn notice() -> Duration {
        Duration::from_secs(15)
    }
}
