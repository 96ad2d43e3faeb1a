//! A retune store: one member of `retune store`, on its own ports and in its own folder.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::http::get;
use super::port::Port;
use super::proc::Proc;
use super::{WAIT_TIMEOUT, eventually};

/// One member.
pub struct Store {
    proc: Option<Proc>,
    folder: TempDir,
    client: Port,
    peer: Port,
    words: Vec<String>,
    starts: u32,
}

impl Store {
    /// Starts a member.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a member with these extra arguments, in which `{port}` is the client port.
    #[track_caller]
    pub fn start_with(words: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("retune-store-").tempdir().unwrap();
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        let mut store =
            Self { proc: None, folder, client: Port::claim(), peer: Port::claim(), words, starts: 0 };
        store.start_again();
        store
    }

    /// Starts it on the same ports with the same data, and waits until it serves.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(self.proc.is_none(), "it runs already");
        self.starts += 1;
        self.proc = Some(Proc::spawn(&mut self.command()));
        let (address, mut ended) = (self.address(), None);
        let proc = self.proc.as_mut().expect("just started");
        eventually("the store answers", WAIT_TIMEOUT, || {
            ended = proc.ended();
            ended.is_some() || get(&address, "/version").is_some()
        });
        assert!(ended.is_none(), "the store ended at once ({ended:?}):\n{}", self.log());
    }

    fn command(&self) -> Command {
        let (client, peer) = (self.url(), format!("http://{}", self.peer.address()));
        let mut command = Command::new(env!("CARGO_BIN_EXE_retune"));
        // Variables of a developer's shell must not affect a test.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["RETUNE_", "ETCD", "NOTIFY_SOCKET"].iter().any(|mine| text.starts_with(mine)) {
                command.env_remove(&name);
            }
        }
        command
            .args(["store", "--name", "a", "--data-dir"])
            .arg(self.data_dir())
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", "http://127.0.0.1:0", "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("a={peer}")])
            .args(self.words.iter().map(|word| word.replace("{port}", &self.client.number().to_string())))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(self.log_file(self.starts)).unwrap());
        command
    }

    /// Ends it as a power cut does; its data stay.
    #[track_caller]
    pub fn kill(&mut self) {
        self.end(Signal::SIGKILL, 137);
    }

    /// Ends it as a service manager does; it must exit with code 0.
    #[track_caller]
    pub fn terminate(&mut self) {
        self.end(Signal::SIGTERM, 0);
    }

    #[track_caller]
    fn end(&mut self, signal: Signal, code: i32) {
        let mut proc = self.proc.take().expect("the store runs");
        proc.signal(signal);
        assert_eq!(proc.wait(WAIT_TIMEOUT), Some(code), "after {signal}:\n{}", self.log());
    }

    /// Returns its data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Returns its log since its last start.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_file(self.starts)).unwrap_or_default()).into_owned()
    }

    fn log_file(&self, start: u32) -> PathBuf {
        self.folder.path().join(format!("log.{start}"))
    }

    /// Returns `127.0.0.1:port` for clients.
    pub fn address(&self) -> String {
        self.client.address()
    }

    /// Returns `http://127.0.0.1:port` for clients.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let from = log.lines().count().saturating_sub(60);
            let tail: Vec<_> = log.lines().skip(from).collect();
            eprintln!("--- the store's log\n{}", tail.join("\n"));
        }
    }
}
