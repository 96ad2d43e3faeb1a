//! The table of options. Flags, environment names, file keys, help and completions all come from these rows.

use super::row::{
    BACKUP, CHECK, CONFD, Commands, DIFF, ETCD, MEMBER, PLACE, REGISTER, REGISTER_STATUS, REGISTER_STOP,
    RENDER, RESTORE, Row, Support, ValueKind, WATCH, row,
};

const STORE: Commands = RENDER | WATCH | DIFF | CONFD;
const ALL: Commands = STORE | CHECK;
/// All commands that handle a store of our own.
const SERVED: Commands = MEMBER | ETCD | BACKUP | RESTORE;
/// All commands that handle containers and nodes.
const CONTAINERS: Commands = REGISTER | REGISTER_STATUS | REGISTER_STOP | PLACE;
/// The commands that are clients of a store.
const ASKING: Commands = STORE | BACKUP | REGISTER | PLACE;
/// The commands that log.
const LOGGED: Commands = ALL | SERVED | CONTAINERS;
const RUN: Commands = RENDER | WATCH | CONFD;

/// The commands with their names, in the order of the help.
pub(super) const COMMANDS: &[(&str, Commands, &str)] = &[
    ("render", RENDER, "Render every resource once and exit"),
    ("watch", WATCH, "Keep files rendered: follow the store, check, swap, reload"),
    ("diff", DIFF, "Show what would change, as a unified diff; touch nothing"),
    ("check", CHECK, "Find mistakes in resources and templates; no store needed"),
    ("store", MEMBER, "Host one member of the store that etcd's v2 clients speak to"),
    ("store backup", BACKUP, "Back up a store to one file, while it runs or from a stopped member's folder"),
    ("store restore", RESTORE, "Make a member of a new cluster from a backup, in an empty folder"),
    (
        "register",
        REGISTER,
        "Register the running containers of this host in a store, each with its health and a lease",
    ),
    ("register status", REGISTER_STATUS, "Show every container, key and check of the running registrar"),
    ("register stop", REGISTER_STOP, "Remove a container's keys, wait for its consumers, then stop it"),
    ("place", PLACE, "Choose the node for a container, from what the registrars publish"),
];

const fn refused(name: &'static str, kind: ValueKind, reason: &'static str) -> Row {
    let mut row = row(name, kind, CONFD, "Refused: needs a backend that this version does not read");
    row.support = Support::Refused(reason);
    row
}

const fn idle(name: &'static str, kind: ValueKind, reason: &'static str) -> Row {
    let mut row = row(name, kind, CONFD, "");
    row.support = Support::Idle(reason);
    row
}

const BACKENDS: ValueKind = ValueKind::Choice(&["etcd", "store", "etcdv3", "env", "file"]);
const LEVELS: ValueKind = ValueKind::Choice(&["debug", "info", "warn", "error"]);
const FORMATS: ValueKind = ValueKind::Choice(&["text", "json"]);
const COLOURS: ValueKind = ValueKind::Choice(&["auto", "always", "never"]);
const REPORTS: ValueKind = ValueKind::Choice(&["text", "json", "junit"]);
const READY: ValueKind = ValueKind::Choice(&["in-service", "rendered"]);
const SCHEMES: ValueKind = ValueKind::Choice(&["http", "https"]);

const MODE: &[Row] = &[
    row("onetime", ValueKind::Switch, CONFD, "Render once and exit"),
    row("watch", ValueKind::Switch, CONFD, "Follow the store instead of asking at intervals"),
    row("poll", ValueKind::Switch, WATCH, "Do not follow the store; only look every --interval"),
    row(
        "interval",
        ValueKind::Span,
        WATCH | CONFD,
        "How often everything is checked again; 0: never, while following",
    )
    .default("600"),
    row("noop", ValueKind::Switch, RUN, "Change nothing and run nothing; only report what is out of sync"),
    row("sync-only", ValueKind::Switch, RUN, "Write files, but run neither check nor reload commands"),
    row("keep-stage-file", ValueKind::Switch, RUN, "Leave staged files beside their destination"),
    row("force", ValueKind::Switch, RENDER, "Run every reload command, also when nothing changed"),
    row(
        "root",
        ValueKind::Path,
        RENDER | DIFF,
        "Put destinations below this folder (/etc/app.conf is PATH/etc/app.conf), and their folders too; no check, reload \
         or state of this host",
    ),
];

