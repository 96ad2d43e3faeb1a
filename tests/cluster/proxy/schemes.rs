//! A proxy's listener and its members' ports may have different schemes: how it connects to them depends on its TLS
//! files, not on its own scheme.

use super::test_proxy::{ProxyProgram, TestProxy};
use crate::support::http::request;
use crate::support::port::Port;
use crate::support::{Authority, Daemon, Dir, Retune, WAIT_TIMEOUT, eventually};

/// Starts a member whose two ports have URLs of this scheme.
fn member<'d>(dir: &'d Dir, scheme: &str, words: &[&str]) -> (Daemon<'d>, String, Port) {
    let peer = Port::claim();
    let (clients, peers) = (format!("{scheme}://127.0.0.1:0"), format!("{scheme}://{}", peer.address()));
    let daemon = Retune::new(dir, &["store", "--listen-client-urls", &clients, "--listen-peer-urls", &peers])
        .args(words)
        .spawn();
    let head = "listening for clients on ";
    let url = eventually("it says where it listens", WAIT_TIMEOUT, || {
        daemon.stdout().lines().find_map(|line| line.strip_prefix(head).map(str::to_owned))
    });
    (daemon, url, peer)
}

#[test]
fn a_plain_proxy_connects_to_members_that_require_certificates() {
    let dir = Dir::new();
    let Some(authority) = Authority::new(&dir, "ours") else { return };
    let (ca, (cert, key)) = (authority.ca(), authority.sign("server"));
    let own = ["--cert-file", &cert, "--key-file", &key, "--trusted-ca-file", &ca];
    let peers = ["--peer-cert-file", &cert, "--peer-key-file", &key, "--peer-trusted-ca-file", &ca];
    let (_daemon, _, peer) = member(&dir, "https", &[&own[..], &peers].concat());
    let cluster = format!("default=https://{}", peer.address());
    // With files for both ports, and with those of the members' peer ports for both.
    for words in [[&own[..], &peers].concat(), peers.to_vec()] {
        let front = TestProxy::start(ProxyProgram::Ours, &cluster, &words);
        let answer = request(&front.address(), "GET", "/v2/keys/", None).unwrap();
        assert_eq!(answer.status, 200, "{}\n{}", answer.body, front.log());
        assert!(!front.log().contains("no effect"), "{}", front.log());
    }
}

#[test]
fn a_proxy_with_tls_connects_to_plain_members() {
    let dir = Dir::new();
    let Some(authority) = Authority::new(&dir, "ours") else { return };
    let (ca, (cert, key)) = (authority.ca(), authority.sign("server"));
    let (_daemon, _, peer) = member(&dir, "http", &[]);
    let words = ["store", "--proxy", "on", "--listen-client-urls", "https://127.0.0.1:0"];
    let proxy = Retune::new(&dir, &words)
        .args(&["--data-dir", &dir.text_path("proxy"), "--cert-file", &cert, "--key-file", &key])
        .args(&["--initial-cluster", &format!("default=http://{}", peer.address())])
        .spawn();
    let url = eventually("it says where it listens", WAIT_TIMEOUT, || {
        let head = "listening for clients on ";
        proxy.stdout().lines().find_map(|line| line.strip_prefix(head).map(str::to_owned))
    });
    proxy.eventually_says("endpoints found [\"http://");
    let ctl = Retune::new(&dir, &["ctl", "--no-sync", "--endpoints", &url, "--ca-file", &ca]);
    ctl.args(&["set", "/a", "through"]).run().exits(0).prints("through");
}

/// Members that moved to `https` advertise that; a client with an old `http` URL follows with its files.
#[test]
fn ctl_follows_a_member_from_http_to_https() {
    let dir = Dir::new();
    let Some(authority) = Authority::new(&dir, "ours") else { return };
    let (ca, (cert, key)) = (authority.ca(), authority.sign("server"));
    let (client_cert, client_key) = authority.sign("client");
    let ports = [Port::claim(), Port::claim()];
    let (plain, secure) =
        (format!("http://{}", ports[0].address()), format!("https://{}", ports[1].address()));
    let daemon = Retune::new(&dir, &["store", "--listen-client-urls", &format!("{plain},{secure}")])
        .args(&["--advertise-client-urls", &secure, "--listen-peer-urls", "http://127.0.0.1:0"])
        .args(&["--cert-file", &cert, "--key-file", &key, "--trusted-ca-file", &ca])
        .spawn();
    daemon.eventually_says("ready to serve client requests");
    let ctl = |words: &[&str]| Retune::new(&dir, &["ctl", "--endpoints", &plain]).args(words);
    let files = ["--ca-file", &ca, "--cert-file", &client_cert, "--key-file", &client_key];
    ctl(&[&files[..], &["set", "/a", "followed"]].concat()).run().exits(0).prints("followed");
    ctl(&["set", "/a", "without"]).run().says("certificate");
}
