//! The options of a member: etcd's names, etcd's defaults.

use super::super::options::{BACKUP, Commands, ETCD, Fate, Kind, MEMBER, RESTORE, Row, row};

const BOTH: Commands = MEMBER | ETCD;
/// What makes a new group also where it is made from a backup.
const FOUNDING: Commands = BOTH | RESTORE;
const PROXY: Kind = Kind::Choice(&["off", "readonly", "on"]);
const STATE: Kind = Kind::Choice(&["new", "existing"]);
const LOGGER: Kind = Kind::Choice(&["capnslog", "zap"]);
const LOCALHOST: &str = "http://localhost:2379";

const fn refused(name: &'static str, kind: Kind, reason: &'static str) -> Row {
    let mut row = row(name, kind, BOTH, "Refused: not part of this version");
    row.fate = Fate::Refused(reason);
    row
}

const fn ignored(name: &'static str, kind: Kind, reason: &'static str) -> Row {
    let mut row = row(name, kind, BOTH, "");
    row.fate = Fate::Ignored(reason);
    row
}

/// A name that etcd itself has not heeded since 2.0.
const fn old(name: &'static str) -> Row {
    let mut row = ignored(name, Kind::Switch, "it is no longer supported - ignoring");
    row.commands = ETCD;
    row
}

/// The member itself.
pub(in crate::settings) const MEMBER_ROWS: &[Row] = &[
    row("name", Kind::Text, FOUNDING, "Name of this member, for people").takes("NAME").default("default"),
    row("data-dir", Kind::Path, FOUNDING | BACKUP, "Folder that holds everything the member must not forget"),
    row("listen-client-urls", Kind::Text, BOTH, "Where clients are listened for, separated by commas")
        .takes("URLS")
        .default(LOCALHOST),
    row("advertise-client-urls", Kind::Text, BOTH, "Where clients are told to find this member")
        .takes("URLS")
        .default(LOCALHOST),
    row("snapshot-count", Kind::Number, BOTH, "Log entries from one snapshot to the next").default("100000"),
    row("heartbeat-interval", Kind::Number, BOTH, "Milliseconds from one heartbeat to the next")
        .default("100"),
    row("election-timeout", Kind::Number, BOTH, "Milliseconds without a leader before an election")
        .default("1000"),
    row(
        "quota-backend-bytes",
        Kind::Text,
        BOTH,
        "Size of the state from which on writes are refused; 0: none",
    )
    .takes("N")
    .default("0"),
    row("max-request-bytes", Kind::Bytes, BOTH, "Largest body of a request").default("10m"),
    row("debug", Kind::Switch, BOTH, "The same as --log-level debug"),
    row("logger", LOGGER, BOTH, "Accepted; --log-format decides the shape of log lines"),
    row("log-outputs", Kind::Text, BOTH, "Accepted when it is the one place logs go to: stderr")
        .takes("WORD")
        .default("stderr"),
    row("workers", Kind::Number, MEMBER, "Threads that serve clients").default("2"),
    row("enable-v2", Kind::Switch, BOTH, "Accepted; the v2 API is always served"),
    row(
        "config-file",
        Kind::Path,
        ETCD,
        "Settings file in YAML; beside it no other flag and no variable counts",
    ),
];

/// Saving what a store holds, and making one of it.
pub(in crate::settings) const BACKUP_ROWS: &[Row] = &[
    row("backup-file", Kind::Path, BACKUP | RESTORE, "The file; the last word alone means the same"),
    row("force", Kind::Switch, BACKUP, "Replace a file that is there already"),
];

/// The group it belongs to.
pub(in crate::settings) const CLUSTER_ROWS: &[Row] = &[
    row("initial-cluster", Kind::Text, FOUNDING, "The members at the start: NAME=URL, separated by commas")
        .takes("LIST"),
    row("initial-cluster-state", STATE, BOTH, "Whether the cluster is new or exists already").default("new"),
    row("initial-cluster-token", Kind::Text, FOUNDING, "Tells one cluster from another")
        .default("etcd-cluster"),
    row(
        "initial-advertise-peer-urls",
        Kind::Text,
        FOUNDING,
        "Where the other members are told to find this one; as etcd, http://localhost:2380 when not given",
    )
    .takes("URLS"),
    row(
        "listen-peer-urls",
        Kind::Text,
        BOTH,
        "Where other members are listened for; http://localhost:2380 when not given, but nowhere when nothing is said of others",
    )
    .takes("URLS"),
    row("force-new-cluster", Kind::Switch, BOTH, "Make the data folder's member the only one of its cluster"),
    row("proxy", PROXY, BOTH, "Forward to the members of --initial-cluster without being one").default("off"),
    row(
        "proxy-failure-wait",
        Kind::Number,
        BOTH,
        "Milliseconds for which a proxy leaves a failed member alone",
    )
    .default("5000"),
    row(
        "proxy-refresh-interval",
        Kind::Number,
        BOTH,
        "Milliseconds after which a proxy asks for the members anew",
    )
    .default("30000"),
    row(
        "proxy-dial-timeout",
        Kind::Number,
        BOTH,
        "Milliseconds that a proxy waits for a connection; 0: no limit",
    )
    .default("1000"),
    row(
        "proxy-write-timeout",
        Kind::Number,
        BOTH,
        "Milliseconds that a member may take in nothing; 0: no limit",
    )
    .default("5000"),
    row("proxy-read-timeout", Kind::Number, BOTH, "Milliseconds that a member may say nothing; 0: no limit")
        .default("0"),
    refused("wal-dir", Kind::Path, "the log cannot lie apart from --data-dir in this version; remove it"),
    row("discovery-srv", Kind::Text, BOTH, "Find the members of a new cluster through this domain's SRV records")
        .takes("DOMAIN"),
    row("discovery-srv-name", Kind::Text, BOTH, "What follows a hyphen in the names of those records")
        .takes("NAME"),
    refused(
        "discovery",
        Kind::Text,
        "a discovery service is not asked: the public one keeps no promise to stay, and who holds its URL decides who \
         your members are; write --initial-cluster, or --discovery-srv DOMAIN",
    ),
];

