//! Checks the harness itself: it must accept etcd, which is known to be correct, and find a deliberate loss.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::group::Plan;
use super::storm::Storm;
use crate::durable::member::copy;
use crate::support::dice::Dice;

const CONTROL_TIMEOUT: Duration = Duration::from_secs(15);

#[test]
fn etcd_on_hosts_of_its_own_passes_with_its_leader_cut_off() {
    let Some(mut group) = Plan::control(3).and_then(Plan::apart) else { return };
    let mut dice = Dice::thrown("control");
    let leader = group.start();
    let storm = Storm::start(&mut group, &mut dice, 2);
    storm.goes_on(50, CONTROL_TIMEOUT, "in peace");
    group.hosts().isolate(leader);
    let rest: Vec<usize> = (0..3).filter(|number| *number != leader).collect();
    storm.goes_on(50, CONTROL_TIMEOUT, "with the leader alone");
    assert_ne!(group.leader_among(&rest), leader);
    group.hosts().heal();
    storm.goes_on(50, CONTROL_TIMEOUT, "after it is whole again");
    storm.finish(&mut group);
}

/// A majority that comes back with older folders loses acknowledged writes in any store.
#[test]
fn older_copies_of_two_folders_are_found_out() {
    let Some(plan) = Plan::control(3) else { return };
    let (mut group, mut dice) = (plan.here(), Dice::thrown("older"));
    group.start();
    let storm = Storm::start(&mut group, &mut dice, 2);
    storm.goes_on(40, CONTROL_TIMEOUT, "before the copies");
    for number in [0, 1] {
        group.members[number].kill();
        let (now, older) = (group.members[number].data(), group.members[number].path("older"));
        copy(&now, &older);
        group.start();
    }
    storm.goes_on(100, CONTROL_TIMEOUT, "after the copies");
    for member in &mut group.members {
        member.kill();
    }
    std::fs::remove_dir_all(group.members[2].data()).unwrap();
    for number in [0, 1] {
        let (now, older) = (group.members[number].data(), group.members[number].path("older"));
        std::fs::rename(&now, group.members[number].path("newer")).unwrap();
        std::fs::rename(&older, &now).unwrap();
        group.members[number].spawn();
    }
    group.leader_among(&[0, 1]);
    storm.goes_on(20, CONTROL_TIMEOUT, "after the loss");
    storm.left(&group.members[2].address());
    let found = catch_unwind(AssertUnwindSafe(|| storm.finish(&mut group).logs.len()));
    let why = found.expect_err("a loss that nobody saw");
    let why = why.downcast_ref::<String>().cloned().unwrap_or_default();
    for sign in ["cannot be", "was acknowledged"] {
        assert!(why.contains(sign), "{sign:?} is not among what was found:\n{why}");
    }
}
