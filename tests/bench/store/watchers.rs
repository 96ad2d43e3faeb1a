//! How long a write takes to wake everyone who waits for it.

use std::io;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::answer::Answer;
use super::lane::{Exchange, LOST, Lane};
use super::server::Server;
use super::{in_turn, median, rank};

/// Watchers of the one key.
pub const COUNT: usize = 2000;
const KEY: &str = "/bench/watched";
/// Writes in each turn.
const WRITES: usize = 3;

/// Of one server, ms, median of all writes.
#[derive(Debug, Default)]
pub struct Woken {
    pub median: f64,
    pub last: f64,
}

/// Wakes the watchers of each server a few times in each of so many turns.
pub fn measure(servers: &mut [Server], turns: usize, runtime: &Runtime) -> Vec<Woken> {
    let mut seen: Vec<(Vec<f64>, Vec<f64>)> = servers.iter().map(|_| Default::default()).collect();
    for turn in 0..turns {
        let woken = in_turn(servers, turn, |server| {
            let woken = async { timeout(2 * LOST, wake(&server.address(), turn)).await };
            runtime.block_on(woken).expect("all are woken in time").expect("no connection breaks")
        });
        for ((medians, lasts), mut woken) in seen.iter_mut().zip(woken) {
            for times in &mut woken {
                medians.push(rank(times, 50));
                lasts.push(rank(times, 100));
            }
        }
    }
    let woken = |(mut medians, mut lasts): (Vec<_>, Vec<_>)| Woken {
        median: median(&mut medians),
        last: median(&mut lasts),
    };
    seen.into_iter().map(woken).collect()
}

/// Some writes: how long each watcher waited for each of them, ms.
async fn wake(address: &str, turn: usize) -> io::Result<Vec<Vec<f64>>> {
    let mut publisher = Lane::open(address).await?;
    let mut lanes = Vec::new();
    for _ in 0..COUNT {
        lanes.push(Lane::open(address).await?);
    }
    let mut times = Vec::new();
    for write in 0..WRITES {
        times.push(round(&mut publisher, &mut lanes, &format!("v{turn}-{write}")).await?);
    }
    Ok(times)
}

/// One write: how long each watcher waited for it, ms.
async fn round(publisher: &mut Lane, lanes: &mut Vec<Lane>, value: &str) -> io::Result<Vec<f64>> {
    let watch = Exchange::watch(KEY, value);
    for lane in lanes.iter_mut() {
        lane.send(&watch.request).await?;
    }
    for lane in lanes.iter_mut() {
        lane.hear(Answer::has_head).await?;
        assert!(!lane.answer.has_event(), "a watcher had its event before the write");
    }
    let mut tasks = JoinSet::new();
    for mut lane in lanes.drain(..) {
        tasks.spawn(async move {
            lane.hear(Answer::has_event).await?;
            let at = Instant::now();
            lane.hear(Answer::is_whole).await?;
            io::Result::Ok((lane, at))
        });
    }
    // Until each of them listens, and the server has come to rest.
    sleep(Duration::from_millis(100)).await;
    let sent = Instant::now();
    publisher.exchange(&Exchange::put(KEY, value)).await;
    let mut times = Vec::new();
    while let Some(done) = tasks.join_next().await {
        let (lane, at) = done.unwrap()?;
        if let Some(objection) = watch.objection(&lane.answer) {
            panic!("a watcher of {value}: {objection}");
        }
        times.push((at - sent).as_secs_f64() * 1000.0);
        lanes.push(lane);
    }
    Ok(times)
}