/// What crosses the network, and to whom.
pub(in crate::settings) const TRANSPORT_ROWS: &[Row] = &[
    row("cert-file", Kind::Path, BOTH, "PEM file of the certificate shown to clients"),
    row("key-file", Kind::Path, BOTH, "PEM file of its key"),
    row(
        "trusted-ca-file",
        Kind::Path,
        BOTH,
        "PEM file of the authorities that clients' certificates come from",
    ),
    row("ca-file", Kind::Path, BOTH, "The older name of --trusted-ca-file"),
    row("client-cert-auth", Kind::Switch, BOTH, "Let no client in without a certificate"),
    row("peer-cert-file", Kind::Path, BOTH, "PEM file of the certificate shown to other members"),
    row("peer-key-file", Kind::Path, BOTH, "PEM file of its key"),
    row(
        "peer-trusted-ca-file",
        Kind::Path,
        BOTH,
        "PEM file of the authorities that other members' certificates come from",
    ),
    row("peer-ca-file", Kind::Path, BOTH, "The older name of --peer-trusted-ca-file"),
    row("peer-client-cert-auth", Kind::Switch, BOTH, "Let no member in without a certificate"),
    row("cors", Kind::Text, BOTH, "Origins whose pages may use the API, separated by commas")
        .takes("LIST")
        .default("*"),
    row("host-whitelist", Kind::Text, BOTH, "Host names that a request without TLS may carry")
        .takes("LIST")
        .default("*"),
    row("auto-tls", Kind::Switch, BOTH, "Serve clients with a certificate made here, kept in --data-dir"),
    row("peer-auto-tls", Kind::Switch, BOTH, "Serve other members with one made here, and believe theirs"),
    refused("client-crl-file", Kind::Path, REVOCATION),
    refused("peer-crl-file", Kind::Path, REVOCATION),
    refused(
        "client-cert-allowed-hostname",
        Kind::Text,
        "names in clients' certificates are not compared by this version; remove it",
    ),
    refused("peer-cert-allowed-cn", Kind::Text, PEER_NAMES),
    refused("peer-cert-allowed-hostname", Kind::Text, PEER_NAMES),
    refused(
        "cipher-suites",
        Kind::Text,
        "suites cannot be chosen; all that are offered have forward secrecy and authenticated encryption",
    ),
    refused(
        "listen-metrics-urls",
        Kind::Text,
        "there is no second listener in this version; /metrics is served on the client port",
    ),
    refused("experimental-enable-v2v3", Kind::Text, "there is no v3 store to keep v2 keys in; remove it"),
];

const REVOCATION: &str = "revocation lists are not read by this version; remove it";
const PEER_NAMES: &str = "names in members' certificates are not compared by this version; use authorities that sign for members only";
const V3: &str = "it belongs to the v3 API, which this version does not serve";
const ENGINE: &str = "it tunes a storage engine that is not used here";

/// Accepted, so that a command line that served etcd serves here.
pub(in crate::settings) const IGNORED_ROWS: &[Row] = &[
    ignored("max-snapshots", Kind::Number, ""),
    ignored("max-wals", Kind::Number, ""),
    ignored("strict-reconfig-check", Kind::Switch, ""),
    ignored("pre-vote", Kind::Switch, ""),
    ignored("initial-election-tick-advance", Kind::Switch, ""),
    ignored("discovery-fallback", Kind::Text, "it belongs to --discovery"),
    ignored("discovery-proxy", Kind::Text, "it belongs to --discovery"),
    ignored("metrics", Kind::Text, ""),
    ignored("log-package-levels", Kind::Text, "--log-level holds for everything"),
    ignored("enable-pprof", Kind::Switch, "there is no Go runtime to look into"),
    ignored(
        "experimental-peer-skip-client-san-verification",
        Kind::Switch,
        "a member's certificate is not compared with the address it connects from",
    ),
    ignored("auto-compaction-retention", Kind::Text, V3),
    ignored("auto-compaction-mode", Kind::Text, V3),
    ignored("auth-token", Kind::Text, V3),
    ignored("auth-token-ttl", Kind::Number, V3),
    ignored("bcrypt-cost", Kind::Number, V3),
    ignored("max-txn-ops", Kind::Number, V3),
    ignored("max-concurrent-streams", Kind::Number, V3),
    ignored("grpc-keepalive-min-time", Kind::Text, V3),
    ignored("grpc-keepalive-interval", Kind::Text, V3),
    ignored("grpc-keepalive-timeout", Kind::Text, V3),
    ignored("experimental-enable-lease-checkpoint", Kind::Switch, V3),
    ignored("experimental-compaction-batch-limit", Kind::Number, V3),
    ignored("experimental-watch-progress-notify-interval", Kind::Text, V3),
    ignored("experimental-initial-corrupt-check", Kind::Switch, ENGINE),
    ignored("experimental-corrupt-check-time", Kind::Text, ENGINE),
    ignored("experimental-backend-bbolt-freelist-type", Kind::Text, ENGINE),
    ignored("experimental-warning-apply-duration", Kind::Text, ENGINE),
    ignored("backend-batch-interval", Kind::Text, ENGINE),
    ignored("backend-batch-limit", Kind::Number, ENGINE),
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
