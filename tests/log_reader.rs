//! A log reader that stops reading: nothing waits for it, and later it learns how much it missed.

use std::fs;
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;

use crate::durable::member::Member;
use crate::support::fake_engine::{Container, FakeEngine};
use crate::support::http::{get, request};
use crate::support::port::Port;
use crate::support::{Daemon, Dir, Retune, Store, WAIT_TIMEOUT, eventually, scaled};

/// The longest wait at exit: flushing the last log lines takes up to a second.
const EXIT_TIMEOUT: Duration = Duration::from_secs(6);

/// Returns a full pipe: the next write to it waits until somebody reads.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = io::pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    while writer.write(&[b'.'; 4096]).is_ok() {}
    while writer.write(b".").is_ok() {}
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    (reader, writer)
}

/// Starts `retune store` on this port, with its log going into the pipe.
fn store<'d>(dir: &'d Dir, port: &Port, log: PipeWriter, words: &[&str]) -> Daemon<'d> {
    let url = format!("http://{}", port.address());
    let data = dir.text_path("data");
    let plain = ["store", "--data-dir", &data, "--listen-client-urls", &url, "--advertise-client-urls", &url];
    Retune::new(dir, &plain).args(words).stderr_to(log).spawn()
}

fn put(address: &str, key: &str) -> bool {
    let form = Some(("application/x-www-form-urlencoded", "value=1"));
    request(address, "PUT", &format!("/v2/keys{key}"), form).is_ok_and(|answer| answer.status < 300)
}

/// Speaks TLS to a port without it, which the store logs as a debug line that ends with the address returned here.
fn cause_a_line(address: &str) -> io::Result<SocketAddr> {
    let mut stream = TcpStream::connect(address)?;
    let from = stream.local_addr()?;
    stream.write_all(&[0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3])?;
    stream.read_to_end(&mut Vec::new()).ok();
    Ok(from)
}

/// Reads the log to its end.
fn read_into(mut reader: PipeReader, text: &Mutex<String>) {
    let mut part = [0; 4096];
    while let Ok(count @ 1..) = reader.read(&mut part) {
        text.lock().unwrap().push_str(str::from_utf8(&part[..count]).unwrap());
    }
}

fn figure(page: &str, name: &str) -> Option<u64> {
    page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

fn dropped(address: &str) -> u64 {
    let page = get(address, "/metrics").unwrap_or_default();
    figure(&page, "retune_log_lines_dropped_total").expect("the metric is there")
}

/// Asserts that SIGTERM ends it in time although nobody reads.
#[track_caller]
fn ends_in_time(what: &str, mut daemon: Daemon<'_>) {
    let begun = Instant::now();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(EXIT_TIMEOUT), Some(0), "{what} does not end after SIGTERM");
    eprintln!("{what} ended after {:?}", begun.elapsed());
}

#[test]
fn a_store_with_an_unread_log_drops_lines_counts_them_and_reports_that_later() {
    let (dir, port) = (Dir::new(), Port::claim());
    let (reader, writer) = full_pipe();
    let mut daemon = store(&dir, &port, writer, &["--log-level", "debug"]);
    let address = port.address();
    eventually("it serves", WAIT_TIMEOUT, || get(&address, "/health").is_some());
    assert_eq!(dropped(&address), 0, "the first lines wait in the queue");
    let over = AtomicBool::new(false);
    let slowest = thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    cause_a_line(&address).ok();
                }
            });
        }
        eventually("lines are dropped", Duration::from_secs(90), || dropped(&address) > 100);
        over.store(true, Ordering::Relaxed);
        let puts = (0..50).map(|number| {
            let begun = Instant::now();
            assert!(put(&address, &format!("/k/{number}")), "write {number}");
            begun.elapsed()
        });
        puts.max().unwrap()
    });
    eprintln!("slowest write {slowest:?}");
    assert!(slowest < scaled(Duration::from_secs(2)), "a write took {slowest:?}");
    let count = dropped(&address);
    let text = Mutex::new(String::new());
    thread::scope(|scope| {
        scope.spawn(|| read_into(reader, &text));
        // A line that reaches the reader shows that the queue has room again, so the last lines are not dropped.
        eventually("a new line is read", WAIT_TIMEOUT, || {
            let from = cause_a_line(&address).map(|from| format!("from={from}"));
            thread::sleep(Duration::from_millis(50));
            from.is_ok_and(|from| text.lock().unwrap().lines().any(|line| line.ends_with(&from)))
        });
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.wait_exit(WAIT_TIMEOUT), Some(0));
    });
    let text = text.into_inner().unwrap();
    let notices: Vec<&str> =
        text.lines().filter(|line| line.contains("dropped while standard error was not read")).collect();
    let said: u64 = notices
        .iter()
        .map(|line| line.split(' ').find_map(|word| word.parse::<u64>().ok()).expect("a number"))
        .sum();
    assert!(said >= count, "{said} of {count}: {notices:?}");
    let last: Vec<&str> = text.lines().rev().take(10).collect();
    assert!(last.iter().any(|line| line.ends_with("INFO stopping")), "the last lines are there: {last:?}");
}

