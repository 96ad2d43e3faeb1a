//! Members that advertise a proxy's address: requests come back to the proxy, which stops the loop early and
//! reports what to change.

use std::time::{Duration, Instant};

use super::test_proxy::{ProxyProgram, TestProxy};
use crate::durable::wire::{Answer, Wire};
use crate::support::http::request;
use crate::support::port::Port;
use crate::support::{Daemon, Dir, Retune, WAIT_TIMEOUT, eventually, scaled};

/// A member that advertises these URLs.
struct MisconfiguredMember<'d> {
    _daemon: Daemon<'d>,
    client: Port,
    peer: Port,
}

impl<'d> MisconfiguredMember<'d> {
    fn start(dir: &'d Dir, name: &str, advertised: impl FnOnce(&str) -> String) -> Self {
        let (client, peer) = (Port::claim(), Port::claim());
        let own = format!("http://{}", client.address());
        let data = dir.text_path(name);
        let peer_url = format!("http://{}", peer.address());
        let daemon = Retune::new(dir, &["store", "--data-dir", &data, "--listen-client-urls", &own])
            .args(&["--advertise-client-urls", &advertised(&own), "--listen-peer-urls", &peer_url])
            .spawn();
        let member = Self { _daemon: daemon, client, peer };
        eventually("the member serves", WAIT_TIMEOUT, || {
            request(&member.client.address(), "GET", "/health", None).is_ok_and(|answer| answer.status == 200)
        });
        member
    }

    fn cluster(&self) -> String {
        format!("default=http://{}", self.peer.address())
    }
}

fn url(front: &TestProxy) -> String {
    format!("http://{}", front.address())
}

fn ask(front: &TestProxy, method: &str, form: Option<&str>) -> Answer {
    Wire::to(&front.address()).request(method, "/v2/keys/a", form).expect("a proxy always answers")
}

/// Returns how many requests of this method a proxy received.
fn requests_received(front: &TestProxy, method: &str) -> u64 {
    let page = request(&front.address(), "GET", "/metrics", None).unwrap().body;
    let name = format!("etcd_proxy_requests_total{{method=\"{method}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
}

const REMEDY: &str = "start the member that advertises it with its own URL in --advertise-client-urls";

#[test]
fn a_proxy_configured_with_itself_is_reported_at_once_with_the_address_to_change() {
    let (dir, mut front) = (Dir::new(), TestProxy::prepare());
    let member = MisconfiguredMember::start(&dir, "member", |_| url(&front));
    front.run(ProxyProgram::Ours, &member.cluster(), &["--proxy", "on"]);
    front.wait_for_members();
    let begun = Instant::now();
    let says = format!("{} leads back to a proxy, in a loop; {REMEDY}", url(&front));
    for (method, form) in [("PUT", Some("value=1")), ("GET", None), ("PUT", Some("value=2"))] {
        let answer = ask(&front, method, form);
        assert_eq!(answer.status, 508, "{}", answer.text());
        assert!(answer.text().contains(&says), "{}", answer.text());
    }
    assert!(begun.elapsed() < scaled(Duration::from_secs(2)), "{:?}", begun.elapsed());
    assert!(
        requests_received(&front, "PUT") + requests_received(&front, "GET") <= 4,
        "one way round is enough to know"
    );
    assert_logged_once(&front, &says);
    // Its clients get the same message.
    let ctl = Retune::new(&dir, &["ctl", "--endpoints", &url(&front), "get", "/a"]).run();
    ctl.says("Loop Detected").says(&says);
    dir.resource("a", "{{ getv(\"/a\") }}\n", "keys = [\"/a\"]");
    Retune::render(&dir)
        .node("etcd", &url(&front))
        .run()
        .exits(2)
        .says(&url(&front))
        .says("leads back to a proxy");
}

/// The response may arrive before the log line is written.
fn assert_logged_once(front: &TestProxy, what: &str) {
    eventually("the loop is in the log", WAIT_TIMEOUT, || front.log().contains(what));
    assert_eq!(front.log().matches(what).count(), 1, "{}", front.log());
}

#[test]
fn two_proxies_configured_with_each_other_name_both_addresses() {
    let (dir, mut one, mut two) = (Dir::new(), TestProxy::prepare(), TestProxy::prepare());
    let to_two = MisconfiguredMember::start(&dir, "to-two", |_| url(&two));
    let to_one = MisconfiguredMember::start(&dir, "to-one", |_| url(&one));
    one.run(ProxyProgram::Ours, &to_two.cluster(), &["--proxy", "on"]);
    two.run(ProxyProgram::Ours, &to_one.cluster(), &["--proxy", "on"]);
    one.wait_for_members();
    two.wait_for_members();
    let answer = ask(&one, "PUT", Some("value=1"));
    assert_eq!(answer.status, 508, "{}", answer.text());
    assert!(answer.text().contains(&format!("{} leads back", url(&two))), "{}", answer.text());
    assert!(requests_received(&one, "PUT") + requests_received(&two, "PUT") <= 3, "once there and once back");
    let answer = ask(&two, "GET", None);
    assert_eq!(answer.status, 508, "{}", answer.text());
    assert!(answer.text().contains(&format!("{} leads back", url(&one))), "{}", answer.text());
    for (front, other) in [(&one, &two), (&two, &one)] {
        assert_logged_once(front, &format!("{} leads back", url(other)));
    }
}

/// A member may advertise the proxy's address besides its own: then everything works, and the log reports the
/// problem.
#[test]
fn with_another_working_endpoint_a_loop_causes_only_a_log_line() {
    let (dir, mut front) = (Dir::new(), TestProxy::prepare());
    let member = MisconfiguredMember::start(&dir, "member", |own| format!("{own},{}", url(&front)));
    front.run(ProxyProgram::Ours, &member.cluster(), &["--proxy", "on", "--proxy-refresh-interval", "100"]);
    front.wait_for_members();
    // The order of the endpoints is random, and changes with each refresh.
    let says = format!("{} leads back to a proxy", url(&front));
    let mut number = 0;
    eventually("the loop is found", WAIT_TIMEOUT, || {
        number += 1;
        let answer = ask(&front, "PUT", Some(&format!("value={number}")));
        assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
        front.log().contains(&says)
    });
    assert_eq!(ask(&front, "GET", None).json()["node"]["value"], number.to_string());
}

/// The member is only down: its clients need not know about the loop.
#[test]
fn a_stopped_member_is_not_reported_as_a_loop_because_of_another_url() {
    let (dir, mut front, down) = (Dir::new(), TestProxy::prepare(), Port::claim());
    let down = format!("http://{}", down.address());
    let member = MisconfiguredMember::start(&dir, "member", |_| format!("{down},{}", url(&front)));
    front.run(ProxyProgram::Ours, &member.cluster(), &["--proxy", "on"]);
    front.wait_for_members();
    // At first both are tried, then both are suspended.
    let first = ask(&front, "GET", None);
    assert_eq!(
        (first.status, first.text().contains("unable to get response")),
        (502, true),
        "{}",
        first.text()
    );
    let next = ask(&front, "GET", None);
    assert_eq!((next.status, next.text().contains("zero endpoints")), (503, true), "{}", next.text());
    let says = format!("{} leads back to a proxy", url(&front));
    assert_eq!(front.log().matches(&says).count(), 1, "{}", front.log());
}
