//! Whether what lies behind a service is well.
//!
//! Owns: what `SERVICE_[port_]CHECK_*` asks for ([`spec`]), and asking it: HTTP, TCP, gRPC, a command in the container.
//! Promises: one check ends within its timeout, whatever the other side does; what is read of an answer is bounded; a
//! connection that is accepted and ended at once, as Docker's proxy does for a dead application, is a failure.
//! Leaves out: how many passes make a service healthy (`model`), and when a check is run (`worker`).

mod command;
mod grpc;
mod http;
mod net;
mod span;
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

/// What is asked, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) kind: CheckKind,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) rise: u32,
    pub(super) fall: u32,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CheckKind {
    /// An answer from 200 to 399, of which the body comes to its end or to 64 KiB; with `any_status` any answer, and no body
    /// is waited for.
    Http { https: bool, method: String, path: String, verify: bool, any_status: bool },
    /// A connection that stays.
    Tcp,
    /// The gRPC health protocol.
    Grpc { tls: bool, verify: bool, service: String },
    /// A command in the container that ends with 0.
    Command(Vec<String>),
}

/// Where it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) container: String,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    Well,
    /// Why, in a few words.
    Ill(String),
    /// The engine did not run the command, and why: nothing is known of the service.
    Unknown(String),
}

/// What a service's attributes ask for; `None`: nothing. An error is what is wrong with them.
pub(super) fn of(service: &Service, defaults: &Checks) -> Result<Option<Check>, String> {
    spec::read(service, defaults)
}

/// What `SERVICE_CHECK_*` says of a service that no check knows: such a word silently leaves it unchecked.
pub(super) fn unknown_words(service: &Service) -> Vec<String> {
    spec::unknown_words(service)
}

/// How a service is asked that has neither a check nor a HEALTHCHECK; `None`: that it runs is enough. Only for TCP ports:
/// nothing else answers.
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

/// Whether a connection is accepted and kept, for when the engine cannot be asked. Only for TCP ports.
pub(super) fn bare_tcp(defaults: &Checks) -> Check {
    with(defaults, CheckKind::Tcp)
}

fn with(defaults: &Checks, kind: CheckKind) -> Check {
    let Checks { interval, timeout, rise, fall, .. } = *defaults;
    Check { kind, interval, timeout, rise, fall }
}

/// Where a service is checked. A container without an address of its own is asked where consumers ask.
pub(super) fn target(service: &Service, defaults: &Checks) -> Target {
    let container = service.container.clone();
    match (defaults.via, service.inner) {
        (CheckAddress::Container, Some(inner)) => {
            Target { host: inner.to_canonical().to_string(), port: service.port.number, container }
        }
        _ => {
            let bare = service.ip.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            Target { host: bare.unwrap_or(&service.ip).to_owned(), port: service.public, container }
        }
    }
}

impl Check {
    /// Asks once, and tells a service that is not well from an engine that cannot run the command. A command that has not
    /// ended in time is not well.
    pub(super) async fn find(&self, target: &Target, engine: &Engine) -> Finding {
        let CheckKind::Command(argv) = &self.kind else {
            return self.reach(target).await.map_or_else(Finding::Ill, |()| Finding::Well);
        };
        let begun = Instant::now();
        let late = || Finding::Ill(format!("the command did not end within {:?}", self.timeout));
        match timeout(self.timeout, engine.exec(&target.container, argv, self.timeout)).await {
            Ok(Ok(ran)) => command::verdict(&ran).map_or_else(Finding::Ill, |()| Finding::Well),
            Err(_) => late(),
            Ok(Err(_)) if begun.elapsed() >= self.timeout => late(),
            Ok(Err(error)) => Finding::Unknown(format!("the command cannot be run: {}", error.why)),
        }
    }

    /// Asks over the network, which a command is not.
    async fn reach(&self, target: &Target) -> Result<(), String> {
        let stage = CheckStage::new("connection");
        let asked = async {
            match &self.kind {
                CheckKind::Http { https, method, path, verify, any_status } => {
                    let question = http::HttpProbe { method, path, any_status: *any_status };
                    http::probe(&question, target, https.then_some(*verify), &stage).await
                }
                CheckKind::Tcp => tcp::probe(target, self.timeout, &stage).await,
                CheckKind::Grpc { tls, verify, service } => {
                    grpc::probe(service, target, tls.then_some(*verify), &stage).await
                }
                CheckKind::Command(_) => Err("a command is not asked over the network".to_owned()),
            }
        };
        match timeout(self.timeout, asked).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("no {} within {:?}", stage.what(), self.timeout)),
        }
    }
}
