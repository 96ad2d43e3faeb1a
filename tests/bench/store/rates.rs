//! Measures PUT and GET, and the disk's limit at the same time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::client_conn::Exchange;
use super::disk::{self, Blocks};
use super::load::{Work, drive};
use super::server::Server;
use super::{Effort, in_turn, machine, rank};

/// Keys of each connection.
const KEYS: usize = 16;
/// The most connections.
const LANES: usize = 256;
/// As long as the address of a service, a typical value of such stores.
const VALUE: &str = "10.194.12.221:32768";
/// How long each disk measurement takes.
const DISK_DURATION: Duration = Duration::from_millis(250);

/// The request method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Put,
    Get,
}

const SHAPES: [(Method, usize); 5] =
    [(Method::Put, 1), (Method::Put, 64), (Method::Put, LANES), (Method::Get, 1), (Method::Get, 64)];

/// One server under one shape of load.
#[derive(Debug, Default)]
pub struct Figures {
    /// Responses a second, for each round.
    pub rates: Vec<f64>,
    pub p50: f64,
    pub p99: f64,
    /// CPU microseconds of the server for one request.
    pub cpu: f64,
}

/// One shape of load.
#[derive(Debug)]
pub struct Row {
    pub method: Method,
    pub connections: usize,
    /// In the order of the servers.
    pub figures: Vec<Figures>,
    /// CPU microseconds of the load itself for one request.
    pub load_cpu: f64,
}

/// All results.
#[derive(Debug)]
pub struct Seen {
    pub rows: Vec<Row>,
    /// Syncs a second on blocks that were written before, measured before each round of the first row.
    pub written: Vec<f64>,
    /// The same on blocks that were only reserved.
    pub reserved: Vec<f64>,
}

/// Measures all shapes.
pub fn measure(servers: &mut [Server], effort: Effort, runtime: &Runtime, folder: &Path) -> Seen {
    let (puts, gets) = (exchanges(Method::Put), exchanges(Method::Get));
    let all: Vec<Exchange> = exchanges(Method::Put).into_iter().flatten().collect();
    let (puts, gets, all) = (Arc::new(puts), Arc::new(gets), Arc::new(all));
    in_turn(servers, 0, |server| {
        drive(runtime, &server.address(), 64, &Work::Through(Arc::clone(&all)));
    });
    let (mut written, mut reserved) = (Vec::new(), Vec::new());
    let rows = SHAPES.map(|(method, connections)| {
        let own = Arc::clone(if method == Method::Put { &puts } else { &gets });
        let work = Work::For(effort.round, own);
        shape(servers, effort, runtime, (method, connections), &work, || {
            if (method, connections) == SHAPES[0] {
                written.push(disk::rate(folder, Blocks::Written, DISK_DURATION));
                reserved.push(disk::rate(folder, Blocks::Reserved, DISK_DURATION));
            }
        })
    });
    Seen { rows: rows.into(), written, reserved }
}

fn exchanges(method: Method) -> Vec<Vec<Exchange>> {
    let key = |client_conn: usize, number: usize| format!("/bench/c{client_conn}/k{number}");
    let one = |client_conn, number| match method {
        Method::Put => Exchange::put(&key(client_conn, number), VALUE),
        Method::Get => Exchange::get(&key(client_conn, number), VALUE),
    };
    (0..LANES).map(|client_conn| (0..KEYS).map(|number| one(client_conn, number)).collect()).collect()
}

fn shape(
    servers: &mut [Server],
    effort: Effort,
    runtime: &Runtime,
    (method, connections): (Method, usize),
    work: &Work,
    mut between: impl FnMut(),
) -> Row {
    let mut figures: Vec<Figures> = servers.iter().map(|_| Figures::default()).collect();
    let mut times: Vec<Vec<f64>> = servers.iter().map(|_| Vec::new()).collect();
    let mut load_ms = 0.0;
    for round in 0..effort.rounds {
        between();
        let tallies = in_turn(servers, round, |server| {
            let (theirs, own) = (server.cpu_ms(), machine::cpu_ms(std::process::id()));
            let tally = drive(runtime, &server.address(), connections, work);
            load_ms += machine::cpu_ms(std::process::id()) - own;
            (tally, server.cpu_ms() - theirs)
        });
        for (at, (tally, cpu_ms)) in tallies.into_iter().enumerate() {
            figures[at].rates.push(tally.rate());
            figures[at].cpu += cpu_ms * 1000.0;
            times[at].extend(tally.times);
        }
    }
    let requests: usize = times.iter().map(Vec::len).sum();
    for (figures, times) in figures.iter_mut().zip(&mut times) {
        figures.cpu /= times.len() as f64;
        figures.p50 = rank(times, 50);
        figures.p99 = rank(times, 99);
    }
    Row { method, connections, figures, load_cpu: load_ms * 1000.0 / requests as f64 }
}
