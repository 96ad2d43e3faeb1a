//! Unusual certificates: of X.509 version 1, and self-signed ones of members.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::group::Plan;
use crate::support::port::Port;
use crate::support::programs::need_program;
use crate::support::{Authority, Daemon, Dir, Retune, WAIT_TIMEOUT, eventually};

/// Starts a store that listens at `https://` and this address, with these extra flags.
fn store<'d>(dir: &'d Dir, address: &str, words: &[&str]) -> Daemon<'d> {
    Retune::new(dir, &["store", "--data-dir", &dir.text_path("data")])
        .args(&["--listen-client-urls", &format!("https://{address}")])
        .args(words)
        .spawn()
}

/// Returns a port's address with this machine's name.
fn by_name(port: &Port) -> String {
    port.address().replace("127.0.0.1", "localhost")
}

fn curl(words: &[&str], url: &str) -> Output {
    Command::new("curl").args(["-sS", "--max-time", "5"]).args(words).arg(url).output().unwrap()
}

fn served(done: &Output) -> bool {
    String::from_utf8_lossy(&done.stdout).contains("etcdserver")
}

/// Returns the output of `openssl s_client` for a port, verified with an authority.
fn s_client(address: &str, ca: &str) -> String {
    let words = ["s_client", "-connect", address, "-CAfile", ca, "-verify_hostname", "localhost"];
    let done = Command::new("openssl").args(words).stdin(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&done.stdout).into_owned()
}

#[test]
fn a_certificate_of_version_1_is_served_with_a_warning() {
    let dir = Dir::new();
    let Some(authority) = Authority::new(&dir, "ours") else { return };
    if !need_program("curl") {
        return;
    }
    let ca = authority.ca();
    for kind in ["ec", "rsa"] {
        let port = Port::claim();
        let (address, url) = (port.address(), format!("https://{}/version", by_name(&port)));
        let (cert, key) = authority.sign_version_1(kind);
        let daemon = store(&dir, &address, &["--cert-file", &cert, "--key-file", &key]);
        eventually("it serves", WAIT_TIMEOUT, || served(&curl(&["--cacert", &ca], &url)));
        let says = s_client(&address, &ca);
        assert!(says.contains("Verify return code: 0 (ok)"), "{kind}: {says}");
        assert_eq!(daemon.log().matches("is of X.509 version 1").count(), 1, "{}", daemon.log());
        // Clients in Rust refuse it and say why.
        let endpoint = format!("https://{}", by_name(&port));
        let ctl = ["ctl", "--no-sync", "--endpoints", &endpoint, "--ca-file", &ca, "get", "/a"];
        let done = Retune::new(&dir, &ctl).run();
        assert!(
            done.stderr.contains("X.509 version 1") && done.stderr.contains("subjectAltName"),
            "{}",
            done.stderr
        );
        daemon.terminate();
    }
}

/// Keeps a member off the default client port, which something else may use.
const ANY_CLIENT_PORT: [&str; 2] = ["--listen-client-urls", "http://127.0.0.1:0"];

#[test]
fn an_invalid_pair_is_reported_correctly_and_once() {
    let dir = Dir::new();
    let Some(authority) = Authority::new(&dir, "ours") else { return };
    let (good, old) = (authority.sign("server"), authority.sign_version_1("ec"));
    let (other, odd) = (authority.sign("client"), authority.uncommon_key());
    let port = Port::claim();
    for (cert, key, says, keeps_quiet) in [
        // Neither version is accepted with another's key.
        (&good.0, &other.1, "does not go with the key", "version 1"),
        (&old.0, &other.1, "does not go with the key", "version 1"),
        // The error names the file that causes it.
        (&good.0, &odd, "holds a key of a kind that cannot be used", "does not go with"),
    ] {
        let urls = format!("https://{}", port.address());
        for words in [
            &["store", "--listen-client-urls", &urls, "--cert-file", cert, "--key-file", key][..],
            &["store", "--listen-peer-urls", &urls, "--peer-cert-file", cert, "--peer-key-file", key],
        ] {
            let any: &[&str] = if words.contains(&"--listen-client-urls") { &[] } else { &ANY_CLIENT_PORT };
            let done = Retune::new(&dir, words)
                .args(any)
                .args(&["--data-dir", &dir.text_path("none")])
                .run()
                .exits(2);
            assert_eq!(done.stderr.matches(says).count(), 1, "{}", done.stderr);
            assert!(!done.stderr.contains(keeps_quiet), "{}", done.stderr);
        }
    }
    let urls = format!("https://{}", port.address());
    let peer = ["store", "--listen-peer-urls", &urls, "--peer-cert-file", &old.0, "--peer-key-file", &old.1];
    let done = Retune::new(&dir, &peer)
        .args(&ANY_CLIENT_PORT)
        .args(&["--data-dir", &dir.text_path("none")])
        .run()
        .exits(2);
    assert_eq!(done.stderr.matches("is of X.509 version 1").count(), 1, "{}", done.stderr);
}

