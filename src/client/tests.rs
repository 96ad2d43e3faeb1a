//! The client against small scripted servers.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fake_server::{FakeServer, Reply};
use super::v2::V2;
use super::v3::{Range, V3};
use super::{Client, ClientError, Config, Credentials, Trust};

pub(super) fn client(nodes: &[&str]) -> Arc<Client> {
    Arc::new(Client::new(&config(nodes)).unwrap())
}

pub(super) fn config(nodes: &[&str]) -> Config {
    Config {
        nodes: nodes.iter().map(|node| (*node).to_owned()).collect(),
        srv_record: None,
        scheme: "http".into(),
        trust: Trust::default(),
        timeout: Duration::from_millis(500),
        sync: false,
    }
}

/// Returns an address where nothing listens.
pub(super) fn unused_address() -> String {
    format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap())
}

pub(super) fn file_reply(index: u64) -> Reply {
    Reply::Complete(
        200,
        index,
        format!(r#"{{"action":"get","node":{{"key":"/a","value":"1","modifiedIndex":{index}}}}}"#),
    )
}

fn root() -> Vec<Range> {
    vec![Range { from: "/".into(), to: "0".into() }]
}

const TXN: &str = r#"{"header":{"revision":"7"},"succeeded":true,"responses":[{"response_range":{"kvs":[{"key":"L2E=","value":"MQ==","mod_revision":"3"}],"count":"1"}}]}"#;

#[tokio::test]
async fn a_request_fails_over_and_stays_with_the_next_node() {
    let (dead, ill, well) = (
        unused_address(),
        FakeServer::new(|_, _| Reply::Complete(503, 0, "no leader".into())),
        FakeServer::new(|_, _| file_reply(5)),
    );
    let v2 = V2::new(client(&[&dead, &ill.url, &well.url]), None);
    assert_eq!(v2.list("/a").await.unwrap().index, 5);
    assert_eq!(v2.list("/a").await.unwrap().index, 5);
    assert_eq!((ill.seen().len(), well.seen().len()), (1, 2));
}

#[tokio::test]
async fn when_no_node_serves_each_is_reported_with_its_reason() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_url = format!("http://{}", silent.local_addr().unwrap());
    let (dead, ill) =
        (unused_address(), FakeServer::new(|_, _| Reply::Complete(500, 0, "raft\n broke".into())));
    let v2 = V2::new(client(&[&dead, &ill.url, &silent_url]), None);
    let started = Instant::now();
    let said = v2.list("/a").await.unwrap_err().to_string();
    assert!(started.elapsed() < Duration::from_secs(3));
    for part in
        [&dead, "refused", &ill.url, "status 500: raft broke", &silent_url, "no response within 500ms"]
    {
        assert!(said.contains(part), "{part} is not in {said}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_etcd_is_reported() {
    let page = FakeServer::new(|_, _| Reply::Complete(200, 0, "<html>log in</html>".into()));
    let said = V2::new(client(&[&page.url]), None).list("/a").await.unwrap_err();
    assert!(matches!(&said, ClientError::Invalid { why, .. } if why.contains("<html>log in")), "{said}");
    let said = V3::new(client(&[&page.url]), None).ranges(&root(), None).await.unwrap_err();
    assert!(matches!(said, ClientError::Invalid { .. }), "{said}");
    let short =
        FakeServer::new(|_, _| Reply::Complete(200, 3, r#"{"action":"get","node":{"key":"/a","val"#.into()));
    let said = V2::new(client(&[&short.url]), None).list("/a").await.unwrap_err();
    assert!(matches!(said, ClientError::Invalid { .. }), "{said}");
}

#[tokio::test]
async fn a_missing_api_a_missing_key_and_a_refusal_are_distinct_errors() {
    let absent = FakeServer::new(|_, _| Reply::Complete(404, 0, "404 page not found\n".into()));
    let said = V2::new(client(&[&absent.url]), None).list("/a").await.unwrap_err();
    assert!(matches!(said, ClientError::NotServed { .. }), "{said}");
    let said = V3::new(client(&[&absent.url]), None).ranges(&root(), None).await.unwrap_err();
    assert!(matches!(said, ClientError::NotServed { .. }), "{said}");
    let empty = FakeServer::new(|_, _| {
        Reply::Complete(
            404,
            9,
            r#"{"errorCode":100,"message":"Key not found","cause":"/a","index":9}"#.into(),
        )
    });
    let listing = V2::new(client(&[&empty.url]), None).list("/a").await.unwrap();
    assert!(listing.node.is_none() && listing.index == 9);
    let locked = FakeServer::new(|_, _| {
        Reply::Complete(401, 0, r#"{"errorCode":110,"message":"The request requires user authentication","cause":"Insufficient credentials","index":0}"#.into())
    });
    let login = Credentials::new("root", "hunter2");
    let said = V2::new(client(&[&locked.url]), Some(&login)).list("/a").await.unwrap_err();
    assert!(matches!(&said, ClientError::Refused { .. }) && !said.to_string().contains("hunter2"), "{said}");
}

#[tokio::test]
async fn an_older_gateway_is_found_and_remembered() {
    let old = FakeServer::new(|_, request| {
        if request.line.starts_with("POST /v3beta/") {
            Reply::Complete(200, 0, TXN.into())
        } else {
            Reply::Complete(404, 0, "404 page not found\n".into())
        }
    });
    let v3 = V3::new(client(&[&old.url]), None);
    for _ in 0..2 {
        let found = v3.ranges(&root(), None).await.unwrap();
        assert_eq!((found.revision, found.pairs[0][0].key.as_slice()), (7, b"/a".as_slice()));
    }
    assert_eq!(old.seen(), ["POST /v3/kv/txn", "POST /v3beta/kv/txn", "POST /v3beta/kv/txn"]);
}

#[tokio::test]
async fn an_expired_token_is_renewed_once() {
    let store = FakeServer::new(|number, request| match request.line.as_str() {
        "POST /v3/auth/authenticate" => {
            assert_eq!(request.body, r#"{"name":"root","password":"hunter2"}"#);
            Reply::Complete(200, 0, format!(r#"{{"header":{{}},"token":"t{number}"}}"#))
        }
        // The first token is already stale.
        _ if request.authorization == "t2" => Reply::Complete(200, 0, TXN.into()),
        _ => Reply::Complete(401, 0, r#"{"error":"etcdserver: invalid auth token","code":16}"#.into()),
    });
    let login = Credentials::new("root", "hunter2");
    let v3 = V3::new(client(&[&store.url]), Some(login));
    assert_eq!(v3.ranges(&root(), None).await.unwrap().revision, 7);
    let (auth, txn) = ("POST /v3/auth/authenticate", "POST /v3/kv/txn");
    assert_eq!(store.seen(), [auth, txn, auth, txn]);
}

#[tokio::test]
async fn a_token_is_dropped_at_an_outage() {
    let store = FakeServer::new(|number, request| match number {
        0 | 3 => Reply::Complete(200, 0, format!(r#"{{"token":"t{number}"}}"#)),
        1 => Reply::Complete(200, 0, TXN.into()),
        2 => Reply::Complete(503, 0, String::new()),
        _ => {
            assert_eq!(request.authorization, "t3");
            Reply::Complete(200, 0, TXN.into())
        }
    });
    let login = Credentials::new("root", "hunter2");
    let v3 = V3::new(client(&[&store.url]), Some(login));
    v3.ranges(&root(), None).await.unwrap();
    assert!(matches!(v3.ranges(&root(), None).await, Err(ClientError::Unavailable { .. })));
    v3.ranges(&root(), None).await.unwrap();
    assert_eq!(store.seen().len(), 5);
}

#[tokio::test]
async fn a_wrong_password_is_a_refusal() {
    let store = FakeServer::new(|_, _| {
        Reply::Complete(
            400,
            0,
            r#"{"error":"etcdserver: authentication failed, invalid user ID or password","code":3}"#.into(),
        )
    });
    let login = Credentials::new("root", "hunter2");
    let said = V3::new(client(&[&store.url]), Some(login)).ranges(&root(), None).await.unwrap_err();
    assert!(matches!(said, ClientError::Refused { .. }), "{said}");
}

#[tokio::test]
async fn a_node_that_is_behind_is_distinguished_from_one_that_waits() {
    let store = FakeServer::new(|_, _| Reply::Stream(4, Vec::new()));
    let v2 = V2::new(client(&[&store.url]), None);
    assert!(matches!(v2.watch("/", 9).await, Err(ClientError::Behind { index: 4, seen: 8, .. })));
    assert!(v2.watch("/", 5).await.is_ok());
    let created = r#"{"result":{"header":{"revision":"4"},"created":true}}"#;
    let store = FakeServer::new(move |_, _| Reply::Stream(0, vec![created.into()]));
    let v3 = V3::new(client(&[&store.url]), None);
    let ranges = |from| [(root().remove(0), from)];
    assert!(matches!(v3.watch(&ranges(9)).await, Err(ClientError::Behind { index: 4, seen: 8, .. })));
    assert!(v3.watch(&ranges(5)).await.is_ok());
}

#[tokio::test]
async fn lines_are_split_and_joined_across_chunks() {
    let put = |key: &str| {
        format!(
            r#"{{"result":{{"header":{{"revision":"5"}},"events":[{{"kv":{{"key":"{key}","mod_revision":"5"}}}}]}}}}"#
        )
    };
    let created = r#"{"result":{"header":{"revision":"4"},"created":true}}"#;
    // The last line has no newline, as at the end of a response.
    let lines = vec![format!("{created}\n{}\n\n{}", put("L2E="), put("L2I="))];
    let store = FakeServer::new(move |_, _| Reply::Stream(0, lines.clone()));
    let v3 = V3::new(client(&[&store.url]), None);
    let mut watch = v3.watch(&[(root().remove(0), 5)]).await.unwrap();
    let first = v3.next(&mut watch).await.unwrap();
    assert_eq!(first.events[0].kv.key, b"/a");
    assert_eq!(v3.ready(&mut watch).unwrap().unwrap().events[0].kv.key, b"/b");
    assert!(v3.ready(&mut watch).unwrap().is_none());
    store.disconnect();
    assert!(matches!(v3.next(&mut watch).await, Err(ClientError::Unavailable { .. })));
}

#[tokio::test]
async fn a_response_without_end_takes_no_more_memory_than_the_limit() {
    use std::io::{Read as _, Write as _};

    for (start, piece) in [
        ("{\"action\":\"get\",\"node\":{\"nodes\":[{}", ",{}".repeat(1 << 14)),
        ("{\"node\":{\"value\":\"", "x".repeat(1 << 16)),
        ("", " ".repeat(1 << 16)),
        ("{\"node\":", "{\"nodes\":[".repeat(1 << 12)),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let sender = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            assert!(stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0));
            let head = "HTTP/1.1 200 OK\r\nX-Etcd-Index: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
            let mut sent = 0;
            let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
            let mut next = format!("{head}{}", if start.is_empty() { String::new() } else { chunk(start) });
            while stream.write_all(next.as_bytes()).is_ok() {
                sent += next.len();
                assert!(sent < 64 << 20, "it is read for ever");
                next = chunk(&piece);
            }
            sent
        });
        let said = V2::new(client(&[&url]), None).list("/a").await.unwrap_err().to_string();
        assert!(said.contains("more than 8 MiB of memory"), "{start}: {said}");
        // What the sockets hold counts as sent.
        let sent = tokio::task::spawn_blocking(move || sender.join()).await.unwrap().unwrap();
        assert!(sent < 32 << 20, "{sent} bytes");
    }
}

#[tokio::test]
async fn a_v3_response_without_end_is_given_up_too() {
    let pairs = "{},".repeat(500_000);
    let body =
        format!("{{\"header\":{{\"revision\":\"7\"}},\"responses\":[{{\"response_range\":{{\"kvs\":[{pairs}");
    let fake = FakeServer::new(move |_, _| Reply::Complete(200, 0, body.clone()));
    let said = V3::new(client(&[&fake.url]), None).ranges(&root(), None).await.unwrap_err().to_string();
    assert!(said.contains("more than 8 MiB of memory"), "{said}");
}
