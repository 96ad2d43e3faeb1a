//! One member as a child process, with its own ports and folder: `retune store`, or etcd for comparison.
//!
//! Alone it is its own cluster; with a [`MemberSlot`] it is one of several.

use std::fs::{self, File, OpenOptions};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::wire::Wire;
use crate::support::port::Port;
use crate::support::proc::Proc;
use crate::support::programs::need_program;
use crate::support::skips::Permitted;
use crate::support::{WAIT_TIMEOUT, scaled};

/// Which program is the member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Retune,
    Etcd,
}

/// Returns the path of `retune`; `RETUNE_TEST_PROGRAM` is another build of it.
pub fn retune() -> String {
    std::env::var("RETUNE_TEST_PROGRAM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_retune").to_owned())
}

/// Returns the program under test; `None` when etcd is requested and missing.
pub fn program() -> Option<Program> {
    match std::env::var("RETUNE_TEST_STORE").as_deref() {
        Ok("etcd") => need_program("etcd").then_some(Program::Etcd),
        _ => Some(Program::Retune),
    }
}

/// The addresses of a member, and what it knows of the others. Addresses are `host:port`.
#[derive(Clone, Debug)]
pub struct MemberSlot {
    pub name: String,
    /// Where it listens for clients.
    pub client: String,
    /// Where it listens for other members.
    pub peer: String,
    /// The address that it advertises to other members.
    pub advertised: String,
    /// `--initial-cluster`.
    pub cluster: String,
    /// `http` or `https`, between members.
    pub scheme: &'static str,
}

/// A member, running or not.
#[derive(Debug)]
pub struct Member {
    pub program: Program,
    pub slot: MemberSlot,
    root: TempDir,
    /// Reserved for as long as it may be started again.
    _ports: Vec<Port>,
    words: Vec<String>,
    /// A command prefix, such as a tracer.
    wrapper: Vec<String>,
    env: Vec<(String, String)>,
    proc: Option<Proc>,
}

impl Member {
    /// Makes a member with an empty folder that is not running.
    pub fn new(words: &[&str]) -> Option<Self> {
        let program = program()?;
        let ports = vec![Port::claim(), Port::claim()];
        let (client, peer) = (ports[0].address(), ports[1].address());
        let (name, advertised, cluster) = ("one".to_owned(), peer.clone(), format!("one=http://{peer}"));
        let slot = MemberSlot { name, client, peer, advertised, cluster, scheme: "http" };
        let mut member = Self::in_slot(program, slot, ports);
        member.set_flags(words);
        Some(member)
    }

    /// Makes one of several, which holds these ports.
    pub fn in_slot(program: Program, slot: MemberSlot, ports: Vec<Port>) -> Self {
        let root = tempfile::Builder::new().prefix("retune-member-").tempdir().unwrap();
        let (words, wrapper, env) = (Vec::new(), Vec::new(), Vec::new());
        Self { program, slot, root, _ports: ports, words, wrapper, env, proc: None }
    }

    /// As `new`, for tests that only apply to this program.
    pub fn of_ours(words: &[&str]) -> Option<Self> {
        let member = Self::new(words)?;
        if member.program == Program::Etcd {
            Permitted::Control.skip();
            return None;
        }
        Some(member)
    }

    /// Sets the extra flags from the next start on.
    pub fn set_flags(&mut self, words: &[&str]) {
        self.words = words.iter().map(|word| (*word).to_owned()).collect();
    }

    /// Runs the member under another program from the next start on.
    pub fn under(&mut self, wrapper: &[&str]) {
        self.wrapper = wrapper.iter().map(|word| (*word).to_owned()).collect();
    }

