//! `exec-watch`: runs a program for each event, without a shell.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitStatus;

use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::client::cluster::Event;

use super::error::CommandError;
use super::print;
use super::session::Session;
use super::watch::{Position, until_interrupted};

/// How many programs run concurrently; a further event waits for one to end.
const MAX_CONCURRENT_PROGRAMS: usize = 64;

/// Runs the program for each event until interrupted. Programs do not wait for each other.
pub(super) async fn run(session: &Session<'_>, after: u64, recursive: bool) -> Result<(), CommandError> {
    let words = &session.call.args;
    if words.len() < 2 {
        return Err(CommandError::with_prefix("key and command to exec required"));
    }
    let (key, program) = split(words);
    let mut from = Position::after(after);
    let mut running: JoinSet<std::io::Result<ExitStatus>> = JoinSet::new();
    let events = async {
        loop {
            while running.len() >= MAX_CONCURRENT_PROGRAMS {
                running.join_next().await;
            }
            while running.try_join_next().is_some() {}
            let event = from.next(session, key.as_bytes(), recursive).await?;
            if event.node.dir {
                print::error_until_read(format!("Ignored dir {} change\n", event.node.key)).await;
                continue;
            }
            let mut child = start(program, &event)?;
            running.spawn(async move { child.wait().await });
        }
    };
    until_interrupted(session.with_member_updates(events)).await
}

/// Splits the words into key and program. With `--` after the key that is simple; without it, etcdctl's parser puts the
/// words after the first option before the earlier ones, so that the key comes last.
fn split(words: &[OsString]) -> (&OsStr, &[OsString]) {
    let apart = words.iter().skip(1).any(|word| word == "--");
    match words {
        [key, _, program @ ..] if apart => (key, program),
        [program @ .., key] => (key, program),
        [] => (OsStr::new(""), &[]),
    }
}

fn start(program: &[OsString], event: &Event) -> Result<Child, CommandError> {
    let Some((name, args)) = program.split_first() else {
        return Err(CommandError::with_prefix("key and command to exec required"));
    };
    let child = Command::new(name)
        .args(args)
        .stdin(std::process::Stdio::null())
        .env("ETCD_WATCH_ACTION", &event.action)
        .env("ETCD_WATCH_MODIFIED_INDEX", event.node.modified.to_string())
        .env("ETCD_WATCH_KEY", event.node.key.replace('\0', ""))
        .env("ETCD_WATCH_VALUE", event.node.value.replace('\0', ""))
        .spawn();
    child.map_err(|error| {
        let shown = name.to_string_lossy();
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        CommandError::usage(if missing && !shown.contains('/') {
            format!("exec: \"{shown}\": executable file not found in $PATH")
        } else {
            format!("fork/exec {shown}: {}", os_error_text(&error))
        })
    })
}

fn os_error_text(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => nix::errno::Errno::from_raw(code).desc().to_lowercase(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_first_with_dashes_and_last_without() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let typed = words("/a -- echo hi");
        assert_eq!(split(&typed), (OsStr::new("/a"), &words("echo hi")[..]));
        let typed = words("echo hi /a");
        assert_eq!(split(&typed), (OsStr::new("/a"), &words("echo hi")[..]));
    }
}
