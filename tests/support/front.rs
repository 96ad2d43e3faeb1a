//! A proxy configured by the program, with two servers behind it and etcd as the source.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::load::{Load, Record, RequestKind, RequestLog, ResponseClass};
use super::{Backend, Daemon, Dir, Etcd, Retune, WAIT_TIMEOUT, eventually, http};

/// What the program needs to know of a proxy.
pub struct Front {
    /// `127.0.0.1:port`.
    pub address: String,
    /// The port.
    pub port: u16,
    /// The file it reads.
    pub conf: String,
    /// The template of that file; it shows the names of its servers at `/generation`.
    pub template: String,
    /// The check command.
    pub check: String,
    /// The reload command.
    pub reload: String,
}

impl Front {
    /// Writes the resource with typical check and reload commands; each reload is counted in `reloads`.
    pub fn resource(&self, dir: &Dir) {
        self.resource_of(dir, &["/app/upstream"]);
    }

    /// The same for these keys.
    pub fn resource_of(&self, dir: &Dir, keys: &[&str]) {
        dir.template("proxy.tmpl", &self.template);
        let (conf, check, reload) = (&self.conf, &self.check, &self.reload);
        let reload = format!("{reload} && echo reload >> {}", dir.text_path("reloads"));
        dir.conf(
            "proxy",
            &format!(
                "[template]\nsrc = \"proxy.tmpl\"\ndest = \"{conf}\"\nkeys = {keys:?}\n\
                 check_cmd = \"{check}\"\nreload_cmd = \"{reload}\"\n"
            ),
        );
    }

    /// Returns the server names in the running configuration.
    pub fn generation(&self) -> Option<Vec<String>> {
        let body = http::get(&self.address, "/generation")?;
        Some(body.split_whitespace().map(str::to_owned).collect())
    }

    /// Waits until the proxy runs a configuration with exactly these servers.
    #[track_caller]
    pub fn eventually_serves(&self, names: &[&str]) {
        eventually(&format!("the proxy is configured with {names:?}"), WAIT_TIMEOUT, || {
            self.generation().is_some_and(|found| found == names)
        });
    }

    /// Returns the servers that respond to a number of requests, each name once, sorted.
    pub fn answering(&self) -> Vec<String> {
        let mut names: Vec<_> = (0..12)
            .map(|_| http::get(&self.address, "/").unwrap_or_else(|| "nobody ".to_owned()))
            .map(|body| body.split(' ').next().unwrap_or_default().to_owned())
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

/// A proxy configured by the program, and the servers it switches between.
pub struct TestSite<'d> {
    /// The store.
    pub etcd: Etcd,
    /// The proxy.
    pub front: Front,
    /// The first server.
    pub blue: Backend,
    /// The second server.
    pub green: Backend,
    /// The folder of all files.
    pub dir: &'d Dir,
    daemon: Daemon<'d>,
}

impl<'d> TestSite<'d> {
    /// Starts a site that serves from blue.
    pub fn start(dir: &'d Dir, etcd: Etcd, front: Front) -> Self {
        let (blue, green) = (Backend::start("blue"), Backend::start("green"));
        front.resource(dir);
        etcd.put("/app/upstream/blue", &blue.address());
        let daemon = Retune::watch(dir).etcd(&etcd).spawn();
        front.eventually_serves(&["blue"]);
        Self { etcd, front, blue, green, dir, daemon }
    }

    /// Adds a server and waits until the proxy has it; returns when that was proven.
    pub fn add(&self, server: &Backend) -> Instant {
        self.etcd.put(&format!("/app/upstream/{}", server.name()), &server.address());
        self.front.eventually_serves(&["blue", "green"]);
        Instant::now()
    }

    /// Removes a server and waits until the proxy has only the other.
    pub fn remove(&self, server: &Backend) -> Instant {
        self.etcd.delete(&format!("/app/upstream/{}", server.name()));
        let other = if server.name() == "blue" { "green" } else { "blue" };
        self.front.eventually_serves(&[other]);
        Instant::now()
    }

    /// Switches from blue to green and back, `rounds` times: four reloads a round. Returns when each was proven.
    pub fn switch(&self, rounds: usize) -> Vec<Instant> {
        let steps = (0..rounds).flat_map(|_| {
            [self.add(&self.green), self.remove(&self.blue), self.add(&self.blue), self.remove(&self.green)]
        });
        steps.collect()
    }

    /// Replaces blue by green in the safe order: green in, blue out, the old workers gone, and only then blue itself.
    /// Returns when each reload was proven.
    pub fn replace(&self, until_old_workers_are_gone: impl Fn()) -> [Instant; 2] {
        let reloads = [self.add(&self.green), self.remove(&self.blue)];
        until_old_workers_are_gone();
        self.blue.kill();
        sleep(Duration::from_millis(300));
        reloads
    }

    /// Kills a server before the switch: the log of the requests must show it.
    pub fn assert_an_abrupt_shutdown_is_detected(self) {
        let load = Load::start(self.front.port, 2);
        sleep(FAILURE_DELAY);
        self.blue.kill();
        sleep(FAILURE_DELAY);
        self.add(&self.green);
        self.remove(&self.blue);
        let request_log = load.finish();
        assert!(request_log.failures(RequestKind::Fresh) > 0, "{request_log}");
        self.finish();
    }

    /// Returns how many reloads ran.
    pub fn reloads(&self) -> usize {
        self.dir.lines("reloads").len()
    }

    /// Ends the daemon as a service manager does.
    pub fn finish(self) {
        self.daemon.terminate();
    }
}

/// Compares the log of the clients with those of the servers: a request with a response was seen exactly once, and one
/// that was closed without a byte on a used connection by no server.
pub fn assert_totals_agree(request_log: &RequestLog, servers: [&Backend; 2]) {
    let seen = servers.map(Backend::seen);
    let times = |record: &Record| seen.iter().filter_map(|ids| ids.get(&record.id)).sum::<u32>();
    for record in &request_log.records {
        match record.class {
            ResponseClass::Ok => assert_eq!(times(record), 1, "{record:?}"),
            ResponseClass::ClosedReusedNoBytes => assert_eq!(times(record), 0, "safe to retry? {record:?}"),
            _ => {}
        }
    }
}

/// Asserts that fresh connections saw no failure, with enough requests in flight to be significant.
pub fn assert_no_failure_on_new_connections(request_log: &RequestLog, reloads: &[Instant]) {
    assert_eq!(request_log.failures(RequestKind::Fresh), 0, "{request_log}");
    let busy = reloads.iter().filter(|at| request_log.in_flight(**at) >= 2).count();
    assert!(
        busy * 10 >= reloads.len() * 8,
        "requests in flight over {busy} of {} reloads only",
        reloads.len()
    );
    assert!(
        request_log.count(RequestKind::Fresh, ResponseClass::Ok) > 500,
        "too little load to prove anything: {request_log}"
    );
}

/// Returns how many children of a process have `word` in their title.
pub fn old_children(master: u32, word: &str) -> usize {
    let Ok(entries) = fs::read_dir("/proc") else { return 0 };
    let children = entries.flatten().filter(|entry| {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The name in parentheses may contain spaces; after it come the state and the parent's id.
        let rest = stat.rsplit_once(')').map(|(_, rest)| rest.to_owned()).unwrap_or_default();
        if rest.split_whitespace().nth(1).and_then(|text| text.parse().ok()) != Some(master) {
            return false;
        }
        let title = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&title).contains(word)
    });
    children.count()
}

/// Long enough for a failing request to appear before the switch continues.
pub const FAILURE_DELAY: Duration = Duration::from_millis(100);
