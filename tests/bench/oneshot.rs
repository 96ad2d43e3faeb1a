//! Measures a one-shot: from exec to its first file, and to its exit.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::Etcd;
use crate::support::proc::Proc;
use crate::tree::{Api, Tree};

/// Counted runs; one before them warms the page cache.
const RUNS: usize = 5;
/// How often the first file and the exit are checked.
const POLL_INTERVAL: Duration = Duration::from_micros(100);
/// A run that takes longer counts as hung.
const RUN_TIMEOUT: Duration = Duration::from_secs(60);

/// Returns the medians in milliseconds: to the first file, and to the exit.
pub fn measure(api: Api, resources: usize, folder: &Path) -> (f64, f64) {
    let etcd = Etcd::start().unwrap();
    let tree = Tree::new(folder, resources, "");
    tree.fill(&etcd, api, 3);
    let runs: Vec<(f64, f64)> = (0..=RUNS).map(|_| once(&tree, &etcd, api)).skip(1).collect();
    (median(runs.iter().map(|run| run.0)), median(runs.iter().map(|run| run.1)))
}

fn once(tree: &Tree, etcd: &Etcd, api: Api) -> (f64, f64) {
    tree.empty_out();
    let mut command = tree.program("render", etcd, api);
    // Resources are rendered in the order of their names.
    let (first, mut seen) = (tree.out(0), None);
    let start = Instant::now();
    let mut run = Proc::spawn(&mut command);
    let code = loop {
        if seen.is_none() && first.exists() {
            seen = Some(start.elapsed());
        }
        if let Some(status) = run.ended() {
            break status.code();
        }
        assert!(start.elapsed() < RUN_TIMEOUT, "still running\n{}", tree.log());
        sleep(POLL_INTERVAL);
    };
    let whole = start.elapsed();
    assert!(code == Some(0) && tree.is_complete(), "exit {code:?}\n{}", tree.log());
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    (ms(seen.unwrap_or(whole)), ms(whole))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
