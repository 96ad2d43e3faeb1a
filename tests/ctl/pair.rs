//! Two stores in parallel: one for Debian's etcdctl, one for ours.

use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::cases::CaseLine;
use crate::support::http::get;
use crate::support::programs::need_program;
use crate::support::{Dir, Etcd, Store, WAIT_TIMEOUT, eventually, scaled};

/// The kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// A real etcd.
    Etcd,
    /// A member of `retune store`.
    Store,
}

/// A running store.
pub enum Server {
    /// A real etcd.
    Etcd(Etcd),
    /// A member of `retune store`.
    Store(Store),
}

impl Server {
    /// Starts a new one; returns `None` where its program is missing.
    pub fn start(kind: StoreKind) -> Option<Self> {
        match kind {
            StoreKind::Etcd => Etcd::start().map(Self::Etcd),
            StoreKind::Store => Some(Self::Store(published(Store::start()))),
        }
    }

    /// Returns the URL for clients.
    pub fn url(&self) -> String {
        match self {
            Self::Etcd(etcd) => etcd.url(),
            Self::Store(store) => store.url(),
        }
    }

    /// Returns the name of its only member.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Etcd(_) => "one",
            Self::Store(_) => "a",
        }
    }

    /// Returns `host:port` for clients.
    pub fn address(&self) -> String {
        match self {
            Self::Etcd(etcd) => etcd.address(),
            Self::Store(store) => store.address(),
        }
    }
}

/// Waits until the store publishes its client URL, a moment after it responds.
pub fn published(store: Store) -> Store {
    eventually("the store has published its address", WAIT_TIMEOUT, || {
        get(&store.address(), "/v2/members").is_some_and(|members| members.contains(&store.url()))
    });
    store
}

/// The outcome of a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The results.
    pub stdout: String,
    /// The error messages.
    pub stderr: String,
    /// The exit code, or 128 + the signal.
    pub code: i32,
}

/// A program and its store.
pub struct Side {
    program: PathBuf,
    /// The store.
    pub server: Server,
}

impl Side {
    /// Returns Debian's etcdctl with a new store.
    pub fn theirs(kind: StoreKind) -> Option<Self> {
        if !need_program("etcdctl") {
            return None;
        }
        Some(Self { program: "etcdctl".into(), server: Server::start(kind)? })
    }

    /// Returns ours, called `etcdctl`, with a new store.
    pub fn ours(dir: &Dir, kind: StoreKind) -> Option<Self> {
        let program = dir.path("bin").join("etcdctl");
        if !program.is_symlink() {
            symlink(env!("CARGO_BIN_EXE_retune"), &program).unwrap();
        }
        Some(Self { program, server: Server::start(kind)? })
    }

    /// Runs one line. `@URL@` and `@ADDRESS@` in a word stand for the store's.
    pub fn run(&self, dir: &Dir, line: &CaseLine) -> Outcome {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ETCD") || name.to_string_lossy().starts_with("RETUNE_") {
                command.env_remove(name);
            }
        }
        let filled = |word: &str| {
            word.replace("@URL@", &self.server.url()).replace("@ADDRESS@", &self.server.address())
        };
        command
            .env("ETCDCTL_API", "2")
            .current_dir(dir.path(""))
            .args(line.words.iter().map(|word| filled(word)));
        if !line.bare {
            command.env("ETCDCTL_ENDPOINTS", self.server.url());
        }
        command.envs(line.env.iter().map(|(name, value)| (*name, filled(value))));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A program that does not read stdin may have exited already.
        child.stdin.take().unwrap().write_all(line.stdin).ok();
        if let Some(after) = line.interrupt {
            std::thread::sleep(scaled(after));
            kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).ok();
        }
        let output = child.wait_with_output().unwrap();
        let signal = std::os::unix::process::ExitStatusExt::signal(&output.status).unwrap_or(0);
        Outcome {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code().unwrap_or(128 + signal),
        }
    }
}

/// Long enough for a watch to receive past events.
pub const WATCH_START_DELAY: Duration = Duration::from_millis(400);
