//! What one call of the program has to do: the last of the three stages.

use std::path::PathBuf;
use std::time::Duration;

use crate::api::{self, ProxySettings};
use crate::client::Discovery;
use crate::placement::{Request, Rules};
use crate::registrar::{self, EngineEndpoint};
use crate::{consensus, ctl, reloader, source};

/// Declares the commands together with the list of them, so that none is missing from it.
macro_rules! commands {
    ($($(#[$doc:meta])* $command:ident,)*) => {
        /// A command line with a table of options.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum CommandId {
            $($(#[$doc])* $command,)*
        }

        impl CommandId {
            /// Every command: those of other programs, then those of `retune` in the order of the help.
            pub(super) const EVERY: &[Self] = &[$(Self::$command),*];
        }
    };
}

commands! {
    /// etcd's command line, which has no commands.
    Etcd,
    /// confd's command line, which has no commands either.
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
}

impl CommandId {
    /// Returns the program whose command line it is.
    pub(super) const fn dialect(self) -> Dialect {
        match self {
            Self::Confd => Dialect::Confd,
            Self::Etcd => Dialect::Etcd,
            _ => Dialect::Retune,
        }
    }

    /// Returns the prefix of the environment variables.
    pub(super) const fn prefix(self) -> &'static str {
        match self {
            Self::Confd => "CONFD",
            Self::Etcd => "ETCD",
            _ => "RETUNE",
        }
    }
}

/// The program whose command line was used. It also decides the format of the text log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `retune render …` and the other subcommands.
    Retune,
    /// confd's: called by the name `confd`, or with flags and no command (`retune -onetime …`).
    Confd,
    /// etcd's: called by the name `etcd`.
    Etcd,
    /// Registrator's: called by the name `registrator`.
    Registrator,
}

/// How a result is written to stdout, and log lines to stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// For people.
    Text,
    /// For programs; a stable interface.
    Json,
}

/// The least urgent log line that is still written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Everything.
    Debug,
    /// What changed.
    Info,
    /// What may need attention.
    Warn,
    /// What failed.
    Error,
}

/// When output is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// On a terminal.
    Auto,
    /// Also when piped.
    Always,
    /// Never.
    Never,
}

/// How to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least urgent line written.
    pub level: Level,
    /// Text or JSON.
    pub format: Output,
    /// When to colour, logs and results alike.
    pub colour: Colour,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: Level::Info, format: Output::Text, colour: Colour::Auto }
    }
}

/// The format of `check`'s report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckFormat {
    /// For people.
    Text,
    /// For programs; a stable interface.
    Json,
    /// For CI servers.
    Junit,
}

/// What `check` does besides linting resources and templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// A file of values to render with.
    pub data: Option<PathBuf>,
    /// A folder of expected results; only together with `data`.
    pub expect: Option<PathBuf>,
    /// Write the expected results instead of comparing with them.
    pub update: bool,
    /// The format of the report.
    pub format: CheckFormat,
}

/// The task of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Render everything once and exit; also `confd -onetime`, with or without `noop`.
    Render,
    /// Keep rendering; also `confd` without `-onetime`.
    Watch(source::Follow),
    /// Show what would change.
    Diff {
        /// A unified diff or a plan as JSON.
        output: Output,
        /// Unchanged lines around each change.
        context: usize,
        /// When to colour.
        colour: Colour,
    },
    /// Look for mistakes, without a store.
    Check(Check),
    /// Host one member of the store; also `etcd`.
    Store(Box<Member>),
    /// Forward to a cluster without being a member; also `etcd -proxy on`.
    Proxy(Box<Proxy>),
    /// Back up a store.
    Backup(Box<Backup>),
    /// Create a member of a new cluster from a backup.
    Restore(Box<Restore>),
    /// Register running containers in a store; also `registrator`.
    Register(Box<Register>),
    /// Show the state of the registrar that listens there.
    RegisterStatus(Listen),
    /// Remove a container's keys, then stop it.
    RegisterStop(Box<RegisterStop>),
    /// Choose a node.
    Place(Box<PlaceSettings>),
}

