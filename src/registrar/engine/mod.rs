//! The client of a container engine: Docker's API, as Docker and Podman implement it.
//!
//! Owns: the engine's address and the connection to it, the API version, requests and their limits, the event stream,
//! commands inside a container.
//! Promises: every URL names a version; a response counts only when it is complete and has status 200; every request
//! has a timeout, but the event stream may be quiet for hours; missing or extra fields of other engine versions are not
//! an error.
//! Leaves out: when to send a request, and what a response means.
//!
//! Uses reqwest, which is a dependency anyway and supports unix sockets. The client crates for this API are generated
//! from one version's schema, and reject words that another engine uses.

mod address;
mod events;
mod exec;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;
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
pub(super) use self::events::Events;
use self::send::{EngineRequest, REQUEST_TIMEOUT, ResponseLimits};
use self::version::Version;
use super::container::{Container, ListedContainer};
use super::settings::EngineEndpoint;
use crate::client::{SetBy, Trust, http_client};
use crate::placement::Image;
use crate::tcp::Liveness;

/// A host may run thousands of containers at a kilobyte or two each; a longer list is an error.
const LIST_LIMITS: ResponseLimits = ResponseLimits { bytes: 64 << 20, within: Duration::from_secs(30) };
/// Inspections contain the last outputs of health checks, and some labels contain whole files.
const INSPECTION_LIMITS: ResponseLimits = ResponseLimits { bytes: 16 << 20, within: REQUEST_TIMEOUT };
/// How long the engine may take to stop a container whose stop timeout is unknown here.
const UNKNOWN_STOP_TIMEOUT: Duration = Duration::from_secs(600);
/// What a stop may take on top of the stop timeout: the kill, and the engine's cleanup.
const STOP_OVERHEAD_TIMEOUT: Duration = Duration::from_secs(20);

/// Why a request to the engine failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{why}")]
pub(super) struct EngineError {
    /// What went wrong, and what to do.
    pub(super) why: String,
    /// The socket is mounted as a file and was replaced on the host: nothing will ever listen on the mounted one.
    pub(super) stale_socket: bool,
}

impl EngineError {
    const fn new(why: String) -> Self {
        Self { why, stale_socket: false }
    }
}

/// What an engine reports about its host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct EngineInfo {
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

/// An event of the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct EngineEvent {
    pub(super) of: EventSubject,
    /// The action without its details: `start`, `die`, `kill`, `health_status`, …; Podman's `died` and `remove` become
    /// `die` and `destroy`. A network's `connect` and `disconnect` become events of the container.
    pub(super) action: String,
    /// The id of the subject.
    pub(super) id: String,
    /// The time of the event, in nanoseconds since 1970 by the engine's clock.
    pub(super) at: Option<i64>,
    /// A `kill` event's signal number.
    pub(super) signal: Option<i32>,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum EventSubject {
    #[default]
    Container,
    Image,
    /// The engine itself: it reloaded its configuration.
    Host,
}

/// The result of a command in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExecResult {
    pub(super) code: i64,
    /// The beginning of its output.
    pub(super) output: String,
}

/// A container engine.
#[derive(Debug)]
pub(super) struct Engine {
    http: reqwest::Client,
    address: Address,
    /// `None`: not negotiated yet, or to be negotiated again.
    version: Mutex<Option<Version>>,
}

/// Checks the URL of an engine. The error says what to write instead, and contains no password.
///
/// # Errors
/// It is not one.
pub fn check_engine_url(url: &str) -> Result<(), String> {
    let at = EngineEndpoint { url: url.to_owned(), trust: Trust::default(), tls: false };
    Address::read(&at).map(drop).map_err(|error| error.why)
}