const WHAT: &[Row] = &[
    row("confdir", ValueKind::Path, ALL, "Folder that holds conf.d and templates"),
    row("config-file", ValueKind::Path, ALL | MEMBER | BACKUP | RESTORE | CONTAINERS, "Settings file"),
    row(
        "prefix",
        ValueKind::Text,
        ALL | REGISTER,
        "Key prefix: replaces that of each resource, or is the directory of all registered keys",
    )
    .takes("KEY"),
    row("resource", ValueKind::List, ALL, "Only this resource, by file name; may be repeated").takes("NAME"),
    row(
        "state-dir",
        ValueKind::Path,
        RUN | DIFF,
        "Folder for pending reloads and the last good values; none keeps nothing",
    ),
    row("redact", ValueKind::Repeat, ALL, "Keys whose values are never shown; may be repeated")
        .takes("KEYGLOB"),
];

const SOURCE: &[Row] = &[
    row("backend", BACKENDS, STORE, "Where values come from").default("etcd"),
    row(
        "endpoints",
        ValueKind::List,
        ASKING,
        "URLs of the store's members, separated by commas; may be repeated; one that responds is enough",
    )
    .takes("URL")
    .short('n')
    .also(&["endpoint", "peers", "node", "nodes", "etcd"])
    .default("http://127.0.0.1:2379"),
    row("scheme", SCHEMES, STORE, "Scheme of nodes that are given or found without one").default("http"),
    row("srv-domain", ValueKind::Text, STORE, "Find the nodes through SRV record _BACKEND._tcp.DOMAIN.")
        .takes("DOMAIN"),
    row("srv-record", ValueKind::Text, STORE, "Find the nodes through this SRV record").takes("RECORD"),
    row(
        "no-sync",
        ValueKind::Switch,
        ASKING,
        "Use only the URLs given; without it the members are learnt from the store, and the URLs given are the way \
         back",
    ),
    row("client-cert", ValueKind::Path, ASKING, "PEM file of the client certificate"),
    row("client-key", ValueKind::Path, ASKING, "PEM file of the client certificate's key"),
    row("client-ca-keys", ValueKind::Path, ASKING, "PEM file of the authorities to trust")
        .also(&["client-cakeys"]),
    row("client-insecure", ValueKind::Switch, ASKING, "Accept any server certificate; for tests only"),
    row("username", ValueKind::Text, ASKING, "User name at the store").takes("NAME"),
    row(
        "password",
        ValueKind::Text,
        ASKING,
        "Password at the store; shows in process lists, so prefer --password-file",
    ),
    row("password-file", ValueKind::Path, ASKING, "File that holds the password"),
    row(
        "basic-auth",
        ValueKind::Switch,
        ASKING,
        "Log in with --username; on when that is given, off with =false",
    ),
    row("file", ValueKind::Paths, STORE, "File or folder of the file backend; may be repeated"),
    row("filter", ValueKind::Text, STORE, "Which files of a folder count").takes("GLOB").default("*"),
];

const BOUNDS: &[Row] = &[
    row("backend-timeout", ValueKind::Span, STORE | REGISTER | PLACE, "Time limit of one request")
        .default("5s"),
    row("timeout", ValueKind::Span, RENDER | DIFF | CONFD, "Time limit of the whole run").default("30s"),
    row("debounce", ValueKind::Span, WATCH | CONFD, "How long a change waits for the next one").default("0"),
    row("max-wait", ValueKind::Span, WATCH | CONFD, "How long it waits at most").default("10s"),
    row("check-timeout", ValueKind::Span, RUN, "Time limit of a check command")
        .default("30s")
        .also(&["check-cmd-timeout"]),
    row("reload-timeout", ValueKind::Span, RUN, "Time limit of a reload command")
        .default("60s")
        .also(&["reload-cmd-timeout"]),
    row(
        "shutdown-timeout",
        ValueKind::Span,
        RUN,
        "How long a running command may continue after a stop signal",
    )
    .default("30s"),
    row("ready", READY, WATCH, "Send READY once every resource has a file in service, or has rendered")
        .default("in-service"),
    row("ready-timeout", ValueKind::Span, WATCH, "Send READY after this time in any case; 0 waits for ever")
        .default("0"),
    row("fuel", ValueKind::Number, ALL, "Steps that one template may take").default("100000000"),
    row("max-output", ValueKind::Bytes, ALL, "Bytes that one template may write").default("64m"),
];

