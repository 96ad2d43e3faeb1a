//! The disk of one member fails: the others continue, and that one says why it stopped.

use std::fs;
use std::time::{Duration, Instant};

use super::group::{Group, Plan};
use crate::durable::disk_errors::{Faults, files, one_sentence};
use crate::durable::member::Program;
use crate::support::programs::{need, need_ext4};
use crate::support::skips::Permitted;
use crate::support::{Mount, WAIT_TIMEOUT, eventually, patient};

/// Returns three members of ours that are not running.
fn ours() -> Option<Group> {
    let plan = Plan::new(3)?;
    if plan.program == Program::Etcd {
        Permitted::Control.skip();
        return None;
    }
    Some(plan.here())
}

#[test]
fn a_leader_whose_file_system_turns_read_only_says_so_in_one_sentence_and_the_others_go_on() {
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
    group.put_at_last(other, "/after", "1");
    eprintln!("the next write was done {:?} after the error", begun.elapsed());
    let member = &mut group.members[leader];
    eventually("it names the error", WAIT_TIMEOUT, || member.log().contains("ERROR"));
    let named = Instant::now();
    assert_eq!(member.wait(WAIT_TIMEOUT), Some(1), "{}", member.log());
    // It does not wait to transfer a leadership that ended with its replica.
    assert!(
        named.elapsed() < patient(Duration::from_secs(2)),
        "it ended {:?} after the error",
        named.elapsed()
    );
    let (log, data) = (member.log(), member.data().display().to_string());
    one_sentence(&log, &[&data, "the log", " (E", "this member stops"]);
    assert!(log.contains("(EROFS)") || log.contains("(EIO)"), "{log}");
    for number in 0..20 {
        let key = format!("/before/{number}");
        assert_eq!(group.value(other, &key).as_deref(), Some("1"), "{key} was answered and is gone");
    }
    // The members must release their disks first.
    group.members.clear();
}

#[test]
fn a_leader_that_cannot_read_its_log_for_a_member_that_was_away_stops_with_one_sentence() {
    if !need("strace") {
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
    one_sentence(&group.members[leader].log(), &["reading the log", "(EIO)", "this member stops"]);
    group.put_at_last(away, "/after", "1");
    assert_eq!(group.value(away, "/large/11").map(|value| value.len()), Some(1 << 20));
}
