//! TLS on the client port, with the whole program: which clients are served, what the others get, and how files are
//! renewed.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::http::request;
use crate::support::port::Port;
use crate::support::programs::{need_mounts, need_program};
use crate::support::{Authority, Daemon, Dir, Mount, Retune, WAIT_TIMEOUT, eventually};

/// A member with a TLS port and a plain one.
struct Member<'d> {
    daemon: Daemon<'d>,
    secure: String,
    plain: String,
}

fn serve<'d>(dir: &'d Dir, words: &[&str]) -> Member<'d> {
    let urls = "https://127.0.0.1:0,http://127.0.0.1:0";
    let daemon = Retune::new(dir, &["store", "--listen-client-urls", urls])
        .args(&["--listen-peer-urls", "http://127.0.0.1:0"])
        .args(words)
        .spawn();
    let port = |scheme: &str| {
        let head = format!("listening for clients on {scheme}://");
        eventually("it says where it listens", WAIT_TIMEOUT, || {
            daemon.stdout().lines().find_map(|line| line.strip_prefix(&head).map(str::to_owned))
        })
    };
    let (secure, plain) = (port("https"), port("http"));
    Member { daemon, secure, plain }
}

/// A client that trusts the authority in a file, with or without its own certificate.
#[derive(Clone, Copy)]
struct TlsClient<'c> {
    ca: &'c str,
    pair: Option<(&'c str, &'c str)>,
}

impl<'c> TlsClient<'c> {
    fn of(ca: &'c str) -> Self {
        Self { ca, pair: None }
    }

    fn with(self, (cert, key): &'c (String, String)) -> Self {
        Self { pair: Some((cert, key)), ..self }
    }

    /// Sends a request over its own connection; returns the port's certificate and the response.
    fn ask(self, address: &str) -> io::Result<(Vec<u8>, String)> {
        let certificates = |path: &str| CertificateDer::pem_file_iter(path).unwrap().map(Result::unwrap);
        let mut roots = RootCertStore::empty();
        certificates(self.ca).for_each(|certificate| roots.add(certificate).unwrap());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_root_certificates(roots);
        let config = match self.pair {
            Some((cert, key)) => {
                let key = PrivateKeyDer::from_pem_file(key).unwrap();
                config.with_client_auth_cert(certificates(cert).collect(), key).unwrap()
            }
            None => config.with_no_client_auth(),
        };
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
        let mut stream = StreamOwned::new(connection, stream);
        stream.write_all(b"GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let shown = stream.conn.peer_certificates().unwrap()[0].to_vec();
        Ok((shown, answer))
    }

    /// Returns the port's certificate after a successful request.
    #[track_caller]
    fn is_served(self, address: &str) -> Vec<u8> {
        let (shown, answer) = self.ask(address).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("etcdserver"), "{answer}");
        shown
    }
}

/// Returns the certificate in a file.
fn first(path: &str) -> Vec<u8> {
    CertificateDer::from_pem_file(path).unwrap().to_vec()
}

/// Makes a pair in its own files, which a later one of the same kind does not overwrite.
fn pair(dir: &Dir, authority: &Authority<'_>, kind: &str, name: &str) -> (String, String) {
    let (cert, key) = authority.sign(kind);
    let copies = (dir.text_path(&format!("{name}.pem")), dir.text_path(&format!("{name}.key")));
    fs::copy(cert, &copies.0).unwrap();
    fs::copy(key, &copies.1).unwrap();
    copies
}

/// Copies both files to where the member reads them, the certificate first.
fn install(from: &(String, String), to: &(String, String)) {
    fs::copy(&from.0, &to.0).unwrap();
    fs::copy(&from.1, &to.1).unwrap();
}

