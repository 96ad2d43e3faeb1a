//! `import --from`: copying from a running etcd, or from one of our stores to another.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::pair::published;
use crate::support::http::{get, request, request_as};
use crate::support::{Dir, Etcd, Retune, Store, WAIT_TIMEOUT, eventually};

const FORM: &str = "application/x-www-form-urlencoded";

fn write(address: &str, method: &str, key: &str, form: &str) {
    let answer = request(address, method, &format!("/v2/keys{key}"), Some((FORM, form))).expect("an answer");
    assert!(answer.status < 300, "{method} {key}: {answer:?}");
}

/// Returns every node below the root: its value (`None` for a directory) and its remaining TTL.
fn nodes(address: &str) -> BTreeMap<String, (Option<String>, i64)> {
    let body = get(address, "/v2/keys/?recursive=true").expect("a listing");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    let mut found = BTreeMap::new();
    let mut waiting = vec![answer["node"].clone()];
    while let Some(node) = waiting.pop() {
        waiting.extend(node["nodes"].as_array().into_iter().flatten().cloned());
        let Some(key) = node["key"].as_str() else { continue };
        let value = node["value"].as_str().map(str::to_owned);
        found.insert(key.to_owned(), (value, node["ttl"].as_i64().unwrap_or(0)));
    }
    found
}

#[track_caller]
fn assert_same(one: &str, other: &str) {
    let (one, other) = (nodes(one), nodes(other));
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
    for (key, (value, ttl)) in &one {
        let (other_value, other_ttl) = &other[key];
        assert_eq!(value, other_value, "{key}");
        assert!((*ttl > 0) == (*other_ttl > 0) && (ttl - other_ttl).abs() <= 1, "{key}: {ttl} {other_ttl}");
    }
}

/// Writes `/app/kN` for each number, over a few connections without waiting for each response.
fn write_many(address: &str, numbers: &[usize]) {
    thread::scope(|scope| {
        for part in numbers.chunks(numbers.len().div_ceil(8)) {
            scope.spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                let mut answers = stream.try_clone().unwrap();
                let read = scope.spawn(move || {
                    let mut text = String::new();
                    answers.read_to_string(&mut text).unwrap();
                    text.matches("HTTP/1.1 201").count()
                });
                for n in part {
                    let (form, last) = (format!("value=value%20{n}"), Some(n) == part.last());
                    let head = format!("PUT /v2/keys/app/k{n:05} HTTP/1.1\r\nHost: {address}\r\n");
                    let close = if last { "Connection: close\r\n" } else { "" };
                    let length = form.len();
                    let kind = format!("Content-Type: {FORM}\r\nContent-Length: {length}\r\n");
                    stream.write_all(format!("{head}{close}{kind}\r\n{form}").as_bytes()).unwrap();
                }
                assert_eq!(read.join().unwrap(), part.len());
            });
        }
    });
}

fn import<'d>(dir: &'d Dir, from: &str, to: &str, words: &[&str]) -> Retune<'d> {
    Retune::new(dir, &["ctl", "--endpoints", to, "import", "--from", from]).args(words)
}

/// Writes one node of each kind.
fn fill(address: &str) {
    write(address, "PUT", "/plain", "value=text");
    write(address, "PUT", "/deep/er/down", "value=%E2%82%AC%20%00%01%22%5C%0A");
    write(address, "PUT", "/nothing", "value=");
    write(address, "PUT", "/na%20me/%C3%A9", "value=x");
    write(address, "PUT", "/alive", "value=x&ttl=40");
    write(address, "PUT", "/group", "dir=true&ttl=300");
    write(address, "PUT", "/group/inner", "dir=true");
    write(address, "PUT", "/group/key", "value=x");
    write(address, "PUT", "/empty/dir", "dir=true");
    write(address, "POST", "/queue", "value=first");
    write(address, "POST", "/queue", "value=second");
    write(address, "PUT", "/_hidden/key", "value=h");
    write(address, "PUT", "/deep/_h", "value=h");
}

