//! The table of `ctl`'s commands and options. Parsing, help and completions all come from these rows.

use super::people::{AUTH, ROLE, USER};
use super::row::{Cmd, NONE, Name, Opt, OptKind, number, switch, text};

const TTL: Opt = number(&["ttl"], "key time-to-live in seconds");
const QUORUM: Opt = switch(&["quorum", "q"], "require quorum for get request");
const SORT: Opt = switch(&["sort"], "returns result in sorted order");
const FORMAT: Opt =
    text(&["format"], "json, toml or yaml; by default from the file's name, and yaml without one");

/// The flags every command has, which help shows only for groups.
pub(super) const HELP: Opt = switch(&["help", "h"], "show help");
pub(super) const VERSION: Opt = switch(&["version", "v"], "print the version");

/// The options before the command.
pub(super) const GLOBAL: &[Opt] = &[
    switch(&["debug"], "output cURL commands which can be used to reproduce the request"),
    switch(&["no-sync"], "don't synchronize cluster information before sending request"),
    Opt {
        names: &["output", "o"],
        kind: OptKind::Text("simple"),
        usage: "output response in the given format (`simple`, `extended` or `json`)",
    },
    text(&["discovery-srv", "D"], "domain name to query for SRV records describing cluster endpoints"),
    switch(&["insecure-discovery"], "accept insecure SRV records describing cluster endpoints"),
    text(&["peers", "C"], "DEPRECATED - \"--endpoints\" should be used instead"),
    text(&["endpoint"], "DEPRECATED - \"--endpoints\" should be used instead"),
    text(
        &["endpoints"],
        "a comma-delimited list of machine addresses in the cluster (default: \
         \"http://127.0.0.1:2379,http://127.0.0.1:4001\")",
    ),
    text(&["cert-file"], "identify HTTPS client using this SSL certificate file"),
    text(&["key-file"], "identify HTTPS client using this SSL key file"),
    text(&["ca-file"], "verify certificates of HTTPS-enabled servers using this CA bundle"),
    text(&["username", "u"], "provide username[:password] and prompt if password is not supplied."),
    Opt { names: &["timeout"], kind: OptKind::Span("2s"), usage: "connection timeout per request" },
    Opt {
        names: &["total-timeout"],
        kind: OptKind::Span("5s"),
        usage: "timeout for the command execution (except watch)",
    },
    HELP,
    VERSION,
];

