//! Members that lag behind the start of the log: they are sent a snapshot.

use std::time::{Duration, Instant};

use super::group::{AGREE_TIMEOUT, Group, Plan};
use super::membership::{about_members, add, id, join, leave};
use super::storm::Storm;
use crate::durable::budget;
use crate::durable::member::Program;
use crate::support::dice::Dice;
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
fn one_that_missed_more_than_the_log_holds_is_sent_everything_and_deletions_too() {
    let Some(plan) = Plan::new(3) else { return };
    let mut group = plan.with(&SHORT_LOG).here();
    group.start();
    let mut dice = Dice::thrown("behind");
    write(&group, 400, 1000);
    group.members[2].kill();
    let storm = Storm::start(&mut group, &mut dice, 3);
    // Keys deleted meanwhile must be deleted there too.
    let deleted = group.members[0].wire().request("DELETE", "/v2/keys/bulk/7?recursive=true", None).unwrap();
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    write(&group, 3000, 3000);
    storm.goes_on(20, FAILOVER_TIMEOUT, "with one far behind");
    group.members[2].start();
    let begun = Instant::now();
    storm.goes_on(20, FAILOVER_TIMEOUT, "while it catches up");
    group.catches_up(2);
    eprintln!("behind: level after {:?}", begun.elapsed());
    storm.finish(&mut group);
}

#[test]
fn one_that_dies_again_and_again_while_it_is_sent_everything_gets_there() {
    let Some(plan) = Plan::new(3) else { return };
    let mut group = plan.with(&SHORT_LOG).on_lines().here();
    group.start();
    let mut dice = Dice::thrown("interrupted");
    write(&group, 3000, 3000);
    let storm = Storm::start(&mut group, &mut dice, 2);
    let (begun, span) = (Instant::now(), budget(12));
    while begun.elapsed() < span {
        let victim = dice.index(3);
        group.members[victim].kill();
        storm.goes_on(40, AGREE_TIMEOUT, "with one far behind");
        // A slow line, so that there is time to kill the member.
        group.lines[victim].rate(4_000_000);
        for _ in 0..3 {
            group.members[victim].spawn();
            std::thread::sleep(Duration::from_millis(100 + dice.below(900)));
            group.members[victim].kill();
        }
        group.lines[victim].rate(0);
        group.members[victim].start();
        group.catches_up(victim);
    }
    storm.finish(&mut group);
}

#[test]
fn new_members_of_a_cluster_with_much_in_it_are_sent_everything_while_it_goes_on() {
    let Some(plan) = Plan::new(3) else { return };
    let mut group = plan.with(&SHORT_LOG).here();
    group.start();
    let mut dice = Dice::thrown("joined");
    write(&group, 4000, 4000);
    group.extend();
    group.extend();
    let mut storm = Storm::start(&mut group, &mut dice, 3);
    join(&mut group, &[0, 1, 2], 3);
    storm.watch(&group.members[3].address());
    join(&mut group, &[0, 1, 2, 3], 4);
    storm.watch(&group.members[4].address());
    storm.goes_on(30, FAILOVER_TIMEOUT, "with five");
    // Five members tolerate the loss of two.
    let leader = group.leader();
    group.members[leader].kill();
    let other = group.running()[1];
    group.members[other].kill();
    storm.goes_on(30, FAILOVER_TIMEOUT, "with three of five");
    group.members[leader].start();
    group.members[other].start();
    storm.finish(&mut group);
}

#[test]
fn a_member_that_was_added_and_never_came_can_be_taken_back() {
    let Some(plan) = Plan::new(3) else { return };
    if plan.program == Program::Etcd {
        Permitted::Control.skip();
        return;
    }
    let mut group = plan.here();
    group.start();
    group.extend();
    let slot = group.members[3].slot.clone();
    add(&group, &[0, 1, 2], &slot);
    // It does not count before it has caught up: the cluster still works without one.
    group.members[2].kill();
    for number in [0, 1] {
        group.put_at_last(number, "/k", "two of three and one that never came");
    }
    group.members[2].start();
    let id = id(&group, &[0, 1, 2], &slot);
    about_members(&group, &[0, 1, 2], "DELETE", &format!("/v2/members/{id}"), None);
    group.put_at_last(2, "/k", "again");
    group.members.pop();
    group.level();
}

#[test]
fn a_leader_that_is_removed_hands_over_and_ends() {
    let Some(plan) = Plan::new(3) else { return };
    let (mut group, mut dice) = (plan.here(), Dice::thrown("removed"));
    let leader = group.start();
    let storm = Storm::start(&mut group, &mut dice, 3);
    storm.goes_on(20, FAILOVER_TIMEOUT, "in peace");
    // Etcd refuses changes while a member is younger than five seconds; `leave` retries until it accepts.
    let rest: Vec<usize> = (0..3).filter(|number| *number != leader).collect();
    leave(&mut group, &rest, leader);
    storm.left(&group.members[leader].address());
    storm.goes_on(20, FAILOVER_TIMEOUT, "without the one that led");
    // It does not come back.
    group.members[leader].kill();
    group.members[leader].spawn();
    assert!(group.members[leader].wait(AGREE_TIMEOUT).is_some(), "{}", group.members[leader].log_tail());
    storm.finish(&mut group);
}
