//! HTTP for every room that speaks it over its own sockets: what is the same for all of its servers and clients.
//!
//! Owns: the parts of URLs to connect to ([`Endpoint`]) and to listen on ([`ListenUrl`]), streams that fail when the
//! other side stalls ([`TimeoutStream`]), connecting, exchanges and kept connections ([`client`]), accepting and
//! serving connections ([`server`]), and the causes of errors ([`error`]).
//!
//! Promises: heads, bodies, connections and half-sent requests are bounded; what is beyond a limit is refused, never
//! queued without limit. A connection costs one task. A peer that stalls is dropped after its time limit.
//!
//! Leaves out: routes and what they mean, and the client of a store (`client`), which uses the connections of a library.

mod boxed_io;
pub(crate) mod client;
mod endpoint;
pub(crate) mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod listen_url;
pub(crate) mod server;
mod timeout_stream;

pub(crate) use boxed_io::BoxedIo;
pub(crate) use endpoint::{Endpoint, host_of};
pub(crate) use listen_url::ListenUrl;
pub(crate) use timeout_stream::TimeoutStream;
