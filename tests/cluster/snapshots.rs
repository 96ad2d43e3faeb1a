//! Members that lag behind the start of the log: they are sent a snapshot.

use std::time::{Duration, Instant};

use super::group::{AGREE_TIMEOUT, Group, Plan};
use super::membership::{about_members, add, id, join, remove_member};
use super::workload::Workload;
use crate::durable::budget;
use crate::durable::member::Program;
use crate::support::rng::TestRng;
use crate::support::skips::Permitted;

const FAILOVER_TIMEOUT: Duration = Duration::from_secs(10);
/// A log that is truncated all the time.
const SHORT_LOG: [&str; 2] = ["--snapshot-count", "20"];

/// Writes `count` values of this length through several connections.
fn write(group: &Group, count: usize, length: usize) {
    let form = &format!("value={}", "v".repeat(length));
    std::thread::scope(|scope| {
        for lane in 0..8 {
            scope.spawn(move || {
                let mut wire = group.members[0].wire();
                for number in (lane..count).step_by(8) {
                    let path = format!("/v2/keys/bulk/{}/{number}", number % 50);
                    let answer = wire.request("PUT", &path, Some(form)).unwrap();
                    assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
                }
            });
        }
    });
}

#[test]
fn a_member_that_missed_more_than_the_log_gets_a_snapshot_including_deletions() {
    let Some(plan) = Plan::new(3) else { return };
    let mut group = plan.with(&SHORT_LOG).on_local_ports();
    group.start();
    let mut rng = TestRng::from_env("behind");
    write(&group, 400, 1000);
    group.members[2].kill();
    let workload = Workload::start(&mut group, &mut rng, 3);
    // Keys deleted meanwhile must be deleted there too.
    let deleted = group.members[0].wire().request("DELETE", "/v2/keys/bulk/7?recursive=true", None).unwrap();
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    write(&group, 3000, 3000);
    workload.assert_progress(20, FAILOVER_TIMEOUT, "with one far behind");
    group.members[2].start();
    let begun = Instant::now();
    workload.assert_progress(20, FAILOVER_TIMEOUT, "while it catches up");
    group.catches_up(2);
    eprintln!("behind: level after {:?}", begun.elapsed());
    workload.finish(&mut group);
}

#[test]
fn a_member_that_repeatedly_dies_during_a_snapshot_transfer_catches_up() {
    let Some(plan) = Plan::new(3) else { return };
    let mut group = plan.with(&SHORT_LOG).with_links().on_local_ports();
    group.start();
    let mut rng = TestRng::from_env("interrupted");
    write(&group, 3000, 3000);
    let workload = Workload::start(&mut group, &mut rng, 2);
    let (begun, span) = (Instant::now(), budget(12));
    while begun.elapsed() < span {
        let victim = rng.index(3);
        group.members[victim].kill();
        workload.assert_progress(40, AGREE_TIMEOUT, "with one far behind");
        // A slow line, so that there is time to kill the member.
        group.lines[victim].rate(4_000_000);
        for _ in 0..3 {
            group.members[victim].spawn();
            std::thread::sleep(Duration::from_millis(100 + rng.below(900)));
            group.members[victim].kill();
        }
        group.lines[victim].rate(0);
        group.members[victim].start();
        group.catches_up(victim);
    }
    workload.finish(&mut group);
}

#[test]
fn new_members_of_a_large_cluster_get_a_snapshot_while_it_serves() {
    let Some(plan) = Plan::new(3) else { return };
    let mut group = plan.with(&SHORT_LOG).on_local_ports();
    group.start();
    let mut rng = TestRng::from_env("joined");
    write(&group, 4000, 4000);
    group.extend();
    group.extend();
    let mut workload = Workload::start(&mut group, &mut rng, 3);
    join(&mut group, &[0, 1, 2], 3);
    workload.watch(&group.members[3].address());
    join(&mut group, &[0, 1, 2, 3], 4);
    workload.watch(&group.members[4].address());
    workload.assert_progress(30, FAILOVER_TIMEOUT, "with five");
    // Five members tolerate the loss of two.
    let leader = group.leader();
    group.members[leader].kill();
    let other = group.running()[1];
    group.members[other].kill();
    workload.assert_progress(30, FAILOVER_TIMEOUT, "with three of five");
    group.members[leader].start();
    group.members[other].start();
    workload.finish(&mut group);
}

#[test]
fn an_added_member_that_never_started_can_be_removed() {
    let Some(plan) = Plan::new(3) else { return };
    if plan.program == Program::Etcd {
        Permitted::Control.skip();
        return;
    }
    let mut group = plan.on_local_ports();
    group.start();
    group.extend();
    let slot = group.members[3].slot.clone();
    add(&group, &[0, 1, 2], &slot);
    // It does not count before it has caught up: the cluster still works without one.
    group.members[2].kill();
    for number in [0, 1] {
        group.put_until_accepted(number, "/k", "two of three and one that never came");
    }
    group.members[2].start();
    let id = id(&group, &[0, 1, 2], &slot);
    about_members(&group, &[0, 1, 2], "DELETE", &format!("/v2/members/{id}"), None);
    group.put_until_accepted(2, "/k", "again");
    group.members.pop();
    group.level();
}

#[test]
fn a_removed_leader_transfers_leadership_and_stops() {
    let Some(plan) = Plan::new(3) else { return };
    let (mut group, mut rng) = (plan.on_local_ports(), TestRng::from_env("removed"));
    let leader = group.start();
    let workload = Workload::start(&mut group, &mut rng, 3);
    workload.assert_progress(20, FAILOVER_TIMEOUT, "in peace");
    // Etcd refuses changes while a member is younger than five seconds; `remove_member` retries until it accepts.
    let rest: Vec<usize> = (0..3).filter(|number| *number != leader).collect();
    remove_member(&mut group, &rest, leader);
    workload.stop_watcher(&group.members[leader].address());
    workload.assert_progress(20, FAILOVER_TIMEOUT, "without the one that led");
    // It does not come back.
    group.members[leader].kill();
    group.members[leader].spawn();
    assert!(group.members[leader].wait(AGREE_TIMEOUT).is_some(), "{}", group.members[leader].log_tail());
    workload.finish(&mut group);
}