/// What to back up, and the file to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The file.
    pub file: PathBuf,
    /// Whether an existing file may be replaced.
    pub force: bool,
    /// A stopped member's data folder; otherwise the running store in the invocation's `source` is used.
    pub data_dir: Option<PathBuf>,
}

/// The backup to restore, and the new member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    /// The file.
    pub file: PathBuf,
    /// Name, folder and cluster of the member; the rest as for any member.
    pub member: consensus::Settings,
}

/// Everything one call needs to know.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The task.
    pub task: Task,
    /// The program whose command line was used.
    pub dialect: Dialect,
    /// How to log.
    pub log: Log,
    /// The source or the store to use; unused defaults for [`Task::Check`].
    pub source: source::Settings,
    /// What is rendered, to where, and how.
    pub reloader: reloader::Settings,
    /// The format of `render`'s report.
    pub output: Output,
    /// Warnings about settings without effect, one sentence each; logged once logging is up.
    pub warnings: Vec<String>,
    /// Decisions made for the user, one sentence each; logged as information.
    pub notices: Vec<String>,
}

impl Invocation {
    /// Returns a call with the default of everything but its task.
    pub(super) fn new(task: Task) -> Self {
        Self {
            task,
            dialect: Dialect::Retune,
            log: Log::default(),
            source: source::Settings::default(),
            reloader: reloader::Settings::default(),
            output: Output::Text,
            warnings: Vec::new(),
            notices: Vec::new(),
        }
    }
}

/// The result of parsing a command line.
#[derive(Clone, Debug)]
pub enum Parsed {
    /// Run the task.
    Run(Box<Invocation>),
    /// A command of etcdctl, which has its own exit codes.
    Ctl(Box<ctl::Invocation>),
    /// Print this text with its final newline to stdout and exit 0: help, version, completions, man page.
    Print(String),
}

/// One member of the store: the settings of `retune store` and `etcd`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The replica's settings.
    pub consensus: consensus::Settings,
    /// The client port's settings.
    pub api: api::Settings,
    /// Where to look up the members of a new cluster, when the command line does not name them.
    pub discovery: Option<Discovery>,
    /// Threads that serve clients.
    pub workers: usize,
}

/// A proxy: the settings of `retune store --proxy on` and `etcd -proxy on`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// The proxy's own settings.
    pub proxy: ProxySettings,
    /// Where to look up the members, when the command line does not name them.
    pub discovery: Option<Discovery>,
    /// Threads that serve clients.
    pub workers: usize,
}

/// What to place, how, and what to print. The store is in the invocation's `source`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceSettings {
    /// What the container needs.
    pub request: Request,
    /// How a node is chosen.
    pub rules: Rules,
    /// Print every node that fits, not only the best.
    pub all: bool,
    /// Print what refuses each node.
    pub why: bool,
    /// Print addresses instead of names.
    pub address: bool,
}

/// A registrar: the settings of `retune register` and `registrator`, except the store, which is the invocation's
/// `source`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// What it registers, and how.
    pub registrar: registrar::Settings,
    /// Where it serves its state.
    pub listen: Vec<Listen>,
    /// Whether these addresses were requested: then it does not start without them.
    pub must_listen: bool,
    /// The registry's kind and address as Registrator's users typed it, without its password.
    pub adapter: Option<(String, String)>,
}

/// Stopping a container after its keys are removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterStop {
    /// Where its registrar listens.
    pub at: Listen,
    /// The engine that stops it.
    pub engine: EngineEndpoint,
    /// Its id, the beginning of its id, or its name.
    pub container: String,
    /// How long consumers have between the removal of the keys and the stop.
    pub drain: Duration,
    /// How long it has before it is killed; `None`: the engine decides.
    pub grace: Option<Duration>,
}

/// One address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A Unix socket.
    Unix(PathBuf),
    /// Host and port.
    Tcp(String),
}
