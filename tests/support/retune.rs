//! The program under test: run once, or as a daemon.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::proc::Proc;
use super::{Dir, Etcd, WAIT_TIMEOUT, eventually, scaled};

/// A command line.
pub struct Retune<'d> {
    dir: &'d Dir,
    program: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    bare_env: bool,
    limit: Duration,
    streams: (Option<OwnedFd>, Option<OwnedFd>),
}

impl<'d> Retune<'d> {
    /// Returns `retune` with these arguments only; `RETUNE_TEST_PROGRAM` is another build of it.
    pub fn new(dir: &'d Dir, args: &[&str]) -> Self {
        let other = std::env::var_os("RETUNE_TEST_PROGRAM");
        let program = PathBuf::from(other.unwrap_or_else(|| env!("CARGO_BIN_EXE_retune").into()));
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Self {
            dir,
            program,
            args,
            env: Vec::new(),
            bare_env: false,
            limit: Duration::from_secs(20),
            streams: (None, None),
        }
    }

    /// Returns `retune render` on the test's confdir and state folder.
    pub fn render(dir: &'d Dir) -> Self {
        Self::new(dir, &["render", "--confdir", &dir.confdir(), "--state-dir", &dir.text_path("state")])
    }

    /// Returns `retune watch` on the test's confdir and state folder.
    pub fn watch(dir: &'d Dir) -> Self {
        Self::new(dir, &["watch", "--confdir", &dir.confdir(), "--state-dir", &dir.text_path("state")])
    }

    /// Returns `retune diff` on the test's confdir.
    pub fn diff(dir: &'d Dir) -> Self {
        Self::new(dir, &["diff", "--confdir", &dir.confdir()])
    }

    /// Returns `retune check` on the test's confdir.
    pub fn check(dir: &'d Dir) -> Self {
        Self::new(dir, &["check", "--confdir", &dir.confdir()])
    }

    /// Returns the program through a symlink of another name, with these arguments only.
    pub fn called(dir: &'d Dir, name: &str, args: &[&str]) -> Self {
        let link = dir.path("bin").join(name);
        if !link.is_symlink() {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_retune"), &link).unwrap();
        }
        Self { program: link, ..Self::new(dir, args) }
    }

    /// Adds arguments.
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// Takes values from a file of the test's folder.
    pub fn file(self, name: &str) -> Self {
        let path = self.dir.text_path(name);
        self.args(&["--backend", "file", "--file", &path])
    }

    /// Takes values from etcd's v2 API.
    pub fn etcd(self, etcd: &Etcd) -> Self {
        self.node("etcd", &etcd.url())
    }

    /// Takes values from etcd's v3 API.
    pub fn etcdv3(self, etcd: &Etcd) -> Self {
        self.node("etcdv3", &etcd.url())
    }

    /// Takes values from a store at this URL.
    pub fn node(self, backend: &str, url: &str) -> Self {
        self.args(&["--backend", backend, "--node", url])
    }

    /// Runs it under another program, such as `ip netns exec NAME`.
    pub fn under(mut self, words: &[String]) -> Self {
        let own = std::mem::replace(&mut self.program, PathBuf::from(&words[0]));
        let before: Vec<String> = words[1..].iter().cloned().chain([own.display().to_string()]).collect();
        self.args.splice(0..0, before);
        self
    }

    /// Adds an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Clears the environment except `PATH` and what `env` added: for the environment as a source.
    pub fn bare_env(mut self) -> Self {
        self.bare_env = true;
        self
    }

    /// Sends results here instead of to a file.
    pub fn stdout_to(mut self, stdout: impl Into<OwnedFd>) -> Self {
        self.streams.0 = Some(stdout.into());
        self
    }

    /// Sends logs here instead of to a file.
    pub fn stderr_to(mut self, stderr: impl Into<OwnedFd>) -> Self {
        self.streams.1 = Some(stderr.into());
        self
    }

    /// Sets how long `run` waits before the program counts as hung.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs to the end. Output goes to files: a pipe would wait for a command's background children.
    #[track_caller]
    pub fn run(self) -> FinishedRun {
        let start = Instant::now();
        let limit = self.limit;
        let mut daemon = self.start();
        let code = daemon.proc.wait(limit);
        let done = FinishedRun {
            code: code.unwrap_or(-1),
            stdout: daemon.stdout(),
            stderr: daemon.log(),
            elapsed: start.elapsed(),
            transcript: daemon.describe(),
        };
        daemon.told = true;
        assert!(code.is_some(), "still running after {:?}\n{}", scaled(limit), done.transcript);
        done
    }

