//! The HTTP API: sends commands to consensus, reads from the keyspace, returns responses.
//!
//! Owns: the client ports, the routes of the etcd v2 API, the text of every response, the counters of requests, and
//! the proxy that forwards requests to members.
//!
//! Promises: a response equals etcd's in status, headers and body. An open watch costs only memory. A stop ends
//! everything within [`DRAIN_TIMEOUT`].
//!
//! Leaves out: connections and their limits (`http`), what commands mean (`keyspace`), their order and durability
//! (`consensus`), the syntax of requests and the error numbers (`protocol`).

mod auth;
mod cors;
mod counters;
mod debug;
mod error;
mod health;
mod keys;
mod large_reads;
mod members;
mod metrics;
mod proxy;
mod reads;
mod render;
mod respond;
mod routes;
mod server;
mod settings;
mod shared;
mod snapshot;
mod stats;
mod unmarshal;
mod urls;
mod watch;

#[cfg(test)]
mod tests;

pub use error::ApiError;
pub use proxy::{DataDirOwner, Proxy, ProxyHandle, ProxyMode, ProxySettings, data_dir_owner, has_peer_urls};
pub use server::{DRAIN_TIMEOUT, Server};
pub use settings::{LogLevel, MAX_REQUEST_BYTES, ServerInfo, Settings};
