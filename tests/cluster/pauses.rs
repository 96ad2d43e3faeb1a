//! Frozen members, slow networks, wrong clocks, full disks.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use super::group::{AGREE_TIMEOUT, Group, Plan};
use super::workload::Workload;
use crate::durable::member::Program;
use crate::support::fake_time::FakeTime;
use crate::support::programs::need_mounts;
use crate::support::rng::TestRng;
use crate::support::skips::Permitted;
use crate::support::{Mount, eventually, scaled};

const FAILOVER_TIMEOUT: Duration = Duration::from_secs(10);

#[test]
fn a_leader_paused_during_its_replacement_does_no_harm() {
    let Some(plan) = Plan::new(3) else { return };
    let (mut group, mut rng) = (plan.on_local_ports(), TestRng::from_env("slept"));
    group.start();
    let workload = Workload::start(&mut group, &mut rng, 3);
    for round in 0..4 {
        workload.assert_progress(20, FAILOVER_TIMEOUT, "in peace");
        let leader = group.leader();
        group.freeze(leader);
        let rest: Vec<usize> = (0..3).filter(|number| *number != leader).collect();
        // Three election timeouts; in the last round until the others certainly have a new leader.
        std::thread::sleep(Duration::from_millis(1500));
        if round == 3 {
            assert_ne!(group.leader_among(&rest), leader);
        }
        group.thaw(leader);
    }
    workload.assert_progress(30, FAILOVER_TIMEOUT, "after all woke up");
    workload.finish(&mut group);
}

#[test]
fn a_paused_follower_is_not_needed() {
    let Some(plan) = Plan::new(3) else { return };
    let (mut group, mut rng) = (plan.on_local_ports(), TestRng::from_env("sleeping_follower"));
    let leader = group.start();
    let workload = Workload::start(&mut group, &mut rng, 3);
    let sleeper = group.other_than(leader);
    group.freeze(sleeper);
    workload.assert_progress(100, FAILOVER_TIMEOUT, "with a sleeping follower");
    group.thaw(sleeper);
    workload.assert_progress(30, FAILOVER_TIMEOUT, "after it woke up");
    workload.finish(&mut group);
}

#[test]
fn a_slow_network_slows_writes_and_causes_no_election() {
    let Some(plan) = Plan::new(3) else { return };
    let (mut group, mut rng) = (plan.with_links().on_local_ports(), TestRng::from_env("slow"));
    let leader = group.start();
    let workload = Workload::start(&mut group, &mut rng, 3);
    for line in &group.lines {
        line.delay(Duration::from_millis(40));
    }
    workload.assert_progress(60, Duration::from_secs(20), "over lines of 40 ms");
    assert_eq!(group.leader(), leader, "a delay below the time of an election unseats nobody");
    for line in &group.lines {
        line.delay(Duration::ZERO);
        line.rate(200_000);
    }
    workload.assert_progress(30, Duration::from_secs(20), "over lines of 200 kB a second");
    for line in &group.lines {
        line.rate(0);
    }
    workload.finish(&mut group);
}

#[test]
fn a_link_that_holds_all_traffic_is_detected() {
    let Some(plan) = Plan::new(3) else { return };
    let (mut group, mut rng) = (plan.with_links().on_local_ports(), TestRng::from_env("held"));
    group.start();
    let workload = Workload::start(&mut group, &mut rng, 3);
    let leader = group.leader();
    for number in [leader, group.other_than(leader)] {
        for (there, back) in [(true, true), (true, false), (false, true)] {
            group.lines[number].hold(there, back);
            workload.assert_progress(20, Duration::from_secs(20), "with one line that holds everything back");
            std::thread::sleep(Duration::from_millis(1000));
            group.lines[number].hold(false, false);
        }
    }
    workload.assert_progress(30, FAILOVER_TIMEOUT, "after that");
    workload.finish(&mut group);
}