    /// Sets one more environment variable from the next start on.
    pub fn env(&mut self, name: &str, value: &str) {
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// Returns a path in the folder that is removed with this member.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Returns the data folder.
    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Returns `127.0.0.1:port` for clients.
    pub fn address(&self) -> String {
        self.slot.client.clone()
    }

    /// Returns a connection.
    pub fn wire(&self) -> Wire {
        Wire::to(&self.address())
    }

    /// Starts it and returns at once.
    pub fn spawn(&mut self) {
        assert!(self.proc.is_none(), "it runs already");
        let MemberSlot { name, client, peer, advertised, cluster, scheme } = &self.slot;
        let (client, peer) = (format!("http://{client}"), format!("{scheme}://{peer}"));
        let log = OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let own: &[&str] = match self.program {
            Program::Retune => &[&retune(), "store"],
            Program::Etcd => &["etcd", "--enable-v2", "--logger", "zap", "--log-level", "error"],
        };
        let mut line = self.wrapper.iter().map(String::as_str).chain(own.iter().copied());
        let mut command = Command::new(line.next().expect("a program"));
        for (name, _) in std::env::vars_os() {
            if [b"ETCD".as_slice(), b"RETUNE", b"NOTIFY_SOCKET"]
                .iter()
                .any(|mine| name.as_bytes().starts_with(mine))
            {
                command.env_remove(name);
            }
        }
        command
            .args(line)
            .args(["--name", name, "--data-dir"])
            .arg(self.data())
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer])
            .args(["--initial-advertise-peer-urls", &format!("{scheme}://{advertised}")])
            .args(["--initial-cluster", cluster])
            .args(&self.words)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.root.path())
            .stdin(Stdio::null())
            .stdout(File::create(self.path("stdout")).unwrap())
            .stderr(log);
        self.proc = Some(Proc::spawn(&mut command));
    }

    /// Starts it and waits until it serves.
    #[track_caller]
    pub fn start(&mut self) {
        self.spawn();
        if let Err(why) = self.until_serving(WAIT_TIMEOUT) {
            panic!("{why}\n--- log\n{}", self.log_tail());
        }
    }

    /// Waits until it serves; returns an error when it ended or the time is over.
    pub fn until_serving(&mut self, limit: Duration) -> Result<(), String> {
        let (start, limit) = (Instant::now(), scaled(limit));
        let mut wire = self.wire();
        loop {
            if wire.get("/health").is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            if let Some(code) = self.ended() {
                return Err(format!("it ended with {code}"));
            }
            if start.elapsed() > limit {
                return Err(format!("it did not serve within {limit:?}"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Returns the exit code, or 128 + the signal, if it has ended on its own.
    pub fn ended(&mut self) -> Option<i32> {
        self.proc.as_mut().and_then(|proc| proc.ended().map(|_| proc.wait(WAIT_TIMEOUT).unwrap_or(-1)))
    }

    /// Returns whether it was started and has not ended.
    pub fn is_running(&mut self) -> bool {
        self.proc.is_some() && self.ended().is_none()
    }

    /// Waits for its end.
    pub fn wait(&mut self, limit: Duration) -> Option<i32> {
        let code = self.proc.as_mut().expect("it runs").wait(limit);
        if code.is_some() {
            self.proc = None;
        }
        code
    }

    /// Kills it, as a power cut would: without clean-up.
    pub fn kill(&mut self) {
        // Dropping kills and waits.
        self.proc = None;
    }

    /// Stops it cleanly.
    #[track_caller]
    pub fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        assert!(self.wait(WAIT_TIMEOUT).is_some(), "SIGTERM does not end it\n{}", self.log_tail());
    }

    /// Sends a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        self.proc.as_ref().expect("it runs").signal(signal);
    }

    /// Returns its process id, or that of the wrapper.
    pub fn pid(&self) -> u32 {
        self.proc.as_ref().expect("it runs").pid()
    }

    /// Returns everything logged since `new`.
    pub fn log(&self) -> String {
        let mut bytes = Vec::new();
        File::open(self.path("log")).and_then(|mut file| file.read_to_end(&mut bytes)).ok();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Returns the end of the log, for a failing test.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Drops what was logged so far.
    pub fn clear_log(&self) {
        fs::write(self.path("log"), "").ok();
    }

    /// Returns a figure in kilobytes from `/proc/PID/status`, such as `VmRSS`.
    pub fn memory(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

/// Copies a folder with all its content.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
