//! The disk of one member fails: the others continue, and that one says why it stopped.

use std::fs;
use std::time::{Duration, Instant};

use super::group::{Group, Plan};
use crate::durable::disk_errors::{Faults, assert_one_sentence, files};
use crate::durable::member::Program;
use crate::support::programs::{need_ext4, need_program};
use crate::support::skips::Permitted;
use crate::support::{Mount, WAIT_TIMEOUT, eventually, scaled};

/// Returns three members of ours that are not running.
fn ours() -> Option<Group> {
    let plan = Plan::new(3)?;
    if plan.program == Program::Etcd {
        Permitted::Control.skip();
        return None;
    }
    Some(plan.on_local_ports())
}

#[test]
fn a_leader_on_a_read_only_file_system_reports_it_in_one_sentence_and_the_others_continue() {
    if !need_ext4() {
        return;
    }
    let Some(mut group) = ours() else { return };
    let mut disks = Vec::new();
    for member in &mut group.members {
        member.env("RUST_BACKTRACE", "1");
        fs::create_dir(member.data()).unwrap();
        disks.push(Mount::ext4(&member.path("disk"), 96, &member.data()));
    }
    let leader = group.start();
    for number in 0..20 {
        assert!(group.put(leader, &format!("/before/{number}"), "1").unwrap().status < 300);
    }
    disks[leader].fail();
    let (other, begun) = (group.other_than(leader), Instant::now());
    group.put_until_accepted(other, "/after", "1");
    eprintln!("the next write was done {:?} after the error", begun.elapsed());
    let member = &mut group.members[leader];
    eventually("it names the error", WAIT_TIMEOUT, || member.log().contains("ERROR"));
    let named = Instant::now();
    assert_eq!(member.wait(WAIT_TIMEOUT), Some(1), "{}", member.log());
    // It does not wait to transfer a leadership that ended with its replica.
    assert!(
        named.elapsed() < scaled(Duration::from_secs(2)),
        "it ended {:?} after the error",
        named.elapsed()
    );
    let (log, data) = (member.log(), member.data().display().to_string());
    assert_one_sentence(&log, &[&data, "the log", " (E", "this member stops"]);
    assert!(log.contains("(EROFS)") || log.contains("(EIO)"), "{log}");
    for number in 0..20 {
        let key = format!("/before/{number}");
        assert_eq!(group.value(other, &key).as_deref(), Some("1"), "{key} was answered and is gone");
    }
    // The members must release their disks first.
    group.members.clear();
}

#[test]
fn a_leader_that_cannot_read_its_log_for_a_returning_member_stops_with_one_sentence() {
    if !need_program("strace") {
        return;
    }
    let Some(mut group) = ours() else { return };
    for member in &mut group.members {
        member.env("RUST_BACKTRACE", "1");
    }
    let leader = group.start();
    let away = group.other_than(leader);
    group.members[away].stop();
    // More than the leader keeps in memory.
    let large = "v".repeat(1 << 20);
    for number in 0..12 {
        assert!(group.put(leader, &format!("/large/{number}"), &large).unwrap().status < 300);
    }
    let logs = files(&group.members[leader].data().join("member/log"), "raftlog");
    let _faults = Faults::on(&group.members[leader], &logs, "pread64", "EIO");
    eventually("the leader reads its log", WAIT_TIMEOUT, || {
        group.members[away].kill();
        group.members[away].spawn();
        group.members[away].until_serving(WAIT_TIMEOUT).ok();
        group.members[leader].ended().is_some()
    });
    assert_eq!(group.members[leader].wait(WAIT_TIMEOUT), Some(1));
    assert_one_sentence(&group.members[leader].log(), &["reading the log", "(EIO)", "this member stops"]);
    group.put_until_accepted(away, "/after", "1");
    assert_eq!(group.value(away, "/large/11").map(|value| value.len()), Some(1 << 20));
}
