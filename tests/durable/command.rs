//! The command itself, under both of its names: its messages, their order, and its exit status.

use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::member::Member;
use super::wire::Wire;
use crate::support::port::Port;
use crate::support::store::Store;
use crate::support::{Daemon, Dir, Retune, WAIT_TIMEOUT, eventually, stays};

/// Tests run in parallel, and etcd's default port is fixed.
const ANY_PEER_PORT: [&str; 2] = ["--listen-peer-urls", "http://127.0.0.1:0"];

/// Returns the URL that it logs as listening.
fn listening(daemon: &Daemon<'_>) -> String {
    eventually("it says where it listens", WAIT_TIMEOUT, || {
        daemon
            .stdout()
            .lines()
            .find_map(|line| line.strip_prefix("listening for clients on ").map(str::to_owned))
    })
}

#[test]
fn the_port_chosen_for_port_0_is_printed_and_advertised() {
    let dir = Dir::new();
    let daemon = Retune::new(&dir, &["store", "--listen-client-urls", "http://127.0.0.1:0"])
        .args(&ANY_PEER_PORT)
        .spawn();
    let url = listening(&daemon);
    daemon.eventually_says("ready to serve client requests");
    assert_eq!(
        daemon.stdout(),
        format!("listening for clients on {url}\n"),
        "one line for each URL, and no other"
    );
    let log = daemon.log();
    let told = format!("published {{Name:default ClientURLs:[{url}]}} to cluster ");
    assert!(log.contains(&told) && log.contains("enabled capabilities for version 3.4"), "{log}");
    let members = Wire::to(url.strip_prefix("http://").unwrap()).get("/v2/members").unwrap().json();
    assert_eq!(members["members"][0]["clientURLs"][0], url.as_str());
    assert!(dir.path("default.etcd").is_dir(), "etcd's default folder");
    daemon.terminate();
}

#[test]
fn under_the_name_etcd_stdout_stays_empty_and_signals_stop_it_gracefully() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (dir, port) = (Dir::new(), Port::claim());
        let url = format!("http://{}", port.address());
        let words = ["--enable-v2", "--listen-client-urls", &url, "--advertise-client-urls", &url];
        let daemon = Retune::called(&dir, "etcd", &words).args(&ANY_PEER_PORT);
        let mut daemon = daemon.env("ETCD_NAME", "from-env").spawn();
        daemon.eventually_says(&format!("published {{Name:from-env ClientURLs:[{url}]}}"));
        daemon.signal(signal);
        assert_eq!(daemon.wait_exit(Duration::from_secs(3)), Some(0), "{}", daemon.log());
        assert_eq!(daemon.stdout(), "");
    }
}

#[test]
fn usage_errors_have_etcds_exit_status_under_etcds_name_and_ours_otherwise() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", taken.local_addr().unwrap());
    let in_use = ["--listen-client-urls", url.as_str(), "--advertise-client-urls", url.as_str()];
    let any = "http://127.0.0.1:0";
    let joining =
        ["--initial-cluster-state", "existing", "--listen-client-urls", any, "--advertise-client-urls", any];
    for (words, etcd, ours, says) in [
        (&["--foo"][..], 2, 2, "no such flag"),
        (&["--election-timeout", "3"], 1, 2, "should be at least as 5 times"),
        (&joining, 1, 2, "could be asked about the cluster to join"),
        (&in_use, 1, 2, "in use"),
    ] {
        let dir = Dir::new();
        Retune::called(&dir, "etcd", words).args(&ANY_PEER_PORT).run().exits(etcd).says(says);
        Retune::new(&dir, &["store"]).args(words).args(&ANY_PEER_PORT).run().exits(ours).says(says);
        assert!(!dir.path("default.etcd").exists(), "{words:?}: nothing is made before it can serve");
    }
}

#[test]
fn ready_is_sent_when_it_can_serve_and_stopping_when_it_ends() {
    let dir = Dir::new();
    let path = dir.text_path("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(WAIT_TIMEOUT)).unwrap();
    let words = ["store", "--listen-client-urls", "http://127.0.0.1:0"];
    let daemon = Retune::new(&dir, &words).args(&ANY_PEER_PORT).env("NOTIFY_SOCKET", &path).spawn();
    let heard = || {
        let mut bytes = [0; 4096];
        let size = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..size]).into_owned()
    };
    while !heard().starts_with("READY=1") {}
    let url = listening(&daemon);
    let answer = Wire::to(url.strip_prefix("http://").unwrap()).request("PUT", "/v2/keys/a", Some("value=1"));
    assert_eq!(answer.unwrap().status, 201, "ready means ready");
    daemon.terminate();
    while heard() != "STOPPING=1" {}
}

#[test]
fn an_open_watch_does_not_delay_the_stop() {
    let mut store = Store::start();
    let mut stream = std::net::TcpStream::connect(store.address()).unwrap();
    stream.set_read_timeout(Some(WAIT_TIMEOUT)).unwrap();
    std::io::Write::write_all(&mut stream, b"GET /v2/keys/a?wait=true HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert!(stream.read(&mut [0; 512]).unwrap() > 0, "the head comes at once");
    let begun = std::time::Instant::now();
    store.terminate();
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[test]
fn a_slow_start_can_be_cancelled() {
    let Some(mut member) = Member::of_ours(&[]) else { return };
    member.start();
    member.wire().request("PUT", "/v2/keys/a", Some("value=1")).unwrap();
    member.kill();
    for delay in [0, 5, 20, 60] {
        member.spawn();
        std::thread::sleep(Duration::from_millis(delay));
        member.signal(Signal::SIGTERM);
        // Before it handles signals, they kill it.
        let code = member.wait(WAIT_TIMEOUT);
        assert!(matches!(code, Some(0 | 143)), "{code:?}\n{}", member.log_tail());
    }
    member.start();
    assert_eq!(member.wire().get("/v2/keys/a").unwrap().status, 200);
    stays("it goes on", Duration::from_millis(300), || member.ended().is_none());
}

#[test]
fn a_request_in_progress_gets_its_reply_before_the_stop() {
    let mut store = Store::start_with(&["--snapshot-count", "10"]);
    let address = store.address();
    let (told, failed) = std::thread::scope(|scope| {
        let work = scope.spawn(move || {
            let (mut wire, mut told) = (Wire::to(&address), 0_u32);
            loop {
                match wire.request("PUT", &format!("/v2/keys/n/{told}"), Some("value=1")) {
                    Ok(answer) if answer.status == 201 => told += 1,
                    other => return (told, format!("{other:?}")),
                }
            }
        });
        std::thread::sleep(Duration::from_millis(500));
        store.terminate();
        work.join().unwrap()
    });
    store.start_again();
    let mut wire = Wire::to(&store.address());
    for number in 0..told {
        assert_eq!(
            wire.get(&format!("/v2/keys/n/{number}")).unwrap().status,
            200,
            "{number} of {told}; {failed}"
        );
    }
    store.kill();
}
