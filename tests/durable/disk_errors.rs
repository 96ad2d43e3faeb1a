//! Every disk error, on every kind of file of a member: one sentence with path, cause and remedy, an exit status,
//! and no panic.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::member::Member;
use crate::support::proc::Proc;
use crate::support::programs::{need_mounts, need_program};
use crate::support::{Mount, WAIT_TIMEOUT, eventually};

/// Returns the lines of a log at this level.
pub fn lines_at<'l>(log: &'l str, level: &str) -> Vec<&'l str> {
    let level = format!(" {level} ");
    log.lines().filter(|line| line.contains(&level)).collect()
}

/// Fails unless the log has exactly one error, with all of `parts` in it, and no panic.
#[track_caller]
pub fn assert_one_sentence(log: &str, parts: &[&str]) {
    let errors = lines_at(log, "ERROR");
    assert_eq!(errors.len(), 1, "not one error but {}\n{log}", errors.len());
    for part in parts {
        assert!(errors[0].contains(part), "the error lacks {part:?}: {}", errors[0]);
    }
    if let Some(stopping) = log.find("INFO stopping") {
        assert!(log.find("ERROR") < Some(stopping), "the cause comes first\n{log}");
    }
    no_panic(log);
}

#[track_caller]
fn no_panic(log: &str) {
    for word in ["panicked", "backtrace", "unwrap()"] {
        assert!(!log.contains(word), "{word}\n{log}");
    }
}

/// A tracer that makes a running member's calls on these files fail, until it is dropped.
pub struct Faults(Proc);

impl Faults {
    /// Starts the faults, with a short delay.
    pub fn on(member: &Member, files: &[PathBuf], calls: &str, error: &str) -> Self {
        let mut command = Command::new("strace");
        command.args(["-f", "-p", &member.pid().to_string(), "-o", "/dev/null"]);
        command.args(["-e", &format!("trace={calls}"), "-e", &format!("inject={calls}:error={error}")]);
        for file in files {
            command.arg("-P").arg(file);
        }
        Self(Proc::spawn(command.stdin(Stdio::null()).stderr(Stdio::null())))
    }

    /// Ends the faults.
    pub fn end(mut self) {
        // A killed tracer may kill the traced process.
        self.0.signal(Signal::SIGTERM);
        assert!(self.0.wait(WAIT_TIMEOUT).is_some(), "the tracer goes");
    }
}

/// Returns the files in a folder with this extension.
pub fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| path.extension().is_some_and(|own| own == extension)).collect()
}

/// Starts a member that would print every panic with its backtrace.
fn running(words: &[&str]) -> Option<Member> {
    let mut member = Member::of_ours(words)?;
    member.env("RUST_BACKTRACE", "1");
    member.start();
    assert!(put(&member, "first"));
    Some(member)
}

fn put(member: &Member, key: &str) -> bool {
    let mut wire = member.wire().with_timeout(Duration::from_secs(2));
    wire.request("PUT", &format!("/v2/keys/{key}"), Some("value=1")).is_ok_and(|answer| answer.status < 300)
}

#[test]
fn a_log_disk_error_stops_the_member_with_one_sentence_and_status_1() {
    if !need_program("strace") {
        return;
    }
    for (calls, error, doing) in [
        ("fdatasync", "EIO", "syncing the log"),
        ("pwrite64", "EIO", "writing the log"),
        ("fdatasync", "EROFS", "syncing the log"),
        ("pwrite64", "EROFS", "writing the log"),
        // Of the folder, when the log continues in its next file.
        ("fsync", "EIO", "syncing the folder"),
    ] {
        let Some(mut member) = running(&[]) else { return };
        let folder = member.data().join("member/log");
        let faulty = if calls == "fsync" { vec![folder] } else { files(&folder, "raftlog") };
        let faults = Faults::on(&member, &faulty, calls, error);
        let large = format!("value={}", "v".repeat(4 << 20));
        eventually("the disk is needed", WAIT_TIMEOUT, || {
            let form = if calls == "fsync" { &large } else { "value=1" };
            let done = member.wire().request("PUT", "/v2/keys/more", Some(form));
            !done.is_ok_and(|answer| answer.status < 300) || member.ended().is_some()
        });
        assert_eq!(member.wait(WAIT_TIMEOUT), Some(1), "{calls} {error}\n{}", member.log());
        drop(faults);
        let name = format!("({error})");
        let path = faulty[0].display().to_string();
        assert_one_sentence(&member.log(), &[&path, doing, &name, "the kernel's log", "this member stops"]);
        // Its state is there again on a working disk.
        member.start();
        assert!(
            member.wire().get("/v2/keys/first").is_ok_and(|answer| answer.status == 200),
            "{calls} {error}"
        );
    }
}

