//! The tables of commands and options. Flags, environment names, file keys, help and completions all come from these
//! rows.

use super::invocation::CommandId::{
    self, Check, Confd, Diff, Etcd, Place, Register, RegisterStatus, RegisterStop, Render, Store,
    StoreBackup, StoreRestore, Watch,
};
use super::row::{Row, Support, ValueKind, row};
use super::spec::CommandSpec;
use super::{member, place, register, resources};

/// The commands that read values.
const RENDERING: &[CommandId] = &[Render, Watch, Diff, Confd];
/// The commands that handle resources.
const RESOURCES: &[CommandId] = &[Render, Watch, Diff, Confd, Check];
/// The commands that write files of resources.
const WRITING: &[CommandId] = &[Render, Watch, Confd];
/// The commands that are clients of a store.
const ASKING: &[CommandId] = &[Render, Watch, Diff, Confd, StoreBackup, Register, Place];
/// The commands that print a result.
const PRINTING: &[CommandId] = &[Render, Diff, RegisterStatus, Place];
const EVERY: [CommandId; 13] = [
    Etcd,
    Confd,
    Render,
    Watch,
    Diff,
    Check,
    Store,
    StoreBackup,
    StoreRestore,
    Register,
    RegisterStatus,
    RegisterStop,
    Place,
];
const ALL: &[CommandId] = &EVERY;
/// All but etcd, whose settings file has another format.
const WITH_FILE: &[CommandId] = EVERY.split_at(1).1;
/// The commands of `retune`, in the order of the help.
pub(super) const COMMANDS: &[CommandId] = EVERY.split_at(2).1;

impl CommandId {
    /// Returns what the command has of its own.
    pub(super) const fn spec(self) -> &'static CommandSpec {
        match self {
            Render => &resources::RENDER,
            Watch => &resources::WATCH,
            Diff => &resources::DIFF,
            Check => &resources::CHECK,
            Confd => &resources::CONFD,
            Store => &member::STORE,
            Etcd => &member::ETCD,
            StoreBackup => &member::BACKUP,
            StoreRestore => &member::RESTORE,
            Register => &register::REGISTER,
            RegisterStatus => &register::STATUS,
            RegisterStop => &register::STOP,
            Place => &place::PLACE,
        }
    }

    /// Returns the command of `retune` with this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        COMMANDS.iter().copied().find(|command| command.spec().name == name)
    }

    /// Returns the command's name in messages.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Confd => "confd's command line",
            Etcd => "etcd's command line",
            own => own.spec().name,
        }
    }
}

const fn refused(name: &'static str, kind: ValueKind, reason: &'static str) -> Row {
    let mut row = row(name, kind, &[Confd], "Refused: needs a backend that this version does not read");
    row.support = Support::Refused(reason);
    row
}

const fn idle(name: &'static str, kind: ValueKind, reason: &'static str) -> Row {
    let mut row = row(name, kind, &[Confd], "");
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
    row("onetime", ValueKind::Switch, &[Confd], "Render once and exit"),
    row("watch", ValueKind::Switch, &[Confd], "Follow the store instead of asking at intervals"),
    row("poll", ValueKind::Switch, &[Watch], "Do not follow the store; only read it every --interval"),
    row(
        "interval",
        ValueKind::Span,
        &[Watch, Confd],
        "How often everything is checked again; 0: never, while following",
    )
    .default("600"),
    row(
        "noop",
        ValueKind::Switch,
        WRITING,
        "Change nothing and run nothing; only report what is out of sync",
    ),
    row("sync-only", ValueKind::Switch, WRITING, "Write files, but run neither check nor reload commands"),
    row("keep-stage-file", ValueKind::Switch, WRITING, "Leave staged files beside their destination"),
    row("force", ValueKind::Switch, &[Render], "Run every reload command, also when nothing changed"),
    row(
        "root",
        ValueKind::Path,
        &[Render, Diff],
        "Put destinations below this folder (/etc/app.conf is PATH/etc/app.conf), and their folders too; no check, reload \
         or state of this host",
    ),
];

const WHAT: &[Row] = &[
    row("confdir", ValueKind::Path, RESOURCES, "Folder that holds conf.d and templates"),
    row("config-file", ValueKind::Path, WITH_FILE, "Settings file"),
    row(
        "prefix",
        ValueKind::Text,
        &[Render, Watch, Diff, Confd, Check, Register],
        "Key prefix: replaces that of each resource, or is the directory of all registered keys",
    )
    .takes("KEY"),
    row("resource", ValueKind::List, RESOURCES, "Only this resource, by file name; may be repeated")
        .takes("NAME"),
    row(
        "state-dir",
        ValueKind::Path,
        &[Render, Watch, Confd, Diff],
        "Folder for pending reloads and the last good values; none keeps nothing",
    ),
    row("redact", ValueKind::Repeat, RESOURCES, "Keys whose values are never shown; may be repeated")
        .takes("KEYGLOB"),
];

