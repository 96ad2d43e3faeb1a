//! What a registrar is told.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::client::Trust;

/// Everything a registrar needs to know, but for the store, which is opened by who runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The engine.
    pub engine: EngineAt,
    /// The name of this node; `None`: what the engine calls its host.
    pub node: Option<String>,
    /// Labels of this node beside the engine's own; they win.
    pub labels: BTreeMap<String, String>,
    /// How `docker -H` reaches the engine from elsewhere; `None`: the engine's URL when that is TCP, otherwise `ssh://` and the
    /// node's address.
    pub engine_address: Option<String>,
    /// Whether the record of this node is published.
    pub publish_node: bool,
    /// What of a container becomes which key.
    pub rules: Rules,
    /// How services are checked unless they say otherwise.
    pub checks: Checks,
    /// How long keys live without their registrar.
    pub lease: Lease,
    /// How often everything is listed anew.
    pub relist: Duration,
    /// How long an engine may be gone before services without a check of their own are asked by TCP.
    pub grace: Duration,
    /// What becomes of the keys on a stop in good order.
    pub on_exit: OnExit,
    /// When the key of a container that ended goes.
    pub deregister: Deregister,
    /// Only the container that this process runs in.
    pub own: Option<OwnContainer>,
    /// How often the store is tried at start before giving up; `None`: for ever.
    pub attempts: Option<u32>,
    /// The wait between those tries.
    pub pause: Duration,
    /// Register what is there, wait for its first checks, and end.
    pub once: bool,
    /// Write nothing to the store; say what would be written.
    pub dry_run: bool,
}

/// Where a container engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineAt {
    /// `unix:///path`, `tcp://host:port`, `http://host:port`, `https://host:port`, or the path of a socket.
    pub url: String,
    /// TLS; `tcp://` speaks it when `tls` is set.
    pub trust: Trust,
    /// Speak TLS to `tcp://`.
    pub tls: bool,
}

/// What of a container becomes which key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The address of every service, whatever the container says; `None`: the address of the default route.
    pub ip: Option<String>,
    /// The container's own address and port in place of the host's.
    pub internal: bool,
    /// Only containers that set a name.
    pub explicit: bool,
    /// The container label that holds the address.
    pub ip_label: Option<String>,
    /// Tags of every service, after the container's own.
    pub tags: Vec<String>,
    /// When a service's name gets its port as a suffix.
    pub suffix: Suffix,
    /// Where keys lie and what they are called.
    pub layout: Layout,
    /// What keys hold.
    pub value: Value,
    /// The directory of all keys, clean; `/` for none.
    pub prefix: String,
}

/// When a service's name gets `-<container port>`. Three generations of Registrator, and two plain words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Suffix {
    /// When the container has more than one port, published or not; also a name from `SERVICE_NAME` (v7).
    #[default]
    Exposed,
    /// When more than one port of the container is registered; also a name from `SERVICE_NAME` (after v7).
    Published,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where keys lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `<prefix>/<name>/<id>`.
    Registrator,
    /// `<prefix>/<directory>/<ip>:<port>`, which holds `running`.
    Dockreg {
        /// The directory.
        directory: String,
    },
    /// `/skydns/<domain, reversed>/<name>/<id>`, which holds JSON with `host` and `port`.
    Skydns {
        /// The domain.
        domain: String,
    },
    /// The user's own templates.
    Template {
        /// Of the key, below the prefix.
        key: String,
        /// Of the value; `None`: as `Rules::value` says.
        value: Option<String>,
    },
}

/// What keys hold where the layout leaves a choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Value {
    /// `ip:port`.
    #[default]
    Address,
    /// A JSON object: address, ip, port, name, id, tags, attributes, node, container.
    Json,
}

/// How services are checked unless they say otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checks {
    /// From one check to the next.
    pub interval: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// So many passes in a row bring a key.
    pub rise: u32,
    /// So many failures in a row take it away.
    pub fall: u32,
    /// Which address is asked.
    pub via: CheckAddress,
    /// What counts where neither the service nor its image says anything.
    pub default: Health,
}

/// Which address a check asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CheckAddress {
    /// The one that is registered, which is what consumers ask.
    #[default]
    Published,
    /// The container's own.
    Container,
}

/// What counts as health of a service that has no check of its own and no HEALTHCHECK.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// It runs.
    #[default]
    Running,
    /// It accepts a connection and keeps it.
    Tcp,
    /// It answers HTTP, whatever the status.
    Http,
}

/// How long keys live without their registrar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Whole seconds; `None`: for ever.
    pub ttl: Option<Duration>,
    /// How often it is renewed.
    pub refresh: Duration,
}

/// What becomes of the keys on a stop in good order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExit {
    /// They stay, and their leases run out unless a registrar returns.
    #[default]
    Keep,
    /// They are deleted.
    Remove,
}

/// When the key of a container that ended goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deregister {
    /// At once.
    #[default]
    Always,
    /// At once when it ended with 0 or by a signal; otherwise its lease runs out.
    OnSuccess,
}

/// The container that this process runs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnContainer {
    /// Its id or name; `None`: found out.
    pub container: Option<String>,
    /// The container's ports that are registered; empty: all.
    pub ports: Vec<u16>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            ip: None,
            internal: false,
            explicit: false,
            ip_label: None,
            tags: Vec::new(),
            suffix: Suffix::default(),
            layout: Layout::Registrator,
            value: Value::default(),
            prefix: "/".to_owned(),
        }
    }
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(3),
            rise: 1,
            fall: 1,
            via: CheckAddress::default(),
            default: Health::default(),
        }
    }
}

impl Default for Lease {
    fn default() -> Self {
        Self { ttl: Some(Duration::from_secs(20)), refresh: Duration::from_millis(6_666) }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            engine: EngineAt {
                url: "unix:///var/run/docker.sock".to_owned(),
                trust: Trust::default(),
                tls: false,
            },
            node: None,
            labels: BTreeMap::new(),
            engine_address: None,
            publish_node: true,
            rules: Rules::default(),
            checks: Checks::default(),
            lease: Lease::default(),
            relist: Duration::from_secs(30),
            grace: Duration::from_secs(60),
            on_exit: OnExit::default(),
            deregister: Deregister::default(),
            own: None,
            attempts: None,
            pause: Duration::from_secs(2),
            once: false,
            dry_run: false,
        }
    }
}
