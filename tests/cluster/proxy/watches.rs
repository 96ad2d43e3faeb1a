//! Watches through the proxy: without delay, and ending with their member.

use std::time::{Duration, Instant};

use super::test_proxy::{ProxyProgram, TestProxy};
use crate::store::requests::asked;
use crate::store::wire::Exchange;
use crate::support::http::request;
use crate::support::{EtcdCluster, scaled};

const FORM: &str = "application/x-www-form-urlencoded";

fn watch(front: &TestProxy, parameters: &[&str]) -> Exchange {
    let parameters: Vec<String> = parameters.iter().map(|one| (*one).to_owned()).collect();
    let mut talk = Exchange::start(&front.address(), &asked("GET", "/v2/keys/w", &parameters)).unwrap();
    let head = talk.until(|_| true).expect("the head passes before there is an event");
    assert_eq!((head.status, head.complete), (200, false));
    talk
}

#[test]
fn the_head_and_each_event_of_a_stream_are_forwarded_at_once() {
    let Some(cluster) = EtcdCluster::start() else { return };
    let front = TestProxy::start(ProxyProgram::Ours, &cluster.list(), &[]);
    let mut talk = watch(&front, &["wait=true", "stream=true"]);
    for number in 0..10 {
        let value = format!("value=v{number}.");
        let answer = request(&front.address(), "PUT", "/v2/keys/w", Some((FORM, &value))).unwrap();
        assert!(answer.status < 300);
        let written = Instant::now();
        let text = format!("v{number}.");
        let seen = talk.until(|reply| String::from_utf8_lossy(&reply.body).contains(&text));
        assert!(seen.is_some_and(|reply| !reply.complete));
        let took = written.elapsed();
        assert!(took < scaled(Duration::from_millis(100)), "event {number} took {took:?}");
    }
}

#[test]
fn a_watch_whose_member_dies_ends_and_can_be_resumed() {
    let Some(mut cluster) = EtcdCluster::start() else { return };
    let front = TestProxy::start(ProxyProgram::Ours, &cluster.list(), &[]);
    let mut open = watch(&front, &["wait=true"]);
    let mut stream = watch(&front, &["wait=true", "stream=true"]);
    let asked_first = cluster.at(&front.endpoints()[0]);
    cluster.kill(asked_first);
    let begun = Instant::now();
    let reply = open.until(|reply| reply.complete).expect("a head");
    assert!(reply.complete && reply.body.is_empty(), "in order, without an event: {reply}");
    stream.until(|reply| reply.complete);
    assert!(begun.elapsed() < Duration::from_secs(5), "they hung for {:?}", begun.elapsed());
    let mut again = watch(&front, &["wait=true"]);
    crate::support::eventually("another member takes the write", crate::support::WAIT_TIMEOUT, || {
        let answer = request(&front.address(), "PUT", "/v2/keys/w", Some((FORM, "value=x")));
        answer.is_ok_and(|answer| answer.status < 300)
    });
    assert!(again.until(|reply| reply.complete).is_some_and(|reply| reply.complete));
}
