//! Excessive load: watches, events, keys, bytes, invalid input.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::member::Member;
use super::rounds;
use crate::support::rng::TestRng;
use crate::support::{WAIT_TIMEOUT, eventually};

/// The most watches; fewer if the limit of open files is lower.
const WATCHES: usize = 10_000;
/// The limit of memory per open watch, in kilobytes.
const KILOBYTES_A_WATCH: u64 = 40;

fn raise_files() -> usize {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    usize::try_from(hard).unwrap_or(usize::MAX)
}

/// Opens a watch and waits for the head of its response.
fn watch(address: &str, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(stream, "GET /v2/keys{path} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&head));
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
    stream
}

#[test]
fn ten_thousand_concurrent_watches_all_get_the_event() {
    let files = raise_files();
    let Some(mut member) = Member::new(&[]) else { return };
    let watches = WATCHES.min(files.saturating_sub(2500));
    assert!(watches >= 500, "only {files} files may be open");
    member.start();
    member.wire().request("PUT", "/v2/keys/w/k", Some("value=0")).unwrap();
    let (address, before) = (member.address(), member.memory("VmRSS"));
    let mut open: Vec<TcpStream> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4_usize)
            .map(|part| {
                let address = &address;
                let count = watches / 4 + usize::from(part < watches % 4);
                scope.spawn(move || {
                    (0..count).map(|_| watch(address, "/w?wait=true&recursive=true")).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let after = member.memory("VmRSS");
    let each = after.saturating_sub(before) / watches as u64;
    eprintln!("{watches} watches: {before} kB before, {after} kB after, {each} kB each");
    let begun = Instant::now();
    member.wire().request("PUT", "/v2/keys/w/k", Some("value=woken")).unwrap();
    for stream in &mut open {
        let mut bytes = [0; 512];
        let mut got = Vec::new();
        while !got.ends_with(b"0\r\n\r\n") {
            let count = stream.read(&mut bytes).unwrap();
            assert!(count > 0, "a watch was cut: {}", String::from_utf8_lossy(&got));
            got.extend_from_slice(&bytes[..count]);
        }
        assert!(String::from_utf8_lossy(&got).contains("\"woken\""));
    }
    eprintln!("all woken in {:?}", begun.elapsed());
    assert!(each <= KILOBYTES_A_WATCH, "{each} kB for one watch");
    drop(open);
    let gone = || {
        let stats = member.wire().get("/v2/stats/store").unwrap().json();
        stats["watchers"].as_u64() == Some(0)
    };
    eventually("no watcher is left", WAIT_TIMEOUT, gone);
}

/// Writes `count` keys below `/many` from several connections; returns the longest PUT of another client meanwhile.
fn write_many(member: &Member, count: usize) -> Duration {
    const LANES: usize = 8;
    let value = "v".repeat(200);
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES)
            .map(|lane| {
                let (mut wire, value) = (member.wire(), &value);
                scope.spawn(move || {
                    for number in (lane..count).step_by(LANES) {
                        let path = format!("/v2/keys/many/{}/{number}", number % 100);
                        let answer = wire.request("PUT", &path, Some(&format!("value={value}"))).unwrap();
                        assert_eq!(answer.status, 201, "{}", answer.text());
                    }
                })
            })
            .collect();
        let (mut wire, mut slowest) = (member.wire(), Duration::ZERO);
        while !lanes.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            let begun = Instant::now();
            wire.request("PUT", "/v2/keys/other", Some("value=1")).unwrap();
            wire.get("/v2/keys/other").unwrap();
            slowest = slowest.max(begun.elapsed());
            std::thread::sleep(Duration::from_millis(50));
        }
        slowest
    })
}

/// Returns how many files are below a folder.
fn files_below(node: &serde_json::Value) -> usize {
    match node["nodes"].as_array() {
        Some(nodes) => nodes.iter().map(files_below).sum(),
        None => usize::from(node["value"].is_string()),
    }
}

#[test]
fn a_watcher_that_never_reads_costs_little_while_a_hundred_thousand_keys_are_written() {
    let count = rounds("RETUNE_TEST_KEYS", 100_000) as usize;
    let Some(mut member) = Member::new(&[]) else { return };
    member.start();
    let before = member.memory("VmRSS");
    write_many(&member, count / 10);
    // The memory per key is measured with the first tenth, without the watcher.
    let tenth = member.memory("VmRSS").saturating_sub(before);
    let silent: Vec<TcpStream> =
        (0..20).map(|_| watch(&member.address(), "/many?wait=true&recursive=true&stream=true")).collect();
    let begun = Instant::now();
    let slowest = write_the_rest(&member, count);
    let after = member.memory("VmRSS");
    eprintln!(
        "{count} keys in {:?}; the slowest other client took {slowest:?}; {before} kB, {after} kB",
        begun.elapsed()
    );
    assert!(
        slowest < Duration::from_secs(3),
        "others wait for {slowest:?} because of one that does not read"
    );
    let allowed = before + tenth * 14 + 150_000;
    assert!(after < allowed, "{after} kB resident, {allowed} allowed");
    drop(silent);
    let listing =
        member.wire().with_timeout(Duration::from_secs(60)).get("/v2/keys/many?recursive=true").unwrap();
    assert_eq!(files_below(&listing.json()["node"]), count);
    member.kill();
    let begun = Instant::now();
    member.spawn();
    member.until_serving(Duration::from_secs(60)).unwrap();
    eprintln!("started again in {:?}", begun.elapsed());
    let listing =
        member.wire().with_timeout(Duration::from_secs(60)).get("/v2/keys/many?recursive=true").unwrap();
    assert_eq!(files_below(&listing.json()["node"]), count, "after a kill");
}

