//! The options of a member: etcd's names, etcd's defaults.

use super::super::invocation::CommandId::{self, Etcd, Store, StoreBackup, StoreRestore};
use super::super::row::ValueKind::{self, Bytes, Choice, Number, Path, Switch, Text};
use super::super::row::{Row, Support, row};

const BOTH: &[CommandId] = &[Store, Etcd];
/// The options of a new cluster also apply when it is created from a backup.
const FOUNDING: &[CommandId] = &[Store, Etcd, StoreRestore];
const PROXY: ValueKind = Choice(&["off", "readonly", "on"]);
const STATE: ValueKind = Choice(&["new", "existing"]);
const LOGGER: ValueKind = Choice(&["capnslog", "zap"]);
const LOCALHOST: &str = "http://localhost:2379";

const fn refused(name: &'static str, kind: ValueKind, reason: &'static str) -> Row {
    row(name, kind, BOTH, "Refused: not part of this version").support(Support::Refused(reason))
}

const fn ignored(name: &'static str, kind: ValueKind, reason: &'static str) -> Row {
    row(name, kind, BOTH, "").support(Support::Ignored(reason))
}

/// Returns the row of a flag that etcd itself has ignored since 2.0.
const fn old(name: &'static str) -> Row {
    row(name, Switch, &[Etcd], "").support(Support::Ignored("it is no longer supported - ignoring"))
}

/// The member itself.
pub(in crate::settings) const MEMBER_ROWS: &[Row] = &[
    row("name", Text, FOUNDING, "Name of this member, for people").takes("NAME").default("default"),
    row("data-dir", Path, &[Store, Etcd, StoreRestore, StoreBackup], "Folder for all of the member's data"),
    row("listen-client-urls", Text, BOTH, "Client URLs to listen on, separated by commas")
        .takes("URLS")
        .default(LOCALHOST),
    row("advertise-client-urls", Text, BOTH, "Client URLs to advertise, separated by commas")
        .takes("URLS")
        .default(LOCALHOST),
    row("snapshot-count", Number, BOTH, "Log entries from one snapshot to the next").default("100000"),
    row("heartbeat-interval", Number, BOTH, "Milliseconds from one heartbeat to the next").default("100"),
    row("election-timeout", Number, BOTH, "Milliseconds without a leader before an election").default("1000"),
    row("quota-backend-bytes", Text, BOTH, "Size of the state above which writes are refused; 0: no limit")
        .takes("N")
        .default("0"),
    row("max-request-bytes", Bytes, BOTH, "Largest body of a request").default("10m"),
    row("debug", Switch, BOTH, "The same as --log-level debug"),
    row("logger", LOGGER, BOTH, "Accepted; --log-format decides the shape of log lines"),
    row("log-outputs", Text, BOTH, "Accepted only as stderr, where logs go").default("stderr"),
    row("workers", Number, &[Store], "Threads that serve clients").default("2"),
    row("enable-v2", Switch, BOTH, "Accepted; the v2 API is always served"),
    row(
        "config-file",
        Path,
        &[Etcd],
        "Settings file in YAML; all other flags and variables are then ignored",
    ),
];

/// Backup and restore of a store.
pub(in crate::settings) const BACKUP_ROWS: &[Row] = &[
    row("backup-file", Path, &[StoreBackup, StoreRestore], "The file; the last word alone means the same"),
    row("force", Switch, &[StoreBackup], "Replace an existing file"),
];

/// The cluster of the member.
pub(in crate::settings) const CLUSTER_ROWS: &[Row] = &[
    row("initial-cluster", Text, FOUNDING, "The members at the start: NAME=URL, separated by commas")
        .takes("LIST"),
    row("initial-cluster-state", STATE, BOTH, "Whether the cluster is new or exists already").default("new"),
    row("initial-cluster-token", Text, FOUNDING, "Distinguishes this cluster from others")
        .default("etcd-cluster"),
    row(
        "initial-advertise-peer-urls",
        Text,
        FOUNDING,
        "Peer URLs to advertise; as etcd, http://localhost:2380 when not given",
    )
    .takes("URLS"),
    row(
        "listen-peer-urls",
        Text,
        BOTH,
        "Peer URLs to listen on; http://localhost:2380 when not given, but none for a single member",
    )
    .takes("URLS"),
    row("force-new-cluster", Switch, BOTH, "Make the data folder's member the only one of its cluster"),
    row("proxy", PROXY, BOTH, "Forward to the members of --initial-cluster without being one").default("off"),
    row("proxy-failure-wait", Number, BOTH, "Milliseconds for which a proxy does not use a failed member")
        .default("5000"),
    row(
        "proxy-refresh-interval",
        Number,
        BOTH,
        "Milliseconds between a proxy's refreshes of the member list",
    )
    .default("30000"),
    row("proxy-dial-timeout", Number, BOTH, "Milliseconds that a proxy waits for a connection; 0: no limit")
        .default("1000"),
    row("proxy-write-timeout", Number, BOTH, "Milliseconds that a write to a member may stall; 0: no limit")
        .default("5000"),
    row("proxy-read-timeout", Number, BOTH, "Milliseconds that a read from a member may stall; 0: no limit")
        .default("0"),
    refused("wal-dir", Path, "the log cannot lie apart from --data-dir in this version; remove it"),
    row("discovery-srv", Text, BOTH, "Find the members of a new cluster through this domain's SRV records")
        .takes("DOMAIN"),
    row("discovery-srv-name", Text, BOTH, "What follows a hyphen in the names of those records")
        .takes("NAME"),
    refused(
        "discovery",
        Text,
        "a discovery service is not used: the public one may disappear, and whoever holds its URL decides \
         who your members are; write --initial-cluster, or --discovery-srv DOMAIN",
    ),
];

