//! The reloader's settings; filled by `settings`.

use std::path::PathBuf;
use std::time::Duration;

use crate::template::Limits;

/// What to do with an unknown field of a resource file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownFields {
    /// The resource is refused, with the nearest known name.
    Refuse,
    /// The resource is used and a warning is logged; confd ignores such fields.
    Warn,
}

/// What every resource must have before the daemon is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// It was tried, and a file is in service: the new one, or after a failure the earlier one.
    InService,
    /// It rendered.
    Rendered,
}

/// What is rendered, to where, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder that holds `conf.d` and `templates`.
    pub confdir: PathBuf,
    /// Only these resources, by file name (`nginx.toml` or `nginx`); empty means all.
    pub only: Vec<String>,
    /// Replaces the prefix of every resource, as confd's `-prefix` does.
    pub prefix: Option<String>,
    /// Render and compare; change nothing, run nothing.
    pub noop: bool,
    /// Write files; run neither check nor reload commands.
    pub sync_only: bool,
    /// Leave staged files beside their destination.
    pub keep_stage_file: bool,
    /// Run every reload command even when nothing changed.
    pub force_reload: bool,
    /// Where pending reloads and the last good snapshot are kept; `None` keeps nothing between runs.
    pub state_dir: Option<PathBuf>,
    /// Whether a state folder that cannot be used is only a warning, because it is a default.
    pub state_dir_may_fail: bool,
    /// How long a change waits for the next one before a pass starts; zero starts at once.
    pub debounce: Duration,
    /// The longest that a change waits for further changes.
    pub max_wait: Duration,
    /// Time limit of a check command, unless its resource sets one.
    pub check_timeout: Duration,
    /// Time limit of a reload command, unless its resource sets one.
    pub reload_timeout: Duration,
    /// How long a running command may continue after the first stop signal.
    pub shutdown_timeout: Duration,
    /// The condition for the daemon to be ready.
    pub ready: Ready,
    /// The daemon is ready after this time in any case; `None` waits for ever.
    pub ready_timeout: Option<Duration>,
    /// How long `render` may take as a whole, including the source's response.
    pub render_timeout: Duration,
    /// What to do with unknown fields of resource files.
    pub unknown_fields: UnknownFields,
    /// Globs over keys (`/app/*/password`) whose values no diff and no log shows.
    pub redact: Vec<String>,
    /// What one template may use.
    pub limits: Limits,
    /// The folder below which destinations lie, when it is not this host's own root.
    pub root: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            confdir: PathBuf::from("/etc/retune"),
            only: Vec::new(),
            prefix: None,
            noop: false,
            sync_only: false,
            keep_stage_file: false,
            force_reload: false,
            state_dir: None,
            state_dir_may_fail: false,
            debounce: Duration::ZERO,
            max_wait: Duration::from_secs(10),
            check_timeout: Duration::from_secs(30),
            reload_timeout: Duration::from_secs(60),
            shutdown_timeout: Duration::from_secs(30),
            ready: Ready::InService,
            ready_timeout: None,
            render_timeout: Duration::from_secs(30),
            unknown_fields: UnknownFields::Refuse,
            redact: Vec::new(),
            limits: Limits::default(),
            root: None,
        }
    }
}