const REPORT: &[Row] = &[
    row("data", ValueKind::Path, CHECK, "Render with the values of this file"),
    row(
        "expect",
        ValueKind::Path,
        CHECK,
        "Compare with the expected files in this folder: /etc/app.conf as PATH/etc/app.conf, or as \
         PATH/app.conf where only that is there; needs --data",
    ),
    row("update", ValueKind::Switch, CHECK, "Write the files of --expect instead of comparing with them"),
    row("format", REPORTS, CHECK, "Format of the report").default("text"),
    row("output", FORMATS, RENDER | DIFF | REGISTER_STATUS | PLACE, "Format of the result").default("text"),
    row("context", ValueKind::Number, DIFF, "Unchanged lines around each change").default("3"),
    row("log-level", LEVELS, LOGGED, "Least urgent log line to write").default("info"),
    row("log-format", FORMATS, LOGGED, "Format of log lines").default("text"),
    row("color", COLOURS, LOGGED, "When to colour").also(&["colour"]).default("auto"),
];

const VAULT: &str = "it belongs to the vault backend, which this version does not read; remove it";

/// Flags of confd that have no meaning here.
const FOREIGN: &[Row] = &[
    refused("app-id", ValueKind::Text, VAULT),
    refused("user-id", ValueKind::Text, VAULT),
    refused("role-id", ValueKind::Text, VAULT),
    refused("secret-id", ValueKind::Text, VAULT),
    refused("auth-type", ValueKind::Text, VAULT),
    refused("path", ValueKind::Text, VAULT),
    refused(
        "auth-token",
        ValueKind::Text,
        "tokens belong to the vault and consul backends, which this version does not read; etcd takes -username and \
         -password",
    ),
    refused(
        "table",
        ValueKind::Text,
        "it belongs to the dynamodb backend, which this version does not read; remove it",
    ),
    refused(
        "separator",
        ValueKind::Text,
        "it belongs to the redis backend, which this version does not read; remove it",
    ),
    idle("failure-mode", ValueKind::Text, "a failing resource never prevents the others from being rendered"),
    idle("batch-interval", ValueKind::Span, "changes are combined with -debounce and -max-wait"),
    idle("template-cache", ValueKind::Switch, "templates are always kept and re-read when they change"),
    idle("stat-cache-ttl", ValueKind::Span, "templates are always kept and re-read when they change"),
    idle("dial-timeout", ValueKind::Span, "-backend-timeout bounds connecting as well"),
    idle("read-timeout", ValueKind::Span, "-backend-timeout bounds a whole request"),
    idle("write-timeout", ValueKind::Span, "-backend-timeout bounds a whole request"),
    idle("retry-max-attempts", ValueKind::Number, "retries continue, with growing pauses"),
    idle("retry-base-delay", ValueKind::Span, "retries continue, with growing pauses"),
    idle("retry-max-delay", ValueKind::Span, "retries continue, with growing pauses"),
    idle("watch-error-backoff", ValueKind::Span, "retries continue, with growing pauses"),
    idle("preflight-timeout", ValueKind::Span, "`retune check` looks for mistakes before a start"),
    idle("systemd-notify", ValueKind::Switch, "readiness is always reported when NOTIFY_SOCKET is set"),
    idle("watchdog-interval", ValueKind::Span, "this version feeds no watchdog"),
    idle("check-config", ValueKind::Switch, "`retune check` looks for mistakes"),
    idle("validate", ValueKind::Switch, "`retune check` looks for mistakes"),
    idle("preflight", ValueKind::Switch, "`retune check` looks for mistakes"),
    idle("mock-data", ValueKind::Path, "`retune check --data` renders with values from a file"),
    idle("diff", ValueKind::Switch, "`retune diff` shows what would change"),
    idle("diff-context", ValueKind::Number, "`retune diff --context` shows what would change"),
    idle("metrics-addr", ValueKind::Text, "this version serves no metrics"),
];

