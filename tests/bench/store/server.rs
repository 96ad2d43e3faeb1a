//! The compared servers: started alike, stopped until their turn, ended with their handle.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::client_conn::{ClientConn, EXCHANGE_TIMEOUT, Exchange};
use super::machine;
use super::support::port::Port;
use super::support::proc::Proc;

/// How often a starting server is polled.
const POLL_INTERVAL: Duration = Duration::from_micros(500);
/// How long a server may settle after it was stopped.
const SETTLE_DELAY: Duration = Duration::from_millis(150);

/// The program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerKind {
    Retune,
    Etcd,
}

impl ServerKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Retune => "retune",
            Self::Etcd => "etcd",
        }
    }

    fn command(self) -> Command {
        match self {
            Self::Retune => {
                let program = std::env::var_os("RETUNE_BENCH_PROGRAM");
                let mut command =
                    Command::new(program.unwrap_or_else(|| env!("CARGO_BIN_EXE_retune").into()));
                command.arg("store");
                command
            }
            Self::Etcd => {
                let mut command = Command::new("etcd");
                command.arg("--enable-v2");
                command
            }
        }
    }
}

/// One member with its data.
#[derive(Debug)]
pub struct Server {
    pub kind: ServerKind,
    proc: Option<Proc>,
    folder: TempDir,
    client: Port,
    peer: Port,
    starts: u32,
}

impl Server {
    /// Starts a new member, waits until it serves, and stops it until its turn.
    pub fn start(kind: ServerKind, runtime: &Runtime) -> Self {
        let prefix = format!("bench-{}-", kind.name());
        let folder =
            tempfile::Builder::new().prefix(&prefix).tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut server =
            Self { kind, proc: None, folder, client: Port::claim(), peer: Port::claim(), starts: 0 };
        // A write, since reads are served before there is a leader.
        server.start_again(runtime, &Exchange::put("/ready", "yes"));
        server.pause();
        server
    }

    /// Starts it with its data, and returns the time from exec to the correct response.
    pub fn start_again(&mut self, runtime: &Runtime, exchange: &Exchange) -> Duration {
        assert!(self.proc.is_none(), "it runs already");
        self.starts += 1;
        let mut command = self.command();
        let start = Instant::now();
        self.proc = Some(Proc::spawn(&mut command));
        let address = self.address();
        loop {
            let answered = runtime.block_on(async {
                let mut client_conn = ClientConn::open(&address).await.ok()?;
                tokio::time::timeout(EXCHANGE_TIMEOUT, client_conn.ask(&exchange.request))
                    .await
                    .ok()?
                    .ok()?;
                exchange.error_of(&client_conn.answer).is_none().then_some(())
            });
            if answered.is_some() {
                return start.elapsed();
            }
            let ended = self.proc.as_mut().expect("just started").ended();
            assert!(ended.is_none(), "{} ended at once: {ended:?}", self.kind.name());
            assert!(start.elapsed() < EXCHANGE_TIMEOUT, "{} does not serve", self.kind.name());
            sleep(POLL_INTERVAL);
        }
    }

    fn command(&self) -> Command {
        let (client, peer) =
            (format!("http://{}", self.address()), format!("http://{}", self.peer.address()));
        let mut command = self.kind.command();
        // Variables for servers of this machine must not affect these.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["RETUNE_", "ETCD", "NOTIFY_SOCKET"].iter().any(|start| text.starts_with(start)) {
                command.env_remove(&name);
            }
        }
        command
            .args(["--name", "one", "--data-dir"])
            .arg(self.folder.path().join("data"))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("one={peer}")])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(self.log_file()).unwrap());
        command
    }

    /// Ends it with a signal.
    pub fn end(&mut self, signal: Signal) {
        let mut proc = self.proc.take().expect("it runs");
        proc.signal(signal);
        assert!(proc.wait(EXCHANGE_TIMEOUT).is_some(), "{} is deaf to {signal}", self.kind.name());
    }

    /// Stops it (SIGSTOP).
    pub fn pause(&self) {
        self.running().signal(Signal::SIGSTOP);
    }

    /// Resumes it.
    pub fn resume(&self) {
        self.running().signal(Signal::SIGCONT);
        sleep(SETTLE_DELAY);
    }

    /// Returns the CPU milliseconds it has used.
    pub fn cpu_ms(&self) -> f64 {
        machine::cpu_ms(self.running().pid())
    }

    /// Returns its resident memory, MB.
    pub fn resident(&self) -> f64 {
        machine::memory(self.running().pid()).resident
    }

    /// Returns `127.0.0.1:port` for clients.
    pub fn address(&self) -> String {
        self.client.address()
    }

    fn running(&self) -> &Proc {
        self.proc.as_ref().expect("it runs")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join(format!("log.{}", self.starts))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read(self.log_file()).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let lines: Vec<_> = log.lines().collect();
            eprintln!(
                "--- {}'s log\n{}",
                self.kind.name(),
                lines[lines.len().saturating_sub(30)..].join("\n")
            );
        }
    }
}
