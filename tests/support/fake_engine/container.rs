//! A container of the fake engine.

use std::collections::BTreeMap;

/// The state of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerState {
    /// Created, and never started.
    Created,
    /// It runs.
    Running,
    /// Frozen; its ports still accept.
    Paused,
    /// It ended, and its restart policy will start it again.
    Restarting,
    /// It ended.
    Exited,
}

/// The state of its HEALTHCHECK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Not yet known.
    Starting,
    /// Healthy.
    Healthy,
    /// Unhealthy.
    Unhealthy,
}

impl Health {
    /// Returns the API's spelling.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// A container: first its configuration, then also its state.
#[derive(Clone, Debug)]
pub struct Container {
    /// 64 digits.
    pub id: String,
    /// Without a slash.
    pub name: String,
    /// As it was named when the container was created.
    pub image: String,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `80/tcp`, published or not.
    pub exposed: Vec<String>,
    /// The published ports: the container's, and the host's unless the engine may choose.
    pub publish: Vec<(String, Option<u16>)>,
    /// `bridge`, `host`, or a network's name.
    pub network_mode: String,
    /// Other networks that it is connected to, and its address in each.
    pub more_networks: BTreeMap<String, String>,
    /// The published ports while it runs.
    pub bindings: BTreeMap<String, u16>,
    /// Its address in its network.
    pub ip: String,
    /// Its state.
    pub doing: ContainerState,
    /// Its last exit code.
    pub exit_code: i64,
    /// When it was created, in nanoseconds since 1970.
    pub created_at: i64,
    /// When its current run began; 0: never.
    pub started_at: i64,
    /// When its last run ended; 0: never.
    pub finished_at: i64,
    /// `None`: it has no HEALTHCHECK.
    pub health: Option<Health>,
    /// The signal that stops it.
    pub stop_signal: i32,
    /// Seconds from that signal to the kill.
    pub stop_timeout: Option<u64>,
    /// Whether that signal was sent and it has not ended yet.
    pub stopping: bool,
    /// Whether it is started again when the engine starts.
    pub always: bool,
    /// Counts its runs, so that an action meant for one is not applied to the next.
    pub life: u64,
}

impl Container {
    /// Returns the configuration of a container, on the bridge, with no ports and no check.
    pub fn new(name: &str) -> Self {
        Self {
            id: String::new(),
            name: name.to_owned(),
            image: "app".to_owned(),
            env: vec!["PATH=/usr/bin".to_owned(), "SECRET=of-the-container".to_owned()],
            labels: BTreeMap::new(),
            exposed: Vec::new(),
            publish: Vec::new(),
            network_mode: "bridge".to_owned(),
            more_networks: BTreeMap::new(),
            bindings: BTreeMap::new(),
            ip: String::new(),
            doing: ContainerState::Created,
            exit_code: 0,
            created_at: 0,
            started_at: 0,
            finished_at: 0,
            health: None,
            stop_signal: 15,
            stop_timeout: None,
            stopping: false,
            always: false,
            life: 0,
        }
    }

    /// Sets its image.
    pub fn image(mut self, image: &str) -> Self {
        self.image = image.to_owned();
        self
    }

    /// Adds a variable to its environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push(format!("{name}={value}"));
        self
    }

    /// Adds a label.
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Exposes a port, such as `443/tcp`, without publishing it.
    pub fn expose(mut self, port: &str) -> Self {
        self.exposed.push(port.to_owned());
        self
    }

    /// Publishes a port; `None`: on a port of the host that the engine chooses at each start.
    pub fn publish(mut self, port: &str, host: Option<u16>) -> Self {
        self.publish.push((port.to_owned(), host));
        self.expose(port)
    }

    /// Adds a HEALTHCHECK.
    pub const fn healthcheck(mut self) -> Self {
        self.health = Some(Health::Starting);
        self
    }

    /// Sets its network.
    pub fn network(mut self, mode: &str) -> Self {
        self.network_mode = mode.to_owned();
        self
    }

    /// Sets its stop signal.
    pub const fn stop_signal(mut self, signal: i32) -> Self {
        self.stop_signal = signal;
        self
    }

    /// Makes the engine start it again when the engine starts.
    pub const fn always(mut self) -> Self {
        self.always = true;
        self
    }

    /// Returns whether processes run in it.
    pub const fn up(&self) -> bool {
        matches!(self.doing, ContainerState::Running | ContainerState::Paused)
    }
}
