//! Clients: how to connect, one request over a connection of its own, and connections that are kept for the next.

mod connection;
mod dial;
mod exchange;
mod pool;

pub(crate) use connection::{Connection, OutgoingRequest};
pub(crate) use dial::{Dialer, Limits};
pub(crate) use exchange::{beginning, driven, exchange, whole};
pub(crate) use pool::Pool;
