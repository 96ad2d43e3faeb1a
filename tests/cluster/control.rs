//! Checks the harness itself: it must accept etcd, which is known to be correct, and find a deliberate loss.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::group::Plan;
use super::workload::Workload;
use crate::durable::member::copy;
use crate::support::rng::TestRng;

const CONTROL_TIMEOUT: Duration = Duration::from_secs(15);

#[test]
fn etcd_on_separate_hosts_passes_with_its_leader_isolated() {
    let Some(mut group) = Plan::control(3).and_then(Plan::on_hosts) else { return };
    let mut rng = TestRng::from_env("control");
    let leader = group.start();
    let workload = Workload::start(&mut group, &mut rng, 2);
    workload.assert_progress(50, CONTROL_TIMEOUT, "in peace");
    group.hosts().isolate(leader);
    let rest: Vec<usize> = (0..3).filter(|number| *number != leader).collect();
    workload.assert_progress(50, CONTROL_TIMEOUT, "with the leader alone");
    assert_ne!(group.leader_among(&rest), leader);
    group.hosts().heal();
    workload.assert_progress(50, CONTROL_TIMEOUT, "after it is whole again");
    workload.finish(&mut group);
}

/// A majority that comes back with older folders loses acknowledged writes in any store.
#[test]
fn restoring_old_copies_of_two_folders_is_detected() {
    let Some(plan) = Plan::control(3) else { return };
    let (mut group, mut rng) = (plan.on_local_ports(), TestRng::from_env("older"));
    group.start();
    let workload = Workload::start(&mut group, &mut rng, 2);
    workload.assert_progress(40, CONTROL_TIMEOUT, "before the copies");
    for number in [0, 1] {
        group.members[number].kill();
        let (now, older) = (group.members[number].data(), group.members[number].path("older"));
        copy(&now, &older);
        group.start();
    }
    workload.assert_progress(100, CONTROL_TIMEOUT, "after the copies");
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
    workload.assert_progress(20, CONTROL_TIMEOUT, "after the loss");
    workload.stop_watcher(&group.members[2].address());
    let found = catch_unwind(AssertUnwindSafe(|| workload.finish(&mut group).logs.len()));
    let why = found.expect_err("a loss that nobody saw");
    let why = why.downcast_ref::<String>().cloned().unwrap_or_default();
    for sign in ["cannot be", "was acknowledged"] {
        assert!(why.contains(sign), "{sign:?} is not among what was found:\n{why}");
    }
}
