//! All faults at once, at random: members are killed, stopped and frozen while the network between them is cut and
//! loses packets; in quiet phases in between, writes must succeed. `RETUNE_TEST_BUDGET` is the duration in seconds,
//! `RETUNE_TEST_SEED` repeats a run.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::group::{AGREE_TIMEOUT, Group, Plan};
use super::workload::Workload;
use crate::durable::budget;
use crate::durable::member::Program;
use crate::support::WAIT_TIMEOUT;
use crate::support::rng::TestRng;

/// The active faults, so that they can be undone.
#[derive(Default)]
struct ActiveFaults {
    frozen: Vec<usize>,
    done: Vec<String>,
}

impl ActiveFaults {
    /// Adds a fault.
    fn inject(&mut self, group: &mut Group, rng: &mut TestRng) {
        let (one, step) = (rng.index(3), 1 + rng.index(2));
        let other = (one + step) % 3;
        let what = match rng.below(9) {
            0 => {
                group.hosts().isolate(one);
                format!("isolate {one}")
            }
            1 => {
                group.hosts().cut(one, other);
                format!("cut {one} {other}")
            }
            2 => {
                group.hosts().cut_one_way(one, other);
                format!("cut {one} -> {other}")
            }
            3 => {
                group.hosts().block_outgoing(one);
                format!("mute {one}")
            }
            4 => {
                group.hosts().set_packet_loss(0.1);
                "lose".to_owned()
            }
            5 if group.members[one].is_running() && !self.frozen.contains(&one) => {
                group.freeze(one);
                self.frozen.push(one);
                format!("freeze {one}")
            }
            6 if group.members[one].is_running() && !self.frozen.contains(&one) => {
                group.members[one].signal(Signal::SIGTERM);
                // A clean stop must work even then.
                assert!(
                    group.members[one].wait(WAIT_TIMEOUT).is_some(),
                    "member {one} does not end\n{}",
                    group.logs()
                );
                format!("end {one}")
            }
            _ => {
                group.members[one].kill();
                self.frozen.retain(|frozen| *frozen != one);
                format!("kill {one}")
            }
        };
        self.done.push(what);
    }

    /// Removes all faults and starts all members.
    fn end(&mut self, group: &mut Group) {
        group.hosts().heal();
        for number in self.frozen.drain(..) {
            group.thaw(number);
        }
        for number in 0..3 {
            if !group.members[number].is_running() {
                group.members[number].kill();
                group.members[number].spawn();
            }
        }
    }
}

#[test]
fn no_fault_loses_data_and_the_cluster_recovers_when_faults_end() {
    let Some(plan) = Plan::new(3) else { return };
    // A watch at etcd skips what its member received as a snapshot; with the default count, none is sent in so
    // short a time.
    let count = if plan.program == Program::Etcd { "100000" } else { "200" };
    let Some(mut group) = plan.with(&["--snapshot-count", count]).on_hosts() else { return };
    let mut rng = TestRng::from_env("chaos");
    group.start();
    let workload = Workload::start(&mut group, &mut rng, 3);
    let (begun, span, mut rounds) = (Instant::now(), budget(20), 0_u32);
    while begun.elapsed() < span {
        let mut faults = ActiveFaults::default();
        for _ in 0..1 + rng.below(4) {
            faults.inject(&mut group, &mut rng);
            std::thread::sleep(Duration::from_millis(rng.below(600)));
        }
        faults.end(&mut group);
        let took = workload.assert_progress(10, AGREE_TIMEOUT, &format!("after {:?}", faults.done));
        if took > Duration::from_secs(4) {
            eprintln!("chaos: {took:?} to go on after {:?}", faults.done);
        }
        rounds += 1;
    }
    group.until_serving();
    eprintln!("chaos: {rounds} rounds");
    workload.finish(&mut group);
}
