//! The settings of a registrar.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::client::Trust;

/// All settings of a registrar, except for the store, which the caller opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The engine.
    pub engine: EngineEndpoint,
    /// The name of this node; `None`: the engine's name of its host.
    pub node: Option<String>,
    /// Labels of this node; they override the engine's own.
    pub labels: BTreeMap<String, String>,
    /// The `docker -H` address that reaches the engine from other hosts; `None`: the engine's URL if that is TCP,
    /// otherwise `ssh://` and the node's address.
    pub engine_address: Option<String>,
    /// Whether the record of this node is published.
    pub publish_node: bool,
    /// How a container becomes keys.
    pub rules: Rules,
    /// The default health checks.
    pub checks: Checks,
    /// How long keys live without their registrar.
    pub lease: Lease,
    /// The interval between full lists.
    pub relist: Duration,
    /// How long an engine may be unreachable before services without a check of their own are checked by TCP.
    pub grace: Duration,
    /// What happens to the keys on a regular stop.
    pub on_exit: OnExit,
    /// When the key of an exited container is removed.
    pub deregister: Deregister,
    /// Register only the container that this process runs in.
    pub own: Option<OwnContainer>,
    /// How many attempts to reach the store at start; `None`: no limit.
    pub attempts: Option<u32>,
    /// The delay between those attempts.
    pub pause: Duration,
    /// Register what is running, wait for its first checks, and exit.
    pub once: bool,
    /// Write nothing to the store; report what would be written.
    pub dry_run: bool,
}

/// A container engine's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineEndpoint {
    /// `unix:///path`, `tcp://host:port`, `http://host:port`, `https://host:port`, or the path of a socket.
    pub url: String,
    /// The TLS files; `tcp://` uses TLS when `tls` is set.
    pub trust: Trust,
    /// Use TLS for `tcp://`.
    pub tls: bool,
}

/// How a container becomes keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The address of every service, overriding the container's; `None`: the address of the default route.
    pub ip: Option<String>,
    /// Register the container's own address and port instead of the host's.
    pub internal: bool,
    /// Register only containers that set a name.
    pub explicit: bool,
    /// The container label that holds the address.
    pub ip_label: Option<String>,
    /// Tags of every service, after the container's own.
    pub tags: Vec<String>,
    /// When a service's name gets its port as a suffix.
    pub suffix: Suffix,
    /// The paths of keys.
    pub layout: Layout,
    /// The format of values.
    pub value: Value,
    /// The directory of all keys, normalised; `/` for none.
    pub prefix: String,
}

/// When a service's name gets `-<container port>`: three generations of Registrator, and two fixed choices.
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

/// The paths of keys.
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
        /// The template of the key, below the prefix.
        key: String,
        /// The template of the value; `None`: as `Rules::value` says.
        value: Option<String>,
    },
}

/// The format of values, where the layout leaves a choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Value {
    /// `ip:port`.
    #[default]
    Address,
    /// A JSON object: address, ip, port, name, id, tags, attributes, node, container.
    Json,
}

/// The default health checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checks {
    /// The interval between checks.
    pub interval: Duration,
    /// The timeout of one check.
    pub timeout: Duration,
    /// How many passes in a row add a key.
    pub rise: u32,
    /// How many failures in a row remove it.
    pub fall: u32,
    /// Which address is checked.
    pub via: CheckAddress,
    /// What is checked when neither the service nor its image defines a check.
    pub default: Health,
}

/// Which address a check connects to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CheckAddress {
    /// The registered one, which consumers use.
    #[default]
    Published,
    /// The container's own.
    Container,
}

/// The health of a service that has neither a check of its own nor a HEALTHCHECK.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// It is healthy while it runs.
    #[default]
    Running,
    /// It accepts a connection and keeps it open.
    Tcp,
    /// It responds to HTTP, with any status.
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

/// What happens to the keys on a regular stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExit {
    /// They stay, and expire unless a registrar returns.
    #[default]
    Keep,
    /// They are deleted.
    Remove,
}

/// When the key of an exited container is removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deregister {
    /// At once.
    #[default]
    Always,
    /// At once if it exited with 0 or by a signal; otherwise its lease expires.
    OnSuccess,
}

/// The container that this process runs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnContainer {
    /// Its id or name; `None`: detected.
    pub container: Option<String>,
    /// The container's ports to register; empty: all.
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
            engine: EngineEndpoint {
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