const SOURCE: &[Row] = &[
    row("backend", BACKENDS, RENDERING, "Where values come from").default("etcd"),
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
    row("scheme", SCHEMES, RENDERING, "Scheme of nodes that are given or found without one").default("http"),
    row("srv-domain", ValueKind::Text, RENDERING, "Find the nodes through SRV record _BACKEND._tcp.DOMAIN.")
        .takes("DOMAIN"),
    row("srv-record", ValueKind::Text, RENDERING, "Find the nodes through this SRV record").takes("RECORD"),
    row(
        "no-sync",
        ValueKind::Switch,
        ASKING,
        "Use only the URLs given; without it the members are learnt from the store, and the URLs given are a \
         fallback",
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
    row("file", ValueKind::Paths, RENDERING, "File or folder of the file backend; may be repeated"),
    row("filter", ValueKind::Text, RENDERING, "Which files of a folder count").takes("GLOB").default("*"),
];

const BOUNDS: &[Row] = &[
    row(
        "backend-timeout",
        ValueKind::Span,
        &[Render, Watch, Diff, Confd, Register, Place],
        "Time limit of one request",
    )
    .default("5s"),
    row("timeout", ValueKind::Span, &[Render, Diff, Confd], "Time limit of the whole run").default("30s"),
    row("debounce", ValueKind::Span, &[Watch, Confd], "How long a change waits for the next one")
        .default("0"),
    row("max-wait", ValueKind::Span, &[Watch, Confd], "How long it waits at most").default("10s"),
    row("check-timeout", ValueKind::Span, WRITING, "Time limit of a check command")
        .default("30s")
        .also(&["check-cmd-timeout"]),
    row("reload-timeout", ValueKind::Span, WRITING, "Time limit of a reload command")
        .default("60s")
        .also(&["reload-cmd-timeout"]),
    row(
        "shutdown-timeout",
        ValueKind::Span,
        WRITING,
        "How long a running command may continue after a stop signal",
    )
    .default("30s"),
    row("ready", READY, &[Watch], "Send READY once every resource has a file in service, or has rendered")
        .default("in-service"),
    row(
        "ready-timeout",
        ValueKind::Span,
        &[Watch],
        "Send READY after this time in any case; 0 waits for ever",
    )
    .default("0"),
    row("fuel", ValueKind::Number, RESOURCES, "Steps that one template may take").default("100000000"),
    row("max-output", ValueKind::Bytes, RESOURCES, "Bytes that one template may write").default("64m"),
];

const REPORT: &[Row] = &[
    row("data", ValueKind::Path, &[Check], "Render with the values of this file"),
    row(
        "expect",
        ValueKind::Path,
        &[Check],
        "Compare with the expected files in this folder: /etc/app.conf as PATH/etc/app.conf, or as \
         PATH/app.conf if only that exists; needs --data",
    ),
    row("update", ValueKind::Switch, &[Check], "Write the files of --expect instead of comparing with them"),
    row("format", REPORTS, &[Check], "Format of the report").default("text"),
    row("output", FORMATS, PRINTING, "Format of the result").default("text"),
    row("context", ValueKind::Number, &[Diff], "Unchanged lines around each change").default("3"),
    row("log-level", LEVELS, ALL, "Least urgent log line to write").default("info"),
    row("log-format", FORMATS, ALL, "Format of log lines").default("text"),
    row("color", COLOURS, ALL, "When to colour").also(&["colour"]).default("auto"),
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
    idle("retry-max-attempts", ValueKind::Number, "retries continue, with increasing delays"),
    idle("retry-base-delay", ValueKind::Span, "retries continue, with increasing delays"),
    idle("retry-max-delay", ValueKind::Span, "retries continue, with increasing delays"),
    idle("watch-error-backoff", ValueKind::Span, "retries continue, with increasing delays"),
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

/// The rows under the headings of the help.
pub(super) const GROUPS: &[(&str, &[Row])] = &[
    ("Mode", MODE),
    ("Resources", WHAT),
    ("Source", SOURCE),
    ("Bounds", BOUNDS),
    ("Backup", member::BACKUP_ROWS),
    ("Engine", register::ENGINE_ROWS),
    ("Registrar", register::REGISTRAR_ROWS),
    ("Keys", register::KEY_ROWS),
    ("Health", register::HEALTH_ROWS),
    ("Own container", register::OWN_ROWS),
    ("Stopping", register::STOP_ROWS),
    ("Wishes", place::WISH_ROWS),
    ("Answer", place::ANSWER_ROWS),
    ("Member", member::MEMBER_ROWS),
    ("Cluster", member::CLUSTER_ROWS),
    ("Transport", member::TRANSPORT_ROWS),
    ("Report", REPORT),
    ("Not supported", FOREIGN),
    ("Without effect", member::IGNORED_ROWS),
];

/// Returns every row.
pub(super) fn rows() -> impl Iterator<Item = &'static Row> {
    GROUPS.iter().flat_map(|(_, rows)| rows.iter())
}

/// Returns the row of a flag, by any of its names; if there are several, the one of this command.
pub(super) fn flag_of(command: Option<CommandId>, name: &str) -> Option<&'static Row> {
    let mut own = rows().filter(|row| command.is_some_and(|command| row.belongs_to(command)));
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
pub(super) fn variable(command: CommandId, name: &str) -> String {
    format!("{}_{}", command.prefix(), name.replace('-', "_").to_ascii_uppercase())
}

/// Returns the option that a word without a flag belongs to, and its name in usage lines.
pub(super) fn operand(command: CommandId) -> Option<(&'static Row, &'static str)> {
    let (name, called) = command.spec().operand?;
    Some((flag_of(Some(command), name)?, called))
}
