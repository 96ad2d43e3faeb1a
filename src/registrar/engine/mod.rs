//! The door to a container engine: Docker's API, as Docker and Podman speak it.
//!
//! Owns: where the engine is and how it is reached, the version that both sides speak, requests and their bounds, the stream
//! of events, commands inside a container.
//! Promises: every URL names a version; an answer is taken for true only when all of it came with status 200; no request
//! waits for ever, but the stream of events may be silent for hours; fields that this engine's version lacks or adds are no
//! error.
//! Leaves out: when to ask, and what an answer means.
//!
//! Over reqwest, which is here anyway and speaks to unix sockets: the client crates for this API are generated from one
//! version's schema and refuse words that another engine uses.

mod address;
mod events;
mod exec;
mod send;
mod signal;
#[cfg(test)]
mod tests;
mod version;
mod wire;

use std::sync::Mutex;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use self::address::Address;
use self::send::{Bound, EngineRequest, REQUEST_TIMEOUT, RequestContext};
use self::version::Version;
use super::container::{Container, ListedContainer};
use super::settings::EngineAt;
use crate::client::{SetBy, Trust, tls_config};
use crate::placement::Image;
use crate::tcp::Liveness;

/// A host may hold thousands of containers, with a kilobyte or two for each; a longer list is a fault.
const LIST: Bound = Bound { bytes: 64 << 20, within: Duration::from_secs(30) };
/// Health checks leave their last outputs in an inspection, and people put files into labels.
const INSPECTION: Bound = Bound { bytes: 16 << 20, within: REQUEST_TIMEOUT };
/// How long the engine may take to stop a container whose own grace is not known here.
const UNKNOWN_STOP_TIMEOUT: Duration = Duration::from_secs(600);
/// What a stop may take beside the grace: the kill, and the engine's tidying up.
const STOP_OVERHEAD_TIMEOUT: Duration = Duration::from_secs(20);

/// Why an engine did not answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{why}")]
pub(super) struct EngineError {
    /// What went wrong, and what to do.
    pub(super) why: String,
    /// The socket is mounted as a file, and the file on the host is another one by now: nobody will ever listen on the one that
    /// this process sees.
    pub(super) stale_socket: bool,
}

impl EngineError {
    const fn new(why: String) -> Self {
        Self { why, stale_socket: false }
    }
}

/// What an engine says of its host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Info {
    pub(super) id: String,
    /// The host's name.
    pub(super) name: String,
    /// `key=value`, split.
    pub(super) labels: std::collections::BTreeMap<String, String>,
    pub(super) cpus: i64,
    pub(super) memory: i64,
    pub(super) storage_driver: String,
    pub(super) kernel_version: String,
    pub(super) operating_system: String,
    pub(super) os_type: String,
}

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) of: EventSubject,
    /// The first word: `start`, `die`, `kill`, `health_status`, …; Podman's `died` and `remove` come as `die` and `destroy`. A
    /// network's `connect` and `disconnect` are events of the container.
    pub(super) action: String,
    /// Whose.
    pub(super) id: String,
    /// When, in nanoseconds of the engine's clock since 1970.
    pub(super) at: Option<i64>,
    /// The number of a kill's signal.
    pub(super) signal: Option<i32>,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum EventSubject {
    #[default]
    Container,
    Image,
    /// The engine itself: its configuration was read again.
    Host,
}

/// How a command in a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExecResult {
    pub(super) code: i64,
    /// The beginning of what it wrote.
    pub(super) output: String,
}

/// A container engine.
#[derive(Debug)]
pub(super) struct Engine {
    http: reqwest::Client,
    address: Address,
    /// `None`: it was not asked yet, or has to be asked again.
    version: Mutex<Option<Version>>,
}

/// A stream of events that the engine has accepted.
#[derive(Debug)]
pub(super) struct Events {
    place: RequestContext,
    phase: events::StreamPhase,
    objects: events::Objects,
}

impl Engine {
    /// Reads the address and the certificate files; nothing goes over the network yet.
    pub(super) fn new(at: &EngineAt) -> Result<Self, EngineError> {
        let address = Address::read(at)?;
        let wrong = |why: &dyn std::fmt::Display| EngineError::new(format!("{}: {why}", address.shown));
        let secure = address.base.scheme() == "https";
        // Files that nobody needs may be missing.
        let trust = if secure { at.trust.clone() } else { Trust::default() };
        let tls =
            tls_config(&Trust { set_by: SetBy::Engine, ..trust }, secure).map_err(|error| wrong(&error))?;
        let mut http = reqwest::Client::builder()
            .use_preconfigured_tls(tls)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .pool_idle_timeout(Duration::from_secs(15));
        // A link that died without a word is found by the kernel, also under a silent stream of events.
        http = Liveness::TO_SERVER.of_client(http);
        if let Some(socket) = &address.socket {
            http = http.unix_socket(&**socket);
        }
        let http = http.build().map_err(|error| wrong(&error))?;
        Ok(Self { http, address, version: Mutex::default() })
    }

