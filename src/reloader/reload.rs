//! How a service loads a new file: a command or a signal, run once for all files that need it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::log_text::one_line;
use super::resource::{Reload, Resource};
use crate::command::{Command, CommandOutcome, Status};
use crate::template::expand_command;

/// A reload with everything filled in. Resources with equal actions share one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ReloadAction {
    Command { line: String, timeout: Duration },
    Signal { signal: Signal, pid_file: PathBuf },
}

impl ReloadAction {
    /// Returns the reload of one destination, if its resource has one.
    pub(super) fn of(resource: &Resource, dest: &Path) -> Result<Option<Self>, String> {
        Ok(match &resource.reload {
            None => None,
            Some(Reload::Command { line, timeout, literal }) => {
                let dest = dest.to_string_lossy();
                // After the swap the staged file is the destination.
                let line = if *literal { line.clone() } else { expand_command(line, &dest, &dest)? };
                Some(Self::Command { line, timeout: *timeout })
            }
            Some(Reload::Signal { signal, pid_file }) => {
                Some(Self::Signal { signal: *signal, pid_file: pid_file.clone() })
            }
        })
    }

    /// Returns the identity of the reload, the same in this run and the next.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Command { line, .. } => format!("command {line}"),
            Self::Signal { signal, pid_file } => format!("signal {signal} {}", pid_file.display()),
        }
    }

    /// Returns the reload as logs show it.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Command { line, .. } => one_line(line),
            Self::Signal { signal, pid_file } => format!("{signal} to the process in {}", pid_file.display()),
        }
    }

    /// Runs the reload. The error says what failed, with the command's output.
    pub(super) async fn run(&self) -> Result<(), String> {
        match self {
            Self::Command { line, timeout } => run_command(line, &[], *timeout).await,
            Self::Signal { signal, pid_file } => {
                let text = fs::read_to_string(pid_file)
                    .map_err(|error| format!("cannot read {}: {error}", pid_file.display()))?;
                let pid = text.trim().parse().ok().filter(|pid| *pid > 1).ok_or_else(|| {
                    format!("{} contains {:?}, not a process id", pid_file.display(), text.trim())
                })?;
                kill(Pid::from_raw(pid), *signal)
                    .map_err(|error| format!("cannot send {signal} to {pid}: {error}"))
            }
        }
    }
}

/// Runs one shell command until it ends or reaches its limit, with `env` added to its environment.
pub(super) async fn run_command(
    line: &str,
    env: &[(String, String)],
    timeout: Duration,
) -> Result<(), String> {
    let command = Command { line: line.to_owned(), env: env.to_vec(), timeout, dir: None };
    tracing::debug!("Running {}", one_line(line));
    let outcome = command.run().await;
    if outcome.success() {
        if !outcome.output.trim().is_empty() {
            // Its output may contain a secret; for a success the size is enough.
            tracing::debug!("{} printed {} bytes", one_line(line), outcome.output.len());
        }
        return Ok(());
    }
    Err(explain(&outcome, timeout))
}

fn explain(outcome: &CommandOutcome, timeout: Duration) -> String {
    let what = match &outcome.status {
        Status::Exited(code) => format!("exit status {code}"),
        Status::Signalled(signal) => format!("killed by signal {signal}"),
        Status::TimedOut => {
            format!("still running after its limit of {timeout:?}; its process group was killed")
        }
        Status::NotStarted(why) => format!("could not be started: {why}"),
        Status::Cancelled => "cut off because this process stops".to_owned(),
    };
    match outcome.output.trim() {
        "" => what,
        output => format!("{what}\n{output}"),
    }
}
