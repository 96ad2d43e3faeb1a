//! What one call of the program is to do: the last of the three stages.

use std::path::PathBuf;
use std::time::Duration;

use crate::api::{self, ProxySettings};
use crate::client::Discovery;
use crate::placement::{self, Filter, Request, Strategy};
use crate::registrar::{self, EngineAt};
use crate::{consensus, ctl, reloader, source};

/// Whose command line was typed. It also decides the shape of the text log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `retune render …` and its sisters.
    Retune,
    /// confd's: called by the name `confd`, or with flags and no command (`retune -onetime …`).
    Confd,
    /// etcd's: called by the name `etcd`.
    Etcd,
    /// Registrator's: called by the name `registrator`.
    Registrator,
}

/// How a result is written to stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// For people.
    Text,
    /// For programs; a stable interface.
    Json,
}

/// How log lines are written to stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line; a stable interface.
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
    pub format: LogFormat,
    /// When to colour, logs and results alike.
    pub colour: Colour,
}

/// How `check` reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckFormat {
    /// For people.
    Text,
    /// For programs; a stable interface.
    Json,
    /// For CI servers.
    Junit,
}

/// What `check` looks at beside resources and templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// A file of values to render with.
    pub data: Option<PathBuf>,
    /// A folder of expected results; only together with `data`.
    pub expect: Option<PathBuf>,
    /// Write the expected results in place of comparing with them.
    pub update: bool,
    /// The shape of the report.
    pub format: CheckFormat,
}

/// The job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Render everything once and exit; also `confd -onetime`, with `noop` or without.
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
    /// Stand before a cluster without being a member; also `etcd -proxy on`.
    Proxy(Box<Proxy>),
    /// Save what a store holds.
    Backup(Box<Backup>),
    /// Make a member of a new group from a backup.
    Restore(Box<Restore>),
    /// Keep running containers in a store; also `registrator`.
    Register(Box<Register>),
    /// Ask the one that does so for its state.
    RegisterStatus(Box<RegisterStatus>),
    /// Take a container's keys away, then stop it.
    RegisterStop(Box<RegisterStop>),
    /// Choose a node.
    Place(Box<PlaceSettings>),
}

/// Which store is saved to which file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The file.
    pub file: PathBuf,
    /// Whether one that is there may be replaced.
    pub force: bool,
    /// A stopped member's folder; otherwise the running store in the invocation's `source` is asked.
    pub data_dir: Option<PathBuf>,
}

/// Which file becomes which member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    /// The file.
    pub file: PathBuf,
    /// Name, folder and group of the member; the rest is as for any.
    pub member: consensus::Settings,
}

/// Everything one call needs to know.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The job.
    pub task: Task,
    /// Whose command line it was.
    pub dialect: Dialect,
    /// How to log.
    pub log: Log,
    /// Where values come from, or which store is asked; the defaults, unused, for [`Task::Check`].
    pub source: source::Settings,
    /// What is rendered where, and how.
    pub reloader: reloader::Settings,
    /// The shape of `render`'s report.
    pub output: Output,
    /// Settings that had no effect, each a sentence; to be logged once logging is up.
    pub warnings: Vec<String>,
    /// What was decided for the user, each a sentence; to be logged as information.
    pub notices: Vec<String>,
}

/// What a command line asks for.
#[derive(Clone, Debug)]
pub enum Parsed {
    /// Do the job.
    Run(Box<Invocation>),
    /// A command of etcdctl's, which has its own exit codes.
    Ctl(Box<ctl::Invocation>),
    /// Print this to stdout and exit 0: help, version, completions, man page.
    Print {
        /// The text, with its final newline.
        text: String,
    },
}

/// One member of the store: everything that `retune store` and `etcd` were told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What the replica needs.
    pub consensus: consensus::Settings,
    /// What the client port needs.
    pub api: api::Settings,
    /// Where the members of a new group are looked up, when the command line does not name them.
    pub discovery: Option<Discovery>,
    /// Threads that serve clients.
    pub workers: usize,
}

/// A proxy: everything that `retune store --proxy on` and `etcd -proxy on` were told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// What it needs to run.
    pub proxy: ProxySettings,
    /// Where the members are looked up, when the command line does not name them.
    pub discovery: Option<Discovery>,
    /// Threads that serve clients.
    pub workers: usize,
}

/// What is to be placed, how, and what is told of it. Which store is asked is in the invocation's `source`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceSettings {
    /// What the container needs.
    pub request: Request,
    /// How nodes are ranked.
    pub strategy: Strategy,
    /// The filters, in the order in which they are asked.
    pub filters: Vec<Filter>,
    /// Whose habits count.
    pub dialect: placement::Dialect,
    /// Every node that fits rather than the best.
    pub all: bool,
    /// For each node what refuses it.
    pub why: bool,
    /// Addresses rather than names.
    pub address: bool,
}

/// A registrar: everything that `retune register` and `registrator` were told, but for the store, which is the invocation's
/// `source`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// What it registers, and how.
    pub registrar: registrar::Settings,
    /// Where it answers for its state.
    pub listen: Vec<Listen>,
    /// Whether these places were asked for: then it is nothing without them.
    pub must_listen: bool,
    /// The registry's kind and address as Registrator's users typed it, without its password.
    pub adapter: Option<(String, String)>,
}

/// Asking a registrar for its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterStatus {
    /// Where it answers.
    pub at: Listen,
}

/// Stopping a container whose keys have gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterStop {
    /// Where its registrar answers.
    pub at: Listen,
    /// The engine that stops it.
    pub engine: EngineAt,
    /// Its id, the beginning of that, or its name.
    pub container: String,
    /// How long consumers have between the end of the keys and the stop.
    pub drain: Duration,
    /// How long it has before it is killed; `None`: the engine decides.
    pub grace: Option<Duration>,
}

/// One place to answer at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A socket in the file system.
    Unix(PathBuf),
    /// Host and port.
    Tcp(String),
}
