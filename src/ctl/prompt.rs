//! Prompts for input that is not echoed.

use std::io::{BufRead as _, IsTerminal as _, Read as _};
use std::os::fd::AsFd as _;

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

use super::error::CommandError;
use super::print;

/// The longest accepted input.
const MAX_INPUT_BYTES: u64 = 4096;
/// The exit code of a program that was interrupted.
const EXIT_INTERRUPTED: u8 = 130;

/// Prompts for a line: without echo on a terminal, otherwise the next line of stdin. An interrupt ends the command, and
/// restores the terminal.
pub(super) async fn secret(question: &str) -> Result<String, CommandError> {
    print::out(question);
    let quiet = EchoGuard::begin();
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().take(MAX_INPUT_BYTES).read_line(&mut line).map(|_| line)
    });
    let line = tokio::select! {
        line = read => line,
        // Without a handler an interrupt would end the process with the echo still off.
        Ok(()) = tokio::signal::ctrl_c() => {
            drop(quiet);
            return Err(CommandError { code: EXIT_INTERRUPTED, message: "\n".to_owned() });
        }
    };
    drop(quiet);
    print::out("\n");
    let failed =
        |why: &dyn std::fmt::Display| CommandError::usage(format!("Error reading password: {why}\n"));
    let line = line.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Turns off a terminal's echo, and restores it when dropped.
struct EchoGuard(Option<Termios>);

impl EchoGuard {
    fn begin() -> Self {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return Self(None);
        }
        let before = tcgetattr(stdin.as_fd()).ok();
        if let Some(mut quiet) = before.clone() {
            quiet.local_flags.remove(LocalFlags::ECHO);
            tcsetattr(stdin.as_fd(), SetArg::TCSAFLUSH, &quiet).ok();
        }
        Self(before)
    }
}

impl Drop for EchoGuard {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            tcsetattr(std::io::stdin().as_fd(), SetArg::TCSAFLUSH, before).ok();
        }
    }
}
