//! Servers: accepting connections within limits, serving HTTP on them until the stop, and the bodies of both directions.

mod accept;
mod body;
mod client_memory;
mod conn_limit;
mod conn_slot;
mod connection;
mod context;
mod listener;
mod reader_pace;
mod request_body;
pub(crate) mod request_head;
pub(crate) mod respond;

use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;

pub(crate) use accept::accept_until;
pub(crate) use body::{Body, BodyAborted, BodyStream};
pub(crate) use client_memory::{ClientId, ClientShare, CountedText, HeldResponse};
pub(crate) use conn_limit::{ConnLimit, MAX_EXCESS_CONNECTIONS, Permit};
#[cfg(test)]
pub(crate) use conn_slot::ConnSlot;
#[cfg(test)]
pub(crate) use connection::ConnectionEnd;
#[cfg(any(test, fuzzing))]
pub(crate) use connection::serve;
pub(crate) use connection::{ConnPhase, ConnState, Service};
pub(crate) use context::ServerContext;
pub(crate) use listener::{Listener, Schemes};
pub(crate) use request_body::{BodyError, BufferedBody, discard, read_to_end, take};

/// How long the head of a request may take on a port for short requests.
const SHORT_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_SHORT_HEAD_BYTES: usize = 16 << 10;

/// Returns the protocol of a port for few and short requests.
pub(crate) fn short_requests() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .title_case_headers(true)
        .timer(TokioTimer::new())
        .header_read_timeout(SHORT_HEAD_TIMEOUT)
        .max_buf_size(MAX_SHORT_HEAD_BYTES);
    builder
}
