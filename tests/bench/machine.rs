//! Reads figures of a process and of a folder from the kernel.

use std::fs;
use std::path::Path;

/// The kernel reports CPU times in these units, whatever its own clock is.
const TICKS_PER_SECOND: f64 = 100.0;

/// Memory of a process in MB of 1,000 kB.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// All resident memory.
    pub resident: f64,
    /// Without file pages, which the page cache would hold anyway.
    pub own: f64,
}

/// Returns the CPU milliseconds that a process has used, in steps of ten.
pub fn cpu_ms(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name may contain spaces; it ends with the last parenthesis.
    let (_, rest) = stat.rsplit_once(')').unwrap();
    let ticks: f64 =
        rest.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap()).sum();
    ticks * 1000.0 / TICKS_PER_SECOND
}

/// Returns a process's current memory.
pub fn memory(pid: u32) -> Memory {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| -> f64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    Memory { resident: field("VmRSS:") / 1000.0, own: field("RssAnon:") / 1000.0 }
}

/// Describes the machine and the measured folder in one line.
pub fn describe(folder: &Path) -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("unknown");
    let etcd = std::process::Command::new("etcd").arg("--version").output();
    let etcd = etcd.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let etcd = etcd.lines().next().unwrap_or("etcd of an unknown version");
    format!("{cores} cores, load {load}, {etcd}, folder on {}", file_system(folder))
}

/// Returns the type of a folder's file system, with the folder.
pub fn file_system(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let kind = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            let point = words.next()?;
            folder.starts_with(point).then_some((point.len(), words.next()?))
        })
        // Of two mounts on one path, the later one is visible.
        .max_by_key(|(length, _)| *length);
    format!("{} ({})", kind.map_or("an unknown file system", |(_, kind)| kind), folder.display())
}
