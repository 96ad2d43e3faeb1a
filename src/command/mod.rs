//! Runs a command with a time limit, in its own process group.
//!
//! Owns: starting shell text (`/bin/sh -c`) or a program with its arguments, collecting its output, ending it at its
//! limit or when the caller cancels it.
//! Promises: a command still running at the limit is ended together with its whole group: SIGTERM, a short grace,
//! SIGKILL. Output is bounded and always drained, so a talkative command never blocks on its pipe. No zombie stays
//! behind. Dropping the future of a run kills the group at once. A password of this program in the environment is not
//! passed on.
//!
//! The limit applies to the process that is started. When it exits in time, its background processes stay alive, because some
//! services are started with `daemon &`. Their output is read for at most one more second; then the pipe is closed and
//! a background process that still writes to it gets SIGPIPE, so it should redirect its output. For example,
//! `sleep 5 & echo done` with a limit of one second is a success after one second.
//!
//! Leaves out: processes that leave the group (`setsid`), which no group signal reaches.

mod capture;
mod group;
mod lint;
mod program;

use std::ffi::OsString;
use std::fmt::{self, Display};
use std::future::{Future, pending};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout};

use capture::Capture;
use group::Group;
pub use lint::lint;
pub use program::Program;
use program::is_secret;

/// How long a group has to end between SIGTERM and SIGKILL.
const KILL_DELAY: Duration = Duration::from_secs(2);
/// How long to read the output of background processes after the command has finished.
const OUTPUT_DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// How long to wait for a killed process to end; one stuck in the kernel is reaped later.
const REAP_TIMEOUT: Duration = Duration::from_secs(5);

/// A command with its limits.
#[derive(Clone, Debug)]
pub struct Command {
    /// What is run.
    pub program: Program,
    /// Added to the environment of this process.
    pub env: Vec<(String, OsString)>,
    /// How long it may run. Zero means no time at all, not "no limit".
    pub timeout: Duration,
    /// The working folder; `None` is that of this process.
    pub dir: Option<PathBuf>,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It exited with this code.
    Exited(i32),
    /// A signal ended it.
    Signalled(i32),
    /// It was still running at its limit; the group was killed.
    TimedOut,
    /// It never ran, for this reason.
    NotStarted(String),
    /// The caller cancelled it; the group was killed.
    Cancelled,
}

impl Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited with {code}"),
            Self::Signalled(signal) => write!(f, "was ended by signal {signal}"),
            Self::TimedOut => f.write_str("was still running at its time limit and was killed"),
            Self::NotStarted(why) => write!(f, "could not be started: {why}"),
            Self::Cancelled => f.write_str("was killed because retune is stopping"),
        }
    }
}

/// The result of a run.
#[derive(Clone, Debug)]
pub struct CommandOutcome {
    /// How it ended.
    pub status: Status,
    /// What it wrote to stdout and stderr, in order; invalid UTF-8 is replaced. Long output keeps its beginning and
    /// end, with the number of bytes cut between.
    pub output: String,
    /// Whether the output is incomplete.
    pub truncated: bool,
    /// From start to the last byte read.
    pub took: Duration,
}

impl CommandOutcome {
    /// Returns whether it exited with 0 in time.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status == Status::Exited(0)
    }
}

impl Command {
    /// Runs the command to its end or its limit. Dropping the future kills the whole group with SIGKILL. Needs a tokio
    /// runtime with IO and time.
    pub async fn run(&self) -> CommandOutcome {
        self.run_until(pending()).await
    }

    /// Like [`Command::run`], but when `cancel` completes first, the group is ended as at the limit (SIGTERM, grace,
    /// SIGKILL) and the status is [`Status::Cancelled`].
    pub async fn run_until(&self, cancel: impl Future<Output = ()>) -> CommandOutcome {
        self.supervise(cancel, false).await
    }

    /// Like [`Command::run`], but when the future is dropped the command runs to its own end, without a limit and
    /// without a reader for its output.
    pub async fn run_left_alone(&self) -> CommandOutcome {
        self.supervise(pending(), true).await
    }

