//! The table of `ctl`'s commands and options. Parsing, help and completions all come from these rows.

use super::auth_table::{AUTH, ROLE, USER};
use crate::client::cluster::Delete;
use crate::ctl::CtlCommand;

use super::super::row::Row;
use super::super::row::ValueKind::{Number, Repeat, Span, Switch, Text};
use super::command;
use super::row::{Action, Cmd, cmd, group, option, with_action};

const TTL: Row = option(&["ttl"], Number, "key time-to-live in seconds").default("0");
const QUORUM: Row = option(&["quorum", "q"], Switch, "require quorum for get request");
const SORT: Row = option(&["sort"], Switch, "returns result in sorted order");
const FORMAT: Row =
    option(&["format"], Text, "json, toml or yaml; by default from the file's name, and yaml without one");

/// The flags every command has, which help shows only for groups.
pub(super) const HELP: Row = option(&["help", "h"], Switch, "show help");
pub(super) const VERSION: Row = option(&["version", "v"], Switch, "print the version");

/// The options before the command.
pub(super) const GLOBAL: &[Row] = &[
    option(&["debug"], Switch, "output cURL commands which can be used to reproduce the request"),
    option(&["no-sync"], Switch, "don't synchronize cluster information before sending request"),
    option(&["output", "o"], Text, "output response in the given format (`simple`, `extended` or `json`)")
        .default("simple"),
    option(
        &["discovery-srv", "D"],
        Text,
        "domain name to query for SRV records describing cluster endpoints",
    ),
    option(&["insecure-discovery"], Switch, "accept insecure SRV records describing cluster endpoints"),
    option(&["peers", "C"], Text, "DEPRECATED - \"--endpoints\" should be used instead"),
    option(&["endpoint"], Text, "DEPRECATED - \"--endpoints\" should be used instead"),
    option(
        &["endpoints"],
        Text,
        "a comma-delimited list of machine addresses in the cluster (default: \
         \"http://127.0.0.1:2379,http://127.0.0.1:4001\")",
    ),
    option(&["cert-file"], Text, "identify HTTPS client using this SSL certificate file"),
    option(&["key-file"], Text, "identify HTTPS client using this SSL key file"),
    option(&["ca-file"], Text, "verify certificates of HTTPS-enabled servers using this CA bundle"),
    option(&["username", "u"], Text, "provide username[:password] and prompt if password is not supplied."),
    option(&["timeout"], Span, "connection timeout per request").default("2s"),
    option(&["total-timeout"], Span, "timeout for the command execution (except watch)").default("5s"),
    HELP,
    VERSION,
];

/// The commands, in the order of the help.
pub(super) const COMMANDS: &[Cmd] = &[
    cmd("backup", "backup an etcd directory", " ", command::backup).options(&[
        option(&["data-dir"], Text, "Path to the etcd data dir"),
        option(&["wal-dir"], Text, "Path to the etcd wal dir"),
        option(&["backup-dir"], Text, "Path to the backup dir"),
        option(&["backup-wal-dir"], Text, "Path to the backup wal dir"),
        option(&["with-v3"], Switch, "Backup v3 backend data"),
    ]),
    cmd("cluster-health", "check the health of the etcd cluster", " ", |flags| CtlCommand::ClusterHealth {
        forever: flags.on("forever"),
    })
    .options(&[option(
        &["forever", "f"],
        Switch,
        "forever check the health every 10 second until CTRL+C",
    )]),
    cmd("mk", "make a new key with a given value", "<key> <value>", command::make)
        .options(&[option(&["in-order"], Switch, "create in-order key under directory <key>"), TTL]),
    cmd("mkdir", "make a new directory", "<key>", |flags| command::dir(flags, Some(false))).options(&[TTL]),
    cmd("rm", "remove a key or a directory", "<key>", command::remove).options(&[
        option(&["dir"], Switch, "removes the key if it is an empty directory or a key-value pair"),
        option(&["recursive", "r"], Switch, "removes the key and all child keys(if it is a directory)"),
        option(&["with-value"], Text, "previous value"),
        option(&["with-index"], Number, "previous index").default("0"),
    ]),
    cmd("rmdir", "removes the key if it is an empty directory or a key-value pair", "<key>", |_| {
        CtlCommand::Remove(Delete { dir: true, ..Delete::default() })
    }),
    cmd("get", "retrieve the value of a key", "<key>", |flags| CtlCommand::Get(command::get(flags)))
        .options(&[SORT, QUORUM]),
    cmd("ls", "retrieve a directory", "[key]", |flags| CtlCommand::List {
        get: command::get(flags),
        slash: flags.on("p"),
    })
    .options(&[
        SORT,
        option(&["recursive", "r"], Switch, "returns all key names recursively for the given path"),
        option(&["p"], Switch, "append slash (/) to directories"),
        QUORUM,
    ]),
    cmd("set", "set the value of a key", "<key> <value>", command::set)
        .described(
            "Set sets the value of a key.\n\n   When <value> begins with '-', <value> is interpreted as a \
             flag.\n   Insert '--' for workaround:\n\n   $ set -- <key> <value>",
        )
        .options(&[
            TTL,
            option(&["swap-with-value"], Text, "previous value"),
            option(&["swap-with-index"], Number, "previous index").default("0"),
        ]),
    cmd("setdir", "create a new directory or update an existing directory TTL", "<key>", |flags| {
        command::dir(flags, None)
    })
    .options(&[TTL]),
    cmd("update", "update an existing key with a given value", "<key> <value>", command::update)
        .options(&[TTL]),
    cmd("updatedir", "update an existing directory", "<key> <value>", |flags| {
        command::dir(flags, Some(true))
    })
    .options(&[TTL]),
    cmd("watch", "watch a key for changes", "<key>", command::watch).options(&[
        option(&["forever", "f"], Switch, "forever watch a key until CTRL+C"),
        option(&["after-index"], Number, "watch after the given index").default("0"),
        option(&["recursive", "r"], Switch, "returns all values for key and child keys"),
    ]),
    cmd(
        "exec-watch",
        "watch a key for changes and exec an executable",
        "<key> <command> [args...]",
        command::exec_watch,
    )
    .options(&[
        option(&["after-index"], Number, "watch after the given index").default("0"),
        option(&["recursive", "r"], Switch, "watch all values for key and child keys"),
    ]),
    group("member", "member add, remove and list subcommands", MEMBER),
    group("user", "user add, grant and revoke subcommands", USER),
    group("role", "role add, grant and revoke subcommands", ROLE),
    group("auth", "overall auth controls", AUTH),
    EXPORT,
    IMPORT,
    DIFF,
    EDIT,
    with_action("help", "Shows a list of commands or help for one command", "[command]", Action::Help),
];

