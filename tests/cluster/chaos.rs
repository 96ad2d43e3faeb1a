//! All faults at once, at random: members are killed, stopped and frozen while the network between them is cut and
//! loses packets; in quiet phases in between, writes must succeed. `RETUNE_TEST_BUDGET` is the duration in seconds,
//! `RETUNE_TEST_SEED` repeats a run.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::group::{AGREE_TIMEOUT, Group, Plan};
use super::storm::Storm;
use crate::durable::budget;
use crate::durable::member::Program;
use crate::support::WAIT_TIMEOUT;
use crate::support::dice::Dice;

/// The active faults, so that they can be undone.
#[derive(Default)]
struct Harm {
    frozen: Vec<usize>,
    done: Vec<String>,
}

impl Harm {
    /// Adds a fault.
    fn strike(&mut self, group: &mut Group, dice: &mut Dice) {
        let (one, step) = (dice.index(3), 1 + dice.index(2));
        let other = (one + step) % 3;
        let what = match dice.below(9) {
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
                group.hosts().mute(one);
                format!("mute {one}")
            }
            4 => {
                group.hosts().lose(0.1);
                "lose".to_owned()
            }
            5 if group.members[one].runs() && !self.frozen.contains(&one) => {
                group.freeze(one);
                self.frozen.push(one);
                format!("freeze {one}")
            }
            6 if group.members[one].runs() && !self.frozen.contains(&one) => {
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
            if !group.members[number].runs() {
                group.members[number].kill();
                group.members[number].spawn();
            }
        }
    }
}

#[test]
fn whatever_happens_nothing_is_lost_and_peace_is_enough_to_go_on() {
    let Some(plan) = Plan::new(3) else { return };
    // A watch at etcd skips what its member received as a snapshot; with the default count, none is sent in so
    // short a time.
    let count = if plan.program == Program::Etcd { "100000" } else { "200" };
    let Some(mut group) = plan.with(&["--snapshot-count", count]).apart() else { return };
    let mut dice = Dice::thrown("chaos");
    group.start();
    let storm = Storm::start(&mut group, &mut dice, 3);
    let (begun, span, mut rounds) = (Instant::now(), budget(20), 0_u32);
    while begun.elapsed() < span {
        let mut harm = Harm::default();
        for _ in 0..1 + dice.below(4) {
            harm.strike(&mut group, &mut dice);
            std::thread::sleep(Duration::from_millis(dice.below(600)));
        }
        harm.end(&mut group);
        let took = storm.goes_on(10, AGREE_TIMEOUT, &format!("after {:?}", harm.done));
        if took > Duration::from_secs(4) {
            eprintln!("chaos: {took:?} to go on after {:?}", harm.done);
        }
        rounds += 1;
    }
    group.until_serving();
    eprintln!("chaos: {rounds} rounds");
    storm.finish(&mut group);
}
