//! The tables of commands and options. Flags, environment names, file keys, help and completions all come from these
//! rows.

use super::invocation::CommandId::{
    self, Check, Confd, Diff, Etcd, Place, Register, RegisterStatus, RegisterStop, Render, Store,
    StoreBackup, StoreRestore, Watch,
};
use super::row::ValueKind::{self, Bytes, Choice, List, Number, Path, Paths, Repeat, Span, Switch, Text};
use super::row::{Row, Support, row};
use super::spec::CommandSpec;
use super::{member, place, register, resources};

/// The commands that read values.
const RENDER_COMMANDS: &[CommandId] = &[Render, Watch, Diff, Confd];
/// The commands that handle resources.
const RESOURCE_COMMANDS: &[CommandId] = &[Render, Watch, Diff, Confd, Check];
/// The commands that write files of resources.
const WRITE_COMMANDS: &[CommandId] = &[Render, Watch, Confd];
/// The commands that are clients of a store.
const CLIENT_COMMANDS: &[CommandId] = &[Render, Watch, Diff, Confd, StoreBackup, Register, Place];
/// The commands that print a result.
const OUTPUT_COMMANDS: &[CommandId] = &[Render, Diff, RegisterStatus, Place];
/// All but etcd, whose settings file has another format.
const FILE_COMMANDS: &[CommandId] = CommandId::EVERY.split_at(1).1;
/// The commands of `retune`, in the order of the help.
pub(super) const COMMANDS: &[CommandId] = CommandId::EVERY.split_at(2).1;
const _: () = assert!(matches!(CommandId::EVERY, [Etcd, Confd, ..]));

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

const fn refused(name: &'static str, reason: &'static str) -> Row {
    row(name, Text, &[Confd], "Refused: needs a backend that this version does not read")
        .support(Support::Refused(reason))
}

const fn no_effect(name: &'static str, kind: ValueKind, reason: &'static str) -> Row {
    row(name, kind, &[Confd], "").support(Support::NoEffect(reason))
}

const SCHEMES: ValueKind = Choice(&["http", "https"]);
const READY: ValueKind = Choice(&["in-service", "rendered"]);
const FORMATS: ValueKind = Choice(&["text", "json"]);

const MODE_ROWS: &[Row] = &[
    row("onetime", Switch, &[Confd], "Render once and exit"),
    row("watch", Switch, &[Confd], "Follow the store instead of asking at intervals"),
    row("poll", Switch, &[Watch], "Do not follow the store; only look every --interval"),
    row(
        "interval",
        Span,
        &[Watch, Confd],
        "How often everything is checked again; 0: never, while following",
    )
    .default("600"),
    row("noop", Switch, WRITE_COMMANDS, "Change nothing and run nothing; only report what is out of sync"),
    row("sync-only", Switch, WRITE_COMMANDS, "Write files, but run neither check nor reload commands"),
    row("keep-stage-file", Switch, WRITE_COMMANDS, "Leave staged files beside their destination"),
    row("force", Switch, &[Render], "Run every reload command, also when nothing changed"),
    row(
        "root",
        Path,
        &[Render, Diff],
        "Put destinations below this folder (/etc/app.conf is PATH/etc/app.conf), and their folders too; no \
         check, reload or state of this host",
    ),
];

const RESOURCE_ROWS: &[Row] = &[
    row("confdir", Path, RESOURCE_COMMANDS, "Folder that holds conf.d and templates"),
    row("config-file", Path, FILE_COMMANDS, "Settings file"),
    row(
        "prefix",
        Text,
        &[Render, Watch, Diff, Confd, Check, Register],
        "Key prefix: replaces that of each resource, or is the directory of all registered keys",
    )
    .takes("KEY"),
    row("resource", List, RESOURCE_COMMANDS, "Only this resource, by file name; may be repeated")
        .takes("NAME"),
    row(
        "state-dir",
        Path,
        &[Render, Watch, Confd, Diff],
        "Folder for pending reloads and the last good values; none keeps nothing",
    ),
    row("redact", Repeat, RESOURCE_COMMANDS, "Keys whose values are never shown; may be repeated")
        .takes("KEYGLOB"),
];

