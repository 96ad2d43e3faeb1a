//! Measures the figures of docs/benchmarks.md: `cargo bench --bench reload`, or a short run with `-- quick`.
//!
//! The built program runs as a user runs it, against a real etcd on loopback, and is observed from outside: the file
//! it writes, its exit, the CPU time and memory that the kernel counts for it. Everything started here ends with its
//! handle. `RETUNE_BENCH_PROGRAM` measures another binary, to compare two builds.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a failed measurement may panic, and it waits in plain threads: there is no runtime here to block"
)]

mod burst;
mod latency;
mod machine;
mod oneshot;
#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the whole-program tests use the rest")]
mod support;
mod tree;

use std::path::{Path, PathBuf};

use tree::Api;

/// How much is measured.
#[derive(Clone, Copy)]
struct Effort {
    /// Changes timed for each shape.
    changes: usize,
    /// Resources of the large shape.
    resources: usize,
    /// Keys of the deep shape.
    keys: usize,
    /// Resources of the large one-shot.
    batch: usize,
}

const FULL: Effort = Effort { changes: 200, resources: 2000, keys: 10_000, batch: 1000 };
const QUICK: Effort = Effort { changes: 40, resources: 200, keys: 1000, batch: 100 };

fn main() {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).any(|dir| dir.join("etcd").is_file()) {
        println!("SKIPPED: nothing is measured, etcd is not in PATH (apt-get install etcd-server)");
        return;
    }
    let effort = if std::env::args().any(|word| word == "quick") { QUICK } else { FULL };
    let folder = std::env::temp_dir();
    println!("{}", machine::describe(&folder));
    changes(effort);
    one_shots(effort, &folder);
    burst();
}

fn changes(effort: Effort) {
    println!("\nOne change to a new file, {} changes, ms from the answer to the PUT", effort.changes);
    println!(
        "{:<7} {:>9} {:>7} {:>8} {:>8} {:>8} {:>13} {:>7} {:>8} {:>8}",
        "api", "resources", "keys", "p50", "p99", "max", "CPU ms/change", "idle %", "RSS MB", "own MB"
    );
    for (resources, keys) in [(1, 3), (effort.resources, 3), (1, effort.keys)] {
        for api in [Api::V3, Api::V2] {
            let seen = latency::measure(api, resources, keys, effort.changes);
            println!(
                "{:<7} {resources:>9} {keys:>7} {:>8.2} {:>8.2} {:>8.2} {:>13.2} {:>7.2} {:>8.1} {:>8.1}",
                api.backend(),
                seen.p50,
                seen.p99,
                seen.max,
                seen.cpu_per_change,
                seen.idle_percent,
                seen.memory.resident,
                seen.memory.own,
            );
        }
    }
    println!("RSS counts the program's own pages and those of its file; own MB leaves the file's pages out");
}

fn one_shots(effort: Effort, folder: &Path) {
    println!("\nOne shot into an empty folder, median of 5, ms from exec");
    println!("{:<7} {:>9} {:>11} {:>9}   file system", "api", "resources", "first file", "exit");
    for folder in one_shot_folders(folder) {
        for resources in [1, effort.batch] {
            for api in [Api::V3, Api::V2] {
                let (first, whole) = oneshot::measure(api, resources, &folder);
                let system = machine::file_system(&folder);
                println!("{:<7} {resources:>9} {first:>11.1} {whole:>9.1}   {system}", api.backend());
            }
        }
    }
}

/// Returns the RAM file system first: ext4 makes new files slow for minutes after many were deleted, which is what
/// measuring does. An explicit `TMPDIR` is used alone.
fn one_shot_folders(folder: &Path) -> Vec<PathBuf> {
    let ram = PathBuf::from("/dev/shm");
    if std::env::var_os("TMPDIR").is_none() && ram.is_dir() && ram != folder {
        vec![ram, folder.to_owned()]
    } else {
        vec![folder.to_owned()]
    }
}

fn burst() {
    println!("\nA burst of 500 key writes to 20 resources that share one reload command, --debounce 50ms");
    println!("{:<7} {:>9} {:>12} {:>8} {:>13}", "api", "burst ms", "files placed", "reloads", "settled ms");
    for api in [Api::V3, Api::V2] {
        let seen = burst::measure(api);
        println!(
            "{:<7} {:>9.0} {:>12} {:>8} {:>13.0}",
            api.backend(),
            seen.burst,
            seen.placed,
            seen.reloads,
            seen.settled
        );
    }
    println!("settled: from the answer to the last PUT to the last reload");
}