    /// Where it is, for logs and errors.
    pub(super) fn url(&self) -> &str {
        &self.address.shown
    }

    /// Settles the version of the API, and asks the engine about its host.
    pub(super) async fn info(&self) -> Result<Info, EngineError> {
        self.settle().await?;
        let reply: Value = self.read(&EngineRequest::get(&["info"], &[]), INSPECTION).await?;
        if !reply.is_object() {
            let why = format!("{}: what it says of its host is no object", self.address.shown);
            return Err(EngineError::new(why));
        }
        Ok(wire::info(&reply))
    }

    /// All containers, stopped ones too.
    pub(super) async fn list(&self) -> Result<Vec<ListedContainer>, EngineError> {
        let call = EngineRequest::get(&["containers", "json"], &[("all", "1")]);
        let lines: Vec<wire::ListEntry> = self.read(&call, LIST).await?;
        Ok(lines.into_iter().map(|line| line.0).collect())
    }

    /// One container by id or name; `None`: there is none, says the engine.
    pub(super) async fn inspect(&self, id: &str) -> Result<Option<Container>, EngineError> {
        let response = self.send(&EngineRequest::get(&["containers", id, "json"], &[]), INSPECTION).await?;
        match response.status {
            StatusCode::OK => {
                let reply: Value = response.json()?;
                wire::container(&reply).map(Some).map_err(|why| response.place.fault(why))
            }
            StatusCode::NOT_FOUND if response.message().is_some_and(|reply| says_gone(&reply)) => Ok(None),
            _ => Err(response.refusal()),
        }
    }

    /// All images.
    pub(super) async fn images(&self) -> Result<Vec<Image>, EngineError> {
        let lines: Vec<wire::ImageEntry> =
            self.read(&EngineRequest::get(&["images", "json"], &[]), LIST).await?;
        Ok(lines.into_iter().map(|line| line.0).collect())
    }

    /// Subscribes to events of containers, images, networks and the engine itself, from `since` on, in nanoseconds of the engine's clock since 1970. The
    /// engine has accepted when this returns, but for one that says nothing before its first event: after 2 seconds
    /// without a word the stream is handed back as it is, and what is wrong with it comes from [`Events::next`].
    pub(super) async fn events(&self, since: Option<i64>) -> Result<Events, EngineError> {
        self.subscribe(since).await
    }

    /// Runs a command in a container. At the limit the answer is an error; the command may go on inside.
    pub(super) async fn exec(
        &self,
        id: &str,
        argv: &[String],
        within: Duration,
    ) -> Result<ExecResult, EngineError> {
        self.run(id, argv, within).await
    }

    /// Stops a container; `grace` is the time from its stop signal to the kill, `None` the container's own. One that does
    /// not run is stopped.
    pub(super) async fn stop(&self, id: &str, grace: Option<Duration>) -> Result<(), EngineError> {
        let seconds = grace.map(|grace| grace.as_millis().div_ceil(1000).to_string());
        let query: Vec<_> = seconds.as_deref().map(|seconds| ("t", seconds)).into_iter().collect();
        let within = grace.unwrap_or(UNKNOWN_STOP_TIMEOUT).saturating_add(STOP_OVERHEAD_TIMEOUT);
        let bound = Bound { bytes: 1 << 20, within };
        let response =
            self.send(&EngineRequest::post(&["containers", id, "stop"], &query, None), bound).await?;
        match response.status {
            StatusCode::OK | StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => Ok(()),
            _ => Err(response.refusal()),
        }
    }

    /// A whole answer of status 200, read as JSON.
    async fn read<T: serde::de::DeserializeOwned>(
        &self,
        call: &EngineRequest<'_>,
        bound: Bound,
    ) -> Result<T, EngineError> {
        let response = self.send(call, bound).await?;
        if response.status == StatusCode::OK { response.json() } else { Err(response.refusal()) }
    }
}

/// Whether a message says that there is no such container, as Docker (`No such container: web`) and Podman (`no container
/// with name or ID "web" found: no such container`) do, and not that there is no such page.
fn says_gone(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    let whom = message.contains("container") || message.contains("no such id");
    whom && (message.contains("no such") || message.contains("no container"))
}

impl Events {
    /// The next event; `None`: the engine ended the stream. Waits for ever. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, EngineError> {
        self.following().await
    }
}
