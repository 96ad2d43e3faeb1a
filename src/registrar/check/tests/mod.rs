//! Checks against real sockets: every server is one closure, and runs as long as the check.

mod grpc;
mod http;
mod spec;
mod tcp;

use std::collections::BTreeMap;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::registrar::container::Port;

fn millis(number: u64) -> Duration {
    Duration::from_millis(number)
}

fn defaults() -> Checks {
    Checks { interval: millis(5000), timeout: millis(3000), ..Checks::default() }
}

fn check(kind: CheckKind) -> Check {
    with(&defaults(), kind)
}

/// Returns a check with a short timeout, for tests that reach it.
fn quick_check(kind: CheckKind) -> Check {
    Check { timeout: millis(150), ..check(kind) }
}

fn get(path: &str) -> CheckKind {
    let (method, path) = ("GET".to_owned(), path.to_owned());
    CheckKind::Http { https: false, method, path, verify: true, any_status: false }
}

/// Returns a service at port 8080 of a container, published at 10.0.0.9:32768.
fn service(attributes: &[(&str, &str)]) -> Service {
    Service {
        container: "c0ffee".to_owned(),
        port: Port { number: 8080, protocol: crate::registrar::container::Protocol::Tcp },
        name: "web".to_owned(),
        id: "h1:web:8080".to_owned(),
        ip: "10.0.0.9".to_owned(),
        public: 32768,
        inner: None,
        tags: Vec::new(),
        attributes: attributes
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>(),
        key: "/web/h1:web:8080".to_owned(),
        value: "10.0.0.9:32768".to_owned(),
    }
}

fn at(host: &str, port: u16) -> CheckTarget {
    CheckTarget { host: host.to_owned(), port, container: "c0ffee".to_owned() }
}

/// Runs a check against a server, which serves one connection after the other.
async fn run_against(check: Check, serve: impl AsyncFn(TcpStream)) -> Result<(), String> {
    run_against_at("127.0.0.1", check, serve).await
}

async fn run_against_at(host: &str, check: Check, serve: impl AsyncFn(TcpStream)) -> Result<(), String> {
    let listener = TcpListener::bind((host, 0)).await.unwrap();
    let target = at(host, listener.local_addr().unwrap().port());
    let serving = async {
        loop {
            serve(listener.accept().await.unwrap().0).await;
        }
    };
    tokio::select! {
        outcome = check.reach(&target) => outcome,
        () = serving => unreachable!("it serves for ever"),
    }
}

/// Reads the head of a request.
async fn head(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => read.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(read).unwrap()
}

/// Keeps a connection open until the other side closes it.
async fn hold(mut stream: TcpStream) {
    while stream.read_u8().await.is_ok() {}
}

/// Resets a connection once the other side has seen it accepted; with an immediate reset it would not see that.
async fn reset_later(stream: TcpStream) {
    tokio::time::sleep(millis(20)).await;
    stream.set_zero_linger().unwrap();
}

/// Responds to one request with these bytes, and closes the connection.
async fn answer(mut stream: TcpStream, bytes: &[u8]) {
    head(&mut stream).await;
    stream.write_all(bytes).await.ok();
}

#[test]
fn a_check_connects_where_consumers_do_or_inside_the_container() {
    let mut service = service(&[]);
    let (published, inside) = (defaults(), Checks { via: CheckAddress::Container, ..defaults() });
    assert_eq!(target(&service, &published), at("10.0.0.9", 32768));
    assert_eq!(target(&service, &inside), at("10.0.0.9", 32768), "it has no address of its own");
    service.inner = Some("172.17.0.2".parse().unwrap());
    assert_eq!(target(&service, &inside), at("172.17.0.2", 8080));
    assert_eq!(target(&service, &published), at("10.0.0.9", 32768));
    service.inner = Some("fd00::2".parse().unwrap());
    assert_eq!(target(&service, &inside), at("fd00::2", 8080));
    for ip in ["[2001:db8::1]", "2001:db8::1"] {
        service.ip = ip.to_owned();
        assert_eq!(target(&service, &published), at("2001:db8::1", 32768));
    }
}

#[test]
fn a_service_without_its_own_check_uses_the_default_one() {
    let say = |default| fallback(&Checks { default, ..defaults() });
    assert_eq!(say(Health::Running), None);
    assert_eq!(say(Health::Tcp), Some(bare_tcp(&defaults())));
    let http = say(Health::Http).unwrap();
    assert!(
        matches!(&http.kind, CheckKind::Http { https: false, path, any_status: true, .. } if path == "/")
    );
    assert_eq!((http.interval, http.timeout, http.rise, http.fall), (millis(5000), millis(3000), 1, 1));
}

#[test]
fn a_command_passes_with_exit_code_0_and_otherwise_reports_its_first_line() {
    use super::super::engine::ExecResult;
    let verdict = |code, output: &str| command::check_exit(&ExecResult { code, output: output.to_owned() });
    assert_eq!(verdict(0, "whatever it wrote"), Ok(()));
    assert_eq!(verdict(1, ""), Err("exited with 1".to_owned()));
    assert_eq!(verdict(1, "\r\n \r\nno \x1b[31mdb\x07\r\nmore"), Err("exited with 1: no [31mdb".to_owned()));
    assert_eq!(verdict(-1, &"é".repeat(5000)), Err(format!("exited with -1: {}", "é".repeat(200))));
}
