//! A container of the fake engine.

use std::collections::BTreeMap;

/// What a container does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Made, and never started.
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

/// What its HEALTHCHECK says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Not yet known.
    Starting,
    /// Well.
    Healthy,
    /// Not well.
    Unhealthy,
}

impl Health {
    /// As the API spells it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// A container: first what it is to be, then also what it is.
#[derive(Clone, Debug)]
pub struct Container {
    /// 64 digits.
    pub id: String,
    /// Without a slash.
    pub name: String,
    /// As it was named when the container was made.
    pub image: String,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `80/tcp`, published or not.
    pub exposed: Vec<String>,
    /// What is published: the container's port, and the host's unless the engine may choose.
    pub publish: Vec<(String, Option<u16>)>,
    /// `bridge`, `host`, or a network's name.
    pub network_mode: String,
    /// Networks that it was connected to beside that one, and its address in each.
    pub more_networks: BTreeMap<String, String>,
    /// What is published while it runs.
    pub bindings: BTreeMap<String, u16>,
    /// Its address in its network.
    pub ip: String,
    /// What it does.
    pub doing: Doing,
    /// How it ended last.
    pub exit_code: i64,
    /// When it was made, in nanoseconds since 1970.
    pub created_at: i64,
    /// When its present life began; 0: it never began.
    pub started_at: i64,
    /// When its last life ended; 0: it never ended.
    pub finished_at: i64,
    /// `None`: it has no HEALTHCHECK.
    pub health: Option<Health>,
    /// The signal that asks it to end.
    pub stop_signal: i32,
    /// Seconds from that signal to the kill.
    pub stop_timeout: Option<u64>,
    /// Whether that signal was sent, and it has not ended yet.
    pub stopping: bool,
    /// Whether it is started again when the engine starts.
    pub always: bool,
    /// Counts its lives, so that what was meant for one is not done to the next.
    pub life: u64,
}

impl Container {
    /// A container to be, on the bridge, with no ports and no check.
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
            doing: Doing::Created,
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

    /// Of this image.
    pub fn image(mut self, image: &str) -> Self {
        self.image = image.to_owned();
        self
    }

    /// With this in its environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push(format!("{name}={value}"));
        self
    }

    /// With this label.
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Listening to this port, such as `443/tcp`, which is not published.
    pub fn expose(mut self, port: &str) -> Self {
        self.exposed.push(port.to_owned());
        self
    }

    /// With this port published; `None`: on a port of the host that the engine chooses anew at each start.
    pub fn publish(mut self, port: &str, host: Option<u16>) -> Self {
        self.publish.push((port.to_owned(), host));
        self.expose(port)
    }

    /// With a HEALTHCHECK.
    pub const fn healthcheck(mut self) -> Self {
        self.health = Some(Health::Starting);
        self
    }

    /// In this network.
    pub fn network(mut self, mode: &str) -> Self {
        self.network_mode = mode.to_owned();
        self
    }

    /// Asked to end by this signal.
    pub const fn stop_signal(mut self, signal: i32) -> Self {
        self.stop_signal = signal;
        self
    }

    /// Started again when the engine starts.
    pub const fn always(mut self) -> Self {
        self.always = true;
        self
    }

    /// Whether there are processes in it.
    pub const fn up(&self) -> bool {
        matches!(self.doing, Doing::Running | Doing::Paused)
    }
}
