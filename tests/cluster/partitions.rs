//! Members on their own hosts, with the network between them cut in every way, under load.

use std::time::{Duration, Instant};

use super::group::{AGREE_TIMEOUT, Group, Plan};
use super::workload::Workload;
use crate::durable::budget;
use crate::durable::member::Program;
use crate::support::rng::TestRng;
use crate::support::{eventually, scaled};

/// How long a cluster may take to continue without an isolated member.
const FAILOVER_TIMEOUT: Duration = Duration::from_secs(10);

/// Three members under load.
struct TestCluster {
    group: Group,
    workload: Workload,
    rng: TestRng,
    leader: usize,
}

impl TestCluster {
    fn new(test: &str) -> Option<Self> {
        let mut group = Plan::new(3)?.on_hosts()?;
        let mut rng = TestRng::from_env(test);
        let leader = group.start();
        let workload = Workload::start(&mut group, &mut rng, 3);
        workload.assert_progress(30, FAILOVER_TIMEOUT, "in peace");
        Some(Self { group, workload, rng, leader })
    }

    fn others(&self) -> Vec<usize> {
        (0..3).filter(|number| *number != self.leader).collect()
    }

    /// Heals the network and checks everything; every member must accept writes again.
    #[track_caller]
    fn end(mut self) {
        self.group.hosts().heal();
        for number in 0..3 {
            self.group.put_until_accepted(number, &format!("/healed/{number}"), "1");
        }
        self.workload.assert_progress(30, FAILOVER_TIMEOUT, "after it is whole again");
        self.workload.finish(&mut self.group);
    }
}

#[test]
fn an_isolated_leader_steps_down_and_the_others_continue() {
    let Some(scene) = TestCluster::new("leader_alone") else { return };
    scene.group.hosts().isolate(scene.leader);
    let new = scene.group.leader_among(&scene.others());
    assert_ne!(new, scene.leader);
    scene.workload.assert_progress(30, FAILOVER_TIMEOUT, "with the leader alone");
    eventually("the lonely leader knows that it is none", AGREE_TIMEOUT, || {
        scene.group.leader_seen_by(scene.leader).is_none()
    });
    scene.end();
}

/// Requests to a member without a majority are refused in time, also those that were pending when it lost the
/// others.
#[test]
fn clients_of_an_isolated_member_are_refused_in_time_and_never_read_stale_data() {
    let Some(mut scene) = TestCluster::new("refused") else { return };
    let lonely = if scene.rng.one_in(2) { scene.leader } else { scene.others()[0] };
    let other = scene.group.other_than(lonely);
    scene.group.put_until_accepted(lonely, "/news", "old");
    scene.group.hosts().isolate(lonely);
    scene.group.put_until_accepted(other, "/news", "new");
    let (group, begun) = (&scene.group, Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while begun.elapsed() < Duration::from_secs(9) {
                    let asked = Instant::now();
                    let answer = group.members[lonely].wire().get("/v2/keys/news?quorum=true").unwrap();
                    assert_eq!((answer.status, answer.code()), (500, 300), "{}", answer.text());
                    assert!(asked.elapsed() < scaled(Duration::from_millis(7500)), "{:?}", asked.elapsed());
                }
            });
        }
    });
    assert_eq!(group.value(lonely, "/news").as_deref(), Some("old"), "a plain read says what is known");
    scene.end();
}

#[test]
fn an_isolated_follower_is_not_needed_and_rejoins_without_an_election() {
    let Some(mut scene) = TestCluster::new("follower_alone") else { return };
    let lonely = scene.others()[scene.rng.index(2)];
    scene.group.hosts().isolate(lonely);
    scene.workload.assert_progress(100, FAILOVER_TIMEOUT, "with a follower alone");
    // Long enough for several elections that it cannot win.
    std::thread::sleep(Duration::from_secs(3));
    scene.group.hosts().heal();
    eventually("it knows the leader again", AGREE_TIMEOUT, || scene.group.leader_seen_by(lonely).is_some());
    if scene.group.plan.program == Program::Retune {
        assert_eq!(scene.group.leader(), scene.leader, "one that comes back unseats nobody");
    }
    scene.end();
}

#[test]
fn a_leader_that_cannot_send_to_one_member_stays_leader_and_the_others_continue() {
    let Some(scene) = TestCluster::new("one_way") else { return };
    let deaf = scene.others()[0];
    scene.group.hosts().cut_one_way(scene.leader, deaf);
    std::thread::sleep(Duration::from_secs(2));
    scene.workload.assert_progress(30, FAILOVER_TIMEOUT, "with one member that the leader cannot reach");
    scene.end();
}

#[test]
fn a_follower_that_cannot_send_is_not_needed() {
    let Some(scene) = TestCluster::new("mute_follower") else { return };
    scene.group.hosts().block_outgoing(scene.others()[0]);
    std::thread::sleep(Duration::from_secs(2));
    scene.workload.assert_progress(30, FAILOVER_TIMEOUT, "with a follower that cannot send");
    scene.end();
}

#[test]
fn a_leader_that_cannot_send_is_replaced_by_another() {
    let Some(scene) = TestCluster::new("mute_leader") else { return };
    scene.group.hosts().block_outgoing(scene.leader);
    assert_ne!(scene.group.leader_among(&scene.others()), scene.leader);
    scene.workload.assert_progress(30, FAILOVER_TIMEOUT, "with an old leader that cannot send");
    scene.end();
}

#[test]
fn a_flapping_network_does_no_harm() {
    let Some(mut scene) = TestCluster::new("flapping") else { return };
    let (begun, span) = (Instant::now(), budget(12));
    let mut rounds = 0_u32;
    while begun.elapsed() < span {
        let (one, other) = (scene.rng.index(3), scene.rng.index(2));
        match scene.rng.below(4) {
            0 => scene.group.hosts().isolate(one),
            1 => scene.group.hosts().cut(one, (one + 1 + other) % 3),
            2 => scene.group.hosts().block_outgoing(one),
            _ => scene.group.hosts().cut_one_way(one, (one + 1 + other) % 3),
        }
        std::thread::sleep(Duration::from_millis(300));
        scene.group.hosts().heal();
        std::thread::sleep(Duration::from_millis(300));
        rounds += 1;
    }
    eprintln!("flapping: {rounds} rounds, {} writes", scene.workload.written());
    scene.end();
}

#[test]
fn packet_loss_only_slows_the_cluster() {
    let Some(scene) = TestCluster::new("loss") else { return };
    scene.group.hosts().set_packet_loss(0.08);
    let (begun, span) = (Instant::now(), budget(10));
    while begun.elapsed() < span {
        scene.workload.assert_progress(5, Duration::from_secs(15), "with every twelfth packet lost");
    }
    scene.end();
}

#[test]
fn a_pulled_cable_acts_like_any_other_partition() {
    let Some(scene) = TestCluster::new("cable") else { return };
    scene.group.hosts().set_plugged(scene.leader, false);
    assert_ne!(scene.group.leader_among(&scene.others()), scene.leader);
    scene.workload.assert_progress(30, Duration::from_secs(20), "without the old leader's host");
    scene.group.hosts().set_plugged(scene.leader, true);
    scene.end();
}