/// The commands, in the order of the help.
pub(super) const COMMANDS: &[Cmd] = &[
    Cmd {
        name: "backup",
        job: Name::Backup,
        usage: "backup an etcd directory",
        args: " ",
        options: &[
            text(&["data-dir"], "Path to the etcd data dir"),
            text(&["wal-dir"], "Path to the etcd wal dir"),
            text(&["backup-dir"], "Path to the backup dir"),
            text(&["backup-wal-dir"], "Path to the backup wal dir"),
            switch(&["with-v3"], "Backup v3 backend data"),
        ],
        ..NONE
    },
    Cmd {
        name: "cluster-health",
        job: Name::ClusterHealth,
        usage: "check the health of the etcd cluster",
        args: " ",
        options: &[switch(&["forever", "f"], "forever check the health every 10 second until CTRL+C")],
        ..NONE
    },
    Cmd {
        name: "mk",
        job: Name::Make,
        usage: "make a new key with a given value",
        args: "<key> <value>",
        options: &[switch(&["in-order"], "create in-order key under directory <key>"), TTL],
        ..NONE
    },
    Cmd {
        name: "mkdir",
        job: Name::MakeDir,
        usage: "make a new directory",
        args: "<key>",
        options: &[TTL],
        ..NONE
    },
    Cmd {
        name: "rm",
        job: Name::Remove,
        usage: "remove a key or a directory",
        args: "<key>",
        options: &[
            switch(&["dir"], "removes the key if it is an empty directory or a key-value pair"),
            switch(&["recursive", "r"], "removes the key and all child keys(if it is a directory)"),
            text(&["with-value"], "previous value"),
            number(&["with-index"], "previous index"),
        ],
        ..NONE
    },
    Cmd {
        name: "rmdir",
        job: Name::RemoveDir,
        usage: "removes the key if it is an empty directory or a key-value pair",
        args: "<key>",
        ..NONE
    },
    Cmd {
        name: "get",
        job: Name::Get,
        usage: "retrieve the value of a key",
        args: "<key>",
        options: &[SORT, QUORUM],
        ..NONE
    },
    Cmd {
        name: "ls",
        job: Name::List,
        usage: "retrieve a directory",
        args: "[key]",
        options: &[
            SORT,
            switch(&["recursive", "r"], "returns all key names recursively for the given path"),
            switch(&["p"], "append slash (/) to directories"),
            QUORUM,
        ],
        ..NONE
    },
    Cmd {
        name: "set",
        job: Name::Set,
        usage: "set the value of a key",
        args: "<key> <value>",
        description: "Set sets the value of a key.\n\n   When <value> begins with '-', <value> is interpreted as a \
                      flag.\n   Insert '--' for workaround:\n\n   $ set -- <key> <value>",
        options: &[
            TTL,
            text(&["swap-with-value"], "previous value"),
            number(&["swap-with-index"], "previous index"),
        ],
        ..NONE
    },
    Cmd {
        name: "setdir",
        job: Name::SetDir,
        usage: "create a new directory or update an existing directory TTL",
        args: "<key>",
        options: &[TTL],
        ..NONE
    },
    Cmd {
        name: "update",
        job: Name::Update,
        usage: "update an existing key with a given value",
        args: "<key> <value>",
        options: &[TTL],
        ..NONE
    },
    Cmd {
        name: "updatedir",
        job: Name::UpdateDir,
        usage: "update an existing directory",
        args: "<key> <value>",
        options: &[TTL],
        ..NONE
    },
    Cmd {
        name: "watch",
        job: Name::Watch,
        usage: "watch a key for changes",
        args: "<key>",
        options: &[
            switch(&["forever", "f"], "forever watch a key until CTRL+C"),
            number(&["after-index"], "watch after the given index"),
            switch(&["recursive", "r"], "returns all values for key and child keys"),
        ],
        ..NONE
    },
    Cmd {
        name: "exec-watch",
        job: Name::ExecWatch,
        usage: "watch a key for changes and exec an executable",
        args: "<key> <command> [args...]",
        options: &[
            number(&["after-index"], "watch after the given index"),
            switch(&["recursive", "r"], "watch all values for key and child keys"),
        ],
        ..NONE
    },
    Cmd { name: "member", usage: "member add, remove and list subcommands", sub: MEMBER, ..NONE },
    Cmd { name: "user", usage: "user add, grant and revoke subcommands", sub: USER, ..NONE },
    Cmd { name: "role", usage: "role add, grant and revoke subcommands", sub: ROLE, ..NONE },
    Cmd { name: "auth", usage: "overall auth controls", sub: AUTH, ..NONE },
    EXPORT,
    IMPORT,
    DIFF,
    EDIT,
    Cmd {
        name: "help",
        job: Name::Help,
        usage: "Shows a list of commands or help for one command",
        args: "[command]",
        ..NONE
    },
];

/// The command that shell completions call; no help shows it.
pub(super) const HIDDEN: &[Cmd] = &[Cmd {
    name: "complete-keys",
    job: Name::CompleteKeys,
    usage: "keys that start with the prefix",
    args: "<prefix>",
    ..NONE
}];

const MEMBER: &[Cmd] = &[
    Cmd {
        name: "list",
        job: Name::MemberList,
        usage: "enumerate existing cluster members",
        args: " ",
        ..NONE
    },
    Cmd {
        name: "add",
        job: Name::MemberAdd,
        usage: "add a new member to the etcd cluster",
        args: "<name> <peerURL>",
        ..NONE
    },
    Cmd {
        name: "remove",
        job: Name::MemberRemove,
        usage: "remove an existing member from the etcd cluster",
        args: "<memberID>",
        ..NONE
    },
    Cmd {
        name: "update",
        job: Name::MemberUpdate,
        usage: "update an existing member in the etcd cluster",
        args: "<memberID> <peerURLs>",
        ..NONE
    },
];

