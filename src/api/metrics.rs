//! `/metrics`: this member's metrics for Prometheus.
//!
//! Names are etcd's, so that its dashboards and alerts work; metrics that etcd lacks begin with `retune_`.

use std::fmt::Write as _;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::StatusCode;
use hyper::header::HeaderValue;
use nix::sys::resource::{Resource, getrlimit};

use super::counters::{BUCKET_COUNT, Counters, KINDS, STATUSES, seconds};
use super::respond::{self, ApiResponse};
use super::shared::ConnState;
use crate::consensus::{PeerMetrics, ReplicaMetrics};
use crate::log_queue;

/// Returns all metrics, each name with its help and type.
pub(super) fn handle(conn: &ConnState) -> ApiResponse {
    let mut page = MetricsPage::new();
    page.server(conn);
    page.requests(&conn.shared.counters);
    page.store(conn);
    page.connections(conn);
    page.log(&conn.shared.handle.metrics());
    page.peers(&conn.shared.handle.peers());
    page.process();
    self::page(page)
}

/// Returns a complete page.
pub(super) fn page(page: MetricsPage) -> ApiResponse {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    respond::typed(StatusCode::OK, kind, page.out)
}

/// Metrics in Prometheus' text format.
pub(super) struct MetricsPage {
    out: String,
}

impl MetricsPage {
    pub(super) fn new() -> Self {
        Self { out: String::with_capacity(16 << 10) }
    }