#[test]
fn a_quota_or_a_full_disk_below_the_log_delays_writes_and_is_reported_once() {
    if !need_program("strace") {
        return;
    }
    for error in ["EDQUOT", "ENOSPC"] {
        let Some(mut member) = running(&[]) else { return };
        let logs = files(&member.data().join("member/log"), "raftlog");
        let faults = Faults::on(&member, &logs, "pwrite64", error);
        eventually("the disk is full", WAIT_TIMEOUT, || !put(&member, "more"));
        let name = format!("({error})");
        eventually("it says so", WAIT_TIMEOUT, || member.log().contains(&name));
        assert!(member.wire().get("/v2/keys/first").is_ok_and(|answer| answer.status == 200), "reads go on");
        faults.end();
        eventually("writes go on", WAIT_TIMEOUT, || put(&member, "after"));
        member.stop();
        let log = member.log();
        assert_one_sentence(&log, &["member/log", &name, "room", "writes wait"]);
        assert!(log.contains("has room again"), "{log}");
    }
}

#[test]
fn an_unwritable_mirror_and_snapshots_are_reported_once_and_the_store_continues() {
    if !need_program("strace") || !need_mounts() {
        return;
    }
    let Some(mut member) = running(&["--snapshot-count", "5"]) else { return };
    let (mirror, snapshots) = (member.data().join("member/mirror"), member.data().join("member/snapshots"));
    let db = mirror.join("db");
    eventually("there is a mirror", WAIT_TIMEOUT, || db.exists());
    let disk = Mount::tmpfs("1m", &snapshots);
    disk.read_only();
    let calls = "pwrite64,fsync,fdatasync,sync_file_range,ftruncate";
    let faults = Faults::on(&member, &[db], calls, "EIO");
    let mut number = 0;
    let mut write = || {
        number += 1;
        assert!(put(&member, &format!("k{number}")), "write {number}\n{}", member.log());
    };
    let warned = |what: &Path| -> Vec<String> {
        let path = what.display().to_string();
        let log = member.log();
        lines_at(&log, "WARN")
            .iter()
            .filter(|line| line.contains(&path))
            .map(|line| (*line).to_owned())
            .collect()
    };
    eventually("both are said", WAIT_TIMEOUT, || {
        write();
        let both: [Vec<String>; 2] = [warned(&mirror), warned(&snapshots)];
        both.iter().all(|lines| !lines.is_empty())
    });
    // Both are tried again every five seconds.
    std::thread::sleep(Duration::from_millis(5500));
    for _ in 0..10 {
        write();
    }
    faults.end();
    let log = member.log();
    no_panic(&log);
    assert_eq!(lines_at(&log, "ERROR"), [""; 0], "{log}");
    let lines: Vec<String> = warned(&mirror);
    assert!(lines.len() == 1 && lines[0].contains("(EIO): "), "{lines:?}");
    let lines: Vec<String> = warned(&snapshots);
    assert!(lines.len() == 1 && lines[0].contains("Read-only file system (EROFS): "), "{lines:?}");
    drop(disk);
    eventually("both are well again", WAIT_TIMEOUT, || {
        write();
        let log = member.log();
        log.contains("the mirror is complete again") && log.contains("snapshots are written again")
    });
    member.stop();
    no_panic(&member.log());
}

#[test]
fn a_data_folder_removed_under_the_member_is_reported_in_one_sentence_with_status_1() {
    let Some(mut member) = running(&["--snapshot-count", "5"]) else { return };
    let data = member.data();
    fs::rename(&data, member.path("moved")).unwrap();
    eventually("it notices", WAIT_TIMEOUT, || {
        put(&member, "more");
        member.ended().is_some()
    });
    assert_eq!(member.wait(WAIT_TIMEOUT), Some(1), "{}", member.log());
    assert_one_sentence(&member.log(), &[&data.display().to_string(), "(ENOENT)", "put it back"]);
}
