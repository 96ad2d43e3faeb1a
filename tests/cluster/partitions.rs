//! Members on their own hosts, with the network between them cut in every way, under load.

use std::time::{Duration, Instant};

use super::group::{AGREE_TIMEOUT, Group, Plan};
use super::storm::Storm;
use crate::durable::budget;
use crate::durable::member::Program;
use crate::support::dice::Dice;
use crate::support::{eventually, patient};

/// How long a cluster may take to continue without an isolated member.
const FAILOVER_TIMEOUT: Duration = Duration::from_secs(10);

/// Three members under load.
struct Scene {
    group: Group,
    storm: Storm,
    dice: Dice,
    leader: usize,
}

impl Scene {
    fn new(test: &str) -> Option<Self> {
        let mut group = Plan::new(3)?.apart()?;
        let mut dice = Dice::thrown(test);
        let leader = group.start();
        let storm = Storm::start(&mut group, &mut dice, 3);
        storm.goes_on(30, FAILOVER_TIMEOUT, "in peace");
        Some(Self { group, storm, dice, leader })
    }

    fn rest(&self) -> Vec<usize> {
        (0..3).filter(|number| *number != self.leader).collect()
    }

    /// Heals the network and checks everything; every member must accept writes again.
    #[track_caller]
    fn end(mut self) {
        self.group.hosts().heal();
        for number in 0..3 {
            self.group.put_at_last(number, &format!("/healed/{number}"), "1");
        }
        self.storm.goes_on(30, FAILOVER_TIMEOUT, "after it is whole again");
        self.storm.finish(&mut self.group);
    }
}

#[test]
fn a_leader_that_is_alone_steps_down_and_the_others_go_on() {
    let Some(scene) = Scene::new("leader_alone") else { return };
    scene.group.hosts().isolate(scene.leader);
    let new = scene.group.leader_among(&scene.rest());
    assert_ne!(new, scene.leader);
    scene.storm.goes_on(30, FAILOVER_TIMEOUT, "with the leader alone");
    eventually("the lonely leader knows that it is none", AGREE_TIMEOUT, || {
        scene.group.leader_seen_by(scene.leader).is_none()
    });
    scene.end();
}

/// Requests to a member without a majority are refused in time, also those that were pending when it lost the
/// others.
#[test]
fn clients_of_a_member_that_is_alone_are_refused_in_time_and_never_told_old_news() {
    let Some(mut scene) = Scene::new("refused") else { return };
    let lonely = if scene.dice.one_in(2) { scene.leader } else { scene.rest()[0] };
    let other = scene.group.other_than(lonely);
    scene.group.put_at_last(lonely, "/news", "old");
    scene.group.hosts().isolate(lonely);
    scene.group.put_at_last(other, "/news", "new");
    let (group, begun) = (&scene.group, Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while begun.elapsed() < Duration::from_secs(9) {
                    let asked = Instant::now();
                    let answer = group.members[lonely].wire().get("/v2/keys/news?quorum=true").unwrap();
                    assert_eq!((answer.status, answer.code()), (500, 300), "{}", answer.text());
                    assert!(asked.elapsed() < patient(Duration::from_millis(7500)), "{:?}", asked.elapsed());
                }
            });
        }
    });
    assert_eq!(group.value(lonely, "/news").as_deref(), Some("old"), "a plain read says what is known");
    scene.end();
}

#[test]
fn a_follower_that_is_alone_is_not_missed_and_comes_back_quietly() {
    let Some(mut scene) = Scene::new("follower_alone") else { return };
    let lonely = scene.rest()[scene.dice.index(2)];
    scene.group.hosts().isolate(lonely);
    scene.storm.goes_on(100, FAILOVER_TIMEOUT, "with a follower alone");
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
fn a_leader_that_cannot_send_to_one_member_stays_and_the_others_go_on() {
    let Some(scene) = Scene::new("one_way") else { return };
    let deaf = scene.rest()[0];
    scene.group.hosts().cut_one_way(scene.leader, deaf);
    std::thread::sleep(Duration::from_secs(2));
    scene.storm.goes_on(30, FAILOVER_TIMEOUT, "with one member that the leader cannot reach");
    scene.end();
}

#[test]
fn a_follower_that_cannot_send_is_not_missed() {
    let Some(scene) = Scene::new("mute_follower") else { return };
    scene.group.hosts().mute(scene.rest()[0]);
    std::thread::sleep(Duration::from_secs(2));
    scene.storm.goes_on(30, FAILOVER_TIMEOUT, "with a follower that cannot send");
    scene.end();
}

#[test]
fn a_leader_that_cannot_send_is_replaced() {
    let Some(scene) = Scene::new("mute_leader") else { return };
    scene.group.hosts().mute(scene.leader);
    assert_ne!(scene.group.leader_among(&scene.rest()), scene.leader);
    scene.storm.goes_on(30, FAILOVER_TIMEOUT, "with an old leader that cannot send");
    scene.end();
}

#[test]
fn a_network_that_comes_and_goes_harms_nothing() {
    let Some(mut scene) = Scene::new("flapping") else { return };
    let (begun, span) = (Instant::now(), budget(12));
    let mut rounds = 0_u32;
    while begun.elapsed() < span {
        let (one, other) = (scene.dice.index(3), scene.dice.index(2));
        match scene.dice.below(4) {
            0 => scene.group.hosts().isolate(one),
            1 => scene.group.hosts().cut(one, (one + 1 + other) % 3),
            2 => scene.group.hosts().mute(one),
            _ => scene.group.hosts().cut_one_way(one, (one + 1 + other) % 3),
        }
        std::thread::sleep(Duration::from_millis(300));
        scene.group.hosts().heal();
        std::thread::sleep(Duration::from_millis(300));
        rounds += 1;
    }
    eprintln!("flapping: {rounds} rounds, {} writes", scene.storm.written());
    scene.end();
}

#[test]
fn lost_packets_cost_time_and_nothing_else() {
    let Some(scene) = Scene::new("loss") else { return };
    scene.group.hosts().lose(0.08);
    let (begun, span) = (Instant::now(), budget(10));
    while begun.elapsed() < span {
        scene.storm.goes_on(5, Duration::from_secs(15), "with every twelfth packet lost");
    }
    scene.end();
}

#[test]
fn a_pulled_cable_is_like_any_other_cut() {
    let Some(scene) = Scene::new("cable") else { return };
    scene.group.hosts().plug(scene.leader, false);
    assert_ne!(scene.group.leader_among(&scene.rest()), scene.leader);
    scene.storm.goes_on(30, Duration::from_secs(20), "without the old leader's host");
    scene.group.hosts().plug(scene.leader, true);
    scene.end();
}