    pub(super) fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    pub(super) fn line(&mut self, line: std::fmt::Arguments<'_>) {
        self.out.write_fmt(line).expect("a string takes all");
        self.out.push('\n');
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "counter", help);
        self.line(format_args!("{name} {value}"));
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "gauge", help);
        self.line(format_args!("{name} {value}"));
    }

    fn label(&mut self, name: &str, help: &str, label: &str, value: &str) {
        self.head(name, "gauge", help);
        self.line(format_args!("{name}{{{label}=\"{value}\"}} 1"));
    }

    fn server(&mut self, conn: &ConnState) {
        let (handle, info) = (&conn.shared.handle, &conn.shared.info);
        let (members, metrics) = (handle.members(), handle.metrics());
        let minor = info.cluster_version.rsplit_once('.').map_or("", |(minor, _)| minor);
        let id = format!("{:x}", members.own_id);
        let leads = members.leader == Some(members.own_id);
        self.label(
            "etcd_cluster_version",
            "The version that all members have in common.",
            "cluster_version",
            minor,
        );
        self.label(
            "etcd_server_version",
            "The version of etcd whose API this is.",
            "server_version",
            &info.server_version,
        );
        self.label("etcd_server_id", "The id of this member in hexadecimal.", "server_id", &id);
        self.gauge(
            "etcd_server_has_leader",
            "Whether a leader is known.",
            u64::from(members.leader.is_some()),
        );
        self.gauge("etcd_server_is_leader", "Whether this member leads.", u64::from(leads));
        let own = members.all.iter().find(|member| member.id == members.own_id);
        let learner = own.is_some_and(|member| member.learner);
        self.gauge("etcd_server_is_learner", "Whether this member has no vote.", u64::from(learner));
        self.counter(
            "etcd_server_leader_changes_seen_total",
            "Changes of leader seen.",
            metrics.leader_changes,
        );
        // Gauges in etcd too: they follow the log's index, which does not restart at zero.
        self.gauge(
            "etcd_server_proposals_committed_total",
            "The highest log index committed.",
            metrics.committed,
        );
        self.gauge("etcd_server_proposals_applied_total", "The highest log index applied.", metrics.applied);
        self.gauge("etcd_server_proposals_pending", "Proposals waiting for their result.", metrics.pending);
        self.gauge(
            "retune_replica_queue_length",
            "Requests and messages of members that wait for the replica.",
            metrics.queued,
        );
        self.counter("etcd_server_proposals_failed_total", "Proposals that failed.", metrics.failed);
        let counters = &conn.shared.counters;
        self.counter("etcd_server_health_success", "Health checks passed.", get(&counters.healthy));
        self.counter("etcd_server_health_failures", "Health checks failed.", get(&counters.unhealthy));
        self.counter("etcd_server_heartbeat_send_failures_total", "Heartbeats that were sent too late.", 0);
    }

    /// Writes one metric of each other member.
    fn each_peer(
        &mut self,
        (name, kind, help): (&str, &str, &str),
        peers: &[PeerMetrics],
        value: impl Fn(&PeerMetrics) -> f64,
    ) {
        self.head(name, kind, help);
        for peer in peers {
            self.line(format_args!("{name}{{To=\"{:x}\"}} {}", peer.id, value(peer)));
        }
    }

    fn peers(&mut self, peers: &[PeerMetrics]) {
        if peers.is_empty() {
            return;
        }
        let count = |figure: u64| figure as f64;
        let gauge = |name, help| (name, "gauge", help);
        let counter = |name, help| (name, "counter", help);
        let active = gauge("etcd_network_active_peers", "Whether the stream to the member is open.");
        self.each_peer(active, peers, |peer| f64::from(u8::from(peer.connected)));
        let sent = counter("etcd_network_peer_sent_bytes_total", "Bytes sent to the member.");
        self.each_peer(sent, peers, |peer| count(peer.sent_bytes));
        let received = counter("etcd_network_peer_received_bytes_total", "Bytes received from the member.");
        self.each_peer(received, peers, |peer| count(peer.received_bytes));
        let lost = counter("etcd_network_peer_sent_failures_total", "Broken streams and overflowing queues.");
        self.each_peer(lost, peers, |peer| count(peer.fail));
        let latency = gauge("retune_peer_round_trip_seconds", "The round-trip time of the last ping.");
        self.each_peer(latency, peers, |peer| peer.latency.current / 1000.0);
        let queued = gauge("retune_peer_queue_bytes", "Bytes that wait to be sent to the member.");
        self.each_peer(queued, peers, |peer| count(peer.queued));
        let dropped = counter("retune_peer_dropped_messages_total", "Messages that were dropped on the way.");
        self.each_peer(dropped, peers, |peer| count(peer.dropped));
    }

    fn requests(&mut self, counters: &Counters) {
        let rows = || KINDS.iter().zip(&counters.rows).filter(|(_, row)| get(&row.received) > 0);
        let name = "etcd_http_received_total";
        self.head(name, "counter", "Requests to keys that were understood.");
        for (kind, row) in rows() {
            self.line(format_args!("{name}{{method=\"{kind}\"}} {}", get(&row.received)));
        }
        let name = "etcd_http_failed_total";
        self.head(name, "counter", "Requests to keys that were refused, watches aside.");
        for (kind, row) in rows() {
            for (status, count) in STATUSES.iter().zip(&row.failed).filter(|(_, count)| get(count) > 0) {
                let count = get(count);
                self.line(format_args!("{name}{{code=\"{status}\",method=\"{kind}\"}} {count}"));
            }
        }
        let name = "etcd_http_successful_duration_seconds";
        self.head(name, "histogram", "How long requests to keys took, watches aside.");
        for (kind, row) in rows() {
            self.durations(name, kind, row.within.each_ref().map(get), get(&row.nanoseconds) as f64 / 1e9);
        }
    }

    /// Writes the row of a histogram of requests. `within` counts them by the lowest bound that covers them; the last
    /// element counts those beyond all.
    pub(super) fn durations(&mut self, name: &str, method: &str, within: [u64; BUCKET_COUNT + 1], took: f64) {
        let mut sum = 0;
        for (at, count) in within.into_iter().enumerate() {
            sum += count;
            let bound = if at < BUCKET_COUNT { seconds(at).to_string() } else { "+Inf".to_owned() };
            self.line(format_args!("{name}_bucket{{method=\"{method}\",le=\"{bound}\"}} {sum}"));
        }
        self.line(format_args!("{name}_sum{{method=\"{method}\"}} {took}"));
        self.line(format_args!("{name}_count{{method=\"{method}\"}} {sum}"));
    }

    fn store(&mut self, conn: &ConnState) {
        let counters = &conn.shared.counters;
        let counts = conn.shared.handle.view(|keyspace| keyspace.counts());
        let name = "etcd_debugging_store_reads_total";
        self.head(name, "counter", "Reads of keys, by action, local to this member.");
        self.line(format_args!("{name}{{action=\"get\"}} {}", get(&counters.reads)));
        self.line(format_args!("{name}{{action=\"getRecursive\"}} {}", get(&counters.recursive_reads)));
        let name = "etcd_debugging_store_writes_total";
        self.head(name, "counter", "Changes of keys, by action, seen by this member.");
        for (action, count) in [
            ("set", counts.sets_success),
            ("create", counts.create_success),
            ("update", counts.update_success),
            ("compareAndSwap", counts.compare_and_swap_success),
            ("delete", counts.delete_success),
            ("compareAndDelete", counts.compare_and_delete_success),
        ] {
            self.line(format_args!("{name}{{action=\"{action}\"}} {count}"));
        }
        self.counter("etcd_debugging_store_expires_total", "Keys that expired.", counts.expire_count);
        let watches = get(&counters.watches);
        self.counter("etcd_debugging_store_watch_requests_total", "Watches asked for.", watches);
        self.gauge("etcd_debugging_store_watchers", "Watches open.", counts.watchers);
    }

    fn connections(&mut self, conn: &ConnState) {
        let taken = conn.shared.connections() as u64;
        self.gauge("retune_store_client_connections", "Connections of clients.", taken);
    }

    fn log(&mut self, metrics: &ReplicaMetrics) {
        self.gauge("retune_store_queue_length", "Proposals waiting for their result.", metrics.pending);
        self.gauge("retune_store_log_bytes", "Bytes of the log on disk.", metrics.log_bytes);
        self.gauge("retune_store_snapshot_index", "Log index of the last snapshot.", metrics.snapshot_index);
        let name = "retune_store_sync_duration_seconds";
        self.head(name, "histogram", "How long syncs of the log to disk took.");
        for (bound, count) in metrics.sync_buckets.iter().filter(|(bound, _)| bound.is_finite()) {
            self.line(format_args!("{name}_bucket{{le=\"{bound}\"}} {count}"));
        }
        self.line(format_args!("{name}_bucket{{le=\"+Inf\"}} {}", metrics.syncs));
        self.line(format_args!("{name}_sum {}", metrics.sync_seconds));
        self.line(format_args!("{name}_count {}", metrics.syncs));
    }

    pub(super) fn process(&mut self) {
        self.counter(
            "retune_log_lines_dropped_total",
            "Log lines that were dropped because standard error was not read.",
            log_queue::dropped(),
        );
        let files = fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64);
        let most = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
        self.gauge("process_open_fds", "Files this process has open.", files);
        self.gauge("process_max_fds", "Files this process may have open.", most);
        self.gauge("process_resident_memory_bytes", "Memory this process holds.", resident_bytes());
    }
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Returns the memory of this process; 0 where the system does not report it.
pub(super) fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kibibytes.unwrap_or_default() * 1024
}
