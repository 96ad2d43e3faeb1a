//! The start of a cluster, restarts of members with other flags or addresses, and a cluster reduced to one member:
//! all as with etcd.

use std::time::Duration;

use super::group::{AGREE_TIMEOUT, Group, Plan};
use super::membership::{about_members, id, join};
use super::workload::Workload;
use crate::durable::member::Program;
use crate::support::port::Port;
use crate::support::rng::TestRng;
use crate::support::{eventually, stays};

/// Kills a member and starts it with these extra flags.
fn restart_with(group: &mut Group, number: usize, words: &[&str]) {
    let plain = group.plan.words.clone();
    let member = &mut group.members[number];
    member.kill();
    member.set_flags(&plain.iter().map(String::as_str).chain(words.iter().copied()).collect::<Vec<_>>());
    member.spawn();
}

#[test]
fn a_cluster_starts_once_a_majority_has_started_in_any_order() {
    let Some(plan) = Plan::new(3) else { return };
    let mut group = plan.on_local_ports();
    group.members[2].spawn();
    let takes = |group: &Group| {
        let answer = group.ask(2).request("PUT", "/v2/keys/k", Some("value=1"));
        answer.is_ok_and(|answer| answer.status < 300)
    };
    stays("one of three takes nothing", Duration::from_secs(2), || !takes(&group));
    assert!(group.members[2].is_running(), "it waits for the others\n{}", group.logs());
    group.members[0].spawn();
    group.put_until_accepted(2, "/k", "two");
    group.members[1].spawn();
    group.put_until_accepted(1, "/k", "three");
    group.until_serving();
    group.level();
}

#[test]
fn bootstrap_flags_are_ignored_by_a_member_with_data() {
    let Some(plan) = Plan::new(3) else { return };
    let mut group = plan.on_local_ports();
    group.start();
    group.put_until_accepted(0, "/k", "1");
    let (name, own) = (group.members[0].slot.name.clone(), group.members[0].slot.advertised.clone());
    group.members[0].slot.cluster = format!("{name}=http://{own},x=http://127.0.0.1:1");
    restart_with(
        &mut group,
        0,
        &["--initial-cluster-token", "another", "--initial-cluster-state", "existing"],
    );
    group.until_serving();
    group.put_until_accepted(0, "/k", "2");
    group.level();
}

#[test]
fn a_member_changes_its_address_once_the_cluster_was_updated() {
    let Some(plan) = Plan::new(3) else { return };
    let mut group = plan.on_local_ports();
    group.start();
    let id = id(&group, &[0, 1], &group.members[2].slot);
    let port = Port::claim();
    let json = format!("{{\"peerURLs\":[\"http://{}\"]}}", port.address());
    about_members(&group, &[0, 1], "PUT", &format!("/v2/members/{id}"), Some(&json));
    group.members[2].kill();
    let slot = &mut group.members[2].slot;
    (slot.peer, slot.advertised) = (port.address(), port.address());
    let cluster = group.cluster();
    group.members[2].slot.cluster = cluster;
    group.put_until_accepted(0, "/k", "while it moved");
    group.members[2].start();
    group.put_until_accepted(2, "/k", "moved");
    group.level();
    // The others found it at the new address: it is one of the two remaining members.
    group.members[0].kill();
    group.put_until_accepted(1, "/k", "two of three");
}

#[test]
fn a_sole_survivor_starts_a_new_cluster_with_all_its_data() {
    let Some(plan) = Plan::new(3) else { return };
    let mut group = plan.on_local_ports();
    group.start();
    for number in 0..20 {
        group.put_until_accepted(number % 3, &format!("/all/{number}"), "1");
    }
    group.level();
    for number in 0..3 {
        group.members[number].kill();
    }
    restart_with(&mut group, 0, &["--force-new-cluster"]);
    group.put_until_accepted(0, "/all/20", "1");
    restart_with(&mut group, 0, &[]);
    group.put_until_accepted(0, "/all/21", "1");
    let there = group.tree(0).unwrap().1["node"]["nodes"][0]["nodes"].as_array().map_or(0, Vec::len);
    // Etcd drops its last entry when it does not know yet that the others have it too.
    let most = if group.plan.program == Program::Etcd { 21 } else { 22 };
    assert!((most..=22).contains(&there), "{there} of 22");
    // The old ones cannot rejoin it; new ones can.
    group.members.truncate(1);
    group.extend();
    join(&mut group, &[0], 1);
    group.put_until_accepted(1, "/all/22", "1");
    group.level();
}

#[test]
fn large_values_cause_no_election() {
    let Some(plan) = Plan::new(3) else { return };
    let (mut group, mut rng) = (plan.on_local_ports(), TestRng::from_env("large"));
    let leader = group.start();
    let workload = Workload::start(&mut group, &mut rng, 2);
    let form = &format!("value={}", "l".repeat(4 << 20));
    std::thread::scope(|scope| {
        for number in 0..3 {
            let mut wire = group.members[number].wire().with_timeout(Duration::from_secs(30));
            scope.spawn(move || {
                for round in 0..4 {
                    let path = format!("/v2/keys/large/{number}/{round}");
                    let answer = wire.request("PUT", &path, Some(form)).unwrap();
                    assert_eq!(answer.status, 201, "{}", answer.text());
                }
            });
        }
    });
    workload.assert_progress(20, AGREE_TIMEOUT, "beside large values");
    assert_eq!(group.leader(), leader);
    workload.finish(&mut group);
}

#[test]
fn three_members_paused_together_resume_where_they_were() {
    let Some(plan) = Plan::new(3) else { return };
    let (mut group, mut rng) = (plan.on_local_ports(), TestRng::from_env("all_slept"));
    group.start();
    let workload = Workload::start(&mut group, &mut rng, 3);
    workload.assert_progress(30, AGREE_TIMEOUT, "in peace");
    for number in 0..3 {
        group.freeze(number);
    }
    std::thread::sleep(Duration::from_secs(3));
    for number in 0..3 {
        group.thaw(number);
    }
    let took = workload.assert_progress(30, AGREE_TIMEOUT, "after the sleep");
    eprintln!("all slept: {took:?}");
    eventually("they have a leader", AGREE_TIMEOUT, || group.leader_seen_by(0).is_some());
    workload.finish(&mut group);
}
