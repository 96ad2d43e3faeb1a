//! An engine over the network: only a client with a certificate gets access, and only the right engine is trusted.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use retune::tls::{Acceptor, TlsFiles};
use tokio::net::{TcpListener, UnixStream};

use super::store_view::below_now;
use crate::support::fake_engine::{Container, FakeEngine, runtime};
use crate::support::{Authority, Dir, Retune, Store, WAIT_TIMEOUT, eventually, stays};

/// Returns a TLS port that leads to the engine; it requires a certificate that `authority` signed.
fn port(engine: &FakeEngine, authority: &Authority<'_>) -> SocketAddr {
    let (cert, key) = authority.sign("server");
    let files = TlsFiles {
        cert: Some(cert.into()),
        key: Some(key.into()),
        trusted_ca: Some(authority.ca().into()),
        client_auth: true,
        ..TlsFiles::default()
    };
    let (acceptor, socket) = (Acceptor::open(&files).unwrap(), PathBuf::from(engine.socket()));
    let listener = runtime().block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    drop(runtime().spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, socket) = (acceptor.clone(), socket.clone());
            drop(tokio::task::spawn(async move {
                let Ok(mut outside) = acceptor.accept(stream).await else { return };
                let Ok(mut inside) = UnixStream::connect(socket).await else { return };
                tokio::io::copy_bidirectional(&mut outside, &mut inside).await.ok();
            }));
        }
    }));
    address
}

#[test]
fn an_engine_over_tls_is_followed_with_dockers_certificates() {
    let (dir, engine, store) = (Dir::new(), FakeEngine::start(), Store::start());
    let Some(authority) = Authority::new(&dir, "ours") else { return };
    let Some(other) = Authority::new(&dir, "other") else { return };
    let address = port(&engine, &authority);
    let register = |url: &str| {
        let words =
            ["register", "--engine", url, "--etcd", &store.url(), "--node-name", "n1", "--prefix", "/a"];
        Retune::new(&dir, &words).args(&["--ip", "198.51.100.7", "--listen", "none"])
    };
    let there = || below_now(&store.address(), "/a").map_or(0, |seen| seen.keys.len());
    let url = format!("tcp://{address}");
    engine.run(Container::new("one").env("SERVICE_NAME", "web").publish("80/tcp", None));

    // As docker's own client does: a folder with three files.
    let (cert, key) = authority.sign("client");
    for (from, to) in [(authority.ca(), "ca.pem"), (cert.clone(), "cert.pem"), (key.clone(), "key.pem")] {
        std::fs::copy(from, dir.path("bin").join(to)).unwrap();
    }
    let daemon = register(&url)
        .env("DOCKER_TLS_VERIFY", "1")
        .env("DOCKER_CERT_PATH", &dir.text_path("bin"))
        .args(&["--on-exit", "remove"])
        .spawn();
    eventually("the container is registered", WAIT_TIMEOUT, || there() == 1);
    engine.run(Container::new("two").env("SERVICE_NAME", "web").publish("80/tcp", None));
    eventually("events come as well", WAIT_TIMEOUT, || there() == 2);
    daemon.terminate();
    eventually("nothing is left", WAIT_TIMEOUT, || there() == 0);

    let (strange_cert, strange_key) = other.sign("client");
    for (ca, cert, key, says) in [
        (
            other.ca(),
            &cert,
            &key,
            "no trusted authority signed its certificate; name the one that did by --engine-ca FILE",
        ),
        (
            authority.ca(),
            &strange_cert,
            &strange_key,
            "it requires a client certificate that it trusts; give one by --engine-cert and --engine-key",
        ),
    ] {
        let words = ["--engine-ca", &ca, "--engine-cert", cert, "--engine-key", key];
        let daemon = register(&format!("https://{address}")).args(&words).spawn();
        stays("nothing is registered", Duration::from_secs(1), || there() == 0);
        assert!(daemon.log().contains(says), "{}", daemon.log());
    }
}
