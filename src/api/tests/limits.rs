//! Requests that are too large, too slow, or too many.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::super::shared::{ConnState, Shared};
use super::super::{ServerInfo, Settings};
use super::{Client, Running};
use crate::consensus::Handle;
use crate::http::server::{ConnLimit, ConnSlot, ConnectionEnd, serve};
use crate::keyspace::Operation;

const TOO_LARGE: &str =
    "{\"errorCode\":210,\"message\":\"Invalid POST form\",\"cause\":\"http: POST too large\",\"index\":0}\n";

#[test]
fn the_largest_form_is_accepted_and_one_byte_more_is_refused() {
    let limit = 100_000;
    let server = Running::with(Settings { max_request_bytes: limit, ..Settings::default() }, |server| server);
    let mut client = server.connect();
    let form = |length: usize| format!("value={}", "x".repeat(length - "value=".len()));
    assert_eq!(client.ask("PUT", "/v2/keys/a", &form(limit)).status, 201);
    let reply = client.ask("PUT", "/v2/keys/b", &form(limit + 1));
    assert_eq!((reply.status, reply.text().as_str()), (400, TOO_LARGE));
    let chunk = form(limit + 1);
    client.send(format!(
        "PUT /v2/keys/b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n{:x}\r\n{chunk}\r\n0\r\n\r\n",
        chunk.len()
    ));
    let reply = client.reply("PUT");
    assert_eq!((reply.status, reply.text().as_str()), (400, TOO_LARGE), "without a length said in advance");
    let other = client.ask_as("PUT", "/v2/keys/c", "Content-Type: text/plain\r\n", &form(limit * 3));
    assert_eq!(other.status, 201, "what is no form is not looked at");
}

#[test]
fn ten_mebibytes_are_stored_and_read_back() {
    let server = Running::start();
    let mut client = server.connect();
    let value = "v".repeat((10 << 20) - 6);
    assert_eq!(client.ask("PUT", "/v2/keys/a", &format!("value={value}")).status, 201);
    let reply = client.ask("GET", "/v2/keys/a", "");
    assert!(reply.text().contains(&value));
    let reply = client.ask("PUT", "/v2/keys/a", &format!("value=v{value}"));
    assert_eq!(reply.text(), TOO_LARGE);
}

#[test]
fn a_head_larger_than_the_limit_is_refused() {
    let server = Running::start();
    let mut client = server.connect();
    // The server may close the connection while the rest is still being sent.
    let long = format!("GET /version HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(2 << 20));
    std::io::Write::write_all(client.stream.get_mut(), long.as_bytes()).ok();
    let said = client.line();
    assert!(said.is_none_or(|line| line.contains("431")));
    assert_eq!(server.ask("GET", "/version", "").status, 200);
}

/// Opens a watch on its own connection.
fn watch(server: &Running) -> Client {
    let mut client = server.connect();
    client.send("GET /v2/keys/w?wait=true&stream=true HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.head().status, 200);
    client
}

#[test]
fn idle_connections_are_closed_for_new_ones_the_oldest_first() {
    let server = Running::with(Settings::default(), |server| server.connections(32));
    let mut busy = watch(&server);
    let mut silent: Vec<Client> = (0..28).map(|_| server.connect()).collect();
    let mut resting = server.connect();
    assert_eq!(resting.ask("GET", "/version", "").status, 200);
    // Three times as many as there are places; at each time a new client is served at once.
    for _ in 0..40 {
        silent.push(server.connect());
        let mut client = server.connect();
        let reply = client.ask("GET", "/health", "");
        assert_eq!((reply.status, reply.header("Connection")), (200, ""), "a place like any other");
        assert_eq!(client.ask("PUT", "/v2/keys/a", "value=1").status / 100, 2);
        // It is the one that was used last.
        assert_eq!(resting.ask("GET", "/version", "").status, 200);
    }
    assert!(silent.first_mut().is_some_and(|oldest| oldest.line().is_none()), "the oldest was closed");
    assert!(silent.last_mut().is_some_and(Client::silent), "the newest was not");
    server.ask("PUT", "/v2/keys/w", "value=1");
    assert!(busy.chunk().is_some(), "a watch is not idle");
}

#[test]
fn when_all_connections_work_only_health_checks_from_this_host_are_served() {
    let server = Running::with(Settings::default(), |server| server.connections(2));
    let mut held = vec![watch(&server), watch(&server)];
    let reply = server.ask("GET", "/version", "");
    assert_eq!((reply.status, reply.header("Connection")), (503, "close"));
    assert_eq!(reply.text(), "{\"message\":\"too many connections to this member\"}");
    // Those who connect and stay silent do not take the places of health checks either.
    let _silent: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    for _ in 0..20 {
        let reply = server.ask("GET", "/health", "");
        assert_eq!((reply.status, reply.header("Connection")), (200, "close"));
    }
    held.clear();
    let begun = Instant::now();
    while server.ask("GET", "/version", "").status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(10), "no place became free");
    }
}

