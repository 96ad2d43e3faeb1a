//! TLS errors: with real handshakes, on every port and from every client program. Each cause is reported once, in
//! one sentence with advice.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use retune::tls::{Acceptor, Connector, TlsFiles};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::fake_engine::{Container, FakeEngine, runtime};
use crate::support::http::request;
use crate::support::port::Port;
use crate::support::{Authority, Daemon, Dir, Retune, WAIT_TIMEOUT, eventually};

type Pair = (String, String);

/// Makes a pair in its own files, which a later one of the same kind does not overwrite.
fn pair(dir: &Dir, authority: &Authority<'_>, kind: &str, days: u32, name: &str) -> Pair {
    let (cert, key) = authority.sign_for(kind, days);
    let copies = (dir.text_path(&format!("{name}.crt")), dir.text_path(&format!("{name}.key")));
    std::fs::copy(cert, &copies.0).unwrap();
    std::fs::copy(key, &copies.1).unwrap();
    copies
}

fn files((cert, key): &Pair, ca: Option<&str>) -> TlsFiles {
    let path = |text: &str| Some(PathBuf::from(text));
    let client_auth = ca.is_some();
    TlsFiles {
        cert: path(cert),
        key: path(key),
        trusted_ca: ca.and_then(path),
        client_auth,
        ..TlsFiles::default()
    }
}

/// A server that causes an error.
enum Server {
    Tls(TlsFiles),
    /// It sends this on any input, and disconnects.
    Plain(&'static str),
}

impl Server {
    fn start(self, host: &str) -> SocketAddr {
        let listener = TcpListener::bind((host, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        drop(runtime().spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let acceptor = match &self {
                Self::Tls(files) => Some(Acceptor::open(files).unwrap()),
                Self::Plain(_) => None,
            };
            while let Ok((mut stream, _)) = listener.accept().await {
                match (&acceptor, &self) {
                    (Some(acceptor), _) => drop(acceptor.accept(stream).await),
                    (None, Self::Plain(says)) => {
                        if stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {
                            stream.write_all(says.as_bytes()).await.ok();
                        }
                        stream.shutdown().await.ok();
                        while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {}
                    }
                    (None, Self::Tls(_)) => {}
                }
            }
        }));
        address
    }
}

/// Serves the list of members of a one-member cluster with this client URL.
fn lists(client_url: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let body =
        format!(r#"[{{"id":1,"peerURLs":["http://{address}"],"name":"x","clientURLs":["{client_url}"]}}]"#);
    std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for mut stream in listener.incoming().flatten() {
            if stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {
                let length = body.len();
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nX-Etcd-Cluster-Id: 1\r\nContent-Length: {length}\r\n\r\n{body}"
                )
                .ok();
            }
        }
    });
    address
}

/// The flags of a program's files: authorities, certificate, key.
type Flags = [&'static str; 3];

const STORE: Flags = ["--client-ca-keys", "--client-cert", "--client-key"];
const CTL: Flags = ["--ca-file", "--cert-file", "--key-file"];
const PROXY: Flags = ["--trusted-ca-file", "--cert-file", "--key-file"];
const PEERS: Flags = ["--peer-trusted-ca-file", "--peer-cert-file", "--peer-key-file"];

/// A row of the table: a server, its clients, and the sentence for given flags, with or without paths.
struct Row<'r> {
    name: &'static str,
    host: &'static str,
    server: Server,
    ca: &'r str,
    pair: Option<&'r Pair>,
    says: ExpectedMessage<'r>,
}

impl Row<'_> {
    fn words(&self, flags: Flags) -> Vec<String> {
        let mut words = vec![flags[0].to_owned(), self.ca.to_owned()];
        if let Some((cert, key)) = self.pair {
            words.extend([flags[1].to_owned(), cert.clone(), flags[2].to_owned(), key.clone()]);
        }
        words
    }
}

/// A program that keeps retrying, with the sentence that it must log once.
struct RetryingProgram<'d> {
    row: &'static str,
    who: &'static str,
    daemon: Daemon<'d>,
    says: String,
    front: Option<Port>,
}

