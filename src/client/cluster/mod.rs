//! A client of the v2 API that behaves like etcd's own command line client.
//!
//! Owns: the v2 keys, members and auth APIs with typed responses ([`keys`], [`watch`], [`members`], [`auth`]), and error
//! messages with one reason per endpoint ([`error`], [`endpoint_error`]).
//! Promises: error messages are those that scripts around etcdctl match, including Go's; parameters go where etcdctl
//! puts them, value and TTL in the body and the rest in the query; a request that must not be repeated is sent to one
//! endpoint only; every wait except a watch has a deadline. No error contains a password.
//! Leaves out: requests with failover (`http`); output, exit codes and what a command does with a response (`ctl`);
//! snapshots with watches for a reloader (`v2`); proxies from the environment, so that no store is reached through one by accident.

mod auth;
mod endpoint_error;
mod error;
mod escape;
mod keys;
mod members;
mod request;
#[cfg(test)]
mod tests;
mod watch;

use std::time::Duration;

pub use auth::{Auth, Permissions, Role, User};
pub use error::{EndpointError, RequestError};
pub use keys::{Delete, Get, Keys, Set};
pub use members::{Health, Member, Members};
pub use request::{Cluster, Options};

pub use super::v2_wire::{EtcdError, Event, Node, Nodes, Walked};

/// Returns the endpoints in the SRV records of `domain`, those with TLS first; the error is the reason as text.
pub(crate) async fn discover(domain: &str, limit: Duration) -> Result<Vec<String>, String> {
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for (service, scheme) in [("etcd-client-ssl", "https"), ("etcd-client", "http")] {
        let record = format!("_{service}._tcp.{domain}");
        match super::srv::look_up(&record, limit).await {
            Ok(targets) => {
                found.extend(targets.iter().map(|at| at.url(scheme)));
            }
            Err(_) => errors.push(format!("lookup {record}{}: no such host", endpoint_error::name_server())),
        }
    }
    if found.is_empty() { Err(format!("dns lookup errors: {}", errors.join(" and "))) } else { Ok(found) }
}