#[test]
fn with_client_authentication_only_clients_with_a_trusted_certificate_are_served() {
    let dir = Dir::new();
    let Some(authority) = Authority::new(&dir, "ours") else { return };
    let ca = authority.ca();
    let (server, client) = (authority.sign("server"), authority.sign("client"));
    let strange = Authority::new(&dir, "other").unwrap().sign("client");
    let member = serve(
        &dir,
        &["--cert-file", &server.0, "--key-file", &server.1, "--client-cert-auth", "--trusted-ca-file", &ca],
    );
    assert_eq!(TlsClient::of(&ca).with(&client).is_served(&member.secure), first(&server.0));
    let none = TlsClient::of(&ca).ask(&member.secure).unwrap_err().to_string();
    assert!(none.contains("CertificateRequired"), "{none}");
    member.daemon.eventually_says("--client-cert-auth or --trusted-ca-file requires one");
    let wrong = TlsClient::of(&ca).with(&strange).ask(&member.secure).unwrap_err().to_string();
    assert!(wrong.contains("UnknownCA"), "{wrong}");
    member.daemon.eventually_says("(--trusted-ca-file) signed its certificate");
    member.daemon.terminate();
}

#[test]
fn etcdctl_and_ctl_read_and_write_over_tls() {
    let dir = Dir::new();
    let Some(authority) = Authority::new(&dir, "ours") else { return };
    let ca = authority.ca();
    let (server, client) = (authority.sign("server"), authority.sign("client"));
    let member = serve(&dir, &["--cert-file", &server.0, "--key-file", &server.1, "--trusted-ca-file", &ca]);
    let url = format!("https://{}", member.secure);
    let files = ["--ca-file", &ca, "--cert-file", &client.0, "--key-file", &client.1];
    let ctl = |words: &[&str]| Retune::new(&dir, &["ctl", "--endpoints", &url]).args(words);
    ctl(&files).args(&["set", "/a", "ours"]).run().exits(0).prints("ours");
    ctl(&["--ca-file", &ca, "get", "/a"]).run().says("certificate");
    if need_program("etcdctl") {
        let words = [&["--endpoints", url.as_str(), "--no-sync"], &files[..], &["get", "/a"]].concat();
        let done = Command::new("etcdctl").env("ETCDCTL_API", "2").args(words).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&done.stdout), "ours\n", "{done:?}");
    }
    member.daemon.terminate();
}

#[test]
fn without_client_authentication_no_certificate_is_needed() {
    let dir = Dir::new();
    let Some(authority) = Authority::new(&dir, "ours") else { return };
    let strange = Authority::new(&dir, "other").unwrap().ca();
    let server = authority.sign("server");
    let member = serve(&dir, &["--cert-file", &server.0, "--key-file", &server.1]);
    TlsClient::of(&authority.ca()).is_served(&member.secure);
    let says = TlsClient::of(&strange).ask(&member.secure).unwrap_err().to_string();
    assert!(says.contains("UnknownIssuer"), "{says}");
    member.daemon.eventually_says("it does not trust the authority that signed");
    member.daemon.terminate();
}

#[test]
fn the_wrong_scheme_is_reported_to_the_client_and_logged_at_either_port() {
    let dir = Dir::new();
    let Some(authority) = Authority::new(&dir, "ours") else { return };
    let server = authority.sign("server");
    let member = serve(&dir, &["--cert-file", &server.0, "--key-file", &server.1]);
    let body = ("application/x-www-form-urlencoded", "value=1");
    for _ in 0..20 {
        let answer = request(&member.secure, "PUT", "/v2/keys/a", Some(body)).unwrap();
        assert_eq!(answer.status, 400);
        assert!(answer.body.contains("its URL must begin https://"), "{}", answer.body);
    }
    member.daemon.eventually_says("it spoke plain HTTP, and this port speaks TLS");
    let begun = std::time::Instant::now();
    TlsClient::of(&authority.ca()).ask(&member.plain).unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(3), "a clear end is a soon one: {:?}", begun.elapsed());
    member.daemon.eventually_says("it spoke TLS, and this port speaks plain HTTP");
    let mut garbage = TcpStream::connect(&member.secure).unwrap();
    garbage.set_read_timeout(Some(WAIT_TIMEOUT)).unwrap();
    garbage.write_all(&[0xff; 64]).unwrap();
    // A close or a reset, not a timeout.
    assert!(!garbage.read(&mut [0; 8]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock));
    member.daemon.eventually_says("it spoke neither TLS nor HTTP");
    assert_eq!(member.daemon.log().matches("it spoke plain HTTP").count(), 1, "strangers fill no log");
    TlsClient::of(&authority.ca()).is_served(&member.secure);
    assert_eq!(request(&member.plain, "GET", "/version", None).unwrap().status, 200);
    member.daemon.terminate();
}

