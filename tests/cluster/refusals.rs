//! Members that do not belong to the cluster: each is refused with advice, and the cluster is not affected.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::group::{AGREE_TIMEOUT, Group, Plan};
use super::membership::{about_members, add, id};
use super::workload::Workload;
use crate::durable::member::{Member, MemberSlot, Program, copy};
use crate::support::port::Port;
use crate::support::rng::TestRng;
use crate::support::skips::Permitted;
use crate::support::{eventually, scaled};

const FAILOVER_TIMEOUT: Duration = Duration::from_secs(10);

/// Three members of ours: etcd refuses fewer of these, with other messages.
fn ours() -> Option<Plan> {
    let plan = Plan::new(3)?;
    if plan.program == Program::Etcd {
        Permitted::Control.skip();
        return None;
    }
    Some(plan)
}

/// Returns whether a log has all of these words in one line, in any case.
fn says(member: &Member, words: &[&str]) -> bool {
    let log = member.log().to_lowercase();
    log.lines().any(|line| words.iter().all(|word| line.contains(word)))
}

/// Waits until a stranger was refused for this reason: it has ended with an error and logged why. The cluster must
/// be unchanged.
#[track_caller]
fn ends_refused(stranger: &mut Member, group: &mut Group, words: &[&str]) {
    let (begun, mut code) = (Instant::now(), None);
    while begun.elapsed() < scaled(AGREE_TIMEOUT) && code.is_none() {
        code = stranger.ended();
        std::thread::sleep(Duration::from_millis(20));
    }
    let log = stranger.log_tail();
    eprintln!("refused with {code:?}:\n{log}");
    assert!(code.is_some_and(|code| code != 0), "it goes on: {code:?}\n{log}\n{}", group.logs());
    assert!(says(stranger, words), "it does not say {words:?}\n{log}");
    stranger.kill();
    group.put_until_accepted(0, "/unharmed", "1");
}

#[test]
fn a_member_with_another_cluster_token_is_refused_until_it_has_the_right_one() {
    let Some(plan) = ours() else { return };
    let mut group = plan.on_local_ports();
    let words = group.plan.words.clone();
    let right: Vec<&str> = words.iter().map(String::as_str).collect();
    group.members[2].set_flags(&[&right[..], &["--initial-cluster-token", "another"]].concat());
    for member in &mut group.members {
        member.spawn();
    }
    eventually("two of three elect a leader", AGREE_TIMEOUT, || group.leader_seen_by(0).is_some());
    let leader = group.leader_among(&[0, 1]);
    let mut rng = TestRng::from_env("token");
    let told = |group: &Group| group.members.iter().any(|member| says(member, &["initial-cluster-token"]));
    eventually("somebody names the token", AGREE_TIMEOUT, || told(&group));
    group.members[2].kill();
    let workload = Workload::start(&mut group, &mut rng, 2);
    group.members[2].spawn();
    workload.assert_progress(50, FAILOVER_TIMEOUT, "with a stranger knocking");
    group.members[2].kill();
    assert_eq!(group.leader_among(&[0, 1]), leader, "a stranger unseats nobody");
    workload.finish(&mut group);
    eprintln!("{}", group.logs());
    std::fs::remove_dir_all(group.members[2].data()).unwrap();
    group.members[2].set_flags(&right);
    group.members[2].start();
    group.level();
}

#[test]
fn a_member_with_a_wiped_folder_is_refused_under_its_old_name() {
    let Some(plan) = ours() else { return };
    let mut group = plan.on_local_ports();
    group.start();
    group.put_until_accepted(2, "/k", "1");
    for state in ["new", "existing"] {
        let mut stranger = take_out(&mut group, 2);
        std::fs::remove_dir_all(stranger.data()).unwrap();
        let words = group.plan.words.clone();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        stranger.set_flags(&[&words[..], &["--initial-cluster-state", state]].concat());
        stranger.spawn();
        ends_refused(&mut stranger, &mut group, &["member"]);
        let log = stranger.log().to_lowercase();
        assert!(log.contains("remove") || log.contains("replace"), "what to do is not said\n{log}");
        put_back(&mut group, stranger);
    }
}

/// Removes a member from the handle of a group, so that requests go to the others.
fn take_out(group: &mut Group, number: usize) -> Member {
    group.members[number].kill();
    group.members.remove(number)
}

fn put_back(group: &mut Group, mut member: Member) {
    member.kill();
    group.members.push(member);
}

