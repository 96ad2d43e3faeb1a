//! Handshakes between members: who is accepted, and what both sides report when not.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use retune::tls::{Acceptor, Connector, TlsFiles};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::support::{Authority, Dir, WAIT_TIMEOUT, eventually};

/// Returns the files of a member with this pair, which trusts this authority.
fn member((cert, key): &(String, String), ca: &str) -> TlsFiles {
    let path = |text: &str| Some(PathBuf::from(text));
    let (cert, key, trusted_ca) = (path(cert), path(key), path(ca));
    TlsFiles { cert, key, trusted_ca, client_auth: true, peer: true, ..TlsFiles::default() }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(WAIT_TIMEOUT, work).await.expect("a handshake hangs") })
}

/// Returns the errors of server and client with each other's files.
fn attempt_handshake(
    called: &TlsFiles,
    calling: &TlsFiles,
    host: &str,
) -> (Result<(), String>, Result<(), String>) {
    let (acceptor, connector) = (Acceptor::open(called).unwrap(), Connector::open(calling).unwrap());
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = async {
            let mut stream = acceptor.accept(listener.accept().await?.0).await?;
            stream.write_all(b"!").await?;
            stream.shutdown().await
        };
        let call = async {
            let mut stream = connector.connect(host, TcpStream::connect(address).await?).await?;
            // A refusal of our certificate only shows here.
            stream.read_u8().await.map_err(|error| connector.explain(host, error)).map(drop)
        };
        let (served, called): (io::Result<()>, io::Result<()>) = tokio::join!(serve, call);
        (served.map_err(|error| error.to_string()), called.map_err(|error| error.to_string()))
    })
}

#[test]
fn one_certificate_serves_as_client_and_server_of_a_member() {
    let dir = Dir::new();
    let Some(authority) = Authority::new(&dir, "ours") else { return };
    let files = member(&authority.sign("server"), &authority.ca());
    for host in ["127.0.0.1", "localhost"] {
        assert_eq!(attempt_handshake(&files, &files, host), (Ok(()), Ok(())), "{host}");
    }
}

#[test]
fn both_sides_of_a_refused_connection_report_a_remedy() {
    let dir = Dir::new();
    let Some(authority) = Authority::new(&dir, "ours") else { return };
    let strange = Authority::new(&dir, "other").unwrap();
    let (ca, strange_ca) = (authority.ca(), strange.ca());
    let ours = member(&authority.sign("server"), &ca);
    let nameless = TlsFiles { cert: None, key: None, ..ours.clone() };
    let distrusting = TlsFiles { trusted_ca: Some(strange_ca.into()), ..ours.clone() };
    let stranger = member(&strange.sign("server"), &ca);
    let client_only = member(&authority.sign("client"), &ca);
    let local = "127.0.0.1";
    for (called, calling, host, served, heard) in [
        (
            &ours,
            &nameless,
            local,
            "--peer-client-cert-auth or --peer-trusted-ca-file requires one",
            "it requires a client certificate that it trusts; give one by --peer-cert-file and --peer-key-file",
        ),
        (
            &ours,
            &distrusting,
            local,
            "it does not trust the authority that signed",
            "other.pem signed its certificate; check --peer-trusted-ca-file",
        ),
        (
            &ours,
            &stranger,
            local,
            "(--peer-trusted-ca-file) signed its certificate",
            "it does not trust the authority that signed",
        ),
        (
            &ours,
            &ours,
            "n9.example",
            "(--peer-cert-file); see its own log",
            "its certificate is for 127.0.0.1, localhost, not for n9.example",
        ),
        (&client_only, &ours, local, "it refuses", "not made for servers (serverAuth)"),
    ] {
        let (server, client) = attempt_handshake(called, calling, host);
        let (server, client) = (server.unwrap_err(), client.unwrap_err());
        assert!(server.contains(served), "{served:?}: {server}");
        assert!(client.contains(heard), "{heard:?}: {client}");
    }
}

#[test]
fn an_expired_certificate_is_reported_as_expired() {
    let dir = Dir::new();
    let Some(authority) = Authority::new(&dir, "ours") else { return };
    let fresh = member(&authority.sign("client"), &authority.ca());
    let stale = member(&authority.sign_for("server", 0), &authority.ca());
    eventually("a certificate of no days expires", WAIT_TIMEOUT, || {
        attempt_handshake(&stale, &fresh, "localhost")
            .1
            .is_err_and(|says| says.contains("its certificate expired at 20"))
    });
    // The reverse: the calling member has the old one.
    let good = {
        let (cert, key) = authority.sign("server");
        let copies = (dir.text_path("good.pem"), dir.text_path("good.key"));
        std::fs::copy(cert, &copies.0).unwrap();
        std::fs::copy(key, &copies.1).unwrap();
        member(&copies, &authority.ca())
    };
    let stale = member(&authority.sign_for("server", 0), &authority.ca());
    eventually("the other side is told", WAIT_TIMEOUT, || {
        attempt_handshake(&good, &stale, "localhost")
            .0
            .is_err_and(|says| says.contains("its certificate expired at 20"))
    });
}

#[test]
fn a_server_without_tls_and_an_invalid_host_are_reported() {
    let dir = Dir::new();
    let Some(authority) = Authority::new(&dir, "ours") else { return };
    let files = member(&authority.sign("server"), &authority.ca());
    let connector = Connector::open(&files).unwrap();
    let says = |host: &str| {
        block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut plain, _) = listener.accept().await.unwrap();
            plain.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
            let limit = Duration::from_secs(5);
            timeout(limit, connector.connect(host, stream)).await.unwrap().unwrap_err().to_string()
        })
    };
    let plain = says("localhost");
    assert!(plain.contains("it does not speak TLS; its URL begins with http://"), "{plain}");
    let odd = says("a b");
    assert!(odd.contains("neither a host name nor an IP address"), "{odd}");
}