#[test]
fn a_port_with_urls_of_both_schemes_serves_both() {
    let dir = Dir::new();
    let Some(authority) = Authority::new(&dir, "ours") else { return };
    let (server, ca) = (authority.sign("server"), authority.ca());
    let port = Port::claim();
    let address = port.address();
    let daemon = Retune::new(&dir, &["store", "--cert-file", &server.0, "--key-file", &server.1])
        .args(&["--listen-client-urls", &format!("http://{address},https://{address}")])
        .args(&["--data-dir", &dir.text_path("data")])
        .spawn();
    // A client that connects and sends nothing blocks nobody.
    eventually("it listens", WAIT_TIMEOUT, || TcpStream::connect(&address).is_ok());
    let silent = TcpStream::connect(&address).unwrap();
    eventually("it serves", WAIT_TIMEOUT, || {
        request(&address, "GET", "/version", None).is_ok_and(|answer| answer.status == 200)
    });
    for _ in 0..3 {
        TlsClient::of(&ca).is_served(&address);
        assert_eq!(request(&address, "GET", "/version", None).unwrap().status, 200);
    }
    for scheme in ["http", "https"] {
        assert!(daemon.stdout().contains(&format!("listening for clients on {scheme}://{address}\n")));
        if need_program("curl") {
            let words = ["-sS", "--cacert", &ca, &format!("{scheme}://{address}/version")];
            let done = Command::new("curl").args(words).output().unwrap();
            assert!(String::from_utf8_lossy(&done.stdout).contains("etcdserver"), "{done:?}");
        }
    }
    drop(silent);
    daemon.terminate();
}

#[test]
fn a_renewed_certificate_is_served_without_a_restart() {
    let dir = Dir::new();
    let Some(authority) = Authority::new(&dir, "ours") else { return };
    let (one, two) = (pair(&dir, &authority, "server", "one"), pair(&dir, &authority, "server", "two"));
    let live = (dir.text_path("live.pem"), dir.text_path("live.key"));
    install(&one, &live);
    let member = serve(&dir, &["--cert-file", &live.0, "--key-file", &live.1]);
    let ca = authority.ca();
    let caller = TlsClient::of(&ca);
    assert_eq!(caller.is_served(&member.secure), first(&one.0));
    install(&two, &live);
    eventually("the new one", WAIT_TIMEOUT, || caller.is_served(&member.secure) == first(&two.0));
    // Renamed into place, as certificate managers do it.
    let new = (dir.text_path("new.pem"), dir.text_path("new.key"));
    install(&one, &new);
    fs::rename(&new.0, &live.0).unwrap();
    fs::rename(&new.1, &live.1).unwrap();
    eventually("the first again", WAIT_TIMEOUT, || caller.is_served(&member.secure) == first(&one.0));
    member.daemon.eventually_says("TLS files were read again");
    member.daemon.terminate();
}

/// As with `docker run -v ./server.pem:/server.pem` and a certificate manager outside.
#[test]
fn a_certificate_mounted_as_a_single_file_and_replaced_outside_is_reported() {
    if !need_mounts() {
        return;
    }
    let dir = Dir::new();
    let Some(authority) = Authority::new(&dir, "ours") else { return };
    let (one, two) = (pair(&dir, &authority, "server", "one"), pair(&dir, &authority, "server", "two"));
    let at = |name: &str| (dir.text_path(&format!("{name}.pem")), dir.text_path(&format!("{name}.key")));
    let (outside, live, new) = (at("outside"), at("live"), at("new"));
    install(&one, &outside);
    fs::write(&live.0, "").unwrap();
    install(&one, &live);
    let _mount = Mount::bind(outside.0.as_ref(), live.0.as_ref());
    let member = serve(&dir, &["--cert-file", &live.0, "--key-file", &live.1]);
    let ca = authority.ca();
    let caller = TlsClient::of(&ca);
    install(&two, &new);
    fs::rename(&new.0, &outside.0).unwrap();
    eventually("it is said", WAIT_TIMEOUT, || {
        assert_eq!(caller.is_served(&member.secure), first(&one.0));
        member.daemon.log().contains("mounted by itself and was replaced outside")
    });
    member.daemon.terminate();
}