/// Returns a file's mode without its type.
fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn auto_tls_creates_a_certificate_once_and_serves_it_under_both_names() {
    let dir = Dir::new();
    if !need_program("curl") || !need_program("openssl") {
        return;
    }
    let port = Port::claim();
    let (address, url) = (port.address(), format!("https://{}", port.address()));
    let version = format!("{url}/version");
    let (cert, key) = (dir.path("data/fixtures/client/cert.pem"), dir.path("data/fixtures/client/key.pem"));
    let shown = cert.to_str().unwrap().to_owned();
    let words = ["--data-dir", &dir.text_path("data"), "--listen-client-urls", &url];
    let etcds = ["--advertise-client-urls", &url, "--listen-peer-urls", "http://127.0.0.1:0"];
    let mut first = None;
    for name in ["retune", "etcd", "variable"] {
        let run = match name {
            "retune" => Retune::new(&dir, &["store", "--auto-tls"]).args(&words),
            "etcd" => Retune::called(&dir, "etcd", &["-auto-tls"]).args(&words).args(&etcds),
            _ => Retune::called(&dir, "etcd", &[]).args(&words).args(&etcds).env("ETCD_AUTO_TLS", "true"),
        };
        let daemon = run.spawn();
        eventually("it serves", WAIT_TIMEOUT, || served(&curl(&["-k"], &version)));
        // A client with the certificate can verify the server, by address and by name.
        let named = format!("https://{}/version", by_name(&port));
        assert!(
            served(&curl(&["--cacert", &shown], &version)) && served(&curl(&["--cacert", &shown], &named))
        );
        assert!(!served(&curl(&[], &version)), "it is no certificate of an authority");
        assert!(s_client(&address, &shown).contains("Verify return code: 0 (ok)"));
        Retune::new(&dir, &["ctl", "--endpoints", &url, "--ca-file", &shown, "set", "/a", name])
            .run()
            .exits(0);
        if need_program("etcdctl") {
            let ctl = ["--endpoints", &url, "--ca-file", &shown, "get", "/a"];
            let done = Command::new("etcdctl").env("ETCDCTL_API", "2").args(ctl).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&done.stdout), format!("{name}\n"), "{done:?}");
        }
        assert_eq!((mode(&key), mode(cert.parent().unwrap())), (0o600, 0o700));
        let made = (fs::read(&cert).unwrap(), fs::read(&key).unwrap());
        assert_eq!(first.get_or_insert_with(|| made.clone()), &made, "{name}: it was made again");
        daemon.terminate();
    }
}

#[test]
fn three_members_with_self_signed_certificates_form_a_cluster() {
    let Some(mut plan) = Plan::new(3) else { return };
    plan.scheme = "https";
    let mut group = plan.with(&["--peer-auto-tls"]).on_local_ports();
    group.start();
    for (number, member) in group.members.iter().enumerate() {
        let answer = member.wire().request("PUT", &format!("/v2/keys/{number}"), Some("value=x")).unwrap();
        assert_eq!(answer.status, 201);
        let key = member.data().join("fixtures/peer/key.pem");
        assert_eq!(mode(&key), 0o600);
    }
    // A restarted member presents the same certificate.
    let cert = group.members[0].data().join("fixtures/peer/cert.pem");
    let made = fs::read(&cert).unwrap();
    group.members[0].kill();
    group.start();
    assert_eq!(fs::read(&cert).unwrap(), made);
    eventually("it has everything", WAIT_TIMEOUT, || {
        group.members[0].wire().get("/v2/keys/2").is_ok_and(|answer| answer.status == 200)
    });
}
