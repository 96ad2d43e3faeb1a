//! HTTP in, commands to consensus, reads from the keyspace, answers out.
//!
//! Owns: the client listeners with their connections and TLS, the routes of the etcd v2 API, the text of
//! every answer, the counters of requests, and the proxy that has members answer instead.
//!
//! Promises: an answer is what etcd's would be, in status, headers and body. A connection costs one task and
//! no more, an open watch nothing but memory. Heads, bodies, connections and half-sent requests are bounded;
//! what is beyond a bound is refused, never queued without end. A stop ends everything within [`DRAIN_TIMEOUT`].
//!
//! Leaves out: what commands mean (`keyspace`), their order and durability (`consensus`), how requests are
//! spelled and errors numbered (`protocol`).

mod auth;
mod body;
mod conn_limit;
mod connection;
mod cors;
mod counters;
mod debug;
mod error;
mod health;
mod keys;
mod listener;
mod members;
mod metrics;
mod proxy;
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
pub use proxy::{FolderOwner, Proxy, ProxyHandle, ProxyMode, ProxySettings, held, knows_peers};
pub use server::{DRAIN_TIMEOUT, Server};
pub use settings::{Info, LogLevel, MAX_REQUEST_BYTES, Settings};
