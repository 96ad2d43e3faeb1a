//! The shapes that cross HTTP, and the error codes.
//!
//! Owns: how a `/v2` request's path, query and form become parameters (Go's rules, which clients rely on), the table of
//! error codes with their texts and statuses, and how bytes become JSON text as Go writes it.
//!
//! Promises: any bytes a client may send give parameters or one of etcd's errors; nothing panics, and nothing grows
//! beyond a small multiple of the request.
//!
//! Leaves out: what the requests do (`api`), and sockets.

mod codes;
mod form;
mod json;
mod media;
mod params;
mod path;
#[cfg(test)]
mod tests;

pub use codes::{ErrorBody, ErrorCode};
pub use json::{bytes as json_bytes, number as json_number, timestamp as json_timestamp};
pub use params::{Method, Params};
pub use path::{CleanPath, clean, escape, location, percent_encoded, unescaped, unreserved};
