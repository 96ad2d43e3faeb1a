//! Health checks of services.
//!
//! Owns: parsing `SERVICE_[port_]CHECK_*` ([`spec`]), and running the checks: HTTP, TCP, gRPC, a command in the
//! container.
//! Promises: a check ends within its timeout, whatever the other side does; reads are bounded; a connection that is
//! accepted and closed at once is a failure, because Docker's proxy does that when the application is dead.
//! Leaves out: how many passes make a service healthy (`model`), and when a check runs (`worker`).

mod command;
mod duration;
mod grpc;
mod http;
mod net;
mod spec;
mod tcp;
#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::engine::Engine;
use super::service::Service;
use super::settings::{CheckAddress, Checks, Health};
use net::CheckStage;

pub(super) use spec::{of, unknown_words};

/// A check: what it does, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) kind: CheckKind,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) rise: u32,
    pub(super) fall: u32,
}

/// What a check does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CheckKind {
    /// Passes on a status from 200 to 399 when the body arrives, up to 64 KiB of it. With `any_status` every response
    /// passes, and the body is not read.
    Http { https: bool, method: String, path: String, verify: bool, any_status: bool },
    /// A connection that stays open.
    Tcp,
    /// The gRPC health protocol.
    Grpc { tls: bool, verify: bool, service: String },
    /// A command in the container that exits with 0.
    Command(Vec<String>),
}

/// The address that a check connects to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CheckTarget {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) container: String,
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CheckResult {
    Passed,
    /// The check failed: the reason, in a few words.
    Failed(String),
    /// The engine did not run the command, and why. The service's health is unknown.
    Unknown(String),
}

/// Returns the check of a service that has neither a check nor a HEALTHCHECK; `None`: a running container is enough.
/// Only for TCP ports.
pub(super) fn fallback(defaults: &Checks) -> Option<Check> {
    match defaults.default {
        Health::Running => None,
        Health::Tcp => Some(bare_tcp(defaults)),
        Health::Http => {
            let (method, path) = ("GET".to_owned(), "/".to_owned());
            Some(with(
                defaults,
                CheckKind::Http { https: false, method, path, verify: true, any_status: true },
            ))
        }
    }
}

/// Returns a plain TCP check, for when the engine does not respond. Only for TCP ports.
pub(super) fn bare_tcp(defaults: &Checks) -> Check {
    with(defaults, CheckKind::Tcp)
}

fn with(defaults: &Checks, kind: CheckKind) -> Check {
    let Checks { interval, timeout, rise, fall, .. } = *defaults;
    Check { kind, interval, timeout, rise, fall }
}

/// Returns where a service is checked. A container without its own address is checked at the address that consumers
/// use.
pub(super) fn target(service: &Service, defaults: &Checks) -> CheckTarget {
    let container = service.container.clone();
    match (defaults.via, service.inner) {
        (CheckAddress::Container, Some(inner)) => {
            CheckTarget { host: inner.to_canonical().to_string(), port: service.port.number, container }
        }
        _ => {
            let bare = service.ip.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            CheckTarget { host: bare.unwrap_or(&service.ip).to_owned(), port: service.public, container }
        }
    }
}

impl Check {
    /// Runs the check once. Distinguishes a failing service from an engine that cannot run the command; a command that
    /// times out counts as failed.
    pub(super) async fn run(&self, target: &CheckTarget, engine: &Engine) -> CheckResult {
        let CheckKind::Command(argv) = &self.kind else {
            return self.reach(target).await.map_or_else(CheckResult::Failed, |()| CheckResult::Passed);
        };
        let begun = Instant::now();
        let timed_out = || CheckResult::Failed(format!("the command did not end within {:?}", self.timeout));
        match timeout(self.timeout, engine.exec(&target.container, argv, self.timeout)).await {
            Ok(Ok(ran)) => {
                command::check_exit(&ran).map_or_else(CheckResult::Failed, |()| CheckResult::Passed)
            }
            Err(_) => timed_out(),
            Ok(Err(_)) if begun.elapsed() >= self.timeout => timed_out(),
            Ok(Err(error)) => CheckResult::Unknown(format!("the command cannot be run: {}", error.why)),
        }
    }

    /// Runs a network check.
    async fn reach(&self, target: &CheckTarget) -> Result<(), String> {
        let stage = CheckStage::new("connection");
        let asked = async {
            match &self.kind {
                CheckKind::Http { https, method, path, verify, any_status } => {
                    let probe = http::HttpProbe { method, path, any_status: *any_status };
                    http::probe(&probe, target, https.then_some(*verify), &stage).await
                }
                CheckKind::Tcp => tcp::probe(target, self.timeout, &stage).await,
                CheckKind::Grpc { tls, verify, service } => {
                    grpc::probe(service, target, tls.then_some(*verify), &stage).await
                }
                CheckKind::Command(_) => Err("a command check does not use the network".to_owned()),
            }
        };
        match timeout(self.timeout, asked).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("no {} within {:?}", stage.what(), self.timeout)),
        }
    }
}