/// TLS, CORS and host checks.
pub(in crate::settings) const TRANSPORT_ROWS: &[Row] = &[
    row("cert-file", Path, BOTH, "PEM file of the certificate shown to clients"),
    row("key-file", Path, BOTH, "PEM file of its key"),
    row("trusted-ca-file", Path, BOTH, "PEM file of the authorities that clients' certificates come from"),
    row("ca-file", Path, BOTH, "The older name of --trusted-ca-file"),
    row("client-cert-auth", Switch, BOTH, "Let no client in without a certificate"),
    row("peer-cert-file", Path, BOTH, "PEM file of the certificate shown to other members"),
    row("peer-key-file", Path, BOTH, "PEM file of its key"),
    row(
        "peer-trusted-ca-file",
        Path,
        BOTH,
        "PEM file of the authorities that other members' certificates come from",
    ),
    row("peer-ca-file", Path, BOTH, "The older name of --peer-trusted-ca-file"),
    row("peer-client-cert-auth", Switch, BOTH, "Let no member in without a certificate"),
    row(
        "peer-secret-file",
        Path,
        BOTH,
        "File of a secret that all members have, and without which none is accepted",
    ),
    row(
        "cors",
        Text,
        BOTH,
        "Origins whose web pages may use the API, separated by commas; * is all. Without it, all may only read",
    )
    .takes("LIST"),
    row("host-whitelist", Text, BOTH, "Host names that a request without TLS may carry")
        .takes("LIST")
        .default("*"),
    row("auto-tls", Switch, BOTH, "Serve clients with a certificate made here, kept in --data-dir"),
    row(
        "peer-auto-tls",
        Switch,
        BOTH,
        "Serve other members with a certificate made here, and do not verify theirs",
    ),
    refused("client-crl-file", Path, REVOCATION),
    refused("peer-crl-file", Path, REVOCATION),
    refused(
        "client-cert-allowed-hostname",
        Text,
        "names in clients' certificates are not compared by this version; remove it",
    ),
    refused("peer-cert-allowed-cn", Text, PEER_NAMES),
    refused("peer-cert-allowed-hostname", Text, PEER_NAMES),
    refused(
        "cipher-suites",
        Text,
        "suites cannot be chosen; all that are offered have forward secrecy and authenticated encryption",
    ),
    refused(
        "listen-metrics-urls",
        Text,
        "there is no second listener in this version; /metrics is served on the client port",
    ),
    refused("experimental-enable-v2v3", Text, "there is no v3 store to keep v2 keys in; remove it"),
];

const REVOCATION: &str = "revocation lists are not read by this version; remove it";
const PEER_NAMES: &str = "names in members' certificates are not compared by this version; use authorities that sign for members only";
const V3: &str = "it belongs to the v3 API, which this version does not serve";
const ENGINE: &str = "it tunes a storage engine that is not used here";

/// Accepted, so that a command line of etcd works here.
pub(in crate::settings) const IGNORED_ROWS: &[Row] = &[
    ignored("max-snapshots", Number, ""),
    ignored("max-wals", Number, ""),
    ignored("strict-reconfig-check", Switch, ""),
    ignored("pre-vote", Switch, ""),
    ignored("initial-election-tick-advance", Switch, ""),
    ignored("discovery-fallback", Text, "it belongs to --discovery"),
    ignored("discovery-proxy", Text, "it belongs to --discovery"),
    ignored("metrics", Text, ""),
    ignored("log-package-levels", Text, "--log-level holds for everything"),
    ignored("enable-pprof", Switch, "there is no Go runtime to look into"),
    ignored(
        "experimental-peer-skip-client-san-verification",
        Switch,
        "a member's certificate is not compared with the address it connects from",
    ),
    ignored("auto-compaction-retention", Text, V3),
    ignored("auto-compaction-mode", Text, V3),
    ignored("auth-token", Text, V3),
    ignored("auth-token-ttl", Number, V3),
    ignored("bcrypt-cost", Number, V3),
    ignored("max-txn-ops", Number, V3),
    ignored("max-concurrent-streams", Number, V3),
    ignored("grpc-keepalive-min-time", Text, V3),
    ignored("grpc-keepalive-interval", Text, V3),
    ignored("grpc-keepalive-timeout", Text, V3),
    ignored("experimental-enable-lease-checkpoint", Switch, V3),
    ignored("experimental-compaction-batch-limit", Number, V3),
    ignored("experimental-watch-progress-notify-interval", Text, V3),
    ignored("experimental-initial-corrupt-check", Switch, ENGINE),
    ignored("experimental-corrupt-check-time", Text, ENGINE),
    ignored("experimental-backend-bbolt-freelist-type", Text, ENGINE),
    ignored("experimental-warning-apply-duration", Text, ENGINE),
    ignored("backend-batch-interval", Text, ENGINE),
    ignored("backend-batch-limit", Number, ENGINE),
    old("cluster-active-size"),
    old("cluster-remove-delay"),
    old("cluster-sync-interval"),
    old("config"),
    old("force"),
    old("max-result-buffer"),
    old("max-retry-attempts"),
    old("peer-heartbeat-interval"),
    old("peer-election-timeout"),
    old("retry-interval"),
    old("snapshot"),
    old("v"),
    old("vv"),
];