#[test]
fn a_swapped_folder_of_links_renews_certificate_and_authorities() {
    let dir = Dir::new();
    let Some(ours) = Authority::new(&dir, "ours") else { return };
    let next = Authority::new(&dir, "next").unwrap();
    let ca = dir.text_path("mounted/ca.pem");
    let live = (dir.text_path("mounted/tls.crt"), dir.text_path("mounted/tls.key"));
    for (folder, authority) in [("v1", &ours), ("v2", &next)] {
        fs::create_dir_all(dir.path("mounted").join(folder)).unwrap();
        let at = |name: &str| dir.text_path(&format!("mounted/{folder}/{name}"));
        install(&authority.sign("server"), &(at("tls.crt"), at("tls.key")));
        fs::copy(authority.ca(), at("ca.pem")).unwrap();
    }
    let link = |to: &str, name: &str| {
        let new = dir.path("mounted/..new");
        std::os::unix::fs::symlink(to, &new).unwrap();
        fs::rename(&new, dir.path(&format!("mounted/{name}"))).unwrap();
    };
    link("v1", "..data");
    for name in ["ca.pem", "tls.crt", "tls.key"] {
        link(&format!("..data/{name}"), name);
    }
    let member = serve(&dir, &["--cert-file", &live.0, "--key-file", &live.1, "--trusted-ca-file", &ca]);
    let (old, new) = (ours.sign("client"), next.sign("client"));
    let (old_ca, new_ca) = (ours.ca(), next.ca());
    let (old, new) = (TlsClient::of(&old_ca).with(&old), TlsClient::of(&new_ca).with(&new));
    old.is_served(&member.secure);
    new.ask(&member.secure).unwrap_err();
    link("v2", "..data");
    eventually("the new authority counts", WAIT_TIMEOUT, || new.ask(&member.secure).is_ok());
    old.ask(&member.secure).unwrap_err();
    TlsClient { ca: &new_ca, ..old }.ask(&member.secure).expect_err("the old authority's clients are out");
    member.daemon.terminate();
}

#[test]
fn a_partly_written_renewal_keeps_the_old_certificate_in_use() {
    let dir = Dir::new();
    let Some(authority) = Authority::new(&dir, "ours") else { return };
    let (one, two) = (pair(&dir, &authority, "server", "one"), pair(&dir, &authority, "server", "two"));
    let live = (dir.text_path("live.pem"), dir.text_path("live.key"));
    install(&one, &live);
    let member = serve(&dir, &["--cert-file", &live.0, "--key-file", &live.1]);
    let ca = authority.ca();
    let caller = TlsClient::of(&ca);
    let said = |what: &str| {
        eventually(what, WAIT_TIMEOUT, || {
            assert_eq!(caller.is_served(&member.secure), first(&one.0), "{what}");
            member.daemon.log().contains(what)
        });
    };
    let whole = fs::read(&two.0).unwrap();
    fs::write(&live.0, &whole[..whole.len() / 2]).unwrap();
    said("live.pem: ");
    fs::write(&live.0, &whole).unwrap();
    said("does not go with the key");
    fs::remove_file(&live.1).unwrap();
    said("live.key: cannot be read");
    let before = member.daemon.log();
    assert!(before.contains("check --key-file") && before.contains("stay in use"), "{before}");
    assert_eq!(before.matches("live.key: cannot be read").count(), 1, "said once");
    fs::copy(&two.1, &live.1).unwrap();
    eventually("the new pair", WAIT_TIMEOUT, || caller.is_served(&member.secure) == first(&two.0));
    assert!(Path::new(&live.0).exists());
    member.daemon.terminate();
}
