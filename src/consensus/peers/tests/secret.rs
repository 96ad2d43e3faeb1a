//! Members that share a secret: what they prove, and what nobody else can.

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::HeaderMap;
use raft::prelude::MessageType;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::super::directory::Handshake;
use super::super::frame::{self, Frame};
use super::super::proof::{Call, Nonce, PROOF, StreamKeys};
use super::super::remote_cluster::fetch_cluster;
use super::super::snapshot_parts::SnapshotParts;
use super::port::{get, request};
use super::{Inbound, Side, append, bind, directory, eventually, message, pair_with, start_with};
use crate::consensus::PeerSecret;
use crate::tls::{Connector, TlsFiles};

pub(super) const SECRET: &str = "a secret of the members";
const OTHER: &str = "another secret of others";

#[tokio::test]
async fn members_with_one_secret_exchange_messages() {
    let (one, two) = pair_with(Some(SECRET)).await;
    for index in 0..300 {
        one.peer_sender.send(vec![append(1, 2, index, 5000)]);
        if index % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    eventually("all are there", || two.appends().len() == 300).await;
    assert_eq!(two.appends(), (0..300).collect::<Vec<_>>());
    two.peer_sender.send(vec![message(MessageType::MsgAppendResponse, 2, 1)]);
    one.until("the answer", |inbound| matches!(inbound, Inbound::Messages { from: 2, .. })).await;
    eventually("a ping was answered", || one.peer_sender.metrics()[0].success > 0).await;
}

/// Starts two members with these secrets, waits a while, and returns whether any stream was opened.
async fn meet(first: Option<&str>, second: Option<&str>) -> (bool, Side, Side) {
    let servers = [bind("http://127.0.0.1:0"), bind("http://127.0.0.1:0")];
    let urls: Vec<_> = servers.iter().map(|server| server.urls()[0].clone()).collect();
    let group = [(1, urls[0].as_str()), (2, urls[1].as_str())];
    let [one, two] = servers;
    let one = start_with(first, directory(1, &group), one);
    let two = start_with(second, directory(2, &group), two);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let connected = |inbound: &Inbound| matches!(inbound, Inbound::Connected(_));
    (one.has(connected) || two.has(connected), one, two)
}

fn handshake() -> Handshake {
    Handshake::of(&directory(2, &[]), 1)
}

/// Sends a request with a handshake and these headers besides.
async fn ask(side: &Side, path: &str, headers: &str) -> String {
    let mut head = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{headers}");
    for (name, value) in handshake().headers() {
        head += &format!("{name}: {value}\r\n");
    }
    request(side, &format!("{head}Connection: close\r\n\r\n")).await
}

#[tokio::test]
async fn a_member_without_the_secret_is_refused_with_the_reason_on_both_sides() {
    let (met, one, two) = meet(Some(SECRET), None).await;
    assert!(!met, "a member without the secret was accepted");
    let refused = ask(&one, "/retune/peers/stream", "").await;
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    let says = "member 1 has a --peer-secret-file and member 2 has none: give all members the same";
    assert!(refused.contains(says), "{refused}");
    let nonce = format!("Retune-Nonce: {}\r\n", "0".repeat(64));
    let refused = ask(&two, "/retune/peers/challenge", &nonce).await;
    let says = "member 2 has a --peer-secret-file and member 2 has none";
    assert!(refused.starts_with("HTTP/1.1 401") && refused.contains(says), "{refused}");
}

#[tokio::test]
async fn a_member_with_another_secret_is_refused() {
    let (met, one, _two) = meet(Some(SECRET), Some(OTHER)).await;
    assert!(!met, "a member with another secret was accepted");
    let proof = format!("Retune-Proof: {}\r\n", "0".repeat(64));
    for path in ["/retune/peers/stream", "/retune/peers/confirmed", "/retune/peers/snapshot/0000000000000001"]
    {
        let refused = ask(&one, path, &proof).await;
        let says = "the --peer-secret-file of member 2 holds another secret than that of member 1";
        assert!(refused.starts_with("HTTP/1.1 401") && refused.contains(says), "{path}: {refused}");
    }
    assert!(get(&one, "/version").await.starts_with("HTTP/1.1 200"), "these are for everybody, as in etcd");
}

#[tokio::test]
async fn the_list_of_members_is_proven_to_members_with_the_secret() {
    let (_, one, two) = meet(Some(SECRET), None).await;
    let tls = Connector::open(&TlsFiles::default()).unwrap();
    let (secret, limit) = (PeerSecret::of(SECRET), Duration::from_secs(5));
    let (with, without) = ([one.url.clone()], [two.url.clone()]);
    assert!(fetch_cluster(&with, &tls, Some(&secret), limit).await.is_ok());
    assert!(fetch_cluster(&with, &tls, None, limit).await.is_ok());
    let unproven = [
        fetch_cluster(&without, &tls, Some(&secret), limit).await,
        fetch_cluster(&with, &tls, Some(&PeerSecret::of(OTHER)), limit).await,
    ];
    for refused in unproven {
        let refused = refused.unwrap_err();
        assert!(refused.contains("does not prove that it has the same --peer-secret-file"), "{refused}");
    }
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn a_member_believes_no_response_without_a_proof() {
    let upgrade = "101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: retune-peers\r\nRetune-Form: 1";
    for answer in [upgrade, "410 Gone\r\nContent-Length: 0"] {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (server, url) = (bind("http://127.0.0.1:0"), format!("http://{}", socket.local_addr().unwrap()));
        let own = server.urls()[0].clone();
        let one = start_with(Some(SECRET), directory(1, &[(1, &own), (2, &url)]), server);
        for _ in 0..3 {
            let (mut stream, _) = socket.accept().await.unwrap();
            assert!(read_head(&mut stream).await.starts_with("GET /retune/peers/challenge "));
            let nonce = "0".repeat(64);
            let challenged = format!("HTTP/1.1 200 OK\r\nRetune-Nonce: {nonce}\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(challenged.as_bytes()).await.unwrap();
            assert!(read_head(&mut stream).await.starts_with("GET /retune/peers/stream "));
            stream.write_all(format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes()).await.unwrap();
            let ended = timeout(Duration::from_secs(5), stream.read_to_end(&mut Vec::new())).await;
            assert!(ended.is_ok(), "it went on after {answer}");
        }
        let believed = |inbound: &Inbound| matches!(inbound, Inbound::Connected(_) | Inbound::Removed);
        assert!(!one.has(believed), "{answer}");
    }
}

fn call_of(secret: &str, nonces: (Nonce, Nonce), handshake: &Handshake, path: &str) -> Call {
    Call::new(&PeerSecret::of(secret), nonces, handshake, path)
}

#[test]
fn a_proof_is_for_one_secret_connection_handshake_and_request() {
    let (good, nonces) = (handshake(), (Nonce::draw(), Nonce::draw()));
    let call = call_of(SECRET, nonces, &good, "/p");
    let with = |proof| {
        let mut headers = HeaderMap::new();
        headers.insert(PROOF, proof);
        headers
    };
    let caller = with(call.caller_proof());
    let called = with(call.called_proof(StatusCode::GONE, b"text"));
    assert!(call.is_caller_proven(&caller) && call.is_called_proven(&called, StatusCode::GONE, b"text"));
    // None stands for another, and a response's text and status count.
    assert!(!call.is_caller_proven(&called) && !call.is_called_proven(&caller, StatusCode::GONE, b"text"));
    assert!(!call.is_called_proven(&called, StatusCode::OK, b"text"));
    assert!(!call.is_called_proven(&called, StatusCode::GONE, b"texts"));
    assert!(!call.is_caller_proven(&HeaderMap::new()));
    let others = [
        call_of(OTHER, nonces, &good, "/p"),
        call_of(SECRET, (nonces.1, nonces.0), &good, "/p"),
        call_of(SECRET, (nonces.0, Nonce::draw()), &good, "/p"),
        call_of(SECRET, nonces, &good, "/q"),
        call_of(SECRET, nonces, &Handshake { cluster: 9, ..good.clone() }, "/p"),
        call_of(SECRET, nonces, &Handshake { from: 9, ..good.clone() }, "/p"),
        call_of(SECRET, nonces, &Handshake { to: 9, ..good.clone() }, "/p"),
        call_of(SECRET, nonces, &Handshake { process: 9, ..good.clone() }, "/p"),
        call_of(SECRET, nonces, &Handshake { incarnation: 9, ..good.clone() }, "/p"),
    ];
    for (nth, other) in others.iter().enumerate() {
        assert!(!other.is_caller_proven(&caller), "{nth}");
        assert!(!other.is_called_proven(&called, StatusCode::GONE, b"text"), "{nth}");
    }
}

/// Returns the keys of both ends of a stream.
fn keys() -> (StreamKeys, StreamKeys) {
    let call = call_of(SECRET, (Nonce::draw(), Nonce::draw()), &handshake(), "/p");
    (call.caller_keys(), call.called_keys())
}

#[tokio::test]
async fn frames_cannot_be_inserted_changed_repeated_left_out_or_reflected() {
    let (mut caller, mut called) = keys();
    let mut sealed = Vec::new();
    for nonce in 1..=3 {
        let mut out = Vec::new();
        frame::put_sealed(&mut out, Some(&mut caller.sent), |out| frame::put_ping(out, nonce));
        sealed.push(out);
    }
    let mut good = sealed.concat();
    let mut from = good.as_slice();
    for nonce in 1..=3 {
        let (read, size) = frame::read(&mut from, Some(&mut called.received)).await.unwrap().unwrap();
        assert_eq!((read, size), (Frame::Ping(nonce), sealed[0].len()));
    }
    // Both have the checksum that fits.
    let mut forged = Vec::new();
    frame::put_ping(&mut forged, 1);
    forged.extend([0; 64]);
    let mut elsewhere = Vec::new();
    frame::put_sealed(&mut elsewhere, Some(&mut keys().0.sent), |out| frame::put_ping(out, 1));
    for bytes in [forged, elsewhere] {
        let read = frame::read(&mut bytes.as_slice(), Some(&mut keys().1.received)).await;
        assert!(read.unwrap_err().to_string().contains("not from the other member"), "inserted");
    }
    good.truncate(sealed[0].len());
    let read = frame::read(&mut good.as_slice(), Some(&mut called.received)).await;
    assert!(read.unwrap_err().to_string().contains("not from the other member"), "repeated");
    let (mut caller, mut called) = keys();
    let mut frames = [Vec::new(), Vec::new()];
    for out in &mut frames {
        frame::put_sealed(out, Some(&mut caller.sent), frame::put_close);
    }
    assert!(frame::read(&mut frames[1].as_slice(), Some(&mut called.received)).await.is_err(), "left out");
    let (mut caller, _) = keys();
    let mut own = Vec::new();
    frame::put_sealed(&mut own, Some(&mut caller.sent), frame::put_close);
    assert!(frame::read(&mut own.as_slice(), Some(&mut caller.received)).await.is_err(), "reflected");
}

#[test]
fn parts_of_a_snapshot_are_bound_to_their_file_and_place() {
    let call = call_of(SECRET, (Nonce::draw(), Nonce::draw()), &handshake(), "/p");
    let length = (256 << 10) + 10;
    let bytes: Vec<u8> = (0..length as u32).map(|nth| nth as u8).collect();
    let key = call.snapshot_key("tag", length);
    let mut body = bytes[..256 << 10].to_vec();
    body.extend(key.of(0, &bytes[..256 << 10]));
    body.extend(&bytes[256 << 10..]);
    body.extend(key.of(256 << 10, &bytes[256 << 10..]));
    let read = |body: &[u8], tag: &str, at: u64, length: u64| {
        let mut parts = SnapshotParts::new(call.snapshot_key(tag, length), at, length);
        let read: Option<Vec<_>> = body.chunks(1000).map(|chunk| parts.verified(chunk)).collect();
        read.map(|parts| parts.concat())
    };
    assert_eq!(read(&body, "tag", 0, length), Some(bytes.clone()));
    let half = &body[(256 << 10) + 32..];
    assert_eq!(read(half, "tag", 256 << 10, length).as_deref(), Some(&bytes[256 << 10..]));
    assert_eq!(read(&body, "other", 0, length), None);
    assert_eq!(read(&body, "tag", 0, length + 1), None);
    assert_eq!(read(half, "tag", 0, 10), None);
    let mut changed = body.clone();
    changed[100] ^= 1;
    assert_eq!(read(&changed, "tag", 0, length), None);
    assert_eq!(read(&[body.as_slice(), b"x"].concat(), "tag", 0, length), None, "something was appended");
}
