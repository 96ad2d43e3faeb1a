//! How a service loads a new file: a command or a signal, run once for all files that need it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};

use super::command_text::{self, CommandPaths, DEST, SRC, names_paths};
use super::log_text::one_line;
use super::pid_file;
use super::resource::{Reload, Resource};
use crate::command::{Command, CommandOutcome, Program, Status};

/// A reload with everything filled in. Resources with equal actions share one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ReloadAction {
    Command {
        program: Program,
        /// The paths, where the command names them; otherwise all files share one run.
        env: Vec<(String, OsString)>,
        timeout: Duration,
    },
    Signal {
        signal: Signal,
        pid_file: PathBuf,
    },
}

impl ReloadAction {
    /// Returns the reload of one destination, if its resource has one.
    pub(super) fn of(resource: &Resource, dest: &Path) -> Result<Option<Self>, String> {
        Ok(match &resource.reload {
            None => None,
            Some(Reload::Command { program, timeout, literal }) => {
                // After the swap the staged file is the destination.
                let paths = CommandPaths { src: dest, dest };
                let env = if names_paths(program) { paths.env() } else { Vec::new() };
                let program = if *literal { program.clone() } else { command_text::fill(program, paths)? };
                Some(Self::Command { program, env, timeout: *timeout })
            }
            Some(Reload::Signal { signal, pid_file }) => {
                Some(Self::Signal { signal: *signal, pid_file: pid_file.clone() })
            }
        })
    }

    /// Returns the identity of the reload, the same in this run and the next.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Command { program, env, .. } => {
                let text = program.to_string();
                // With the path in a variable, the text is the same for every file.
                let dest = env.iter().find(|_| [SRC, DEST].iter().any(|name| text.contains(name)));
                match dest {
                    Some((_, dest)) => format!("command {text} # {}", dest.display()),
                    None => format!("command {text}"),
                }
            }
            Self::Signal { signal, pid_file } => format!("signal {signal} {}", pid_file.display()),
        }
    }

    /// Returns the reload as logs show it.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Command { program, .. } => one_line(&program.to_string()),
            Self::Signal { signal, pid_file } => format!("{signal} to the process in {}", pid_file.display()),
        }
    }

    /// Runs the reload. The error says what failed, with the command's output.
    pub(super) async fn run(&self) -> Result<(), String> {
        match self {
            Self::Command { program, env, timeout } => run_command(program, env, *timeout).await,
            Self::Signal { signal, pid_file } => {
                let pid = pid_file::read(pid_file)?;
                kill(pid, *signal).map_err(|error| format!("cannot send {signal} to {pid}: {error}"))
            }
        }
    }
}

/// Runs one command until it ends or reaches its limit, with `env` added to its environment.
pub(super) async fn run_command(
    program: &Program,
    env: &[(String, OsString)],
    timeout: Duration,
) -> Result<(), String> {
    let command = Command { program: program.clone(), env: env.to_vec(), timeout, dir: None };
    let line = one_line(&program.to_string());
    tracing::debug!("Running {line}");
    let outcome = command.run().await;
    if outcome.success() {
        if !outcome.output.trim().is_empty() {
            // Its output may contain a secret; for a success the size is enough.
            tracing::debug!("{line} printed {} bytes", outcome.output.len());
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
