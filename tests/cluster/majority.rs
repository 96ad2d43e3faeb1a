//! The usual example with etcd: start three members, write to the third, kill it, read from the first; without a
//! majority reads work and writes fail; with one member back writes work again, and it catches up.

use std::time::{Duration, Instant};

use super::group::{AGREE_TIMEOUT, Group, Plan};
use crate::support::{eventually, scaled};

/// Five seconds and twice the election timeout, and some time for a busy machine.
const REFUSAL_TIMEOUT: Duration = Duration::from_millis(5000 + 2 * 500 + 1500);

/// Starts a group of three whose third member accepted a write and was killed. A proxy's tests use it too.
#[track_caller]
pub fn kill_third_member(plan: Plan) -> Group {
    let mut group = plan.on_local_ports();
    group.start();
    let answer = group.put(2, "/message", "hello").unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text());
    group.members[2].kill();
    group
}

/// Sends a request that a member without a majority must refuse in time.
#[track_caller]
fn refused(group: &Group, number: usize, method: &str, path: &str, form: Option<&str>) {
    let begun = Instant::now();
    let answer = group.members[number].wire().request(method, path, form).unwrap();
    let took = begun.elapsed();
    assert_eq!((answer.status, answer.code()), (500, 300), "{method} {path}: {}", answer.text());
    assert_eq!(answer.index, Some(0), "{method} {path}");
    assert!(took < scaled(REFUSAL_TIMEOUT), "{method} {path} took {took:?}");
    let json = answer.json();
    assert_eq!(json["message"], "Raft Internal Error");
    let cause = json["cause"].as_str().unwrap_or_default();
    assert!(cause.starts_with("etcdserver: request timed out"), "{method} {path}: {cause}");
}

#[test]
fn a_write_to_a_killed_third_member_is_readable_at_the_first() {
    let Some(plan) = Plan::new(3) else { return };
    let mut group = kill_third_member(plan);
    assert_eq!(group.leader_among(&[0, 1]), group.leader_among(&[1, 0]));
    eventually("the first has it", AGREE_TIMEOUT, || group.value(0, "/message").as_deref() == Some("hello"));
    group.put_until_accepted(0, "/message", "two of three");
    group.members[2].start();
    group.level();
    assert_eq!(group.value(2, "/message").as_deref(), Some("two of three"), "what it missed is there");
}

#[test]
fn without_a_majority_reads_succeed_and_writes_are_refused_until_it_returns() {
    let Some(plan) = Plan::new(3) else { return };
    let mut group = kill_third_member(plan);
    group.put_until_accepted(1, "/message", "before");
    // An acknowledged write is safe at both, but a plain read shows only what its member knows by then.
    eventually("it is heard of", AGREE_TIMEOUT, || group.value(0, "/message").as_deref() == Some("before"));
    group.members[1].kill();
    std::thread::scope(|scope| {
        let group = &group;
        for (method, path, form) in [
            ("PUT", "/v2/keys/message", Some("value=alone")),
            ("POST", "/v2/keys/queue", Some("value=alone")),
            ("DELETE", "/v2/keys/message", None),
            ("PUT", "/v2/keys/message?prevValue=nonsense", Some("value=alone")),
            ("GET", "/v2/keys/message?quorum=true", None),
        ] {
            scope.spawn(move || refused(group, 0, method, path, form));
        }
    });
    let mut wire = group.ask(0);
    assert_eq!(group.value(0, "/message").as_deref(), Some("before"), "a plain read");
    for path in ["/v2/members", "/v2/machines", "/v2/stats/self", "/version"] {
        assert_eq!(wire.get(path).unwrap().status, 200, "{path}");
    }
    assert_eq!(wire.get("/v2/members/leader").unwrap().status, 503);
    assert_eq!(group.members[0].wire().get("/health").unwrap().status, 503);
    group.members[1].start();
    group.put_until_accepted(1, "/message", "again");
    let (_, tree) = group.level();
    assert!(tree.to_string().contains("again"));
    group.members[2].start();
    group.level();
}

#[test]
fn killing_all_three_members_at_once_loses_nothing() {
    let Some(plan) = Plan::new(3) else { return };
    let mut group = plan.on_local_ports();
    group.start();
    for number in 0..30 {
        assert_eq!(group.put(number % 3, &format!("/all/{number}"), "1").unwrap().status, 201);
    }
    for member in &mut group.members {
        member.kill();
    }
    group.start();
    let (_, tree) = group.level();
    let there = tree["node"]["nodes"][0]["nodes"].as_array().map_or(0, Vec::len);
    assert_eq!(there, 30, "{tree}");
}
