//! A store of many keys: filling, listing, memory, restart.

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::runtime::Runtime;

use super::client_conn::{ClientConn, Exchange};
use super::load::{Work, drive};
use super::server::Server;
use super::{Effort, in_turn, median};

const LANES: usize = 64;
const FOLDER: usize = 1000;
const VALUE: &str = "10.0.0.1:8080";
const LISTS: usize = 5;
/// Writes just before a kill.
const WRITES_BEFORE_KILL: usize = 1000;

/// The figures of one server.
#[derive(Debug, Default)]
pub struct Figures {
    /// Seconds to write all keys.
    pub fill: f64,
    /// The first list, ms.
    pub first_list: f64,
    /// The best of the later lists, ms.
    pub best_list: f64,
    /// Resident MB after the fill.
    pub filled: f64,
    /// Resident MB after the lists.
    pub listed: f64,
    /// From exec to a response after SIGTERM, ms.
    pub after_term: f64,
    /// The same after kill -9.
    pub after_kill: f64,
}

/// Measures new servers.
pub fn measure(servers: &mut [Server], effort: Effort, runtime: &Runtime) -> Vec<Figures> {
    let puts: Vec<_> = (0..effort.keys).map(|number| Exchange::put(&key(number), VALUE)).collect();
    let late: Vec<_> = (0..WRITES_BEFORE_KILL).map(|number| Exchange::put(&key(number), VALUE)).collect();
    let (puts, late) = (Work::Through(Arc::new(puts)), Work::Through(Arc::new(late)));
    let last = Exchange::get(&key(effort.keys - 1), VALUE);
    let mut seen = in_turn(servers, 0, |server| {
        let fill = drive(runtime, &server.address(), LANES, &puts).took.as_secs_f64();
        sleep(Duration::from_secs(1));
        let filled = server.resident();
        let (first_list, best_list) = runtime.block_on(lists(&server.address(), effort.keys));
        Figures { fill, filled, first_list, best_list, listed: server.resident(), ..Figures::default() }
    });
    let mut restart = |signal, before: &dyn Fn(&Server)| {
        let mut times: Vec<Vec<f64>> = servers.iter().map(|_| Vec::new()).collect();
        for round in 0..effort.restarts {
            let took = in_turn(servers, round, |server| {
                before(server);
                server.end(signal);
                server.start_again(runtime, &last)
            });
            for (times, took) in times.iter_mut().zip(took) {
                times.push(took.as_secs_f64() * 1000.0);
            }
        }
        times.into_iter().map(|mut times| median(&mut times)).collect::<Vec<_>>()
    };
    let after_term = restart(Signal::SIGTERM, &|_| ());
    let after_kill = restart(Signal::SIGKILL, &|server| {
        drive(runtime, &server.address(), LANES, &late);
    });
    for (at, figures) in seen.iter_mut().enumerate() {
        (figures.after_term, figures.after_kill) = (after_term[at], after_kill[at]);
    }
    // A fast restart does not count if it lost something.
    in_turn(servers, 0, |server| runtime.block_on(lists(&server.address(), effort.keys)));
    seen
}

fn key(number: usize) -> String {
    format!("/big/d{}/k{number}", number / FOLDER)
}

/// Returns the first recursive list and the best of the later ones, ms; each must contain every key.
async fn lists(address: &str, keys: usize) -> (f64, f64) {
    let list = Exchange::list("/big");
    let mut client_conn = ClientConn::open_large(address).await.unwrap();
    let mut times = Vec::new();
    for _ in 0..=LISTS {
        let start = Instant::now();
        client_conn.exchange(&list).await;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
        assert_eq!(values(&client_conn.answer.body), keys, "keys in the list of all");
    }
    (times[0], times[1..].iter().copied().fold(f64::INFINITY, f64::min))
}

fn values(body: &[u8]) -> usize {
    let wanted = format!("\"value\":\"{VALUE}\"");
    let text = str::from_utf8(body).expect("JSON is UTF-8");
    text.matches(&wanted).count()
}
