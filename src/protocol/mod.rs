//! The forms of requests and errors over HTTP, and the error codes.
//!
//! Owns: how a `/v2` request's path, query and form become parameters (Go's rules, which clients rely on), the
//! table of error codes with their texts and statuses, and the conversion of bytes to JSON text in Go's form.
//!
//! Promises: any bytes from a client give parameters or one of etcd's errors; nothing panics, and memory use stays
//! within a small multiple of the request.
//!
//! Leaves out: the effect of requests (`api`), and sockets.

mod codes;
mod form;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod go_url;
mod json;
mod media;
mod params;
mod path;
mod quote;
#[cfg(test)]
mod tests;

pub use codes::{ErrorBody, ErrorCode};
pub use go_url::GoUrl;
pub use json::{bytes as json_bytes, number as json_number, timestamp as json_timestamp};
pub use params::{Method, Params};
pub use path::{
    CleanPath, clean, cleaned, escape, location, percent_encoded, query_encoded, unescaped, unreserved,
};
pub use quote::quoted;