fn spawned<'d>(program: Retune<'d>, words: &[String]) -> Daemon<'d> {
    program.args(&words.iter().map(String::as_str).collect::<Vec<_>>()).spawn()
}

/// Starts every program that may connect to a server.
fn call<'d>(dirs: &'d [Dir; 4], engine: &FakeEngine, row: Row<'_>) -> Vec<RetryingProgram<'d>> {
    let [watch, register, proxy, member] = dirs;
    let (store_words, ctl_words) = (row.words(STORE), row.words(CTL));
    let (proxy_words, peer_words) = (row.words(PROXY), row.words(PEERS));
    let (name, says) = (row.name, row.says);
    let url = format!("https://{}", row.server.start(row.host));
    let ctl = Retune::new(watch, &["ctl", "--no-sync", "--endpoints", &url]);
    let ctl = ctl.args(&ctl_words.iter().map(String::as_str).collect::<Vec<_>>()).args(&["get", "/a"]).run();
    ctl.says(&says(CTL, true)).says(&url);
    let trying = |who, daemon, says, front| RetryingProgram { row: name, who, daemon, says, front };

    watch.resource("a", "{{ getv(\"/a\") }}\n", "keys = [\"/a\"]");
    let daemon = spawned(Retune::watch(watch).node("etcd", &url), &store_words);
    let mut all = vec![trying("watch", daemon, format!("{url}: {}", says(STORE, false)), None)];
    let words =
        ["register", "--engine", &engine.url(), "--etcd", &url, "--node-name", "n1", "--prefix", "/a"];
    let words = [&words[..], &["--ip", "198.51.100.7", "--listen", "none"]].concat();
    let daemon = spawned(Retune::new(register, &words), &store_words);
    all.push(trying("register", daemon, format!("{url}: {}", says(STORE, true)), None));

    let front = Port::claim();
    let own = format!("http://{}", front.address());
    let (data, cluster) = (proxy.text_path("data"), format!("x=http://{}", lists(&url)));
    let words = ["store", "--proxy", "on", "--data-dir", &data, "--listen-client-urls", &own];
    let words = [&words[..], &["--initial-cluster", &cluster, "--proxy-failure-wait", "100"]].concat();
    let daemon = spawned(Retune::new(proxy, &words), &proxy_words);
    all.push(trying("proxy", daemon, says(PROXY, true), Some(front)));

    let (client, peer) = (Port::claim(), Port::claim());
    let (client, peer) = (format!("http://{}", client.address()), format!("http://{}", peer.address()));
    let (data, cluster) = (member.text_path("data"), format!("one={peer},two={url}"));
    let words = ["store", "--name", "one", "--data-dir", &data, "--initial-cluster", &cluster];
    let words = [&words[..], &["--listen-client-urls", &client, "--listen-peer-urls", &peer]].concat();
    let daemon = spawned(Retune::new(member, &words), &peer_words);
    all.push(trying(
        "member",
        daemon,
        format!("(two) cannot be reached: {url}: {}", says(PEERS, true)),
        None,
    ));
    all
}

/// The pairs of the test: a valid one, and others with one fault each.
struct Pairs {
    own: Pair,
    expired: Pair,
    /// Without a name, and for clients only.
    unnamed: Pair,
    /// Issued by another authority.
    stranger: Pair,
    /// The authority's own.
    authority: Pair,
}

impl Pairs {
    fn new(dir: &Dir, authority: &Authority<'_>, strange: &Authority<'_>) -> Self {
        let expired = pair(dir, authority, "server", 0, "expired");
        let own = pair(dir, authority, "server", 2, "own");
        let unnamed = pair(dir, authority, "client", 2, "unnamed");
        let stranger = pair(dir, strange, "server", 2, "stranger");
        // A validity of zero days ends a second later.
        eventually("the certificate expires", WAIT_TIMEOUT, || {
            let words = ["x509", "-checkend", "0", "-noout", "-in", &expired.0];
            let done = std::process::Command::new("openssl").args(words).output().unwrap();
            !done.status.success()
        });
        // Programs other than openssl still accept its last second.
        std::thread::sleep(Duration::from_millis(1_100));
        let authority = (authority.ca(), dir.text_path("ours.key"));
        Self { own, expired, unnamed, stranger, authority }
    }
}

