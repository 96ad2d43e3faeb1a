//! A v2 cluster as etcd's own command line client asks it.
//!
//! Owns: endpoints as they were typed ([`address`]), failover with one error per endpoint ([`execute`]), the v2 keys,
//! members and auth APIs with typed answers ([`keys`], [`members`], [`auth`]), and the words of every failure
//! ([`error`], [`reason`]).
//! Promises: the words of a failure are those scripts around etcdctl match, Go's included; a request goes out with its
//! parameters where etcdctl puts them, value and TTL in the body and the rest in the query; a request that must not
//! be done twice is sent to one endpoint only; every wait but a watch's has a deadline. No error holds a password.
//! Leaves out: output, exit codes and what a command does with an answer (`ctl`); snapshots with watches for a
//! reloader (`v2`); proxies named by the environment, because a store is never asked by way of one by accident.

mod address;
mod auth;
mod error;
mod escape;
mod keys;
mod members;
mod reason;
mod request;
#[cfg(test)]
mod tests;
mod waiting;
#[cfg(test)]
pub(crate) mod wire;

use std::time::Duration;

pub use auth::{Auth, Permissions, Role, User};
pub use error::{EndpointError, EtcdError, RequestError};
pub use escape::quoted;
pub use keys::{Delete, Event, Get, Keys, Node, Set};
pub use members::{Health, Member, Members};
pub use request::{Cluster, Options};

/// The endpoints that the SRV records of `domain` name, those with TLS first; an error is the reason as text.
pub(crate) async fn discover(domain: &str, limit: Duration) -> Result<Vec<String>, String> {
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for (service, scheme) in [("etcd-client-ssl", "https"), ("etcd-client", "http")] {
        let record = format!("_{service}._tcp.{domain}");
        match super::srv::look_up(&record, limit).await {
            Ok(targets) => {
                found.extend(targets.iter().map(|at| at.url(scheme)));
            }
            Err(_) => errors.push(format!("lookup {record}{}: no such host", reason::name_server())),
        }
    }
    if found.is_empty() { Err(format!("dns lookup errors: {}", errors.join(" and "))) } else { Ok(found) }
}