/// Writes the rest of the keys: those of the first tenth exist.
fn write_the_rest(member: &Member, count: usize) -> Duration {
    let answer = member.wire().request("DELETE", "/v2/keys/many?recursive=true", None).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    write_many(member, count)
}

#[test]
fn a_value_of_two_megabytes_is_stored_unless_the_limit_is_lower() {
    let value = "m".repeat(2 << 20);
    let form = format!("value={value}");
    let Some(mut member) = Member::new(&[]) else { return };
    member.start();
    let mut wire = member.wire();
    assert_eq!(wire.request("PUT", "/v2/keys/big", Some(&form)).unwrap().status, 201);
    member.kill();
    member.start();
    let got = member.wire().get("/v2/keys/big").unwrap().json();
    assert!(got["node"]["value"].as_str() == Some(&value), "after a kill it is another value");

    let Some(mut member) = Member::of_ours(&["--max-request-bytes", "1572864"]) else { return };
    member.start();
    let answer = member.wire().request("PUT", "/v2/keys/big", Some(&form));
    // The response may arrive before the body is sent, and then the connection is closed with the rest unread.
    match answer {
        Ok(answer) => assert_eq!((answer.status, answer.code()), (400, 210), "{}", answer.text()),
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
        }
    }
    assert_eq!(member.wire().get("/v2/keys/big").unwrap().status, 404);
    let small = format!("value={}", "s".repeat(1_500_000));
    assert_eq!(member.wire().request("PUT", "/v2/keys/small", Some(&small)).unwrap().status, 201);
}

/// Makes an invalid request: bytes changed, cut or doubled, or no request at all.
fn nonsense(rng: &mut TestRng) -> Vec<u8> {
    const WHOLE: &[&str] = &[
        "GET /v2/keys/a?recursive=true HTTP/1.1\r\nHost: x\r\n\r\n",
        "PUT /v2/keys/a HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\nvalue=1",
        "PUT /v2/keys/a?value=1&ttl=5 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "POST /v2/members HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n{\"peerURLs\":[\"x\"]}",
        "DELETE /v2/keys/a%2Fb?prevIndex=18446744073709551615 HTTP/1.0\r\n\r\n",
        "GET /v2/keys/%ff%00/..//a?wait=true&waitIndex=1 HTTP/1.1\r\nHost: x\r\n\r\n",
    ];
    let mut bytes = WHOLE[rng.index(WHOLE.len())].as_bytes().to_vec();
    for _ in 0..=rng.below(4) {
        let at = rng.index(bytes.len().max(1));
        match rng.below(7) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] = u8::try_from(rng.below(256)).unwrap(),
            2 => bytes.insert(at, u8::try_from(rng.below(256)).unwrap()),
            3 => drop(bytes.splice(at..at, std::iter::repeat_n(b'A', rng.index(9000)))),
            4 => bytes = (0..rng.below(300)).map(|_| u8::try_from(rng.below(256)).unwrap()).collect(),
            5 => drop(bytes.splice(at..at, *b"Content-Length: 99999999999999999999\r\n")),
            _ => bytes.extend_from_within(at.min(bytes.len())..),
        }
    }
    bytes
}

#[test]
fn thousands_of_malformed_requests_do_no_harm() {
    let mut rng = TestRng::from_env("nonsense");
    let Some(mut member) = Member::new(&[]) else { return };
    member.start();
    member.wire().request("PUT", "/v2/keys/sound", Some("value=sound")).unwrap();
    let before = member.memory("VmRSS");
    let mut held = Vec::new();
    for number in 0..rounds("RETUNE_TEST_NONSENSE", 4000) {
        let mut stream = TcpStream::connect(member.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(if number % 50 == 0 { 200 } else { 1 }))).unwrap();
        stream.write_all(&nonsense(&mut rng)).ok();
        if rng.one_in(20) {
            // Left open after half a request.
            held.push(stream);
            continue;
        }
        if rng.one_in(2) {
            stream.shutdown(Shutdown::Write).ok();
        }
        let mut sink = [0; 4096];
        let _answer = stream.read(&mut sink);
    }
    let mut wire = member.wire();
    assert_eq!(wire.get("/v2/keys/sound").unwrap().json()["node"]["value"], "sound");
    assert_eq!(wire.request("PUT", "/v2/keys/sound", Some("value=2")).unwrap().status, 200);
    let after = member.memory("VmRSS");
    eprintln!("nonsense: {before} kB before, {after} kB after, {} connections held", held.len());
    assert!(after < before + 100_000, "{before} kB before, {after} kB after");
    assert!(!member.log().contains("panicked"), "{}", member.log_tail());
    assert!(member.ended().is_none());
}
