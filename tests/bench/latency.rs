//! Measures how long a change takes to reach its file, and what an idle daemon costs.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::machine::{Memory, cpu_ms, memory};
use crate::support::proc::Proc;
use crate::support::{Etcd, eventually};
use crate::tree::{Api, Tree};

/// How often the file is checked.
const POLL_INTERVAL: Duration = Duration::from_micros(100);
/// A change that takes longer counts as lost, and the measurement fails.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the idle daemon is measured.
const IDLE_DURATION: Duration = Duration::from_secs(3);

/// The result; times in milliseconds.
pub struct Seen {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
    pub cpu_per_change: f64,
    pub idle_percent: f64,
    pub memory: Memory,
}

/// Follows `resources` resources of `keys` keys each through `changes` changes.
pub fn measure(api: Api, resources: usize, keys: usize, changes: usize) -> Seen {
    let etcd = Etcd::start().unwrap();
    let tree = Tree::new(&std::env::temp_dir(), resources, "");
    tree.fill(&etcd, api, keys);
    let daemon = Proc::spawn(&mut tree.program("watch", &etcd, api));
    eventually("the first files", Duration::from_secs(60), || tree.is_complete());
    // Work left over from the start must not count as idle cost.
    sleep(Duration::from_secs(2));

    let before = cpu_ms(daemon.pid());
    sleep(IDLE_DURATION);
    let idle = cpu_ms(daemon.pid()) - before;

    let before = cpu_ms(daemon.pid());
    let mut times: Vec<f64> = (0..changes)
        .map(|change| {
            // Far from the last one, so that no cache is warmer than in real use.
            let number = (change * 7) % resources;
            let value = format!("10.9.{}.{}:81", change / 250, change % 250);
            let out = tree.out(number);
            let old = identity(&out);
            api.put(&etcd, &format!("/app/{number}/k1"), &value);
            let took = until_it_holds(&out, old, &value, &tree);
            sleep(Duration::from_millis(5));
            took.as_secs_f64() * 1000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    Seen {
        p50: rank(&times, 50),
        p99: rank(&times, 99),
        max: rank(&times, 100),
        cpu_per_change: (cpu_ms(daemon.pid()) - before) / f64::from(u32::try_from(changes).unwrap()),
        idle_percent: idle / IDLE_DURATION.as_secs_f64() / 10.0,
        memory: memory(daemon.pid()),
    }
}

/// Waits until the file is a new one that contains `value`. It is read only when it is new: reading a large file all
/// the time would use the core that the program needs.
fn until_it_holds(path: &Path, old: Option<(u64, i64, i64)>, value: &str, tree: &Tree) -> Duration {
    let start = Instant::now();
    loop {
        if identity(path) != old && fs::read_to_string(path).is_ok_and(|text| text.contains(value)) {
            return start.elapsed();
        }
        assert!(start.elapsed() < CHANGE_TIMEOUT, "{} never held {value}\n{}", path.display(), tree.log());
        sleep(POLL_INTERVAL);
    }
}

/// Returns inode and time: a file system may reuse the inode number of a removed file.
fn identity(path: &Path) -> Option<(u64, i64, i64)> {
    fs::metadata(path).ok().map(|meta| (meta.ino(), meta.mtime(), meta.mtime_nsec()))
}

/// Returns the time that this percentage of the values do not exceed.
fn rank(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1]
}
