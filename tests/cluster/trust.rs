//! Members that verify each other by certificates: those without one, or with one of another authority, are
//! refused.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::group::{AGREE_TIMEOUT, Group, Plan};
use super::workload::Workload;
use crate::durable::member::Program;
use crate::support::rng::TestRng;
use crate::support::{Authority, Dir, eventually};

const FAILOVER_TIMEOUT: Duration = Duration::from_secs(10);

/// Returns the flags of a member with this certificate that trusts this authority.
pub fn flags(ca: &str, (cert, key): &(String, String)) -> Vec<String> {
    let own = ["--peer-cert-file", cert, "--peer-key-file", key, "--peer-trusted-ca-file", ca];
    own.into_iter().chain(["--peer-client-cert-auth"]).map(str::to_owned).collect()
}

/// Starts three members with certificates of one authority.
fn group(authority: &Authority<'_>) -> Option<Group> {
    let flags = flags(&authority.ca(), &authority.sign("server"));
    let mut plan = Plan::new(3)?.with(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    plan.scheme = "https";
    Some(plan.on_local_ports())
}

#[test]
fn members_with_certificates_work_like_others() {
    let dir = Dir::new();
    let Some(authority) = Authority::new(&dir, "house") else { return };
    let Some(mut group) = group(&authority) else { return };
    let (leader, mut rng) = (group.start(), TestRng::from_env("certified"));
    let workload = Workload::start(&mut group, &mut rng, 3);
    workload.assert_progress(50, FAILOVER_TIMEOUT, "in peace");
    group.members[leader].kill();
    workload.assert_progress(50, FAILOVER_TIMEOUT, "without the old leader");
    group.members[leader].start();
    workload.finish(&mut group);
}

#[test]
fn a_member_with_a_certificate_of_another_authority_is_refused() {
    let dir = Dir::new();
    let (Some(authority), Some(other)) = (Authority::new(&dir, "house"), Authority::new(&dir, "stranger"))
    else {
        return;
    };
    let Some(mut group) = group(&authority) else { return };
    let words = group.plan.words.clone();
    let right: Vec<&str> = words.iter().map(String::as_str).collect();
    let leader = group.start();
    group.members[2].kill();
    // It trusts the right authority but is not trusted itself; then it trusts the wrong one.
    for ca in [authority.ca(), other.ca()] {
        let foreign = flags(&ca, &other.sign("server"));
        let foreign: Vec<&str> = foreign.iter().map(String::as_str).collect();
        let plain: Vec<&str> = right.iter().copied().take(right.len() - 7).collect();
        group.members[2].set_flags(&[&plain[..], &foreign].concat());
        group.members[2].clear_log();
        group.members[2].spawn();
        let before = group.leader_among(&[0, 1]);
        assert!(before == leader || leader == 2, "a stranger unseats nobody");
        if group.plan.program == Program::Retune {
            let names = |number: usize, text: &str| group.members[number].log().contains(text);
            let both = || names(2, "--peer-cert-file") && names(0, "certificate") && names(1, "certificate");
            eventually("both sides say which certificate is not believed", AGREE_TIMEOUT, both);
        }
        let mut wire = group.members[2].wire().with_timeout(Duration::from_secs(12));
        let answer = wire.request("PUT", "/v2/keys/stranger", Some("value=1"));
        assert!(!answer.is_ok_and(|answer| answer.status < 400), "it takes writes\n{}", group.logs());
        group.put_until_accepted(0, "/unharmed", "1");
        group.members[2].kill();
    }
    group.members[2].set_flags(&right);
    group.members[2].start();
    let (_, tree) = group.level();
    assert!(!tree.to_string().contains("stranger"), "{tree}");
}

#[test]
fn a_plain_client_on_a_tls_port_gets_nothing_and_does_no_harm() {
    let dir = Dir::new();
    let Some(authority) = Authority::new(&dir, "house") else { return };
    let Some(mut group) = group(&authority) else { return };
    let (leader, mut rng) = (group.start(), TestRng::from_env("plain"));
    let workload = Workload::start(&mut group, &mut rng, 2);
    for _ in 0..20 {
        for member in &group.members {
            let mut stream = TcpStream::connect(&member.slot.peer).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(12))).unwrap();
            stream.write_all(b"GET /members HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).ok();
            let answer = String::from_utf8_lossy(&answer);
            assert!(!answer.contains("peerURLs"), "it is told of the members: {answer}");
        }
    }
    workload.assert_progress(20, FAILOVER_TIMEOUT, "with plain speakers on the peer ports");
    assert_eq!(group.leader(), leader);
    if group.plan.program == Program::Retune {
        let told = |number: usize| group.members[number].log().contains("plain");
        eventually("the log says that somebody spoke plainly", AGREE_TIMEOUT, || (0..3).all(told));
    }
    workload.finish(&mut group);
}
