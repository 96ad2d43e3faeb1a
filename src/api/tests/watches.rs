//! Watches.

use std::time::Duration;

use super::{Client, Running, wait_for};

fn watching(server: &Running, target: &str) -> Client {
    let mut client = server.connect();
    client.send(format!("GET /v2/keys{target} HTTP/1.1\r\nHost: x\r\n\r\n"));
    client
}

fn watchers(server: &Running) -> u64 {
    server.handle.view(|keyspace| keyspace.counts().watchers)
}

#[test]
fn the_head_is_sent_at_once_and_the_event_as_one_chunk() {
    let server = Running::start();
    let mut watch = watching(&server, "/w?wait=true");
    let head = watch.head();
    assert_eq!((head.status, head.header("Transfer-Encoding")), (200, "chunked"));
    assert_eq!(head.header("Content-Type"), "application/json");
    assert_eq!(head.header("X-Etcd-Cluster-Id"), server.ids().1);
    assert_eq!(head.header("X-Raft-Term"), server.handle.position().term.to_string());
    assert_eq!(head.header("X-Etcd-Index"), server.index().to_string());
    let written = server.ask("PUT", "/v2/keys/w", "value=1");
    assert_eq!(watch.chunk(), Some(written.body), "the event is the writer's answer");
    assert_eq!(watch.chunk(), None);
    let again = watch.ask("GET", "/v2/keys/w", "");
    assert_eq!(again.status, 200, "the connection can be used again");
}

#[test]
fn a_stream_continues_until_its_client_disconnects() {
    let server = Running::start();
    let mut watch = watching(&server, "/d?wait=true&recursive=true&stream=true");
    watch.head();
    for value in ["1", "2", "3"] {
        let written = server.ask("PUT", "/v2/keys/d/k", &format!("value={value}"));
        assert_eq!(watch.chunk(), Some(written.body));
    }
    assert!(watch.silent());
    assert_eq!(watchers(&server), 1);
    drop(watch);
    wait_for("the end of the watch", || watchers(&server) == 0);
}

#[test]
fn past_events_are_sent_at_once_and_cleared_ones_are_refused() {
    let server = Running::start();
    let written = server.ask("PUT", "/v2/keys/h", "value=1");
    let at: u64 = written.header("X-Etcd-Index").parse().unwrap();
    let reply = server.ask("GET", &format!("/v2/keys/h?wait=true&waitIndex={at}"), "");
    assert_eq!(reply.body, written.body);
    let mut client = server.connect();
    for _ in 0..1000 {
        client.ask("PUT", "/v2/keys/other", "value=1");
    }
    let reply = server.ask("GET", "/v2/keys/h?wait=true&waitIndex=1", "");
    assert_eq!(reply.status, 400);
    assert!(reply.text().starts_with("{\"errorCode\":401,\"message\":\"The event in requested index is"));
    assert_eq!(reply.header("X-Etcd-Index"), (at + 1000).to_string());
    assert_eq!(reply.header("X-Raft-Index"), "");
}

#[test]
fn a_refused_watch_gets_an_ordinary_reply() {
    let server = Running::start();
    for (method, target) in [("HEAD", "/v2/keys/w?wait=true"), ("GET", "/v2/keys/w?wait=true&waitIndex=x")] {
        let reply = server.ask(method, target, "");
        assert_eq!((reply.status, reply.header("X-Etcd-Index")), (400, "0"), "{method}");
    }
    assert_eq!(watchers(&server), 0);
}

#[test]
fn http_1_0_watches_end_with_the_connection() {
    let server = Running::start();
    let mut client = server.connect();
    client.send("GET /v2/keys/w?wait=true HTTP/1.0\r\n\r\n");
    client.head();
    let written = server.ask("PUT", "/v2/keys/w", "value=1");
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut client.stream, &mut rest).unwrap();
    assert_eq!(rest, written.body);
}

#[test]
fn many_watches_share_one_buffer() {
    let server = Running::start();
    let mut all: Vec<Client> = (0..300).map(|_| watching(&server, "/w?wait=true")).collect();
    for watch in &mut all {
        watch.head();
    }
    assert_eq!(watchers(&server), 300);
    let written = server.ask("PUT", "/v2/keys/w", "value=1");
    for watch in &mut all {
        assert_eq!(watch.chunk().as_ref(), Some(&written.body));
        assert_eq!(watch.chunk(), None);
    }
    assert_eq!(watchers(&server), 0);
}

#[test]
fn an_open_watch_is_not_cut_by_the_head_timeout() {
    let server = Running::start();
    let mut watch = watching(&server, "/w?wait=true");
    watch.head();
    std::thread::park_timeout(Duration::from_millis(300));
    server.ask("PUT", "/v2/keys/w", "value=1");
    assert!(watch.chunk().is_some());
}
