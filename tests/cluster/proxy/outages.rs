//! Members that die, come back, join and leave; and a proxy that restarts.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::test_proxy::{ProxyProgram, TestProxy};
use crate::store::requests::asked;
use crate::store::wire::{Exchange, Request};
use crate::support::http::request;
use crate::support::port::Port;
use crate::support::{EtcdCluster, WAIT_TIMEOUT, eventually};

fn status(front: &TestProxy) -> u16 {
    request(&front.address(), "GET", "/v2/keys", None).map_or(0, |answer| answer.status)
}

#[test]
fn without_a_member_502_is_followed_by_503_until_members_return_as_with_etcds_own_proxy() {
    let Some(mut cluster) = EtcdCluster::start() else { return };
    // Only failures matter in this test, so the list must not be refreshed meanwhile.
    let words = ["--proxy-failure-wait", "2500", "--proxy-refresh-interval", "60000"];
    let fronts = [ProxyProgram::Ours, ProxyProgram::Etcds]
        .map(|whose| TestProxy::start(whose, &cluster.list(), &words));
    for number in 0..3 {
        cluster.kill(number);
    }
    for front in &fronts {
        let answer = request(&front.address(), "GET", "/v2/keys", None).unwrap();
        let says = "{\"message\":\"httpproxy: unable to get response from 3 endpoint(s)\"}";
        assert_eq!((answer.status, answer.body.as_str()), (502, says));
        let failed = Instant::now();
        while failed.elapsed() < Duration::from_millis(1800) {
            let answer = request(&front.address(), "PUT", "/v2/keys/a", None).unwrap();
            let says = "{\"message\":\"httpproxy: zero endpoints currently available\"}";
            assert_eq!((answer.status, answer.body.as_str()), (503, says));
        }
        assert_eq!(front.endpoints(), Vec::<String>::new());
        eventually("they are tried again", WAIT_TIMEOUT, || status(front) == 502);
        assert!(failed.elapsed() >= Duration::from_millis(2300), "{:?}", failed.elapsed());
    }
    for number in 0..3 {
        cluster.start_again(number);
    }
    cluster.healthy();
    for front in &fronts {
        eventually("they are found again", WAIT_TIMEOUT, || status(front) == 200);
    }
}

#[test]
fn an_unavailable_member_list_is_empty_until_a_member_provides_it() {
    let Some(mut cluster) = EtcdCluster::start() else { return };
    let front = TestProxy::start(ProxyProgram::Ours, &cluster.list(), &["--proxy-refresh-interval", "200"]);
    for number in 0..3 {
        cluster.kill(number);
    }
    eventually("there is no endpoint", WAIT_TIMEOUT, || status(&front) == 503);
    let kept = fs::read_to_string(front.data_dir().join("proxy/cluster")).unwrap();
    for number in 0..3 {
        cluster.start_again(number);
    }
    eventually("the members are back", WAIT_TIMEOUT, || status(&front) == 200);
    assert_eq!(fs::read_to_string(front.data_dir().join("proxy/cluster")).unwrap(), kept);
}

#[test]
fn the_list_follows_membership_changes_and_survives_the_proxy() {
    let Some(mut cluster) = EtcdCluster::start() else { return };
    let old_list = cluster.list();
    let mut front = TestProxy::start(ProxyProgram::Ours, &old_list, &["--proxy-refresh-interval", "200"]);
    let known = |front: &TestProxy| front.endpoints().into_iter().collect::<BTreeSet<_>>();
    assert_eq!(known(&front), (0..3).map(|number| cluster.address(number)).collect());
    let added = cluster.add();
    let four = (0..4).map(|number| cluster.address(number)).collect();
    eventually("the added one is listed", WAIT_TIMEOUT, || known(&front) == four);
    cluster.remove(0);
    let three: BTreeSet<_> = (1..4).map(|number| cluster.address(number)).collect();
    eventually("the removed one is not", WAIT_TIMEOUT, || known(&front) == three);
    assert_eq!(added, 3);

    // None of the URLs in its flags is a member's; the file has the right ones, also for etcd's own.
    let nowhere = format!("x=http://{}", Port::claim().address());
    for whose in [ProxyProgram::Ours, ProxyProgram::Etcds, ProxyProgram::Ours] {
        front.kill();
        front.run(whose, &nowhere, &["--proxy", "on"]);
        front.wait_for_members();
        assert_eq!(known(&front), three);
    }
    assert!(front.log().contains("from cluster file"), "{}", front.log());
    front.kill();
    front.run(ProxyProgram::Ours, &nowhere, &[]);
    front.wait_for_members();
    assert!(front.log().contains("already initialized as proxy"), "{}", front.log());
}

#[test]
fn a_folder_with_data_of_member_and_proxy_is_refused() {
    let mut front = TestProxy::prepare();
    for part in ["proxy", "member"] {
        fs::create_dir_all(front.data_dir().join(part)).unwrap();
    }
    front.run(ProxyProgram::Ours, "x=http://127.0.0.1:1", &["--proxy", "on"]);
    assert_eq!(front.process().wait(WAIT_TIMEOUT), Some(2));
    assert!(front.log().contains("Both member and proxy directories exist"), "{}", front.log());
}

#[test]
fn each_request_gets_a_response_and_each_read_succeeds_while_a_member_is_killed() {
    let Some(mut cluster) = EtcdCluster::start() else { return };
    let front = TestProxy::start(ProxyProgram::Ours, &cluster.list(), &["--proxy-refresh-interval", "1000"]);
    let address = front.address();
    let wanted = 3000;
    let (reads, writes) = (AtomicUsize::new(0), AtomicUsize::new(0));
    // Each over its own connection, so that none can be repeated unnoticed.
    let ask = |request: &Request| {
        let mut talk = Exchange::start(&address, request).expect("a connection");
        let reply = talk.until(|reply| reply.complete).expect("an answer");
        assert!(reply.complete, "{request}: {reply}");
        reply
    };
    let mut put = asked("PUT", "/v2/keys/load", &["value=x".to_owned()]);
    put.headers.push(("Content-Type", "application/x-www-form-urlencoded".to_owned()));
    assert!(ask(&put).status < 300);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while reads.fetch_add(1, Ordering::Relaxed) < wanted {
                    let reply = ask(&asked("GET", "/v2/keys/load", &[]));
                    assert_eq!(reply.status, 200, "{reply}");
                }
            });
        }
        scope.spawn(|| {
            while reads.load(Ordering::Relaxed) < wanted {
                let reply = ask(&put);
                // For a write that was lost with a leader, the error comes from the other members, not from the
                // proxy.
                assert!(matches!(reply.status, 200 | 201 | 500), "{reply}");
                writes.fetch_add(1, Ordering::Relaxed);
            }
        });
        for quarter in 1..=2 {
            eventually("some reads are done", WAIT_TIMEOUT * 3, || {
                reads.load(Ordering::Relaxed) > quarter * wanted / 4
            });
            let first = front.endpoints().first().map(|address| cluster.at(address));
            if let (1, Some(first)) = (quarter, first) {
                cluster.kill(first);
                eventually("others were asked", WAIT_TIMEOUT, || front.log().contains("unavailable"));
                cluster.start_again(first);
            }
        }
    });
    assert!(writes.load(Ordering::Relaxed) > 0);
}
