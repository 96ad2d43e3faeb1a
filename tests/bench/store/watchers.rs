//! Measures how long a write takes to wake every watcher of its key.

use std::io;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::answer::Answer;
use super::client_conn::{ClientConn, EXCHANGE_TIMEOUT, Exchange};
use super::server::Server;
use super::{in_turn, median, rank};

/// The number of watchers of one key.
pub const COUNT: usize = 2000;
const KEY: &str = "/bench/watched";
/// Writes in each turn.
const WRITES: usize = 3;

/// The result of one server, ms, median of all writes.
#[derive(Debug, Default)]
pub struct WakeTimes {
    pub median: f64,
    pub last: f64,
}

/// Wakes the watchers of each server a few times in each of `turns` turns.
pub fn measure(servers: &mut [Server], turns: usize, runtime: &Runtime) -> Vec<WakeTimes> {
    let mut seen: Vec<(Vec<f64>, Vec<f64>)> = servers.iter().map(|_| Default::default()).collect();
    for turn in 0..turns {
        let woken = in_turn(servers, turn, |server| {
            let woken = async { timeout(2 * EXCHANGE_TIMEOUT, wake(&server.address(), turn)).await };
            runtime.block_on(woken).expect("all are woken in time").expect("no connection breaks")
        });
        for ((medians, lasts), mut woken) in seen.iter_mut().zip(woken) {
            for times in &mut woken {
                medians.push(rank(times, 50));
                lasts.push(rank(times, 100));
            }
        }
    }
    let woken = |(mut medians, mut lasts): (Vec<_>, Vec<_>)| WakeTimes {
        median: median(&mut medians),
        last: median(&mut lasts),
    };
    seen.into_iter().map(woken).collect()
}

/// Makes some writes; returns how long each watcher waited for each of them, ms.
async fn wake(address: &str, turn: usize) -> io::Result<Vec<Vec<f64>>> {
    let mut publisher = ClientConn::open(address).await?;
    let mut client_conns = Vec::new();
    for _ in 0..COUNT {
        client_conns.push(ClientConn::open(address).await?);
    }
    let mut times = Vec::new();
    for write in 0..WRITES {
        times.push(round(&mut publisher, &mut client_conns, &format!("v{turn}-{write}")).await?);
    }
    Ok(times)
}

/// Makes one write; returns how long each watcher waited for it, ms.
async fn round(
    publisher: &mut ClientConn,
    client_conns: &mut Vec<ClientConn>,
    value: &str,
) -> io::Result<Vec<f64>> {
    let watch = Exchange::watch(KEY, value);
    for client_conn in client_conns.iter_mut() {
        client_conn.send(&watch.request).await?;
    }
    for client_conn in client_conns.iter_mut() {
        client_conn.read_until(Answer::has_head).await?;
        assert!(!client_conn.answer.has_event(), "a watcher had its event before the write");
    }
    let mut tasks = JoinSet::new();
    for mut client_conn in client_conns.drain(..) {
        tasks.spawn(async move {
            client_conn.read_until(Answer::has_event).await?;
            let at = Instant::now();
            client_conn.read_until(Answer::is_whole).await?;
            io::Result::Ok((client_conn, at))
        });
    }
    // Until each of them is registered and the server is idle.
    sleep(Duration::from_millis(100)).await;
    let sent = Instant::now();
    publisher.exchange(&Exchange::put(KEY, value)).await;
    let mut times = Vec::new();
    while let Some(done) = tasks.join_next().await {
        let (client_conn, at) = done.unwrap()?;
        if let Some(objection) = watch.error_of(&client_conn.answer) {
            panic!("a watcher of {value}: {objection}");
        }
        times.push((at - sent).as_secs_f64() * 1000.0);
        client_conns.push(client_conn);
    }
    Ok(times)
}