type ExpectedMessage<'r> = Box<dyn Fn(Flags, bool) -> String + 'r>;

fn same(says: &'static str) -> ExpectedMessage<'static> {
    Box::new(move |_, _| says.to_owned())
}

fn wants([_, cert, key]: Flags) -> String {
    format!("it requires a client certificate that it trusts; give one by {cert} and {key}")
}

/// The table of servers.
fn rows<'r>(pairs: &'r Pairs, ca: &'r str) -> Vec<Row<'r>> {
    let local = "127.0.0.1";
    let Pairs { own, expired, unnamed, stranger, authority } = pairs;
    let row = |name, host, server, pair, says| Row { name, host, server, ca, pair, says };
    let tls = |pair: &Pair| Server::Tls(files(pair, None));
    let strict = || Server::Tls(files(own, Some(ca)));
    let unknown = move |[flag, ..]: Flags, path| {
        if path {
            format!("no authority in {ca} signed its certificate; check {flag}")
        } else {
            format!("no trusted authority signed its certificate; name the one that did by {flag} FILE")
        }
    };
    let refused = move |flags: Flags, path| {
        let ([_, cert, key], at) = (flags, &stranger.0);
        if path {
            format!(
                "it does not trust the authority that signed {at}; give one that it trusts by {cert} and {key}"
            )
        } else {
            wants(flags)
        }
    };
    let names = "its certificate is for 127.0.0.1, localhost, not for 127.0.0.2; use a URL with a name in it, or issue \
                 it for 127.0.0.2 too";
    let plain = Server::Plain("HTTP/1.1 400 Bad Request\r\n\r\n");
    let silent = "it ended the connection during the TLS handshake; if it does not speak TLS, its URL begins with http://";
    vec![
        row("expired", local, tls(expired), None, same("its certificate expired at 20")),
        row("unknown issuer", local, tls(stranger), None, Box::new(unknown)),
        row("wrong name", "127.0.0.2", tls(own), None, same(names)),
        row(
            "wrong purpose",
            local,
            tls(unnamed),
            None,
            same("its certificate is not made for servers (serverAuth)"),
        ),
        row(
            "an authority",
            local,
            tls(authority),
            None,
            same("its certificate is that of an authority (CA:TRUE)"),
        ),
        row("no client certificate", local, strict(), None, Box::new(|flags, _| wants(flags))),
        row("client certificate of a stranger", local, strict(), Some(stranger), Box::new(refused)),
        row("plain HTTP", local, plain, None, same("it does not speak TLS; its URL begins with http://")),
        row("an end", local, Server::Plain(""), None, same(silent)),
    ]
}

#[test]
fn a_client_reports_a_tls_failure_with_cause_and_remedy_once() {
    let (dir, engine) = (Dir::new(), FakeEngine::start());
    engine.run(Container::new("one").env("SERVICE_NAME", "web").publish("80/tcp", None));
    let Some(authority) = Authority::new(&dir, "ours") else { return };
    let strange = Authority::new(&dir, "strange").unwrap();
    let (ca, pairs) = (authority.ca(), Pairs::new(&dir, &authority, &strange));
    let rows = rows(&pairs, &ca);
    let dirs: Vec<[Dir; 4]> = rows.iter().map(|_| [Dir::new(), Dir::new(), Dir::new(), Dir::new()]).collect();
    let trying: Vec<RetryingProgram<'_>> =
        dirs.iter().zip(rows).flat_map(|(dirs, row)| call(dirs, &engine, row)).collect();
    for RetryingProgram { row, who, daemon, says, front } in &trying {
        eventually(&format!("{row}: {who} says {says:?}, not\n{}", daemon.log()), WAIT_TIMEOUT, || {
            if let Some(front) = front {
                request(&front.address(), "GET", "/v2/keys/a", None).ok();
            }
            daemon.log().contains(says)
        });
    }
    // By now the first of them have made many attempts.
    for RetryingProgram { row, who, daemon, says, .. } in &trying {
        let log = daemon.log();
        assert_eq!(log.matches(says).count(), 1, "{row}: {who}\n{log}");
        assert!(!log.contains("panicked") && !log.contains("no effect"), "{row}: {who}\n{log}");
    }
}

/// Connects to a port, and sends only what is needed for the handshake.
fn attempt_handshake(address: &str, files: Option<&TlsFiles>) {
    let address = address.to_owned();
    let files = files.cloned();
    let (done, wait) = std::sync::mpsc::channel();
    drop(runtime().spawn(async move {
        let call = async {
            let mut stream = TcpStream::connect(&address).await?;
            match files {
                None => {
                    stream.write_all(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n").await?;
                    stream.read_to_end(&mut Vec::new()).await?;
                }
                Some(files) => {
                    let connector = Connector::open(&files).expect("good files");
                    let mut stream = connector.connect("127.0.0.1", stream).await?;
                    stream.read_u8().await?;
                }
            }
            Ok::<_, std::io::Error>(())
        };
        timeout(Duration::from_secs(5), call).await.ok();
        done.send(()).ok();
    }));
    wait.recv_timeout(WAIT_TIMEOUT).unwrap();
}

#[test]
fn a_server_reports_a_tls_failure_with_cause_and_remedy_once() {
    let dir = Dir::new();
    let Some(authority) = Authority::new(&dir, "ours") else { return };
    let strange = Authority::new(&dir, "strange").unwrap();
    let (ca, pairs) = (authority.ca(), Pairs::new(&dir, &authority, &strange));
    let own = &pairs.own;
    let (data, proxied) = (dir.text_path("data"), dir.text_path("proxied"));
    let ports = [Port::claim(), Port::claim(), Port::claim()];
    let [client, peer, front] = ports.each_ref().map(|port| format!("https://{}", port.address()));
    let strict = |flags: Flags, auth: &str| {
        [flags[0], &ca, flags[1], &own.0, flags[2], &own.1, auth].map(str::to_owned).to_vec()
    };
    let clients = strict(PROXY, "--client-cert-auth");
    let words = ["store", "--data-dir", &data, "--listen-client-urls", &client, "--listen-peer-urls", &peer];
    let member = spawned(
        Retune::new(&dir, &words),
        &[clients.clone(), strict(PEERS, "--peer-client-cert-auth")].concat(),
    );
    member.eventually_says("ready to serve client requests");
    let words = ["store", "--proxy", "on", "--data-dir", &proxied, "--listen-client-urls", &front];
    let peers = format!("default={peer}");
    let proxy = Retune::new(&dir, &words).args(&["--initial-cluster", &peers]);
    let proxy = spawned(proxy, &[clients, strict(PEERS, "--peer-client-cert-auth")].concat());
    proxy.eventually_says("endpoints found");

    for (port, log, head, flags, auth) in [
        (&ports[0], &member, "a client could not be served: ", PROXY, "--client-cert-auth"),
        (
            &ports[1],
            &member,
            "a call to the peer port from 127.0.0.1 failed: ",
            PEERS,
            "--peer-client-cert-auth",
        ),
        (&ports[2], &proxy, "a client could not be served: ", PROXY, "--client-cert-auth"),
    ] {
        for (files, says) in client_rows(&pairs, &ca, &strange.ca(), flags, auth) {
            let words = format!("{head}{says}");
            eventually(&words, WAIT_TIMEOUT, || {
                attempt_handshake(&port.address(), files.as_ref());
                log.log().contains(&words)
            });
            for _ in 0..3 {
                attempt_handshake(&port.address(), files.as_ref());
            }
            assert_eq!(log.log().matches(&words).count(), 1, "{words}\n{}", log.log());
        }
    }
}

/// The table of clients, with the server's message.
fn client_rows(
    pairs: &Pairs,
    ca: &str,
    strange_ca: &str,
    flags: Flags,
    auth: &str,
) -> Vec<(Option<TlsFiles>, String)> {
    let [ca_flag, cert_flag, _] = flags;
    let caller = |pair: Option<&Pair>, ca: &str| {
        let path = |text: &String| Some(PathBuf::from(text));
        let (cert, key) = (pair.and_then(|pair| path(&pair.0)), pair.and_then(|pair| path(&pair.1)));
        Some(TlsFiles { cert, key, trusted_ca: Some(ca.into()), ..TlsFiles::default() })
    };
    let own = &pairs.own.0;
    let none = format!(
        "it presented no certificate, and {auth} or {ca_flag} requires one; give it one that an authority in \
         {ca} ({ca_flag}) signed"
    );
    let strange = format!(
        "no authority in {ca} ({ca_flag}) signed its certificate; give it one of these, or add its authority"
    );
    let distrusts = format!(
        "it does not trust the authority that signed {own} ({cert_flag}); add that authority to those it trusts"
    );
    let plain = "it spoke plain HTTP, and this port speaks TLS: its URL must begin with https://";
    vec![
        (caller(None, ca), none),
        (caller(Some(&pairs.stranger), ca), strange),
        (caller(Some(&pairs.expired), ca), "its certificate expired at 20".to_owned()),
        (caller(Some(&pairs.own), strange_ca), distrusts),
        (None, plain.to_owned()),
    ]
}

/// Every program reports bad files at the start.
#[test]
fn an_unusable_file_is_reported_once_with_its_problem_at_startup() {
    let dir = Dir::new();
    let Some(authority) = Authority::new(&dir, "ours") else { return };
    let (ca, own) = (authority.ca(), pair(&dir, &authority, "server", 2, "own"));
    let other = pair(&dir, &authority, "client", 2, "other");
    let (none, junk) = (dir.text_path("none.pem"), dir.text_path("junk.pem"));
    dir.write("junk.pem", "no pem at all\n");
    dir.resource("a", "{{ getv(\"/a\") }}\n", "keys = [\"/a\"]");
    let engine = FakeEngine::start();
    let (engine, [first, second, third]) =
        (engine.url(), ["first", "second", "third"].map(|name| dir.text_path(name)));
    let tls = "https://127.0.0.1:1";
    let members = ["store", "--data-dir", &first, "--listen-client-urls", "https://127.0.0.1:0"];
    let peers = ["store", "--data-dir", &second, "--listen-peer-urls", "http://127.0.0.1:0"];
    let peers = [&peers[..], &["--listen-client-urls", "http://127.0.0.1:0"]].concat();
    let proxy =
        ["store", "--proxy", "on", "--data-dir", &third, "--listen-client-urls", "http://127.0.0.1:0"];
    let config = dir.confdir();
    let watch = ["render", "--confdir", &config, "--backend", "etcd", "--node", tls];
    let register = ["register", "--once", "--engine", &engine, "--etcd", tls, "--node-name", "n1"];
    let ctl = ["ctl", "--no-sync", "--endpoints", tls];
    for (who, words, [ca_flag, cert_flag, key_flag]) in [
        ("client port", &members[..], PROXY),
        ("peer port", &peers, PEERS),
        ("proxy", &proxy, PROXY),
        ("render", &watch, STORE),
        ("register", &register, STORE),
        ("ctl", &ctl, CTL),
    ] {
        for (files, at, says) in [
            ([&ca, &none, &own.1], &none, ""),
            ([&ca, &own.1, &own.1], &own.1, ": holds a private key, but no certificate"),
            ([&ca, &own.0, &own.0], &own.0, ": holds a certificate, but no private key"),
            ([&own.1, &own.0, &own.1], &own.1, ": holds a private key, but no certificate"),
            ([&junk, &own.0, &own.1], &junk, ": holds no certificate in PEM form"),
            ([&ca, &own.0, &other.1], &own.0, "the key"),
        ] {
            let [ca, cert, key] = files;
            let done = Retune::new(&dir, words).args(&[ca_flag, ca, cert_flag, cert, key_flag, key]);
            let done = done.args(if who == "ctl" { &["get", "/a"] } else { &[] }).run();
            let folders = [&first, &second, &third];
            assert!(
                !folders.iter().any(|folder| std::path::Path::new(folder).exists()),
                "{who} made a folder"
            );
            let text = done.stderr.clone();
            assert!(
                text.contains(at.as_str()) && text.contains(says),
                "{who}: {at}{says:?} is not in\n{text}"
            );
            let wanted = if says.is_empty() { at.clone() } else { says.to_owned() };
            assert!(
                text.matches(wanted.as_str()).count() == 1 || who == "ctl",
                "{who} says it twice:\n{text}"
            );
        }
    }
}