const EXPORT_FORMAT: Opt =
    Opt { names: &["format"], kind: OptKind::Text("json"), usage: "json, toml or yaml" };

const EXPORT: Cmd = Cmd {
    name: "export",
    job: Name::Export,
    usage: "write a key and all below it as one document",
    args: "[key]",
    description: "A directory becomes a map, a file a text; names are sorted, so the same keys give the same document.\
                  \n   \"$key\" at its top is the key that was exported, unless that is all: `import` puts the document back there.\
                  \n   With --ttl, what expires says so: {\"$value\": \"text\", \"$ttl\": 60}, and a directory has \"$ttl\" \
                  among\n   its names. A name that begins with '$' gets a second one in front.\n\n   Hidden keys (names that \
                  begin with '_') are left out, because the store does not list them.\n   A value with bytes that are no \
                  text is refused by its key's name: the store's API has put\n   replacement characters in their place \
                  and cannot give them back.",
    options: &[EXPORT_FORMAT, switch(&["ttl"], "write what is left of each time to live"), QUORUM],
    ..NONE
};

const IMPORT: Cmd = Cmd {
    name: "import",
    job: Name::Import,
    usage: "write what differs from a document or a running store, or a snapshot of etcd 0.4",
    args: "<file|-> [key]",
    description: "Without a key the document goes where its \"$key\" says, and below / where it has none.\n   Only keys that \
                  differ are written, each on the condition that nobody changed it meanwhile; every one is \
                  named.\n   Nothing is removed without --prune. A key whose document has \"$ttl\" is written whenever that \
                  is not\n   what is left of its time; without, a time to live stays as long as the value does.\n\n   With \
                  --snap, all keys of a snapshot of etcd 0.4 are set, whatever is there already.\n\n   With --from, \
                  the first word is a key instead (/ without one), and everything at and below it is copied\n   from \
                  that store, times to live included. What is there already is not written again, so a copy that\n   broke \
                  off is completed by running it again. A key that the source does not have, or that differs, ends it \
                  before\n   anything is written, unless there is --merge; then the source's values win and other keys \
                  stay.\n   Hidden keys (names that begin with '_') are copied when --hidden names them.",
    options: &[
        FORMAT,
        switch(&["dry-run"], "say what would be written, write nothing"),
        switch(&["prune"], "remove what the document does not name"),
        text(&["snap"], "Path to the valid etcd 0.4.x snapshot."),
        text(&["from"], "`URLs` of the store that keys are copied from, separated by commas"),
        text(&["from-user"], "username[:password] at that store; RETUNE_FROM_USER shows in no process list"),
        switch(&["merge"], "with --from: go on although the target has other keys or values"),
        switch(&["follow"], "with --from: then carry over every change of the source until CTRL+C"),
        Opt { names: &["hidden"], kind: OptKind::Many, usage: "Hidden key spaces to import from snapshot" },
        Opt {
            names: &["c"],
            kind: OptKind::Number(10),
            usage: "Number of concurrent clients to import the data",
        },
    ],
    ..NONE
};

const DIFF: Cmd = Cmd {
    name: "diff",
    job: Name::Diff,
    usage: "show what importing a document would change",
    args: "<file|-> [key]",
    description: "The key may stand before the file; without one it is the document's \"$key\", or /.\n   A unified diff from the store to the document, of both in the document's format. Exits with 1 when they\
                  \n   differ and with 2 when the document cannot be used. A time to live that the document names is \
                  compared\n   as a difference in being there, not in seconds.",
    options: &[FORMAT],
    ..NONE
};

const EDIT: Cmd = Cmd {
    name: "edit",
    job: Name::Edit,
    usage: "change a value or a subtree in $VISUAL or $EDITOR",
    args: "<key>",
    description: "A file is opened as its value, a directory as a document; what is taken out of it is removed. Nothing is \
                  written\n   when the text is unchanged, when the document cannot be read, or when somebody changed the \
                  keys meanwhile;\n   then the edited text is kept and its place is told.",
    options: &[FORMAT],
    ..NONE
};