/// Returns how long a connection with the timeout `head_time` lasted, and its output.
async fn until_cut(head_time: Duration, sent: &[&str]) -> (Duration, Vec<u8>) {
    let (mut near, far) = tokio::io::duplex(1 << 16);
    let shared = Arc::new(Shared::new(&Settings::default(), 1, Handle::in_memory(), ServerInfo::default()));
    let conn = ConnState::new(shared, false, Arc::default()).with_head_timeout(head_time);
    let begun = tokio::time::Instant::now();
    let client = async {
        for piece in sent {
            near.write_all(piece.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let mut said = Vec::new();
        near.read_to_end(&mut said).await.unwrap();
        said
    };
    let (said, _) = tokio::join!(client, serve(far, conn));
    (begun.elapsed(), said)
}

#[tokio::test(start_paused = true)]
async fn a_slow_request_head_is_cut_off() {
    let patience = Duration::from_secs(30);
    let whole = "GET /version HTTP/1.1\r\nHost: x\r\n\r\n";
    for sent in [&[][..], &["GET /ver"], &[whole, "GET /ver"], &["G", "E", "T", " ", "/", "v"]] {
        let ended = tokio::time::timeout(patience * 4, until_cut(patience, sent)).await;
        let (after, said) = ended.unwrap_or_else(|_| panic!("{sent:?} was let be"));
        assert!(after >= patience && after < patience * 2, "{sent:?}: {after:?}");
        assert_eq!(said.is_empty(), !sent.contains(&whole), "{sent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_may_idle_between_requests() {
    let patience = Duration::from_secs(30);
    let resting = until_cut(patience, &["GET /version HTTP/1.1\r\nHost: x\r\n\r\n"]);
    assert!(tokio::time::timeout(patience * 100, resting).await.is_err(), "it was cut");
}

/// Opens a connection to a store with a value of a megabyte at `/a`, of which the pipe holds a part. From here on
/// time advances only when every task waits.
async fn with_a_large_value(
    slot: Arc<ConnSlot>,
) -> (tokio::io::DuplexStream, impl Future<Output = ConnectionEnd>) {
    let (near, far) = tokio::io::duplex(1 << 14);
    let handle = Handle::in_memory();
    handle.ready().await;
    let (key, value) = (b"/a"[..].into(), vec![b'v'; 1 << 20].as_slice().into());
    let put = Operation::Set { key, dir: false, value, expires: None, refresh: false };
    handle.propose(put).await.unwrap();
    let shared = Arc::new(Shared::new(&Settings::default(), 1, handle, ServerInfo::default()));
    tokio::time::pause();
    (near, serve(far, ConnState::new(shared, false, slot)))
}

const GET: &[u8] = b"GET /v2/keys/a HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test]
async fn a_client_that_does_not_read_its_reply_is_cut_off() {
    let (mut near, serving) = with_a_large_value(Arc::default()).await;
    near.write_all(GET).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(300), serving).await;
    assert!(ended.is_ok(), "it was let be");
}

#[tokio::test]
async fn a_slow_reader_gets_its_whole_reply() {
    let (mut near, serving) = with_a_large_value(Arc::default()).await;
    let reading = async {
        near.write_all(GET).await.unwrap();
        let (mut all, mut piece) = (0, vec![0; 1 << 14]);
        while all < 1 << 20 {
            tokio::time::sleep(Duration::from_secs(40)).await;
            let read = near.read(&mut piece).await.unwrap();
            assert!(read > 0, "cut after {all} bytes");
            all += read;
        }
        drop(near);
    };
    tokio::join!(reading, serving);
}

#[tokio::test]
async fn a_client_that_reads_nothing_for_seconds_may_lose_its_place() {
    let limit = Arc::new(ConnLimit::new(1, 0, "none"));
    let permit = limit.admit(|| false).unwrap();
    let (mut near, serving) = with_a_large_value(Arc::clone(permit.slot())).await;
    let mut serving = std::pin::pin!(serving);
    let four_seconds = Duration::from_secs(4);
    near.write_all(GET).await.unwrap();
    assert!(tokio::time::timeout(four_seconds, &mut serving).await.is_err());
    assert!(limit.admit(|| false).is_none(), "it may just be slow");
    assert!(tokio::time::timeout(four_seconds, &mut serving).await.is_err());
    let _next = limit.admit(|| false).expect("its place");
    assert!(tokio::time::timeout(four_seconds, serving).await.is_ok(), "it was let be");
}
