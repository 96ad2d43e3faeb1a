//! What clients that do not take their responses cost.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::super::shared::{ConnState, Shared};
use super::super::{ServerInfo, Settings};
use crate::consensus::Handle;
use crate::http::server::{ConnectionEnd, serve};
use crate::keyspace::{Operation, expiry};

/// A connection, and the task that serves it.
struct Connection {
    near: DuplexStream,
    serving: JoinHandle<ConnectionEnd>,
}

impl Connection {
    /// Connects through a pipe that holds little, and sends a request.
    async fn asking(shared: &Arc<Shared>, target: &str) -> Self {
        Self::sending(shared, "GET", target).await
    }

    #[expect(clippy::disallowed_methods, reason = "a test's own task")]
    async fn sending(shared: &Arc<Shared>, method: &str, target: &str) -> Self {
        let (mut near, far) = tokio::io::duplex(1 << 12);
        let serving = tokio::spawn(serve(far, ConnState::new(Arc::clone(shared), false, Arc::default())));
        near.write_all(format!("{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
        Self { near, serving }
    }

    /// Returns the status of the response.
    async fn status(&mut self) -> u16 {
        let mut first = [0; 12];
        self.near.read_exact(&mut first).await.unwrap();
        String::from_utf8_lossy(&first[9..]).parse().unwrap()
    }
}

async fn store() -> Arc<Shared> {
    let handle = Handle::in_memory();
    handle.ready().await;
    Arc::new(Shared::new(&Settings::default(), 100, handle, ServerInfo::default()))
}

async fn put(shared: &Shared, key: &str, bytes: usize, ttl: Option<u64>) {
    let (key, value) = (key.as_bytes().into(), vec![b'v'; bytes].as_slice().into());
    let expires = ttl.map(|ttl| expiry(shared.handle.now(), ttl));
    shared
        .handle
        .propose(Operation::Set { key, dir: false, value, expires, refresh: false })
        .await
        .unwrap()
        .result
        .unwrap();
}

fn responses(shared: &Shared) -> usize {
    shared.context.taken_memory()[2]
}

async fn all_given_back(shared: &Shared) {
    let gone = async {
        while responses(shared) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), gone).await.expect("the memory is given back");
}

#[tokio::test]
async fn clients_that_do_not_read_the_same_listing_share_one_copy() {
    let shared = store().await;
    for number in 0..16 {
        put(&shared, &format!("/d/{number}"), 64 << 10, None).await;
    }
    for target in ["/v2/keys/d?recursive=true", "/v2/keys/?recursive=true"] {
        let mut clients = Vec::new();
        for _ in 0..20 {
            let mut client = Connection::asking(&shared, target).await;
            assert_eq!(client.status().await, 200);
            clients.push(client);
        }
        let one = responses(&shared);
        assert!((1 << 20..2 << 20).contains(&one), "{one} bytes for {target}");
        put(&shared, "/other", 1, None).await;
        let mut fresh = Connection::asking(&shared, target).await;
        assert_eq!(fresh.status().await, 200);
        assert!(responses(&shared) > one * 19 / 10, "another index is another text");
        drop((clients, fresh));
        all_given_back(&shared).await;
    }
}

#[tokio::test]
async fn a_shared_listing_has_the_right_seconds() {
    let shared = store().await;
    put(&shared, "/d/large", 100 << 10, None).await;
    put(&shared, "/d/lasting", 1, Some(100)).await;
    let mut texts = Vec::new();
    let mut first = Connection::asking(&shared, "/v2/keys/d").await;
    first.status().await;
    for _ in 0..2 {
        let mut client = Connection::asking(&shared, "/v2/keys/d").await;
        let mut text = vec![0; 102_000];
        client.near.read_exact(&mut text).await.unwrap();
        while !text.ends_with(b"}}\n") {
            text.push(client.near.read_u8().await.unwrap());
        }
        let text = String::from_utf8(text).unwrap();
        texts.push(text.split_once("\"ttl\":").unwrap().1.split_once(',').unwrap().0.to_owned());
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
    assert_ne!(texts[0], texts[1]);
}

#[tokio::test]
async fn without_room_a_large_response_waits_and_a_small_one_does_not() {
    let shared = store().await;
    put(&shared, "/large", 1 << 20, None).await;
    put(&shared, "/d/small", 1, None).await;
    tokio::time::pause();
    let taken = shared.context.take_response_memory(128 << 20);
    for target in ["/v2/keys/large", "/v2/keys/?recursive=true"] {
        let mut refused = Connection::asking(&shared, target).await;
        assert!(timeout(Duration::from_secs(29), refused.near.read_u8()).await.is_err(), "{target} waits");
        let mut refused = Connection::asking(&shared, target).await;
        assert_eq!(refused.status().await, 503, "{target}");
    }
    for target in ["/v2/keys/d/small", "/v2/keys/d?recursive=true"] {
        let small = timeout(Duration::from_secs(1), async {
            Connection::asking(&shared, target).await.status().await
        });
        assert_eq!(small.await.unwrap(), 200, "{target}");
    }
    let mut waiting = Connection::asking(&shared, "/v2/keys/large").await;
    assert!(timeout(Duration::from_secs(1), waiting.near.read_u8()).await.is_err());
    drop(taken);
    let status = timeout(Duration::from_secs(1), waiting.status()).await;
    assert_eq!(status.unwrap(), 200);
}

#[tokio::test]
async fn the_responses_of_writes_and_refusals_count_too() {
    let shared = store().await;
    put(&shared, "/a", 1 << 20, None).await;
    let mut refused = Connection::sending(&shared, "PUT", "/v2/keys/a?value=x&prevValue=y").await;
    assert_eq!(refused.status().await, 412);
    let cause = responses(&shared);
    assert!((1 << 20..2 << 20).contains(&cause), "{cause}");
    let mut written = Connection::sending(&shared, "PUT", "/v2/keys/a?value=x").await;
    assert_eq!(written.status().await, 200);
    assert!(responses(&shared) > 2 << 20, "the previous value");
    drop((refused, written));
    all_given_back(&shared).await;
    put(&shared, "/a", 1 << 20, None).await;
    tokio::time::pause();
    let _taken = shared.context.take_response_memory(127 << 20);
    let long = "%01".repeat(20_000);
    for (method, target, waits) in
        [("DELETE", "/v2/keys/a", 30), ("GET", format!("/v2/keys/{long}").as_str(), 0)]
    {
        let begun = tokio::time::Instant::now();
        let mut refused = Connection::sending(&shared, method, target).await;
        assert_eq!((refused.status().await, begun.elapsed().as_secs()), (503, waits), "{method}");
    }
    let node = shared.handle.view(|keyspace| keyspace.peek(b"/a").is_ok());
    assert!(node, "nothing was written");
}

#[tokio::test]
async fn a_watch_whose_client_takes_nothing_ends_and_one_without_events_does_not() {
    let shared = store().await;
    let mut clients = Vec::new();
    for target in ["/v2/keys/a?wait=true&stream=true", "/v2/keys/quiet?wait=true&stream=true"] {
        let mut client = Connection::asking(&shared, target).await;
        assert_eq!(client.status().await, 200);
        clients.push(client);
    }
    for _ in 0..4 {
        put(&shared, "/a", 20 << 10, None).await;
    }
    tokio::time::pause();
    let [stalled, quiet] = clients.try_into().unwrap_or_else(|_| panic!("two clients"));
    timeout(Duration::from_secs(90), stalled.serving).await.expect("it ends").unwrap();
    assert!(timeout(Duration::from_secs(3600), quiet.serving).await.is_err());
    let watchers = shared.handle.view(|keyspace| keyspace.counts().watchers);
    assert_eq!(watchers, 1, "the quiet one");
    drop(quiet.near);
}

#[tokio::test]
async fn a_large_event_waits_for_room_and_is_sent_then() {
    let shared = store().await;
    let mut client = Connection::asking(&shared, "/v2/keys/a?wait=true").await;
    assert_eq!(client.status().await, 200);
    let taken = shared.context.take_response_memory(128 << 20);
    put(&shared, "/a", 1 << 20, None).await;
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(responses(&shared), 128 << 20, "its text is not made");
    drop(taken);
    let mut all = Vec::new();
    while !all.ends_with(b"\r\n0\r\n\r\n") {
        all.push(client.near.read_u8().await.unwrap());
    }
    assert!(all.len() > 1 << 20);
}
