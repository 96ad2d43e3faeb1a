//! A cluster client against small scripted servers.

use std::net::TcpListener;
use std::time::Duration;

use super::{Cluster, Delete, Get, Keys, Members, Options, RequestError, Set};
use crate::client::fake_server::{FakeServer, Reply, Request};
use crate::client::{Credentials, Trust};

/// A server that sends the same response to every request.
fn scripted(status: u16, headers: &str, body: &str) -> FakeServer {
    let (headers, body) = (headers.to_owned(), body.to_owned());
    FakeServer::new(move |_, _| Reply::WithHeaders(status, headers.clone(), body.clone()))
}

const NODE: &str = r#"{"action":"get","node":{"key":"/a","value":"1","modifiedIndex":4,"createdIndex":4}}"#;

fn cluster(urls: &[&str]) -> Cluster {
    Cluster::new(Options {
        endpoints: urls.iter().map(|url| (*url).to_owned()).collect(),
        trust: Trust::default(),
        login: Some(Credentials::new("root", "canary")),
        timeout: Duration::from_secs(5),
        dial: Duration::from_secs(5),
        trace: None,
        sync: false,
    })
    .unwrap()
}

#[tokio::test]
async fn an_endpoint_without_a_leader_is_skipped_and_the_good_one_is_remembered() {
    let (bad, good) = (scripted(503, "", "{}"), scripted(200, "X-Etcd-Index: 7\r\n", NODE));
    // The order is random; with twenty clusters, both orders occur.
    for _ in 0..20 {
        let cluster = cluster(&[&bad.url, &good.url]);
        for _ in 0..3 {
            let event = Keys::new(&cluster, None).get(b"/a", Get::default()).await.unwrap();
            assert_eq!((event.node.value.as_str(), event.index), ("1", 7));
        }
    }
    assert_eq!(good.seen().len(), 60);
    assert!((1..20).contains(&bad.seen().len()), "{} times the bad one came first", bad.seen().len());
}

#[tokio::test]
async fn a_reason_header_replaces_the_no_leader_message() {
    let store = scripted(500, "X-Retune-Reason: nothing listens here\r\n", "{}");
    let cluster = cluster(&[&store.url]);
    let error = Members::new(&cluster, None).add("http://h:1").await.unwrap_err().to_string();
    assert_eq!(error, format!("{} refused: nothing listens here", store.url));
}

#[tokio::test]
async fn every_endpoint_has_its_line_when_all_fail_and_a_write_stops_at_the_first() {
    let (one, two) = (scripted(500, "", ""), scripted(502, "", ""));
    let cluster = cluster(&[&one.url, &two.url]);
    let keys = Keys::new(&cluster, None);
    let error = keys.set(b"/a", b"1", &Set::default()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&format!("client: etcd member {} has no leader", one.url)), "{text}");
    assert!(
        text.contains(&format!("client: etcd member {} returns server error [Bad Gateway]", two.url)),
        "{text}"
    );
    assert_eq!(error.detail().unwrap().lines().count(), 2);
    assert!(!error.is_connection());
    let before = one.seen().len() + two.seen().len();
    for once in [
        keys.delete(b"/a", &Delete::default()).await.unwrap_err(),
        keys.set(b"/a", b"1", &Set { exists: Some(false), ..Set::default() }).await.unwrap_err(),
    ] {
        assert!(matches!(once, RequestError::OneFailed(_)), "{once}");
    }
    assert_eq!(one.seen().len() + two.seen().len(), before + 2);
}

#[tokio::test]
async fn a_redirect_to_an_unknown_host_gets_no_password() {
    let stranger = scripted(200, "", NODE);
    let known = scripted(307, &format!("Location: {}/v2/keys/a\r\n", stranger.url), "");
    let event = Keys::new(&cluster(&[&known.url]), None).set(b"/a", b"1 2", &Set::default()).await.unwrap();
    assert_eq!(event.node.value, "1");
    assert!(known.requests()[0].authorization.starts_with("Basic "));
    let Request { line, authorization, body } = stranger.requests().remove(0);
    assert_eq!((&*line, &*authorization, &*body), ("PUT /v2/keys/a", "", "value=1+2"));
    let spinning = scripted(307, "Location: /v2/keys/a\r\n", "");
    let error = Keys::new(&cluster(&[&spinning.url]), None).get(b"/a", Get::default()).await.unwrap_err();
    assert!(error.to_string().contains("location header not valid URL"), "{error}");
}

#[tokio::test]
async fn a_response_of_another_server_is_reported_without_the_password() {
    let page = scripted(404, "", "404 page not found\n");
    let cluster = cluster(&[&page.url]);
    let error = Keys::new(&cluster, None).get(b"/a", Get::default()).await.unwrap_err();
    assert_eq!(error, RequestError::NotJson);
    assert_eq!(Members::new(&cluster, None).list().await.unwrap_err(), RequestError::Status(404));
    assert!(!format!("{cluster:?}").contains("canary"));
}

#[tokio::test]
async fn a_silent_endpoint_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let cluster = Cluster::new(Options {
        endpoints: vec![url.clone()],
        trust: Trust::default(),
        login: None,
        timeout: Duration::from_millis(100),
        dial: Duration::from_secs(5),
        trace: None,
        sync: false,
    });
    let cluster = cluster.unwrap();
    let error = Keys::new(&cluster, None).get(b"/a", Get::default()).await.unwrap_err();
    assert!(
        error.to_string().contains(&format!("client: endpoint {url} exceeded header timeout")),
        "{error}"
    );
    let soon = Some(tokio::time::Instant::now() + Duration::from_millis(20));
    assert_eq!(
        Keys::new(&cluster, soon).get(b"/a", Get::default()).await.unwrap_err(),
        RequestError::Deadline
    );
}

#[tokio::test]
async fn a_watch_rejects_an_event_from_before_its_index() {
    let store = scripted(200, "X-Etcd-Index: 20\r\n", NODE);
    let cluster = cluster(&[&store.url]);
    let error = Keys::new(&cluster, None).next(b"/a", (10, 0), false).await.unwrap_err();
    assert_eq!(error, RequestError::OldEvent { found: 4, from: 10 });
    assert!(error.to_string().contains("index 4, although those from 10 on"), "{error}");
    assert_eq!(Keys::new(&cluster, None).next(b"/a", (4, 0), false).await.unwrap().node.value, "1");
    // From now on: the store itself says from where.
    assert_eq!(Keys::new(&cluster, None).next(b"/a", (0, 0), false).await.unwrap().node.value, "1");
}