const SOURCE_ROWS: &[Row] = &[
    row(
        "backend",
        Choice(&["etcd", "store", "etcdv3", "env", "file"]),
        RENDER_COMMANDS,
        "Where values come from",
    )
    .default("etcd"),
    row(
        "endpoints",
        List,
        CLIENT_COMMANDS,
        "URLs of the store's members, separated by commas; may be repeated; one that responds is enough",
    )
    .takes("URL")
    .short('n')
    .also(&["endpoint", "peers", "node", "nodes", "etcd"])
    .default("http://127.0.0.1:2379"),
    row("scheme", SCHEMES, RENDER_COMMANDS, "Scheme of nodes that are given or found without one")
        .default("http"),
    row("srv-domain", Text, RENDER_COMMANDS, "Find the nodes through SRV record _BACKEND._tcp.DOMAIN.")
        .takes("DOMAIN"),
    row("srv-record", Text, RENDER_COMMANDS, "Find the nodes through this SRV record").takes("RECORD"),
    row(
        "no-sync",
        Switch,
        CLIENT_COMMANDS,
        "Use only the URLs given; without it the members are learnt from the store, and the URLs given are \
         the way back",
    ),
    row("client-cert", Path, CLIENT_COMMANDS, "PEM file of the client certificate"),
    row("client-key", Path, CLIENT_COMMANDS, "PEM file of the client certificate's key"),
    row("client-ca-keys", Path, CLIENT_COMMANDS, "PEM file of the authorities to trust")
        .also(&["client-cakeys"]),
    row("client-insecure", Switch, CLIENT_COMMANDS, "Accept any server certificate; for tests only"),
    row("username", Text, CLIENT_COMMANDS, "User name at the store").takes("NAME"),
    row(
        "password",
        Text,
        CLIENT_COMMANDS,
        "Password at the store; shows in process lists, so prefer --password-file",
    ),
    row("password-file", Path, CLIENT_COMMANDS, "File that holds the password"),
    row(
        "basic-auth",
        Switch,
        CLIENT_COMMANDS,
        "Log in with --username; on when that is given, off with =false",
    ),
    row("file", Paths, RENDER_COMMANDS, "File or folder of the file backend; may be repeated"),
    row("filter", Text, RENDER_COMMANDS, "Which files of a folder count").takes("GLOB").default("*"),
];

const LIMIT_ROWS: &[Row] = &[
    row("backend-timeout", Span, &[Render, Watch, Diff, Confd, Register, Place], "Time limit of one request")
        .default("5s"),
    row("timeout", Span, &[Render, Diff, Confd], "Time limit of the whole run").default("30s"),
    row("debounce", Span, &[Watch, Confd], "How long a change waits for the next one").default("0"),
    row("max-wait", Span, &[Watch, Confd], "How long it waits at most").default("10s"),
    row("check-timeout", Span, WRITE_COMMANDS, "Time limit of a check command")
        .default("30s")
        .also(&["check-cmd-timeout"]),
    row("reload-timeout", Span, WRITE_COMMANDS, "Time limit of a reload command")
        .default("60s")
        .also(&["reload-cmd-timeout"]),
    row(
        "shutdown-timeout",
        Span,
        WRITE_COMMANDS,
        "How long a running command may continue after a stop signal",
    )
    .default("30s"),
    row("ready", READY, &[Watch], "Send READY once every resource has a file in service, or has rendered")
        .default("in-service"),
    row("ready-timeout", Span, &[Watch], "Send READY after this time in any case; 0 waits for ever")
        .default("0"),
    row("fuel", Number, RESOURCE_COMMANDS, "Steps that one template may take").default("100000000"),
    row("max-output", Bytes, RESOURCE_COMMANDS, "Bytes that one template may write").default("64m"),
];

