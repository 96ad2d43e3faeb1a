//! HTTP clients of a store.
//!
//! Owns: the nodes and the order in which they are tried ([`endpoints`]), syncing the members of a store ([`member_sync`]),
//! DNS SRV ([`srv`]) and the members that it names ([`discovery`]), TLS ([`tls`]), requests with failover and bounded
//! responses ([`http`], [`request`]), streamed responses ([`lines`]), and three APIs on top: snapshots and watches of
//! etcd's v2 keys ([`v2`]) and of etcd's v3 JSON gateway ([`v3`]), and the complete v2 API with the behaviour and the
//! messages of etcd's own command line client ([`cluster`]).
//! Promises: every buffer has a limit, and every wait but that of a watch, from the API or from its
//! caller; a request fails only after every node was tried, unless it must not be repeated; no error and no
//! log line contains a password. Dropping a future stops its work.
//! Leaves out: how to handle an error, when to retry, and what keys mean (`source`).

mod address;
pub mod cluster;
mod credentials;
mod discovery;
mod download;
mod endpoints;
#[cfg(test)]
mod endpoints_tests;
mod error;
mod error_text;
mod event_reader;
#[cfg(test)]
pub(crate) mod fake_server;
mod http;
mod json_reader;
mod lines;
mod member_sync;
#[cfg(test)]
mod member_sync_tests;
mod request;
mod srv;
#[cfg(test)]
pub(crate) mod test_transport;
#[cfg(test)]
mod tests;
mod tls;
mod txn_reader;
pub mod v2;
mod v2_wire;
pub mod v3;
mod v3_wire;

pub use credentials::{Credentials, Secret};
pub use discovery::{Discovery, DiscoveryError};
pub use download::Downloaded;
pub use error::ClientError;
pub(crate) use error_text::{excerpt, timeout_message};
pub use http::{Client, Config};
pub use tls::{SetBy, Trust};
pub(crate) use tls::{config as tls_config, http_client};
