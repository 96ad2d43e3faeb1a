//! Measures a burst of writes: files placed and reloads run.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use notify::event::{EventKind, ModifyKind, RenameMode};
use notify::{RecursiveMode, Watcher};

use crate::support::proc::Proc;
use crate::support::{Etcd, WAIT_TIMEOUT, eventually};
use crate::tree::{Api, Tree};

const RESOURCES: usize = 20;
const WRITES: usize = 500;
/// After this long without a reload since the last value arrived, there will be none.
const QUIET_DELAY: Duration = Duration::from_millis(500);

/// The result; times in milliseconds.
pub struct Seen {
    /// How long the writes took.
    pub burst: f64,
    /// Files renamed to their destination.
    pub placed: usize,
    /// Runs of the reload command.
    pub reloads: usize,
    /// From the response to the last write until the last reload.
    pub settled: f64,
}

/// Measures one burst, against an otherwise idle daemon.
pub fn measure(api: Api) -> Seen {
    let etcd = Etcd::start().unwrap();
    let tree =
        Tree::new(&std::env::temp_dir(), RESOURCES, "reload_cmd = \"echo reload >> '{root}/reloads'\"");
    tree.fill(&etcd, api, 3);
    let _daemon = Proc::spawn(tree.program("watch", &etcd, api).args(["--debounce", "50ms"]));
    let reloads = || fs::read_to_string(tree.path("reloads")).unwrap_or_default().lines().count();
    eventually("the first files", WAIT_TIMEOUT, || tree.is_complete() && reloads() > 0);
    sleep(QUIET_DELAY);

    let placed = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&placed);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let event = event.unwrap();
        assert!(!event.need_rescan(), "the kernel lost events");
        if event.kind == EventKind::Modify(ModifyKind::Name(RenameMode::To)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    })
    .unwrap();
    watcher.watch(&tree.path("out"), RecursiveMode::NonRecursive).unwrap();
    let before = reloads();

    let start = Instant::now();
    for write in 0..WRITES {
        api.put(&etcd, &format!("/app/{}/k1", write % RESOURCES), &format!("10.9.0.{write}:81"));
    }
    let burst = start.elapsed();
    let end = Instant::now();
    let (mut seen, mut last) = (reloads(), end);
    while last.elapsed() < QUIET_DELAY {
        let now = reloads();
        if now != seen {
            (seen, last) = (now, Instant::now());
        }
        sleep(Duration::from_millis(1));
    }
    for number in 0..RESOURCES {
        let value = format!("10.9.0.{}:81", WRITES - RESOURCES + number);
        let text = fs::read_to_string(tree.out(number)).unwrap();
        assert!(
            text.contains(&value),
            "{} lacks {value}:\n{text}\n{}",
            tree.out(number).display(),
            tree.log()
        );
    }
    Seen {
        burst: burst.as_secs_f64() * 1000.0,
        placed: placed.load(Ordering::Relaxed),
        reloads: seen - before,
        settled: last.duration_since(end).as_secs_f64() * 1000.0,
    }
}
