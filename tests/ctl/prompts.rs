//! Passwords typed at a terminal, which `script` provides; none may be shown.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::cases::line;
use super::pair::{Side, StoreKind};
use crate::support::Dir;

/// Returns what the terminal shows while `typed` is typed into our etcdctl with these words; `None` without `script`.
fn session(words: &str, url: &str, dir: &Dir, typed: &[u8]) -> Option<(String, i32)> {
    // The trap is needed because some shells exit on an interrupt that was meant for their child.
    let command = format!(
        "trap : INT; stty -a | grep -c -- ' echo '; bin/etcdctl {words}; echo code=$?; stty -a | grep -c -- ' echo '"
    );
    let mut child = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env("ETCDCTL_ENDPOINTS", url)
        .env_remove("ETCDCTL_USERNAME")
        .env("SHELL", "/bin/sh")
        .current_dir(dir.path(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut shown = Vec::new();
    let mut byte = [0];
    while !shown.ends_with(b"assword: ") && output.read(&mut byte).unwrap() > 0 {
        shown.push(byte[0]);
    }
    // The prompt appears a moment before the echo is off.
    std::thread::sleep(Duration::from_millis(300));
    input.write_all(typed).unwrap();
    output.read_to_end(&mut shown).unwrap();
    drop(input);
    let code = child.wait().unwrap().code().unwrap_or(-1);
    Some((String::from_utf8_lossy(&shown).into_owned(), code))
}

#[test]
fn a_password_typed_at_a_terminal_is_not_shown_and_the_terminal_is_restored() {
    let dir = Dir::new();
    let Some(side) = Side::ours(&dir, StoreKind::Store) else { return };
    let url = side.server.url();
    let Some((shown, _)) = session("user add bob", &url, &dir, b"canary\n") else { return };
    assert!(shown.contains("New password: \r\nUser bob created\r\ncode=0\r\n"), "{shown}");
    assert!(!shown.contains("canary"), "{shown}");
    assert_eq!(shown.matches("1\r\n").count(), 2, "it echoes before and after: {shown}");
}

#[test]
fn an_interrupt_at_the_prompt_ends_it_and_restores_the_terminal() {
    let dir = Dir::new();
    let Some(side) = Side::ours(&dir, StoreKind::Store) else { return };
    let url = side.server.url();
    let Some((shown, _)) = session("user add bob", &url, &dir, b"cana\x03") else { return };
    assert!(shown.contains("code=130\r\n"), "{shown}");
    assert!(!shown.contains("cana"), "{shown}");
    assert_eq!(shown.matches("1\r\n").count(), 2, "it echoes before and after: {shown}");
}

#[test]
fn a_request_is_printed_without_its_password() {
    let dir = Dir::new();
    let Some(side) = Side::ours(&dir, StoreKind::Store) else { return };
    for words in ["--debug user add bob:canary", "-u root:canary --debug user passwd bob"] {
        let outcome = side.run(&dir, &line(words).stdin(b"canary\n"));
        assert!(outcome.stderr.contains("curl -X PUT"), "{outcome:?}");
        assert!(!format!("{outcome:?}").contains("canary"), "{outcome:?}");
    }
}