    async fn supervise(&self, cancel: impl Future<Output = ()>, leave_when_dropped: bool) -> CommandOutcome {
        let begun = Instant::now();
        let mut capture = Capture::default();
        let status = match self.spawn() {
            // The group is declared last, so that it is dropped first: it is killed before its leader can be reaped.
            Ok((mut child, mut pipe)) => match Group::of(&child, leave_when_dropped) {
                Ok(mut group) => {
                    self.follow(&mut child, &mut group, &mut pipe, &mut capture, pin!(cancel)).await
                }
                Err(why) => Status::NotStarted(why),
            },
            Err(error) => Status::NotStarted(self.explain(&error)),
        };
        let (output, truncated) = capture.finish();
        CommandOutcome { status, output, truncated, took: begun.elapsed() }
    }

    fn spawn(&self) -> io::Result<(Child, Receiver)> {
        let (reader, writer) = io::pipe()?;
        let mut command = self.program.command();
        command.stdin(Stdio::null()).process_group(0);
        for (name, _) in std::env::vars_os().filter(|(name, value)| is_secret(name, value)) {
            command.env_remove(name);
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        // One pipe for both, to keep the order of the two streams.
        command.stdout(writer.try_clone()?).stderr(writer);
        let pipe = Receiver::from_owned_fd(OwnedFd::from(reader))?;
        let child = command.spawn()?;
        // Dropping `command` closes our copies of the write end; otherwise the pipe would never end.
        Ok((child, pipe))
    }

    fn explain(&self, error: &io::Error) -> String {
        match &self.dir {
            Some(dir) if !dir.is_dir() => format!("{} is not a folder to run it in", dir.display()),
            _ => format!("{}: {error}", self.program.file().display()),
        }
    }

    async fn follow(
        &self,
        child: &mut Child,
        group: &mut Group,
        pipe: &mut Receiver,
        capture: &mut Capture,
        mut cancel: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) -> Status {
        let limit = sleep(self.timeout);
        let mut limit = pin!(limit);
        let mut open = true;
        let reason = loop {
            tokio::select! {
                exit = child.wait() => {
                    // Reaped: the number may now belong to another process.
                    group.disarm();
                    if open {
                        read_to_end(pipe, capture, OUTPUT_DRAIN_TIMEOUT).await;
                    }
                    return from_exit(exit);
                }
                () = &mut limit => break Status::TimedOut,
                () = &mut cancel => break Status::Cancelled,
                more = read_some(pipe, capture), if open => open = more,
            }
        };
        end_group(child, group, pipe, capture, open).await;
        reason
    }
}

/// Sends SIGTERM, waits, sends SIGKILL. The leader is not reaped before the SIGKILL: while it exists, even as a
/// zombie, no other group can get its number.
async fn end_group(
    child: &mut Child,
    group: &mut Group,
    pipe: &mut Receiver,
    capture: &mut Capture,
    mut open: bool,
) {
    group.terminate();
    let grace = sleep(KILL_DELAY);
    let mut grace = pin!(grace);
    // Once the leader is gone and the pipe closed, no member is known to be left: the grace may end early.
    while open || !group.leader_has_exited() {
        tokio::select! {
            () = &mut grace => break,
            more = read_some(pipe, capture), if open => open = more,
            () = sleep(Duration::from_millis(10)) => {}
        }
    }
    group.kill();
    let reaped = timeout(REAP_TIMEOUT, child.wait()).await;
    if open {
        read_to_end(pipe, capture, Duration::from_millis(100)).await;
    }
    group.disarm();
    if reaped.is_err() {
        tracing::warn!(pid = child.id(), "a killed command is still stuck in the kernel");
    }
}

fn from_exit(exit: io::Result<ExitStatus>) -> Status {
    use std::os::unix::process::ExitStatusExt;
    match exit {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => Status::Exited(code),
            (None, Some(signal)) => Status::Signalled(signal),
            (None, None) => Status::NotStarted(format!("ended in an unknown way: {status}")),
        },
        Err(error) => Status::NotStarted(format!("cannot wait for its end: {error}")),
    }
}

/// Reads once; returns `false` at the end.
async fn read_some(pipe: &mut Receiver, capture: &mut Capture) -> bool {
    let mut buffer = [0; 4096];
    match pipe.read(&mut buffer).await {
        Ok(0) | Err(_) => false,
        Ok(count) => {
            capture.push(&buffer[..count]);
            true
        }
    }
}

async fn read_to_end(pipe: &mut Receiver, capture: &mut Capture, limit: Duration) {
    let all = async { while read_some(pipe, capture).await {} };
    // A timeout is expected here when a background process holds the pipe open.
    timeout(limit, all).await.unwrap_or_default();
}

#[cfg(test)]
mod tests;