#[test]
fn no_daemon_waits_for_the_reader_of_its_log_at_work_or_at_exit() {
    for words in [&["--log-level", "debug"][..], &["--log-format", "json"]] {
        let (dir, port) = (Dir::new(), Port::claim());
        let (_reader, writer) = full_pipe();
        let daemon = store(&dir, &port, writer, words);
        eventually("it serves", WAIT_TIMEOUT, || put(&port.address(), "/a"));
        ends_in_time("the store", daemon);
    }
    let Some(mut member) = Member::of_ours(&[]) else { return };
    member.start();
    let (dir, port) = (Dir::new(), Port::claim());
    let (_reader, writer) = full_pipe();
    let cluster = format!("one=http://{}", member.slot.peer);
    let daemon = store(&dir, &port, writer, &["--proxy", "on", "--initial-cluster", &cluster]);
    eventually("the proxy forwards", WAIT_TIMEOUT, || put(&port.address(), "/a"));
    ends_in_time("the proxy", daemon);

    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n");
    dir.resource("a", "{{ getv(\"/x\") }}\n", "");
    let (_reader, writer) = full_pipe();
    let words = ["--log-level", "debug"];
    let daemon = Retune::watch(&dir).file("values.yaml").args(&words).stderr_to(writer).spawn();
    eventually("the file", WAIT_TIMEOUT, || dir.has("a.conf", "one\n"));
    dir.write("values.yaml", "x: two\n");
    eventually("the change", WAIT_TIMEOUT, || dir.has("a.conf", "two\n"));
    ends_in_time("watch", daemon);

    let (dir, engine, port) = (Dir::new(), FakeEngine::start(), Port::claim());
    engine.run(Container::new("one").env("SERVICE_NAME", "web").publish("80/tcp", Some(8080)));
    let (url, store, listen) = (engine.url(), format!("http://{}", member.address()), port.address());
    let plain = ["register", "--engine", &url, "--etcd", &store, "--prefix", "/r", "--node-name", "n1"];
    let more = ["--ip", "198.51.100.7", "--listen", &listen, "--log-level", "debug"];
    let (_reader, writer) = full_pipe();
    let daemon = Retune::new(&dir, &plain).args(&more).stderr_to(writer).spawn();
    let registered =
        || get(&member.address(), "/v2/keys/r?recursive=true").is_some_and(|text| text.contains("8080"));
    eventually("the key", WAIT_TIMEOUT, registered);
    assert_eq!(dropped(&listen), 0, "the registrar has the metric too");
    ends_in_time("register", daemon);
}

/// Returns whether a thread of this process is in a write to its standard output.
fn writes_to_stdout(pid: u32) -> bool {
    let calls = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    // `write` has number 1 on x86-64 and 64 on ARM.
    let is_write = |call: String| call.starts_with("1 0x1 ") || call.starts_with("64 0x1 ");
    calls.filter_map(|task| fs::read_to_string(task.path().join("syscall")).ok()).any(is_write)
}

#[test]
fn an_interrupt_ends_a_watch_with_unread_results() {
    let (dir, store) = (Dir::new(), Store::start());
    let (_reader, writer) = full_pipe();
    let url = store.url();
    let words = ["ctl", "--endpoints", &url, "watch", "--forever", "/k"];
    let mut daemon = Retune::new(&dir, &words).stdout_to(writer).spawn();
    eventually("it waits for its reader", WAIT_TIMEOUT, || {
        put(&store.address(), "/k") && writes_to_stdout(daemon.pid())
    });
    daemon.signal(Signal::SIGINT);
    assert_eq!(daemon.wait_exit(EXIT_TIMEOUT), Some(0), "the interrupt is not noticed");
}
