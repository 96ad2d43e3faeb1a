//! `retune store` beside a real `etcd --enable-v2`: `cargo bench --bench store`, or a short run with `-- quick`.
//!
//! Both run as a user runs them, with their defaults, on loopback, each with a new data folder below the target
//! folder, so on one disk. Only figures of one run can be compared: the servers take turns, and every second round
//! uses the reverse order. The servers that wait are stopped (SIGSTOP), so a server's background work counts in its
//! own time. Without etcd in PATH, only retune is measured.
//!
//! * The load is closed-loop: each connection sends its next request when it has the whole response to the last.
//!   One thread drives all connections with requests built beforehand, since it shares the cores with the server;
//!   its own cost is printed. Every response is checked, status and body: a single wrong one ends the run.
//! * PUT and GET: each connection cycles through 16 keys of its own, which all exist before. Rates are the median of
//!   the rounds, percentiles are of all rounds together, CPU is the server's for each request. The ratio is the
//!   median of the rounds' ratios, with the lowest and the highest.
//! * The disk: 256 bytes appended to a file and fdatasync, repeated, measured between the rounds of PUT on one
//!   connection. On blocks written before, only data goes to the disk; on blocks only reserved, as a log
//!   reserves its next ones, the file system also writes metadata. A PUT is acknowledged when its record
//!   is synced, so one connection cannot do more; a share above 100 % means that others used the disk meanwhile.
//! * Large: new servers get 100,000 keys (`/big/dN/kM`, 1,000 a folder) over 64 connections; resident memory is
//!   read a second after the fill and again after six recursive lists of them all. The first list is shown, and
//!   the best of the five after it; a list takes from its request's first byte to its response's last.
//! * Restart with these keys: from exec to the first response with the last key's value, polled every half
//!   millisecond; median of the rounds. The page cache is warm. SIGTERM comes at rest,
//!   kill -9 right after 1,000 more writes.
//! * Watchers: one-shot watches of one key, all registered, since their response heads have arrived; from the first
//!   byte of the PUT until the median one and the last one has its event; median of three such writes a round.
//!
//! `RETUNE_BENCH_PROGRAM` measures another binary in place of retune.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a failed measurement may panic, and it waits in a plain thread: nothing else runs on it meanwhile"
)]

mod answer;
mod client_conn;
mod disk;
mod large;
mod load;
#[path = "../machine.rs"]
#[allow(dead_code, reason = "the other benchmark uses the rest")]
mod machine;
mod rates;
mod server;
#[path = "../../support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the whole-program tests use the rest")]
mod support;
mod table;
mod watchers;

use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::runtime::Runtime;

use server::{Server, ServerKind};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
struct Effort {
    /// Rounds of each shape of load.
    rounds: usize,
    /// The length of a round.
    round: Duration,
    /// Keys of the large store.
    keys: usize,
    /// Restarts of each kind.
    restarts: usize,
    /// The number of rounds with watchers.
    wakings: usize,
}

const FULL: Effort =
    Effort { rounds: 5, round: Duration::from_millis(1000), keys: 100_000, restarts: 3, wakings: 3 };
const QUICK: Effort =
    Effort { rounds: 2, round: Duration::from_millis(400), keys: 20_000, restarts: 1, wakings: 1 };

fn main() {
    let effort = if std::env::args().any(|word| word == "quick") { QUICK } else { FULL };
    let began = Instant::now();
    allow_many_connections();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    println!("{}", machine::describe(folder));
    if cfg!(debug_assertions) {
        println!("A DEBUG BUILD: the figures of retune say nothing about the one that users run");
    }
    let kinds = kinds();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();

    let mut servers = start(&kinds, &runtime);
    table::rates(&kinds, effort, &rates::measure(&mut servers, effort, &runtime, folder));
    let woken = watchers::measure(&mut servers, effort.wakings, &runtime);
    drop(servers);
    let mut servers = start(&kinds, &runtime);
    let large = large::measure(&mut servers, effort, &runtime);
    table::rest(effort, &large, &woken);
    println!("\ntook {:.0} s", began.elapsed().as_secs_f64());
}

/// Returns the servers to measure.
fn kinds() -> Vec<ServerKind> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|dir| dir.join("etcd").is_file()) {
        return vec![ServerKind::Retune, ServerKind::Etcd];
    }
    println!(
        "ONLY RETUNE: there is nothing to compare with, etcd is not in PATH (apt-get install etcd-server)"
    );
    vec![ServerKind::Retune]
}

/// Starts new servers, all stopped until their turn.
fn start(kinds: &[ServerKind], runtime: &Runtime) -> Vec<Server> {
    kinds.iter().map(|kind| Server::start(*kind, runtime)).collect()
}

/// Calls `step` with each server in turn while the others are stopped. Every second round uses the reverse order; the
/// results are always in the order of the servers.
fn in_turn<T>(servers: &mut [Server], round: usize, mut step: impl FnMut(&mut Server) -> T) -> Vec<T> {
    let mut answers: Vec<Option<T>> = servers.iter().map(|_| None).collect();
    let mut order: Vec<usize> = (0..servers.len()).collect();
    if round % 2 == 1 {
        order.reverse();
    }
    for at in order {
        servers[at].resume();
        answers[at] = Some(step(&mut servers[at]));
        servers[at].pause();
    }
    answers.into_iter().map(|answer| answer.expect("each had its turn")).collect()
}

/// The watchers need this many sockets here, and as many in the servers, which inherit the limit.
fn allow_many_connections() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let need = watchers::COUNT as u64 + 200;
    assert!(hard >= need, "{hard} open files are allowed, {need} are needed: raise the limit (ulimit -n)");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

/// Returns the value that this percentage of the values do not exceed; sorts.
fn rank(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() * percent).div_ceil(100).max(1) - 1]
}

/// Returns the middle value, or the mean of the middle two; sorts.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2])
}