/// Backends of the other tools, so that they can be refused by name.
pub(super) const FOREIGN_BACKENDS: &[&str] = &[
    "consul",
    "vault",
    "zookeeper",
    "redis",
    "dynamodb",
    "rancher",
    "ssm",
    "secretsmanager",
    "acm",
    "imds",
    "nats",
];

/// The rows under the headings of the help.
pub(super) const GROUPS: &[(&str, &[Row])] = &[
    ("Mode", MODE),
    ("Resources", WHAT),
    ("Source", SOURCE),
    ("Bounds", BOUNDS),
    ("Backup", super::member::BACKUP_ROWS),
    ("Engine", super::register::ENGINE_ROWS),
    ("Registrar", super::register::REGISTRAR_ROWS),
    ("Keys", super::register::KEY_ROWS),
    ("Health", super::register::HEALTH_ROWS),
    ("Own container", super::register::OWN_ROWS),
    ("Stopping", super::register::STOP_ROWS),
    ("Wishes", super::place::WISH_ROWS),
    ("Answer", super::place::ANSWER_ROWS),
    ("Member", super::member::MEMBER_ROWS),
    ("Cluster", super::member::CLUSTER_ROWS),
    ("Transport", super::member::TRANSPORT_ROWS),
    ("Report", REPORT),
    ("Foreign to this version", FOREIGN),
    ("Without effect", super::member::IGNORED_ROWS),
];

/// Returns every row.
pub(super) fn rows() -> impl Iterator<Item = &'static Row> {
    GROUPS.iter().flat_map(|(_, rows)| rows.iter())
}

/// Returns the row of a flag, by any of its names; if there are several, the one of these commands.
pub(super) fn flag_of(commands: Commands, name: &str) -> Option<&'static Row> {
    let mut own = rows().filter(|row| row.commands & commands != 0);
    own.find(|row| row.names().any(|own| own == name)).or_else(|| flag(name))
}

/// Returns the row of a flag, by any of its names.
pub(super) fn flag(name: &str) -> Option<&'static Row> {
    let letter = {
        let mut chars = name.chars();
        chars.next().filter(|_| chars.next().is_none())
    };
    rows().find(|row| row.names().any(|own| own == name) || (letter.is_some() && row.short == letter))
}

/// Returns the row of a file key: case, hyphens and underscores do not count (`sync-only`, `sync_only`, `SyncOnly`).
pub(super) fn key(name: &str) -> Option<&'static Row> {
    let wanted = plain(name);
    // A settings file cannot name another one.
    rows().find(|row| row.name != "config-file" && row.names().any(|own| plain(own) == wanted))
}

pub(super) fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect()
}

/// Returns the environment variable of an option.
pub(super) fn variable(start: &str, name: &str) -> String {
    format!("{start}_{}", name.replace('-', "_").to_ascii_uppercase())
}

/// Returns the option that a word without a flag belongs to, and its name in usage lines.
pub(super) fn operand(command: Commands) -> Option<(&'static Row, &'static str)> {
    let (name, called) = match command {
        BACKUP | RESTORE => ("backup-file", "FILE"),
        REGISTER_STOP => ("container", "CONTAINER"),
        _ => return None,
    };
    Some((flag_of(command, name)?, called))
}

/// Returns the name in usage lines of an option that is a word without a flag.
pub(super) fn operand_word(name: &str) -> Option<&'static str> {
    let mut operands = COMMANDS.iter().filter_map(|(_, command, _)| operand(*command));
    operands.find(|(row, _)| row.name == name).map(|(_, called)| called)
}

/// Returns a command's name in messages.
pub(super) fn title(command: Commands) -> &'static str {
    let without = if command == ETCD { "etcd's command line" } else { "confd's command line" };
    COMMANDS.iter().find(|(_, own, _)| *own == command).map_or(without, |(name, _, _)| name)
}
