//! Members that end and come back, cleanly or not, and members that are replaced, under load.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::group::{AGREE_TIMEOUT, Group, Plan};
use super::membership::{join, leave};
use super::storm::Storm;
use crate::durable::budget;
use crate::durable::member::Program;
use crate::support::dice::Dice;
use crate::support::skips::Permitted;
use crate::support::{WAIT_TIMEOUT, patient};

const FAILOVER_TIMEOUT: Duration = Duration::from_secs(10);

#[test]
fn all_three_are_restarted_in_good_order_and_no_client_waits() {
    let Some(plan) = Plan::new(3) else { return };
    let (mut group, mut dice) = (plan.here(), Dice::thrown("rolling"));
    group.start();
    let storm = Storm::start(&mut group, &mut dice, 4);
    for _ in 0..2 {
        for number in 0..3 {
            storm.goes_on(40, FAILOVER_TIMEOUT, "in peace");
            group.members[number].signal(Signal::SIGTERM);
            assert!(group.members[number].wait(WAIT_TIMEOUT).is_some(), "{}", group.logs());
            group.start();
        }
    }
    storm.goes_on(40, FAILOVER_TIMEOUT, "after the restarts");
    let report = storm.finish(&mut group);
    let (pause, failures) = (report.longest_pause(3), report.failures(3));
    eprintln!("rolling: the longest pause was {pause:?}; {} failures: {failures:#?}", failures.len());
    let slow: Vec<_> = failures.iter().filter(|(took, _)| *took > patient(Duration::from_secs(1))).collect();
    assert!(slow.is_empty(), "a client was kept waiting to be refused: {slow:?}\n{}", group.logs());
    assert!(pause < patient(Duration::from_millis(1500)), "a client could not write for {pause:?}");
}

#[test]
fn members_are_killed_again_and_again_and_nothing_is_lost() {
    let Some(plan) = Plan::new(3) else { return };
    // With small numbers, snapshots are written, sent and loaded all the time.
    let snapshots = ["--snapshot-count", "50"];
    let (mut group, mut dice) = (plan.with(&snapshots).here(), Dice::thrown("kills"));
    group.start();
    let storm = Storm::start(&mut group, &mut dice, 3);
    let (begun, span, mut kills) = (Instant::now(), budget(15), 0_u32);
    while begun.elapsed() < span {
        let first = dice.index(3);
        // Sometimes two, and rarely all.
        let count = [1, 1, 1, 2, 3][dice.index(5)];
        let victims: Vec<usize> = (0..count).map(|step| (first + step) % 3).collect();
        for number in &victims {
            group.members[*number].kill();
        }
        kills += u32::try_from(victims.len()).unwrap();
        std::thread::sleep(Duration::from_millis(dice.below(700)));
        for number in &victims {
            group.members[*number].spawn();
            // A kill may also hit the start-up.
            if dice.one_in(4) {
                std::thread::sleep(Duration::from_millis(dice.below(150)));
                group.members[*number].kill();
                group.members[*number].spawn();
            }
        }
        storm.goes_on(10, AGREE_TIMEOUT, "after a kill");
    }
    eprintln!("kills: {kills}, {} writes", storm.written());
    group.until_serving();
    storm.finish(&mut group);
}

/// Kills a member after a while; the caller may use the group meanwhile.
fn dies_soon(group: &Group, number: usize, dice: &mut Dice) -> JoinHandle<()> {
    let pid = Pid::from_raw(group.members[number].pid().cast_signed());
    let delay = Duration::from_millis(dice.below(400));
    std::thread::spawn(move || {
        std::thread::sleep(delay);
        kill(pid, Signal::SIGKILL).ok();
    })
}

#[track_caller]
fn back_again(group: &mut Group, number: usize, death: JoinHandle<()>) {
    death.join().unwrap();
    group.members[number].kill();
    group.members[number].start();
}

#[test]
fn members_come_and_go_while_leaders_die_and_nothing_is_lost() {
    let Some(plan) = Plan::new(3) else { return };
    if plan.program == Program::Etcd {
        Permitted::Control.skip();
        return;
    }
    let (mut group, mut dice) = (plan.with(&["--snapshot-count", "100"]).here(), Dice::thrown("come_and_go"));
    group.start();
    for _ in 0..3 {
        group.extend();
    }
    let mut storm = Storm::start(&mut group, &mut dice, 3);
    let mut active = vec![0, 1, 2];
    for new in 3..6 {
        storm.goes_on(10, FAILOVER_TIMEOUT, "before the next one comes");
        let leader = group.leader_among(&active);
        let death = dies_soon(&group, leader, &mut dice);
        join(&mut group, &active, new);
        storm.watch(&group.members[new].address());
        active.push(new);
        back_again(&mut group, leader, death);
        let old = active.remove(dice.index(3));
        let victim = active[dice.index(3)];
        let death = dies_soon(&group, victim, &mut dice);
        leave(&mut group, &active, old);
        storm.left(&group.members[old].address());
        back_again(&mut group, victim, death);
    }
    storm.goes_on(20, FAILOVER_TIMEOUT, "after all that");
    storm.finish(&mut group);
}

#[test]
fn all_three_are_replaced_one_by_one_and_nothing_is_lost() {
    let Some(plan) = Plan::new(3) else { return };
    let (mut group, mut dice) = (plan.here(), Dice::thrown("replaced"));
    group.start();
    for _ in 0..3 {
        group.extend();
    }
    let mut storm = Storm::start(&mut group, &mut dice, 3);
    let mut active = vec![0, 1, 2];
    for old in 0..3 {
        let new = old + 3;
        storm.goes_on(20, FAILOVER_TIMEOUT, "before a replacement");
        join(&mut group, &active, new);
        storm.watch(&group.members[new].address());
        active.push(new);
        storm.goes_on(20, FAILOVER_TIMEOUT, "with one more member");
        active.retain(|number| *number != old);
        leave(&mut group, &active, old);
        storm.left(&group.members[old].address());
        group.leader_among(&active);
    }
    storm.goes_on(40, FAILOVER_TIMEOUT, "with all replaced");
    storm.finish(&mut group);
    // The new ones are the cluster: it tolerates the loss of two old ones, and its own restart.
    for number in active {
        group.members[number].kill();
        group.members[number].start();
    }
    group.level();
}