#[test]
fn everything_in_etcd_is_copied_and_a_second_run_changes_nothing() {
    let Some(etcd) = Etcd::start() else { return };
    assert_imports(&etcd.url(), &etcd.address());
}

#[test]
fn everything_in_our_store_is_copied_too() {
    let source = published(Store::start());
    assert_imports(&source.url(), &source.address());
}

#[test]
fn a_store_is_not_copied_or_followed_to_itself() {
    let (dir, store) = (Dir::new(), published(Store::start()));
    let (url, address) = (store.url(), store.address());
    fill(&address);
    let index = || {
        let listing = get(&address, "/v2/keys/?recursive=true").expect("a listing");
        (nodes(&address), listing)
    };
    let before = index();
    // Also by another name of the same host.
    let other_name = url.replace("127.0.0.1", "localhost");
    for words in [&["--follow"][..], &["--follow", "--merge"], &[]] {
        let done = import(&dir, &other_name, &url, words).run();
        done.exits(1).says("source and target are one store").says("nothing was written");
    }
    assert_eq!(index(), before);
}

fn assert_imports(from: &str, source: &str) {
    let (dir, store) = (Dir::new(), published(Store::start()));
    let (url, target) = (store.url(), store.address());
    fill(source);
    let run = |words: &[&str]| import(&dir, from, &url, words).run();
    run(&[]).exits(0).prints("copied 8 keys and 3 directories of / as of index ");
    assert_same(source, &target);
    assert!(get(&target, "/v2/keys/_hidden/key").is_none(), "no listing shows it");
    run(&[]).exits(0).prints("copied 0 keys and 0 directories").prints("8 keys existed already");
    run(&["--hidden", "/_hidden", "--hidden", "/deep/_h"]).exits(0).prints("copied 1 keys");
    assert!(get(&target, "/v2/keys/_hidden/key").is_some() && get(&target, "/v2/keys/deep/_h").is_some());
    write(&target, "PUT", "/own", "value=kept");
    write(&target, "PUT", "/plain", "value=other");
    run(&[]).exits(1).says("/plain, /own").says("nothing was written");
    run(&["--merge"]).exits(0).prints("copied 1 keys");
    let now = nodes(&target);
    assert_eq!((&now["/own"].0, &now["/plain"].0), (&Some("kept".into()), &Some("text".into())));
    run(&["/none"]).exits(1).says("the source has no key /none");
    run(&["/deep"]).exits(0).prints("copied 0 keys");
    write(source, "PUT", "/deep/more", "value=x");
    run(&["deep/"]).exits(0).prints("copied 1 keys and 0 directories of /deep");
}

#[test]
fn conflicts_are_named_before_anything_is_written() {
    let (dir, source, target) = (Dir::new(), published(Store::start()), published(Store::start()));
    write(&source.address(), "PUT", "/a/b", "value=x");
    write(&source.address(), "PUT", "/c", "value=x");
    write(&target.address(), "PUT", "/a", "value=file");
    import(&dir, &source.url(), &target.url(), &["--merge"]).run().exits(1).says("/a: a file in one");
    assert!(get(&target.address(), "/v2/keys/c").is_none());
}

