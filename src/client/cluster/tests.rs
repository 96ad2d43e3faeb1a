//! A cluster client against small scripted servers.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Cluster, Delete, Get, Keys, Members, Options, RequestError, Set};
use crate::client::{Credentials, Trust};

/// A server that sends the same head and body to every request, and records the requests' heads.
struct Scripted {
    url: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    fn new(status: &str, more: &str, body: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let answer = format!(
            "HTTP/1.1 {status}\r\n{more}Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let seen = Arc::clone(&heads);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut head, mut length) = (String::new(), 0);
                loop {
                    let mut line = String::new();
                    if reader.read_line(&mut line).unwrap() == 0 || line == "\r\n" {
                        break;
                    }
                    let lower = line.to_ascii_lowercase();
                    if let Some(value) = lower.strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    head.push_str(&lower);
                }
                let mut text = vec![0; length];
                reader.read_exact(&mut text).unwrap();
                seen.lock().unwrap().push(head + &String::from_utf8(text).unwrap());
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        Self { url, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

const NODE: &str = r#"{"action":"get","node":{"key":"/a","value":"1","modifiedIndex":4,"createdIndex":4}}"#;

fn cluster(urls: &[&str]) -> Cluster {
    Cluster::new(Options {
        endpoints: urls.iter().map(|url| (*url).to_owned()).collect(),
        trust: Trust::default(),
        login: Some(Credentials { name: "root".into(), password: "canary".into() }),
        timeout: Duration::from_secs(5),
        dial: Duration::from_secs(5),
        trace: None,
        sync: false,
    })
    .unwrap()
}

#[tokio::test]
async fn an_endpoint_without_a_leader_is_passed_over_and_the_good_one_is_remembered() {
    let (bad, good) =
        (Scripted::new("503 X", "", "{}"), Scripted::new("200 OK", "X-Etcd-Index: 7\r\n", NODE));
    // The order is random; with twenty clusters, both orders occur.
    for _ in 0..20 {
        let cluster = cluster(&[&bad.url, &good.url]);
        for _ in 0..3 {
            let event = Keys::new(&cluster, None).get(b"/a", Get::default()).await.unwrap();
            assert_eq!((event.node.value.as_str(), event.index), ("1", 7));
        }
    }
    assert_eq!(good.heads().len(), 60);
    assert!((1..20).contains(&bad.heads().len()), "{} times the bad one came first", bad.heads().len());
}

#[tokio::test]
async fn a_store_that_names_its_reason_is_not_said_to_have_no_leader() {
    let store = Scripted::new("500 X", "X-Retune-Reason: nothing listens here\r\n", "{}");
    let cluster = cluster(&[&store.url]);
    let error = Members::new(&cluster, None).add("http://h:1").await.unwrap_err().to_string();
    assert_eq!(error, format!("{} refused: nothing listens here", store.url));
}

#[tokio::test]
async fn every_endpoint_has_its_line_when_all_fail_and_a_thing_to_do_once_stops_at_the_first() {
    let (one, two) = (Scripted::new("500 X", "", ""), Scripted::new("502 Bad Gateway", "", ""));
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
    let before = one.heads().len() + two.heads().len();
    for once in [
        keys.delete(b"/a", &Delete::default()).await.unwrap_err(),
        keys.set(b"/a", b"1", &Set { exists: Some(false), ..Set::default() }).await.unwrap_err(),
    ] {
        assert!(matches!(once, RequestError::One(_)), "{once}");
    }
    assert_eq!(one.heads().len() + two.heads().len(), before + 2);
}

#[tokio::test]
async fn a_redirect_is_followed_but_a_stranger_is_not_told_the_password() {
    let stranger = Scripted::new("200 OK", "", NODE);
    let known = Scripted::new("307 X", &format!("Location: {}/v2/keys/a\r\n", stranger.url), "");
    let event = Keys::new(&cluster(&[&known.url]), None).set(b"/a", b"1 2", &Set::default()).await.unwrap();
    assert_eq!(event.node.value, "1");
    assert!(known.heads()[0].contains("authorization: basic"));
    let explain = &stranger.heads()[0];
    assert!(explain.starts_with("put /v2/keys/a http/1.1") && explain.ends_with("value=1+2"), "{explain}");
    assert!(!explain.contains("authorization"), "{explain}");
    let spinning = Scripted::new("307 X", "Location: /v2/keys/a\r\n", "");
    let error = Keys::new(&cluster(&[&spinning.url]), None).get(b"/a", Get::default()).await.unwrap_err();
    assert!(error.to_string().contains("location header not valid URL"), "{error}");
}

#[tokio::test]
async fn a_page_that_is_no_store_is_told_as_such_and_no_password_is_shown() {
    let page = Scripted::new("404 Not Found", "", "404 page not found\n");
    let cluster = cluster(&[&page.url]);
    let error = Keys::new(&cluster, None).get(b"/a", Get::default()).await.unwrap_err();
    assert_eq!(error, RequestError::NotJson);
    assert_eq!(Members::new(&cluster, None).list().await.unwrap_err(), RequestError::Status(404));
    assert!(!format!("{cluster:?}").contains("canary"));
}

#[tokio::test]
async fn a_store_that_says_nothing_is_left_after_its_time() {
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
