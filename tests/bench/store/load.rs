//! Closed-loop load over many connections.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::client_conn::{ClientConn, EXCHANGE_TIMEOUT, Exchange};

/// The work of the connections.
#[derive(Debug)]
pub enum Work {
    /// Each repeats its own exchanges for this long.
    For(Duration, Arc<Vec<Vec<Exchange>>>),
    /// Each takes the next one until all are done.
    Through(Arc<Vec<Exchange>>),
}

/// The same work in progress.
#[derive(Debug)]
enum Progress {
    Until(Instant, Arc<Vec<Vec<Exchange>>>),
    Next(AtomicUsize, Arc<Vec<Exchange>>),
}

impl Progress {
    fn next(&self, client_conn: usize, count: usize) -> Option<&Exchange> {
        match self {
            Self::Until(end, all) => {
                let own = &all[client_conn];
                (Instant::now() < *end).then(|| &own[count % own.len()])
            }
            Self::Next(next, all) => all.get(next.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

/// The result.
#[derive(Debug, Default)]
pub struct Tally {
    /// From a request's first byte to its response's last, ms.
    pub times: Vec<f64>,
    /// From the first request to the last response.
    pub took: Duration,
    wrong: usize,
    first_wrong: Option<String>,
}

impl Tally {
    /// Returns the responses a second.
    pub fn rate(&self) -> f64 {
        self.times.len() as f64 / self.took.as_secs_f64()
    }

    fn add(&mut self, other: Self) {
        self.times.extend(other.times);
        self.wrong += other.wrong;
        self.first_wrong = self.first_wrong.take().or(other.first_wrong);
    }
}

/// Drives this many connections; fails when a single response is wrong or far too late.
pub fn drive(runtime: &Runtime, address: &str, connections: usize, work: &Work) -> Tally {
    let nominal = match work {
        Work::For(span, _) => *span + EXCHANGE_TIMEOUT,
        Work::Through(_) => 3 * EXCHANGE_TIMEOUT,
    };
    let driven =
        runtime.block_on(async { tokio::time::timeout(nominal, all(address, connections, work)).await });
    let tally = driven.unwrap_or_else(|_| panic!("{connections} connections were not served in {nominal:?}"));
    let (wrong, total) = (tally.wrong, tally.times.len() + tally.wrong);
    assert!(
        wrong == 0,
        "{wrong} of {total} answers on {connections} connections were wrong, the first: {}",
        tally.first_wrong.as_deref().unwrap_or_default()
    );
    tally
}

async fn all(address: &str, connections: usize, work: &Work) -> Tally {
    let mut client_conns = Vec::new();
    for _ in 0..connections {
        client_conns.push(ClientConn::open(address).await.unwrap());
    }
    let start = Instant::now();
    let progress = Arc::new(match work {
        Work::For(span, each) => Progress::Until(start + *span, Arc::clone(each)),
        Work::Through(all) => Progress::Next(AtomicUsize::new(0), Arc::clone(all)),
    });
    let mut tasks = JoinSet::new();
    for (number, client_conn) in client_conns.into_iter().enumerate() {
        tasks.spawn(one(client_conn, number, Arc::clone(&progress)));
    }
    let mut tally = Tally::default();
    while let Some(done) = tasks.join_next().await {
        tally.add(done.unwrap().unwrap_or_else(|error| panic!("a connection to {address} broke: {error}")));
    }
    tally.took = start.elapsed();
    tally
}

async fn one(mut client_conn: ClientConn, number: usize, progress: Arc<Progress>) -> io::Result<Tally> {
    let mut tally = Tally::default();
    let mut count = 0;
    while let Some(exchange) = progress.next(number, count) {
        count += 1;
        let sent = Instant::now();
        client_conn.ask(&exchange.request).await?;
        let took = sent.elapsed();
        match exchange.error_of(&client_conn.answer) {
            None => tally.times.push(took.as_secs_f64() * 1000.0),
            Some(objection) => {
                tally.wrong += 1;
                tally.first_wrong.get_or_insert(objection);
            }
        }
    }
    Ok(tally)
}