const REPORT_ROWS: &[Row] = &[
    row("data", Path, &[Check], "Render with the values of this file"),
    row(
        "expect",
        Path,
        &[Check],
        "Compare with the expected files in this folder: /etc/app.conf as PATH/etc/app.conf, or as \
         PATH/app.conf if only that exists; needs --data",
    ),
    row("update", Switch, &[Check], "Write the files of --expect instead of comparing with them"),
    row("format", Choice(&["text", "json", "junit"]), &[Check], "Format of the report").default("text"),
    row("output", FORMATS, OUTPUT_COMMANDS, "Format of the result").default("text"),
    row("context", Number, &[Diff], "Unchanged lines around each change").default("3"),
    row(
        "log-level",
        Choice(&["debug", "info", "warn", "error"]),
        CommandId::EVERY,
        "Least urgent log line to write",
    )
    .default("info"),
    row("log-format", FORMATS, CommandId::EVERY, "Format of log lines").default("text"),
    row("color", Choice(&["auto", "always", "never"]), CommandId::EVERY, "When to colour")
        .also(&["colour"])
        .default("auto"),
];

const VAULT_REASON: &str = "it belongs to the vault backend, which this version does not read; remove it";

/// Flags of confd that have no meaning here.
const UNSUPPORTED_ROWS: &[Row] = &[
    refused("app-id", VAULT_REASON),
    refused("user-id", VAULT_REASON),
    refused("role-id", VAULT_REASON),
    refused("secret-id", VAULT_REASON),
    refused("auth-type", VAULT_REASON),
    refused("path", VAULT_REASON),
    refused(
        "auth-token",
        "tokens belong to the vault and consul backends, which this version does not read; etcd takes \
         -username and -password",
    ),
    refused("table", "it belongs to the dynamodb backend, which this version does not read; remove it"),
    refused("separator", "it belongs to the redis backend, which this version does not read; remove it"),
    no_effect("failure-mode", Text, "a failing resource never prevents the others from being rendered"),
    no_effect("batch-interval", Span, "changes are combined with -debounce and -max-wait"),
    no_effect("template-cache", Switch, "templates are always kept and re-read when they change"),
    no_effect("stat-cache-ttl", Span, "templates are always kept and re-read when they change"),
    no_effect("dial-timeout", Span, "-backend-timeout bounds connecting as well"),
    no_effect("read-timeout", Span, "-backend-timeout bounds a whole request"),
    no_effect("write-timeout", Span, "-backend-timeout bounds a whole request"),
    no_effect("retry-max-attempts", Number, "retries continue, with growing pauses"),
    no_effect("retry-base-delay", Span, "retries continue, with growing pauses"),
    no_effect("retry-max-delay", Span, "retries continue, with growing pauses"),
    no_effect("watch-error-backoff", Span, "retries continue, with growing pauses"),
    no_effect("preflight-timeout", Span, "`retune check` looks for mistakes before a start"),
    no_effect("systemd-notify", Switch, "readiness is always reported when NOTIFY_SOCKET is set"),
    no_effect("watchdog-interval", Span, "this version feeds no watchdog"),
    no_effect("check-config", Switch, "`retune check` looks for mistakes"),
    no_effect("validate", Switch, "`retune check` looks for mistakes"),
    no_effect("preflight", Switch, "`retune check` looks for mistakes"),
    no_effect("mock-data", Path, "`retune check --data` renders with values from a file"),
    no_effect("diff", Switch, "`retune diff` shows what would change"),
    no_effect("diff-context", Number, "`retune diff --context` shows what would change"),
    no_effect("metrics-addr", Text, "this version serves no metrics"),
];

/// The rows under the headings of the help.
pub(super) const GROUPS: &[(&str, &[Row])] = &[
    ("Mode", MODE_ROWS),
    ("Resources", RESOURCE_ROWS),
    ("Source", SOURCE_ROWS),
    ("Limits", LIMIT_ROWS),
    ("Backup", member::BACKUP_ROWS),
    ("Engine", register::ENGINE_ROWS),
    ("Registrar", register::REGISTRAR_ROWS),
    ("Keys", register::KEY_ROWS),
    ("Health", register::HEALTH_ROWS),
    ("Own container", register::OWN_ROWS),
    ("Stopping", register::STOP_ROWS),
    ("Requirements", place::REQUIREMENT_ROWS),
    ("Selection", place::SELECTION_ROWS),
    ("Member", member::MEMBER_ROWS),
    ("Cluster", member::CLUSTER_ROWS),
    ("Transport", member::TRANSPORT_ROWS),
    ("Report", REPORT_ROWS),
    ("Not supported", UNSUPPORTED_ROWS),
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