/// Writes a key with a TTL through one member; returns after how long it was gone from another.
fn lifetime(group: &Group, through: usize, seen_by: usize, ttl: u64) -> Duration {
    let key = format!("/lease/{through}");
    let mut wire = group.members[through].wire();
    let begun = Instant::now();
    let form = format!("value=1&ttl={ttl}");
    let answer = wire.request("PUT", &format!("/v2/keys{key}"), Some(&form)).unwrap();
    assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
    let shown = answer.json()["node"]["ttl"].as_i64().unwrap_or(0);
    assert!((0..=i64::try_from(ttl).unwrap()).contains(&shown), "member {through} shows {}", answer.text());
    eventually("the other has the key", AGREE_TIMEOUT, || group.value(seen_by, &key).is_some());
    eventually(&format!("the key of member {through} goes"), Duration::from_secs(ttl + 10), || {
        group.value(seen_by, &key).is_none()
    });
    begun.elapsed()
}

#[test]
fn leases_last_their_ttl_when_one_clock_is_a_day_off() {
    let Some(plan) = Plan::new(3) else { return };
    if plan.program == Program::Etcd {
        Permitted::Control.skip();
        return;
    }
    let mut group = plan.on_local_ports();
    let Some(clock) = FakeTime::new(&group.members[0].path("")) else { return };
    for (name, value) in clock.env() {
        group.members[0].env(name, &value);
    }
    clock.set("+1d");
    group.start();
    for offset in ["+1d", "-1d"] {
        clock.set(offset);
        let lived: Vec<Duration> = std::thread::scope(|scope| {
            let group = &group;
            let through = |number| scope.spawn(move || lifetime(group, number, (number + 1) % 3, 3));
            let threads: Vec<_> = (0..3).map(through).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for (number, lived) in lived.iter().enumerate() {
            assert!(
                *lived >= Duration::from_millis(2950) && *lived < scaled(Duration::from_secs(5)),
                "{offset}: a lease of 3 s through member {number} lasted {lived:?}"
            );
        }
        // The next leader may or may not be the one with the wrong clock.
        let leader = group.leader();
        group.members[leader].kill();
        group.members[leader].start();
        group.leader();
    }
}

#[test]
fn a_full_disk_on_one_member_stops_no_other() {
    if !need_mounts() {
        return;
    }
    let Some(plan) = Plan::new(3) else { return };
    for full_leads in [false, true] {
        let (mut group, mut rng) = (plan.clone().on_local_ports(), TestRng::from_env("full"));
        let data = group.members[0].data();
        fs::create_dir(&data).unwrap();
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
        // Etcd begins with files of 64 MB each.
        let (disk, ballast) = (Mount::tmpfs("200m", &data), data.join("ballast"));
        group.start();
        move_leadership(&mut group, full_leads);
        let workload = Workload::start(&mut group, &mut rng, 3);
        workload.assert_progress(20, FAILOVER_TIMEOUT, "in peace");
        // Another file takes the remaining space.
        fill(&ballast);
        for number in 0..40 {
            let form = format!("value={}", "f".repeat(100_000));
            let path = format!("/v2/keys/large/{number}");
            group.members[1].wire().request("PUT", &path, Some(&form)).ok();
        }
        workload.assert_progress(50, Duration::from_secs(20), "with a full disk on one member");
        fs::remove_file(&ballast).unwrap();
        std::thread::sleep(Duration::from_secs(1));
        if !group.members[0].is_running() {
            eprintln!("the member with the full disk ended: {}", group.members[0].log_tail());
            group.members[0].kill();
            group.members[0].start();
        }
        group.put_until_accepted(0, "/room", "again");
        workload.finish(&mut group);
        drop(group);
        drop(disk);
    }
}

/// Restarts leaders until the first member leads, or no longer leads.
#[track_caller]
fn move_leadership(group: &mut Group, first: bool) {
    for _ in 0..20 {
        let leader = group.leader();
        if (leader == 0) == first {
            return;
        }
        group.members[leader].kill();
        group.leader();
        group.members[leader].start();
    }
    panic!("the first member never led, or always");
}

fn fill(path: &std::path::Path) {
    use std::io::Write as _;
    let mut file = fs::File::create(path).unwrap();
    let block = vec![0; 64 << 10];
    while file.write_all(&block).is_ok() {}
    while file.write_all(&[0; 512]).is_ok() {}
}
