//! Members that end and come back, cleanly or not, and members that are replaced, under load.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::group::{AGREE_TIMEOUT, Group, Plan};
use super::membership::{join, remove_member};
use super::workload::Workload;
use crate::durable::budget;
use crate::durable::member::Program;
use crate::support::rng::TestRng;
use crate::support::skips::Permitted;
use crate::support::{WAIT_TIMEOUT, scaled};

const FAILOVER_TIMEOUT: Duration = Duration::from_secs(10);

#[test]
fn rolling_restarts_delay_no_client() {
    let Some(plan) = Plan::new(3) else { return };
    let (mut group, mut rng) = (plan.on_local_ports(), TestRng::from_env("rolling"));
    group.start();
    let workload = Workload::start(&mut group, &mut rng, 4);
    for _ in 0..2 {
        for number in 0..3 {
            workload.assert_progress(40, FAILOVER_TIMEOUT, "in peace");
            group.members[number].signal(Signal::SIGTERM);
            assert!(group.members[number].wait(WAIT_TIMEOUT).is_some(), "{}", group.logs());
            group.start();
        }
    }
    workload.assert_progress(40, FAILOVER_TIMEOUT, "after the restarts");
    let report = workload.finish(&mut group);
    let (pause, failures) = (report.longest_pause(3), report.failures(3));
    eprintln!("rolling: the longest pause was {pause:?}; {} failures: {failures:#?}", failures.len());
    let slow: Vec<_> = failures.iter().filter(|(took, _)| *took > scaled(Duration::from_secs(1))).collect();
    assert!(slow.is_empty(), "a client was kept waiting to be refused: {slow:?}\n{}", group.logs());
    assert!(pause < scaled(Duration::from_millis(1500)), "a client could not write for {pause:?}");
}

#[test]
fn repeated_kills_lose_nothing() {
    let Some(plan) = Plan::new(3) else { return };
    // With small numbers, snapshots are written, sent and loaded all the time.
    let snapshots = ["--snapshot-count", "50"];
    let (mut group, mut rng) = (plan.with(&snapshots).on_local_ports(), TestRng::from_env("kills"));
    group.start();
    let workload = Workload::start(&mut group, &mut rng, 3);
    let (begun, span, mut kills) = (Instant::now(), budget(15), 0_u32);
    while begun.elapsed() < span {
        let first = rng.index(3);
        // Sometimes two, and rarely all.
        let count = [1, 1, 1, 2, 3][rng.index(5)];
        let victims: Vec<usize> = (0..count).map(|step| (first + step) % 3).collect();
        for number in &victims {
            group.members[*number].kill();
        }
        kills += u32::try_from(victims.len()).unwrap();
        std::thread::sleep(Duration::from_millis(rng.below(700)));
        for number in &victims {
            group.members[*number].spawn();
            // A kill may also hit the start-up.
            if rng.one_in(4) {
                std::thread::sleep(Duration::from_millis(rng.below(150)));
                group.members[*number].kill();
                group.members[*number].spawn();
            }
        }
        workload.assert_progress(10, AGREE_TIMEOUT, "after a kill");
    }
    eprintln!("kills: {kills}, {} writes", workload.written());
    group.until_serving();
    workload.finish(&mut group);
}

/// Kills a member after a while; the caller may use the group meanwhile.
fn kill_later(group: &Group, number: usize, rng: &mut TestRng) -> JoinHandle<()> {
    let pid = Pid::from_raw(group.members[number].pid().cast_signed());
    let delay = Duration::from_millis(rng.below(400));
    std::thread::spawn(move || {
        std::thread::sleep(delay);
        kill(pid, Signal::SIGKILL).ok();
    })
}

#[track_caller]
fn restart_after(group: &mut Group, number: usize, death: JoinHandle<()>) {
    death.join().unwrap();
    group.members[number].kill();
    group.members[number].start();
}

#[test]
fn membership_changes_while_leaders_die_lose_nothing() {
    let Some(plan) = Plan::new(3) else { return };
    if plan.program == Program::Etcd {
        Permitted::Control.skip();
        return;
    }
    let (mut group, mut rng) =
        (plan.with(&["--snapshot-count", "100"]).on_local_ports(), TestRng::from_env("come_and_go"));
    group.start();
    for _ in 0..3 {
        group.extend();
    }
    let mut workload = Workload::start(&mut group, &mut rng, 3);
    let mut active = vec![0, 1, 2];
    for new in 3..6 {
        workload.assert_progress(10, FAILOVER_TIMEOUT, "before the next one comes");
        let leader = group.leader_among(&active);
        let death = kill_later(&group, leader, &mut rng);
        join(&mut group, &active, new);
        workload.watch(&group.members[new].address());
        active.push(new);
        restart_after(&mut group, leader, death);
        let old = active.remove(rng.index(3));
        let victim = active[rng.index(3)];
        let death = kill_later(&group, victim, &mut rng);
        remove_member(&mut group, &active, old);
        workload.stop_watcher(&group.members[old].address());
        restart_after(&mut group, victim, death);
    }
    workload.assert_progress(20, FAILOVER_TIMEOUT, "after all that");
    workload.finish(&mut group);
}

#[test]
fn replacing_all_three_members_loses_nothing() {
    let Some(plan) = Plan::new(3) else { return };
    let (mut group, mut rng) = (plan.on_local_ports(), TestRng::from_env("replaced"));
    group.start();
    for _ in 0..3 {
        group.extend();
    }
    let mut workload = Workload::start(&mut group, &mut rng, 3);
    let mut active = vec![0, 1, 2];
    for old in 0..3 {
        let new = old + 3;
        workload.assert_progress(20, FAILOVER_TIMEOUT, "before a replacement");
        join(&mut group, &active, new);
        workload.watch(&group.members[new].address());
        active.push(new);
        workload.assert_progress(20, FAILOVER_TIMEOUT, "with one more member");
        active.retain(|number| *number != old);
        remove_member(&mut group, &active, old);
        workload.stop_watcher(&group.members[old].address());
        group.leader_among(&active);
    }
    workload.assert_progress(40, FAILOVER_TIMEOUT, "with all replaced");
    workload.finish(&mut group);
    // The new ones are the cluster: it tolerates the loss of two old ones, and its own restart.
    for number in active {
        group.members[number].kill();
        group.members[number].start();
    }
    group.level();
}
