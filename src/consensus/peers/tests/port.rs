//! The peer port: its list of members, and bad input.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::admission::{MAX_PENDING_PER_ADDRESS, PENDING_TIMEOUT};
use super::super::directory::Handshake;
use super::super::remote_cluster::{fetch_cluster, read};
use super::super::{Inbound, frame, server};
use super::{CLUSTER_ID, Side, append, bind, directory, pair, start};
use crate::tls::{Connector, TlsFiles};

async fn open(side: &Side) -> TcpStream {
    TcpStream::connect(side.url.strip_prefix("http://").unwrap()).await.unwrap()
}

/// Sends bytes and returns what comes back until the other side closes.
async fn say(side: &Side, bytes: &[u8]) -> String {
    let mut stream = open(side).await;
    stream.write_all(bytes).await.ok();
    stream.shutdown().await.ok();
    read_all(stream).await
}

/// Sends a request with `Connection: close`, and returns the response. HTTP servers may leave out the response to a client
/// that has closed its side.
pub(super) async fn request(side: &Side, head: &str) -> String {
    let mut stream = open(side).await;
    stream.write_all(head.as_bytes()).await.unwrap();
    read_all(stream).await
}

async fn read_all(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let read = timeout(Duration::from_secs(15), stream.read_to_end(&mut answer)).await;
    read.expect("the port never closed").ok();
    String::from_utf8_lossy(&answer).into_owned()
}