impl Engine {
    /// Parses the address and loads the certificate files; sends nothing yet.
    pub(super) fn new(at: &EngineEndpoint) -> Result<Self, EngineError> {
        let address = Address::read(at)?;
        let wrong = |why: &dyn std::fmt::Display| EngineError::new(format!("{}: {why}", address.shown));
        let secure = address.base.scheme() == "https";
        // Without TLS, missing certificate files do not matter.
        let trust = if secure { at.trust.clone() } else { Trust::default() };
        let http = http_client(&Trust { set_by: SetBy::Engine, ..trust }, secure);
        let mut http = http
            .map_err(|error| wrong(&error))?
            .connect_timeout(Duration::from_secs(5))
            .pool_idle_timeout(Duration::from_secs(15));
        // Keepalive probes detect a dead connection, also under a quiet event stream.
        http = Liveness::TO_SERVER.configure_client(http);
        if let Some(socket) = &address.socket {
            http = http.unix_socket(&**socket);
        }
        let http = http.build().map_err(|error| wrong(&error))?;
        Ok(Self { http, address, version: Mutex::default() })
    }

    /// Returns the engine's address, for logs and errors.
    pub(super) fn url(&self) -> &str {
        &self.address.shown
    }

    /// Negotiates the API version, and returns what the engine reports about its host.
    pub(super) async fn info(&self) -> Result<EngineInfo, EngineError> {
        self.negotiate().await?;
        let reply: Value = self.read(&EngineRequest::get(&["info"], &[]), INSPECTION_LIMITS).await?;
        if !reply.is_object() {
            let why = format!("{}: its host information is not a JSON object", self.address.shown);
            return Err(EngineError::new(why));
        }
        Ok(wire::info(&reply))
    }

    /// Lists all containers, including stopped ones.
    pub(super) async fn list(&self) -> Result<Vec<ListedContainer>, EngineError> {
        let call = EngineRequest::get(&["containers", "json"], &[("all", "1")]);
        let lines: Vec<wire::ListEntry> = self.read(&call, LIST_LIMITS).await?;
        Ok(lines.into_iter().map(|line| line.0).collect())
    }

    /// Inspects one container by id or name; `None`: the engine reports that it does not exist.
    pub(super) async fn inspect(&self, id: &str) -> Result<Option<Container>, EngineError> {
        let response =
            self.send(&EngineRequest::get(&["containers", id, "json"], &[]), INSPECTION_LIMITS).await?;
        match response.status {
            StatusCode::OK => {
                let reply: Value = response.json()?;
                wire::container(&reply).map(Some).map_err(|why| response.context.fault(why))
            }
            StatusCode::NOT_FOUND if response.message().is_some_and(|reply| is_missing_container(&reply)) => {
                Ok(None)
            }
            _ => Err(response.refusal()),
        }
    }

    /// Lists all images.
    pub(super) async fn images(&self) -> Result<Vec<Image>, EngineError> {
        let lines: Vec<wire::ImageEntry> =
            self.read(&EngineRequest::get(&["images", "json"], &[]), LIST_LIMITS).await?;
        Ok(lines.into_iter().map(|line| line.0).collect())
    }

    /// Stops a container; `grace` is the time between its stop signal and the kill, `None` the container's own.
    /// Succeeds for a container that does not run.
    pub(super) async fn stop(&self, id: &str, grace: Option<Duration>) -> Result<(), EngineError> {
        let seconds = grace.map(|grace| grace.as_millis().div_ceil(1000).to_string());
        let query: Vec<_> = seconds.as_deref().map(|seconds| ("t", seconds)).into_iter().collect();
        let within = grace.unwrap_or(UNKNOWN_STOP_TIMEOUT).saturating_add(STOP_OVERHEAD_TIMEOUT);
        let bound = ResponseLimits { bytes: 1 << 20, within };
        let response =
            self.send(&EngineRequest::post(&["containers", id, "stop"], &query, None), bound).await?;
        match response.status {
            StatusCode::OK | StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => Ok(()),
            _ => Err(response.refusal()),
        }
    }

    /// Returns a complete response of status 200, parsed as JSON.
    async fn read<T: serde::de::DeserializeOwned>(
        &self,
        call: &EngineRequest<'_>,
        bound: ResponseLimits,
    ) -> Result<T, EngineError> {
        let response = self.send(call, bound).await?;
        if response.status == StatusCode::OK { response.json() } else { Err(response.refusal()) }
    }
}

/// Returns whether a message says that the container does not exist, as Docker (`No such container: web`) and Podman
/// (`no container with name or ID "web" found: no such container`) do, rather than that the page does not exist.
fn is_missing_container(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    let names_container = message.contains("container") || message.contains("no such id");
    names_container && (message.contains("no such") || message.contains("no container"))
}
