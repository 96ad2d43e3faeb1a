//! Speaking HTTP to a store.
//!
//! Owns: the nodes and which of them is asked ([`endpoints`]), learning the members of a store ([`learn`]), DNS SRV
//! ([`srv`]) and the members that it names ([`discovery`]), TLS ([`tls`]), requests with
//! failover and bounded answers ([`http`]), streamed answers ([`lines`]), and two APIs on top: etcd's v2 keys ([`v2`])
//! and etcd's v3 JSON gateway ([`v3`]). Beside them [`cluster`]: the v2 keys and members APIs in full, with the
//! failover and the words of etcd's own command line client.
//! Promises: every wait and every buffer has a bound; a request fails only after every node was tried; no error and
//! no log line holds a password. Dropping a future ends what it did.
//! Leaves out: what to do about an error, how to wait before the next try, and what keys mean (`source`).

pub mod cluster;
mod discovery;
mod download;
mod endpoints;
#[cfg(test)]
mod endpoints_tests;
mod error;
mod error_text;
#[cfg(test)]
pub(crate) mod fake;
mod http;
mod learn;
#[cfg(test)]
mod learn_tests;
mod lines;
mod srv;
#[cfg(test)]
mod tests;
mod tls;
pub mod v2;
pub mod v3;
mod v3_wire;

pub use discovery::{Discovery, DiscoveryError};
pub use download::Downloaded;
pub use error::ClientError;
pub(crate) use error_text::{excerpt, no_answer};
pub use http::{Client, Config, Credentials};
pub(crate) use tls::config as tls_config;
pub use tls::{SetBy, Trust};