pub(super) async fn get(side: &Side, path: &str) -> String {
    request(side, &format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await
}

#[tokio::test]
async fn members_and_version_are_listed_as_etcd_lists_them() {
    let server = bind("http://127.0.0.1:0");
    let one = start(directory(1, &[(1, "http://a:1"), (2, "http://b:1")]), server);
    let listed = get(&one, "/members").await;
    assert!(listed.contains("X-Etcd-Cluster-Id: c1\r\n"), "{listed}");
    let body = "[{\"id\":1,\"peerURLs\":[\"http://a:1\"],\"name\":\"n1\",\"clientURLs\":[\"http://127.0.0.1:1\"]},\
                {\"id\":2,\"peerURLs\":[\"http://b:1\"],\"name\":\"n2\",\"clientURLs\":[\"http://127.0.0.1:2\"]}]\n";
    assert!(listed.ends_with(body), "{listed}");
    let version = get(&one, "/version").await;
    assert!(version.ends_with("{\"etcdserver\":\"3.4.0\",\"etcdcluster\":\"3.4.0\"}"), "{version}");
    assert!(get(&one, "/foo").await.contains("404 page not found\n"));
    assert!(
        say(&one, b"POST /members HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 405")
    );
    assert!(get(&one, "/retune/peers/stream").await.starts_with("HTTP/1.1 400"));
    assert!(get(&one, "/retune/peers/snapshot/0000000000000001").await.starts_with("HTTP/1.1 400"));
    let urls = ["http://127.0.0.1:1".to_owned(), one.url.clone()];
    let tls = Connector::open(&TlsFiles::default()).unwrap();
    let found = fetch_cluster(&urls, &tls, None, Duration::from_secs(5)).await.unwrap();
    assert_eq!((found.cluster_id, found.from.as_str()), (CLUSTER_ID, one.url.as_str()));
    assert_eq!(found.members.len(), 2);
    let why = fetch_cluster(&urls[..1], &tls, None, Duration::from_secs(5)).await.unwrap_err();
    assert!(why.starts_with("http://127.0.0.1:1: "), "{why}");
    assert_eq!(fetch_cluster(&[], &tls, None, Duration::from_secs(5)).await, Err(String::new()));
}

#[test]
fn a_list_from_etcd_is_parsed_and_odd_ones_are_refused() {
    // etcd 3.4's response, with a member that has not started yet.
    let etcd = br#"[{"id":14276844421127926528,"peerURLs":["http://127.0.0.1:2"],"name":""},{"id":443629905751424238,"peerURLs":["http://127.0.0.1:32380"],"name":"default","clientURLs":["http://127.0.0.1:32379"]}]
"#;
    let members = read(etcd).unwrap();
    assert_eq!(members[0].id, 443_629_905_751_424_238);
    assert_eq!(members[1].id, 14_276_844_421_127_926_528);
    assert!(members[1].client_urls.is_empty());
    for odd in ["", "[]", "{}", "[{}]", r#"[{"id":"1"}]"#, r#"[{"id":-1}]"#, r#"[{"id":1}] x"#, "<html>"] {
        assert!(read(odd.as_bytes()).is_err(), "{odd}");
    }
}

#[tokio::test]
async fn garbage_on_the_port_does_no_harm() {
    let (one, two) = pair().await;
    one.take();
    let mut random = StdRng::seed_from_u64(3);
    let mut all: Vec<Vec<u8>> = vec![
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"\n\n\n\n".to_vec(),
        b"GET".to_vec(),
        b"GET /members HTTP/9.9\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        [b"GET /".as_slice(), &[b'a'; 100_000]].concat(),
        [b"GET / HTTP/1.1\r\na: ".as_slice(), &[b'a'; 100_000]].concat(),
        b"GET /retune/peers/stream HTTP/1.1\r\nHost: a\r\nRetune-Cluster: zz\r\nConnection: close\r\n\r\n"
            .to_vec(),
        b"GET /retune/peers/snapshot/../../identity HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            .to_vec(),
        b"POST /retune/peers/stream HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\nabc".to_vec(),
    ];
    all.extend((0..50).map(|_| (0..random.random_range(1..3000)).map(|_| random.random()).collect()));
    for bytes in all {
        say(&one, &bytes).await;
    }
    two.peer_sender.send(vec![append(2, 1, 4, 1)]);
    one.until("it still listens", |inbound| matches!(inbound, Inbound::Messages { .. })).await;
    assert_eq!(one.take().len(), 1, "garbage made news");
}

/// Opens a stream with a handshake by hand.
pub(super) async fn handshaken(side: &Side) -> TcpStream {
    let handshake = Handshake::of(&directory(2, &[]), 1);
    let mut head =
        "GET /retune/peers/stream HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: retune-peers\r\n"
            .to_owned();
    for (name, value) in handshake.headers() {
        head += &format!("{name}: {value}\r\n");
    }
    let mut stream = open(side).await;
    stream.write_all((head + "\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 101") && answer.contains("Retune-Form: 1\r\n"), "{answer}");
    stream
}

#[tokio::test]
async fn a_corrupted_byte_closes_the_stream() {
    let server = bind("http://127.0.0.1:0");
    let url = server.urls()[0].clone();
    let one = start(directory(1, &[(1, &url), (2, "http://127.0.0.1:1")]), server);
    let mut good = Vec::new();
    frame::put_messages(&mut good, 1, &[append(2, 1, 1, 50)]);
    let mut ping = Vec::new();
    frame::put_ping(&mut ping, 5);
    // A valid one first, which shows that the stream works.
    let mut stream = handshaken(&one).await;
    stream.write_all(&[good.as_slice(), &ping].concat()).await.unwrap();
    let mut pong = [0; 17];
    stream.read_exact(&mut pong).await.unwrap();
    assert_eq!(one.appends(), [1]);
    for bad in [changed(&good, 30), changed(&good, 5), changed(&good, 3), strange(&one)] {
        let mut stream = handshaken(&one).await;
        stream.write_all(&bad).await.unwrap();
        let ended = timeout(Duration::from_secs(10), stream.read(&mut pong)).await;
        assert!(matches!(ended.expect("the stream stayed open"), Ok(0) | Err(_)));
    }
    assert_eq!(one.appends(), [1]);
}

fn changed(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 0x80;
    bytes
}

/// Returns a message in another member's name.
fn strange(_: &Side) -> Vec<u8> {
    let mut out = Vec::new();
    frame::put_messages(&mut out, 1, &[append(3, 1, 1, 50)]);
    out
}

#[tokio::test]
async fn a_member_gets_in_however_many_strangers_hold_connections() {
    let server = bind("http://127.0.0.1:0");
    let url = server.urls()[0].clone();
    let one = start(directory(1, &[(1, &url), (2, "http://127.0.0.1:1")]), server);
    let mut idle = Vec::new();
    for nth in 0..300 {
        idle.push(open(&one).await);
        if nth % 100 == 50 {
            assert!(get(&one, "/version").await.starts_with("HTTP/1.1 200"), "after {nth}");
        }
    }
    let mut member = handshaken(&one).await;
    // What the stream's connection was before counts no more: further strangers do not close it.
    for _ in 0..50 {
        idle.push(open(&one).await);
    }
    let mut ping = Vec::new();
    frame::put_ping(&mut ping, 5);
    member.write_all(&ping).await.unwrap();
    member.read_exact(&mut [0; 17]).await.expect("the member's stream was closed");
    assert!(one.hub.admission.pending() <= MAX_PENDING_PER_ADDRESS);
    let closed = timeout(Duration::from_secs(5), idle[0].read(&mut [0; 1])).await;
    assert!(matches!(closed.expect("the oldest connection stayed open"), Ok(0) | Err(_)));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_trickles_its_request_ends_in_time() {
    let server = bind("http://127.0.0.1:0");
    let one = start(directory(1, &[]), server);
    let mut stream = open(&one).await;
    let begun = tokio::time::Instant::now();
    stream.write_all(b"GET /members HTTP/1.1\r\nHost: a\r\n").await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let mut buffer = [0; 1];
    let trickle = async {
        while writer.write_all(b"a: b\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        () = trickle => {}
        _ = reader.read(&mut buffer) => {}
    }
    let took = begun.elapsed();
    // The place was taken a moment before.
    assert!(took <= PENDING_TIMEOUT + Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn a_tls_client_on_a_plain_port_is_recognised() {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(socket.local_addr().unwrap()).await.unwrap();
    client.write_all(b"\x16\x03\x01\x02").await.unwrap();
    let (stream, _) = socket.accept().await.unwrap();
    let Err(why) = server::open(stream, None).await else { panic!("it was taken for HTTP") };
    assert!(why.starts_with("it spoke TLS, and this port speaks plain HTTP"), "{why}");
}