#[test]
fn a_failing_source_is_reported_and_a_second_run_completes() {
    let (dir, source, target) = (Dir::new(), published(Store::start()), published(Store::start()));
    write_many(&source.address(), &(0..10_000).collect::<Vec<_>>());
    let dying = TcpListener::bind("127.0.0.1:0").unwrap();
    let broken = format!("http://{}", dying.local_addr().unwrap());
    let half = thread::spawn(move || {
        let (mut stream, _) = dying.accept().unwrap();
        assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
        let head = "HTTP/1.1 200 OK\r\nX-Etcd-Index: 9\r\nContent-Length: 100000\r\n\r\n";
        write!(stream, "{head}{{\"action\":\"get\",\"node\":{{\"dir\":true,\"nodes\":[").unwrap();
    });
    import(&dir, &broken, &target.url(), &[]).run().exits(4).says("/ could not be read from the source");
    half.join().unwrap();
    assert_eq!(nodes(&target.address()).len(), 0, "half a listing is none");
    // A run that was killed midway has written some of the keys.
    write_many(&target.address(), &(0..10_000).step_by(7).collect::<Vec<_>>());
    let second = import(&dir, &source.url(), &target.url(), &[]).limit(Duration::from_secs(30)).run();
    second.exits(0).prints("copied 8571 keys").prints("1429 keys existed already");
    assert_same(&source.address(), &target.address());
}

#[test]
fn changes_of_the_source_are_followed_across_a_gap_with_renewed_ttls() {
    let Some(etcd) = Etcd::start() else { return };
    let (dir, store) = (Dir::new(), published(Store::start()));
    let (source, target) = (etcd.address(), store.address());
    fill(&source);
    write(&source, "PUT", "/beat", "value=x&ttl=5");
    let follower = import(&dir, &etcd.url(), &store.url(), &["--follow"]).spawn();
    follower.eventually_says("following the source");
    write(&source, "PUT", "/new", "value=1&ttl=100");
    write(&source, "PUT", "/plain", "value=changed");
    write(&source, "DELETE", "/deep?recursive=true", "");
    write(&source, "PUT", "/group?prevExist=true", "dir=true&ttl=500");
    let alike = || {
        let (one, other) = (nodes(&source), nodes(&target));
        one.len() == other.len()
            && one.iter().all(|(key, (value, ttl))| {
                let own = other.get(key);
                own.is_some_and(|(own, left)| own == value && (ttl - left).abs() <= 2)
            })
    };
    eventually("the changes are there", WAIT_TIMEOUT, alike);
    follower.signal(Signal::SIGSTOP);
    etcd.flood("/flood", 1_100);
    write(&source, "DELETE", "/queue?recursive=true", "");
    follower.signal(Signal::SIGCONT);
    for _ in 0..7 {
        // A refresh causes no event.
        write(&source, "PUT", "/beat", "refresh=true&prevExist=true&ttl=5");
        thread::sleep(Duration::from_secs(1));
    }
    eventually("nothing was missed", WAIT_TIMEOUT, alike);
    assert!(get(&target, "/v2/keys/beat").is_some() && get(&target, "/v2/keys/queue").is_none());
}

#[test]
fn a_source_with_users_is_read_with_the_given_user() {
    let Some(etcd) = Etcd::start() else { return };
    let (dir, store) = (Dir::new(), published(Store::start()));
    let address = etcd.address();
    write(&address, "PUT", "/k", "value=v");
    let root = "Basic cm9vdDpzZWNyZXQ=";
    let json = |path: &str, body: &str| {
        request_as(root, &address, "PUT", path, Some(("application/json", body))).expect("an answer").status
    };
    assert_eq!(json("/v2/auth/users/root", "{\"user\":\"root\",\"password\":\"secret\"}"), 201);
    assert_eq!(json("/v2/auth/enable", "{}"), 200);
    let nothing = "{\"role\":\"guest\",\"revoke\":{\"kv\":{\"read\":[\"/*\"],\"write\":[\"/*\"]}}}";
    assert_eq!(json("/v2/auth/roles/guest", nothing), 200);
    import(&dir, &etcd.url(), &store.url(), &[]).run().exits(4).says("could not be read from the source");
    let user = import(&dir, &etcd.url(), &store.url(), &["--from-user", "root:wrong"]).run().exits(4);
    user.does_not_say("wrong");
    let named = import(&dir, &etcd.url(), &store.url(), &[]).env("RETUNE_FROM_USER", "root:secret");
    named.run().exits(0).prints("copied 1 keys");
}
