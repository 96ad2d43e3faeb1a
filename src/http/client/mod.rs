//! Clients: how to connect, one request over a connection of its own, and connections that are kept for the next.

mod connection;
mod dial;
mod exchange;
mod pool;

pub(crate) use connection::{Connection, OutgoingRequest};
pub(crate) use dial::{Dialer, Timeouts};
pub(crate) use exchange::{converse, drive, exchange, read_body, read_prefix};
pub(crate) use pool::Pool;