#[test]
fn a_member_with_the_folder_of_another_is_refused() {
    let Some(plan) = ours() else { return };
    let mut group = plan.on_local_ports();
    group.start();
    group.put_until_accepted(1, "/k", "1");
    group.members[1].kill();
    let mut stranger = take_out(&mut group, 2);
    std::fs::rename(stranger.data(), stranger.path("own")).unwrap();
    copy(&group.members[1].data(), &stranger.data());
    group.members[1].start();
    stranger.spawn();
    ends_refused(&mut stranger, &mut group, &["data"]);
    // Also while the owner of the folder is down.
    group.members[1].kill();
    stranger.spawn();
    let (begun, mut code) = (Instant::now(), None);
    while begun.elapsed() < scaled(AGREE_TIMEOUT) && code.is_none() {
        code = stranger.ended();
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(code.is_some_and(|code| code != 0), "it goes on\n{}", stranger.log_tail());
    group.members[1].start();
    stranger.kill();
    std::fs::remove_dir_all(stranger.data()).unwrap();
    std::fs::rename(stranger.path("own"), stranger.data()).unwrap();
    stranger.start();
    put_back(&mut group, stranger);
    group.start();
    group.level();
}

/// Starts a process with the identity of another member.
fn start_impostor(group: &Group, slot: MemberSlot, ports: Vec<Port>, words: &[&str]) -> Member {
    let mut stranger = Member::in_slot(group.plan.program, slot, ports);
    let plain = group.plan.words.clone();
    stranger.set_flags(&plain.iter().map(String::as_str).chain(words.iter().copied()).collect::<Vec<_>>());
    stranger.spawn();
    stranger
}

#[test]
fn a_second_member_of_the_same_name_is_refused() {
    let Some(plan) = ours() else { return };
    let mut group = plan.on_local_ports();
    group.start();
    let slot = group.members[1].slot.clone();
    let (client, peer) = (Port::claim(), Port::claim());
    // A complete copy except for its listen address, and one with its own address.
    let twin = MemberSlot { client: client.address(), peer: peer.address(), ..slot };
    let copied = MemberSlot { advertised: peer.address(), ..twin.clone() };
    let mut ports = vec![client, peer];
    let bootstrapped = "has already been bootstrapped";
    for (slot, words) in [(twin.clone(), [bootstrapped, "remove"]), (copied, ["n1", "advertise-peer-urls"])] {
        let mut stranger = start_impostor(&group, slot, std::mem::take(&mut ports), &[]);
        ends_refused(&mut stranger, &mut group, &words);
    }
    // A member that was added properly and then started with a name that is taken.
    let port = Port::claim();
    let mut slot = MemberSlot { peer: port.address(), advertised: port.address(), ..twin };
    add(&group, &[0, 1, 2], &slot);
    let others = slot.cluster.replace("n1=", "other=");
    slot.cluster = format!("{others},n1=http://{}", slot.advertised);
    let mut stranger =
        start_impostor(&group, slot.clone(), vec![port], &["--initial-cluster-state", "existing"]);
    ends_refused(&mut stranger, &mut group, &["n1", "--name"]);
    let id = id(&group, &[0, 1, 2], &slot);
    about_members(&group, &[0, 1, 2], "DELETE", &format!("/v2/members/{id}"), None);
    group.level();
}

/// Input from arbitrary clients that a peer port must survive.
fn nonsense(rng: &mut TestRng) -> Vec<Vec<u8>> {
    let mut random = |length: usize| (0..length).map(|_| rng.next() as u8).collect::<Vec<u8>>();
    let mut all: Vec<Vec<u8>> = [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /raft/stream/message/1 HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /raft HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999\r\n\r\n",
        "POST /raft HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /raft HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nX-Etcd-Cluster-ID: 1\r\n\r\n0123456789",
        "POST /raft/snapshot HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        "POST /members HTTP/1.1\r\nHost: x\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}",
        "\0\0\0\0",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    all.push(b"GET /".iter().copied().chain(std::iter::repeat_n(b'a', 300_000)).collect());
    all.push(vec![0xff; 100_000]);
    all.push([&u32::MAX.to_be_bytes()[..], &[0; 100]].concat());
    all.push([&u64::MAX.to_le_bytes()[..], &[1; 100]].concat());
    all.extend((0..10).map(|round| random(1 << round)));
    all
}

#[test]
fn garbage_on_the_peer_port_does_no_harm() {
    let Some(plan) = Plan::new(3) else { return };
    let (mut group, mut rng) = (plan.on_local_ports(), TestRng::from_env("nonsense"));
    let leader = group.start();
    let workload = Workload::start(&mut group, &mut rng, 2);
    let before: Vec<u64> = group.members.iter().map(|member| member.memory("VmRSS")).collect();
    let mut open = Vec::new();
    for round in 0..6 {
        for bytes in nonsense(&mut rng) {
            for member in &group.members {
                let mut stream = TcpStream::connect(&member.slot.peer).unwrap();
                stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
                // The other side may close the connection early.
                stream.write_all(&bytes).ok();
                if round < 2 {
                    open.push(stream);
                }
            }
        }
        workload.assert_progress(5, FAILOVER_TIMEOUT, "with nonsense on the peer ports");
    }
    for number in 0..3 {
        assert!(group.members[number].is_running(), "{}", group.members[number].log_tail());
        assert!(!group.members[number].log().contains("panicked"), "{}", group.members[number].log());
    }
    assert_eq!(group.leader(), leader, "nonsense unseats nobody");
    if group.plan.program == Program::Retune {
        let word = |number: usize| group.members[number].log().lines().any(|line| line.contains("WARN"));
        assert!((0..3).all(word), "nobody is told of it\n{}", group.logs());
    }
    drop(open);
    let after: Vec<u64> = group.members.iter().map(|member| member.memory("VmRSS")).collect();
    eprintln!("kB before {before:?}, after {after:?}");
    for (before, after) in before.iter().zip(&after) {
        assert!(*after < before + 150_000, "it keeps what it was sent");
    }
    workload.finish(&mut group);
}
