//! Finds shell lines that cannot be parsed, before they are needed.

use std::io::{ErrorKind, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long the shell may take to parse a line.
const PARSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How much of the shell's error message is kept.
const MAX_MESSAGE_BYTES: u64 = 1024;

/// Checks whether the shell can parse `line`; nothing is run (`sh -n`). Where there is no shell, unbalanced quotes are
/// still found. Blocks for at most two seconds.
///
/// # Errors
/// The shell's error message.
pub fn lint(line: &str) -> Result<(), String> {
    if line.trim().is_empty() {
        return Err("the command is empty".to_owned());
    }
    if line.contains('\0') {
        return Err("the command holds a NUL byte, which no command can".to_owned());
    }
    ask_shell(line).unwrap_or_else(|| check_quotes(line))
}

/// Returns what the shell says; `None`: it could not be asked.
fn ask_shell(line: &str) -> Option<Result<(), String>> {
    let started = Command::new("/bin/sh")
        .args(["-n", "-c", line])
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            if error.kind() != ErrorKind::NotFound {
                tracing::debug!(%error, "cannot ask the shell about a command line");
            }
            return None;
        }
    };
    let mut stderr = child.stderr.take()?;
    let (said, heard) = mpsc::channel();
    let message = thread::scope(|scope| {
        scope.spawn(move || {
            let mut text = Vec::new();
            let result = stderr.by_ref().take(MAX_MESSAGE_BYTES).read_to_end(&mut text);
            // Past the limit there is no receiver, and nothing to report.
            said.send(result.map(|_| text)).unwrap_or_default();
        });
        let message = heard.recv_timeout(PARSE_TIMEOUT);
        if message.is_err() {
            // Killing it closes the pipe, so the reader ends too. An error means that it is already dead.
            child.kill().unwrap_or_default();
        }
        message
    });
    match (child.wait(), message) {
        (Ok(status), Ok(Ok(_))) if status.success() => Some(Ok(())),
        (Ok(_), Ok(Ok(text))) if !text.is_empty() => {
            Some(Err(String::from_utf8_lossy(&text).trim().replace('\n', "; ")))
        }
        _ => None,
    }
}

fn check_quotes(line: &str) -> Result<(), String> {
    match shlex::split(line) {
        Some(_) => Ok(()),
        None => Err("a quote is not closed, or the line ends in a backslash".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_the_shell_cannot_parse_are_reported() {
        for bad in ["echo \"a", "echo 'a", "if true; then echo", "( echo a", "a && && b", "", "  ", "a\0b"] {
            assert!(lint(bad).is_err(), "{bad:?} passed");
        }
        assert!(lint("echo \"a").unwrap_err().to_lowercase().contains("unterminated"));
    }

    #[test]
    fn valid_shell_lines_pass_even_if_a_word_splitter_refuses_them() {
        for good in [
            "nginx -t -c {{.src}}",
            "systemctl reload haproxy || service haproxy reload",
            "test -f /x && { echo \"it's\"; } # don't",
            "cat <<E\nit's\nE",
        ] {
            assert_eq!(lint(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn linting_runs_no_part_of_the_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("made");
        assert_eq!(lint(&format!("touch {0}; : > {0}; x=$(touch {0})", file.display())), Ok(()));
        assert!(!file.exists());
    }

    #[test]
    fn without_a_shell_unclosed_quotes_are_still_found() {
        assert!(check_quotes("echo 'a").is_err());
        assert_eq!(check_quotes("echo 'a b' c"), Ok(()));
    }
}
