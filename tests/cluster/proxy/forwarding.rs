//! What a proxy forwards, as seen by a member that echoes its requests: the same as through etcd's own proxy.

use std::time::Duration;

use super::fake_member::FakeMember;
use super::test_proxy::{ProxyProgram, TestProxy};
use crate::store::wire::{ClientConn, Exchange, Reply, Request};
use crate::support::programs::need_program;
use crate::support::{WAIT_TIMEOUT, eventually};

/// Sends a request with the headers that Go adds when a client has none.
fn asked(
    method: &'static str,
    target: &str,
    headers: &[(&'static str, &str)],
    body: Option<&str>,
) -> Request {
    let own = [("User-Agent", "test"), ("Accept-Encoding", "identity")];
    let headers = own.iter().chain(headers).map(|(name, value)| (*name, (*value).to_owned())).collect();
    Request { method, target: target.to_owned(), headers, body: body.map(str::to_owned), chunked: false }
}

/// Returns a response without what differs between two times and two addresses.
fn plain(reply: &Reply, front: &TestProxy) -> (u16, Vec<String>, String) {
    let mut headers: Vec<String> = reply
        .headers
        .iter()
        .filter(|(name, _)| name != "Date")
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    headers.sort();
    let mut body = String::from_utf8_lossy(&reply.body).replace(&front.address(), "PROXY");
    // Ours adds itself to forwarded messages, which etcd's does not.
    if let Some(own) =
        body.lines().find(|line| line.starts_with("Via: 1.1 retune-")).map(|line| format!("{line}\n"))
    {
        body = body.replace(&own, "");
    }
    // The length of an address is part of its echo.
    if body.contains("PROXY") {
        headers.retain(|header| !header.starts_with("Content-Length"));
    }
    (reply.status, headers, body)
}

#[test]
fn requests_and_responses_are_forwarded_as_by_etcds_own_proxy() {
    if !need_program("etcd") {
        return;
    }
    let member = FakeMember::start();
    let fronts =
        [ProxyProgram::Ours, ProxyProgram::Etcds].map(|whose| TestProxy::start(whose, &member.list(), &[]));
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let mut requests = vec![
        asked("GET", "/v2/keys/a?recursive=true&x=%20+%2F&y=;", &[("X-Mine", "1"), ("X-Mine", "2")], None),
        asked("GET", "/v2/keys/a%2Fb%20c%C3%BC+d", &[("Authorization", "Basic cm9vdDpwdw==")], None),
        asked("GET", "/v2/keys/a", &[("X-Forwarded-For", "10.0.0.1"), ("X-Forwarded-For", "10.0.0.2")], None),
        asked("GET", "/hops", &[("Keep-Alive", "5"), ("TE", "x"), ("Trailers", "y"), ("Upgrade", "z")], None),
        asked("GET", "/echo", &[("Proxy-Authorization", "x"), ("Proxy-Authenticate", "y")], None),
        asked("PUT", "/v2/keys/a", &[form], Some("value=x")),
        asked("PUT", "/v2/keys/a", &[form], Some("")),
        asked("POST", "/v2/keys/a?dir=true", &[form], Some("value=é")),
        asked("DELETE", "/v2/keys/a?dir=true", &[], None),
        asked("PATCH", "/anything", &[("Content-Type", "a/b")], Some("{}")),
        asked("FOO", "/anything?", &[], None),
        asked("OPTIONS", "/v2/keys/a", &[], None),
        asked("PUT", "/v2/config/local/proxy", &[], Some("")),
        asked("GET", "/v2/keys//a/../b?x=1", &[], None),
        asked("PUT", "/v2/keys//a", &[], Some("value=1")),
        asked("OPTIONS", "//a", &[], None),
        asked("HEAD", "/hops", &[], None),
    ];
    for path in
        ["/chunked", "/close", "/304", "/204", "/status/500", "/status/300", "/status/404", "/status/299"]
    {
        requests.push(asked("GET", path, &[], None));
    }
    let mut client_conns = fronts.each_ref().map(|front| ClientConn::to(&front.address()));
    for request in &requests {
        let replies = client_conns.each_mut().map(|client_conn| client_conn.ask(request).expect("an answer"));
        let (ours, theirs) = (plain(&replies[0], &fronts[0]), plain(&replies[1], &fronts[1]));
        let (mut ours, mut theirs) = (ours, theirs);
        if matches!(request.target.as_str(), "/chunked" | "/close") {
            // etcd's proxy buffers short responses until it knows their length.
            for side in [&mut ours, &mut theirs] {
                side.1.retain(|header| {
                    !header.starts_with("Content-Length") && !header.starts_with("Transfer-")
                });
            }
        }
        // Two ways to declare an empty body.
        ours.2 = ours.2.replace("\nContent-Length: 0\n", "\n");
        theirs.2 = theirs.2.replace("\nTransfer-Encoding: chunked\n", "\n");
        assert_eq!(ours, theirs, "{request}");
    }
}

#[test]
fn a_chunked_body_is_forwarded_completely() {
    let member = FakeMember::start();
    let front = TestProxy::start(ProxyProgram::Ours, &member.list(), &[]);
    let mut request = asked("PUT", "/echo", &[], Some("value=in-two-pieces"));
    request.chunked = true;
    let reply = ClientConn::to(&front.address()).ask(&request).unwrap();
    let text = String::from_utf8(reply.body).unwrap();
    assert!(text.contains("Content-Length: 19\n") && text.ends_with("\n\nvalue=in-two-pieces"), "{text}");
}

#[test]
fn a_proxy_judges_the_writes_of_web_pages_by_its_own_list() {
    let member = FakeMember::start();
    let front = TestProxy::start(ProxyProgram::Ours, &member.list(), &["--cors", "http://a.example:80"]);
    let mut client_conn = ClientConn::to(&front.address());
    let evil = [("Origin", "http://evil.example"), ("Sec-Fetch-Site", "cross-site")];
    let listed = [("Origin", "http://a.example"), ("Sec-Fetch-Site", "cross-site")];
    for method in ["PUT", "POST", "DELETE"] {
        assert_eq!(
            client_conn.ask(&asked(method, "/v2/keys/a", &evil, None)).unwrap().status,
            403,
            "{method}"
        );
    }
    assert_eq!(member.asked("/v2/keys/a"), 0);
    let reply = client_conn.ask(&asked("PUT", "/v2/keys/a", &listed, Some("value=1"))).unwrap();
    let echo = String::from_utf8_lossy(&reply.body).into_owned();
    assert_eq!((reply.status, member.asked("/v2/keys/a")), (200, 1));
    // The member, whose list is another, is not to judge it again.
    assert!(!echo.contains("Origin:") && !echo.contains("Sec-Fetch-Site:"), "{echo}");
    let reply = client_conn.ask(&asked("GET", "/echo", &evil, None)).unwrap();
    assert!(String::from_utf8_lossy(&reply.body).contains("Origin: http://evil.example"), "{reply}");
}

#[test]
fn an_unanswered_request_is_not_sent_to_the_same_member_again() {
    let member = FakeMember::start();
    let front = TestProxy::start(ProxyProgram::Ours, &member.list(), &["--proxy-failure-wait", "50"]);
    let mut client_conn = ClientConn::to(&front.address());
    let reply = client_conn.ask(&asked("PUT", "/drop", &[], Some("value=x"))).unwrap();
    assert_eq!(reply.status, 502);
    let says = "{\"message\":\"httpproxy: unable to get response from 1 endpoint(s)\"}";
    assert_eq!(String::from_utf8_lossy(&reply.body), says);
    assert_eq!(reply.header("Content-Type"), Some("application/json"));
    assert_eq!(member.asked("/drop"), 1);
}

#[test]
fn a_read_over_a_closed_connection_is_retried_and_a_write_is_not() {
    let member = FakeMember::start();
    let front = TestProxy::start(ProxyProgram::Ours, &member.list(), &[]);
    let mut client_conn = ClientConn::to(&front.address());
    assert_eq!(client_conn.ask(&asked("GET", "/first", &[], None)).unwrap().status, 200);
    member.close_used();
    assert_eq!(client_conn.ask(&asked("GET", "/read", &[], None)).unwrap().status, 200);
    assert_eq!(member.asked("/read"), 2, "once in vain over the used connection, once over another");
    assert_eq!(client_conn.ask(&asked("PUT", "/write", &[], Some(""))).unwrap().status, 502);
    assert_eq!(member.asked("/write"), 1);
}

#[test]
fn a_truncated_response_is_not_presented_as_complete() {
    let member = FakeMember::start();
    let front = TestProxy::start(ProxyProgram::Ours, &member.list(), &[]);
    for path in ["/half", "/half-chunked"] {
        let mut talk = Exchange::start(&front.address(), &asked("GET", path, &[], None)).unwrap();
        // The head may be lost with the rest.
        let reply = talk.until(|_| false);
        assert!(reply.as_ref().is_none_or(|reply| !reply.complete), "{path}: {reply:?}");
    }
    // A watch without an event ends normally, as with etcd's proxy: its client asks again.
    let mut talk = Exchange::start(&front.address(), &asked("GET", "/stop?wait=true", &[], None)).unwrap();
    let reply = talk.until(|reply| reply.complete).expect("an answer");
    assert!(reply.complete && reply.body.is_empty(), "{reply}");
}

#[test]
fn a_client_that_disconnects_ends_its_watch_at_the_member() {
    let member = FakeMember::start();
    let front = TestProxy::start(ProxyProgram::Ours, &member.list(), &[]);
    let watch = asked("GET", "/hang?wait=true", &[], None);
    let mut open = Exchange::start(&front.address(), &watch).unwrap();
    assert!(open.until(|_| true).is_some_and(|reply| !reply.complete));
    assert_eq!(member.asked("closed after /hang?wait=true"), 0);
    drop(open);
    eventually("the member sees it", WAIT_TIMEOUT, || member.asked("closed after /hang?wait=true") == 1);
}

#[test]
fn a_body_beyond_the_limit_is_refused_with_the_members_message() {
    let member = FakeMember::start();
    let front = TestProxy::start(ProxyProgram::Ours, &member.list(), &["--max-request-bytes", "1000"]);
    let large = "x".repeat((1 << 20) + 1001);
    let mut client_conn = ClientConn::to(&front.address());
    let reply = client_conn.ask(&asked("PUT", "/v2/keys/a", &[], Some(&large))).unwrap();
    assert_eq!(reply.status, 400);
    assert!(String::from_utf8_lossy(&reply.body).contains("http: POST too large"), "{reply}");
    assert_eq!(member.asked("/v2/keys/a"), 0);
    let reply = client_conn.ask(&asked("PUT", "/v2/keys/b", &[], Some(&large[2..]))).unwrap();
    assert_eq!((reply.status, member.asked("/v2/keys/b")), (200, 1), "the bound itself passes");
}

#[test]
fn metrics_count_the_outcomes_of_requests() {
    let member = FakeMember::start();
    let front = TestProxy::start(ProxyProgram::Ours, &member.list(), &["--proxy-failure-wait", "60000"]);
    let mut client_conn = ClientConn::to(&front.address());
    for target in ["/a", "/status/404", "/drop", "/a"] {
        client_conn.ask(&asked("GET", target, &[], None)).unwrap();
    }
    let page = client_conn.ask(&asked("POST", "/metrics", &[], Some(""))).unwrap();
    let page = String::from_utf8(page.body).unwrap();
    for line in [
        "etcd_proxy_requests_total{method=\"GET\"} 4",
        "etcd_proxy_handled_total{code=\"200\",method=\"GET\"} 1",
        "etcd_proxy_handled_total{code=\"404\",method=\"GET\"} 1",
        "etcd_proxy_dropped_total{method=\"GET\",proxying_error=\"failed_sending_request\"} 1",
        "etcd_proxy_dropped_total{method=\"GET\",proxying_error=\"failed_getting_response\"} 1",
        "etcd_proxy_dropped_total{method=\"GET\",proxying_error=\"zero_endpoints\"} 1",
        "etcd_proxy_handling_duration_seconds_count{method=\"GET\"} 2",
    ] {
        assert!(page.lines().any(|own| own == line), "{line} is not in\n{page}");
    }
}

#[test]
fn a_stop_closes_watches_and_ends_in_time() {
    let member = FakeMember::start();
    let mut front = TestProxy::start(ProxyProgram::Ours, &member.list(), &[]);
    let mut client_conn = ClientConn::to(&front.address());
    assert_eq!(client_conn.ask(&asked("GET", "/a", &[], None)).unwrap().status, 200);
    let watch = asked("GET", "/hang?wait=true", &[], None);
    let mut open = Exchange::start(&front.address(), &watch).unwrap();
    assert!(open.until(|_| true).is_some_and(|reply| !reply.complete));
    front.process().signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(front.process().wait(Duration::from_secs(4)), Some(0), "{}", front.log());
}