/// The command that shell completions call; no help shows it.
pub(super) const HIDDEN: &[Cmd] =
    &[cmd("complete-keys", "keys that start with the prefix", "<prefix>", |_| CtlCommand::CompleteKeys)];

/// `member …`
pub(super) const MEMBER: &[Cmd] = &[
    cmd("list", "enumerate existing cluster members", " ", |_| CtlCommand::MemberList),
    cmd("add", "add a new member to the etcd cluster", "<name> <peerURL>", |_| CtlCommand::MemberAdd),
    cmd("remove", "remove an existing member from the etcd cluster", "<memberID>", |_| {
        CtlCommand::MemberRemove
    }),
    cmd("update", "update an existing member in the etcd cluster", "<memberID> <peerURLs>", |_| {
        CtlCommand::MemberUpdate
    }),
];

const EXPORT_FORMAT: Row = option(&["format"], Text, "json, toml or yaml").default("json");

const EXPORT_TEXT: &str = "A directory becomes a map, a key a string. Names are sorted, so the same keys give the same document.\
    \n   \"$key\" at the top is the exported key (none for the root): `import` puts the document back there.\
    \n   With --ttl, a key that expires becomes {\"$value\": \"text\", \"$ttl\": 60}, and a directory has \"$ttl\" among its\
    \n   names. A name that begins with '$' is written with a second '$'.\n\n   Hidden keys (names that begin with \
    '_') are left out, because the store does not list them.\n   A value with bytes that are not text is an \
    error that names the key: the store's API replaces\n   such bytes and cannot return them.";

const EXPORT: Cmd = cmd("export", "write a key and all below it as one document", "[key]", command::export)
    .described(EXPORT_TEXT)
    .options(&[EXPORT_FORMAT, option(&["ttl"], Switch, "write what is left of each time to live"), QUORUM]);

const IMPORT_TEXT: &str = "Without a key argument the document is written to its \"$key\", or to / if it has none.\n   Only keys that \
    differ are written, and only if nobody changed them meanwhile; each is printed.\n   Nothing is removed without \
    --prune. A key with \"$ttl\" in the document is written unless that is its\n   remaining time to live; without \
    \"$ttl\", a time to live stays until the value changes.\n\n   With --snap, all keys of a snapshot of etcd 0.4 \
    are set, even if they exist.\n\n   With --from, the first word is a key instead (/ without one), and everything \
    at and below it is copied\n   from that store, with its times to live. Keys that are equal are not written again, \
    so another run\n   completes a copy that broke off. If the target has other keys or values, nothing is written \
    without\n   --merge; with it, the source's values win and other keys stay.\n   Hidden keys (names that begin \
    with '_') are copied if --hidden names them.";

const IMPORT: Cmd = cmd(
    "import",
    "write what differs from a document or a running store, or a snapshot of etcd 0.4",
    "<file|-> [key]",
    command::import,
)
.described(IMPORT_TEXT)
.options(&[
    FORMAT,
    option(&["dry-run"], Switch, "say what would be written, write nothing"),
    option(&["prune"], Switch, "remove what the document does not name"),
    option(&["snap"], Text, "Path to the valid etcd 0.4.x snapshot."),
    option(&["from"], Text, "`URLs` of the store that keys are copied from, separated by commas"),
    option(
        &["from-user"],
        Text,
        "username[:password] at that store; RETUNE_FROM_USER shows in no process list",
    ),
    option(&["merge"], Switch, "with --from: go on although the target has other keys or values"),
    option(&["follow"], Switch, "with --from: then carry over every change of the source until CTRL+C"),
    option(&["hidden"], Repeat, "Hidden key spaces to import from snapshot"),
    option(&["c"], Number, "Number of concurrent clients to import the data").default("10"),
]);

const DIFF_TEXT: &str = "The key may also come before the file; without it, the document's \"$key\" is used, or /.\n   Prints a unified diff from the store to the document, in the document's format. Exits with 1 when they\
    \n   differ, and with 2 when the document cannot be used. Of a time to live, only its presence is compared.";

const DIFF: Cmd = cmd("diff", "show what importing a document would change", "<file|-> [key]", |flags| {
    CtlCommand::Diff { format: flags.text("format") }
})
.described(DIFF_TEXT)
.options(&[FORMAT]);

const EDIT_TEXT: &str = "A key is opened as its value, a directory as a document; what you delete in it is removed. Nothing is \
    written\n   if the text is unchanged, if the document cannot be read, or if somebody changed the keys \
    meanwhile;\n   then the edited text is kept and its path is printed.";

const EDIT: Cmd = cmd("edit", "change a value or a subtree in $VISUAL or $EDITOR", "<key>", |flags| {
    CtlCommand::Edit { format: flags.text("format") }
})
.described(EDIT_TEXT)
.options(&[FORMAT]);