    /// Starts a daemon.
    pub fn spawn(self) -> Daemon<'d> {
        self.start()
    }

    fn start(self) -> Daemon<'d> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let stdout = self.dir.path(&format!("log/{number}.stdout"));
        let stderr = self.dir.path(&format!("log/{number}.stderr"));
        let mut command = Command::new(&self.program);
        if self.bare_env {
            command.env_clear().env("PATH", std::env::var("PATH").unwrap_or_default());
        }
        // Variables of a developer's shell must not affect a test.
        for (name, _) in std::env::vars_os() {
            let name_text = name.to_string_lossy();
            if ["RETUNE_", "CONFD_", "ETCD", "NOTIFY_SOCKET"].iter().any(|mine| name_text.starts_with(mine)) {
                command.env_remove(&name);
            }
        }
        command.args(&self.args).envs(self.env).current_dir(self.dir.path("")).stdin(Stdio::null());
        let file =
            |stream: Option<OwnedFd>, path| stream.unwrap_or_else(|| File::create(path).unwrap().into());
        command.stdout(file(self.streams.0, &stdout)).stderr(file(self.streams.1, &stderr));
        let line = format!("{command:?}");
        Daemon { proc: Proc::spawn(&mut command), dir: self.dir, line, stdout, stderr, told: false }
    }
}

/// The result of a finished run.
#[derive(Debug)]
pub struct FinishedRun {
    /// The exit code, or 128 + the signal.
    pub code: i32,
    /// The results.
    pub stdout: String,
    /// The logs.
    pub stderr: String,
    /// How long it took.
    pub elapsed: Duration,
    transcript: String,
}

impl FinishedRun {
    /// Asserts this exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "wrong exit code\n{}", self.transcript);
        self
    }

    /// Asserts that the log contains this.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "the log does not say {text:?}\n{}", self.transcript);
        self
    }

    /// Asserts that the log does not contain this.
    #[track_caller]
    pub fn does_not_say(self, text: &str) -> Self {
        assert!(!self.stderr.contains(text), "the log says {text:?}\n{}", self.transcript);
        self
    }

    /// Asserts that the result contains this.
    #[track_caller]
    pub fn prints(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "the output lacks {text:?}\n{}", self.transcript);
        self
    }

    /// Asserts that it took less than this.
    #[track_caller]
    pub fn within(self, limit: Duration) -> Self {
        assert!(
            self.elapsed < scaled(limit),
            "took {:?}, allowed {limit:?}\n{}",
            self.elapsed,
            self.transcript
        );
        self
    }
}

/// A running program; killed when dropped, and its log is shown when the test fails.
pub struct Daemon<'d> {
    proc: Proc,
    dir: &'d Dir,
    line: String,
    stdout: PathBuf,
    stderr: PathBuf,
    told: bool,
}

impl Daemon<'_> {
    /// Returns everything logged so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stderr).unwrap_or_default()).into_owned()
    }

    /// Returns everything printed so far.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stdout).unwrap_or_default()).into_owned()
    }

    /// Returns its process id.
    pub fn pid(&self) -> u32 {
        self.proc.pid()
    }

    /// Sends a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        self.proc.signal(signal);
    }

    /// Returns whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.proc.ended().is_none()
    }

    /// Waits for the log to contain this.
    #[track_caller]
    pub fn eventually_says(&self, text: &str) {
        eventually(&format!("the log says {text:?}"), WAIT_TIMEOUT, || self.log().contains(text));
    }

    /// Waits for the end: returns the exit code, or 128 + the signal; `None` past the limit.
    pub fn wait_exit(&mut self, limit: Duration) -> Option<i32> {
        self.proc.wait(limit)
    }

    /// Ends it as a service manager does; it must exit with code 0.
    #[track_caller]
    pub fn terminate(mut self) {
        self.signal(Signal::SIGTERM);
        assert_eq!(self.wait_exit(WAIT_TIMEOUT), Some(0), "SIGTERM must end it with 0");
    }

    /// Ends it as a power cut does.
    #[track_caller]
    pub fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        assert_eq!(self.wait_exit(WAIT_TIMEOUT), Some(137));
    }

    fn describe(&self) -> String {
        let (line, out, log) = (&self.line, self.stdout(), self.log());
        let tail = |text: &str| {
            text.lines().rev().take(80).collect::<Vec<_>>().into_iter().rev().fold(
                String::new(),
                |mut text, line| {
                    text.extend(line.chars().take(400));
                    text.push('\n');
                    text
                },
            )
        };
        format!(
            "--- command\n{line}\n--- stdout\n{}--- stderr\n{}--- files\n{}",
            tail(&out),
            tail(&log),
            self.dir.listing()
        )
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() && !self.told {
            eprintln!("{}", self.describe());
        }
    }
}
