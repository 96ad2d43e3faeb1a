//! Responses: their headers, and the forms shared by several routes.

use std::borrow::Cow;

use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use crate::consensus::Position;
use crate::http::server::Body;
pub(super) use crate::http::server::respond::{
    JSON, TEXT, bare, empty, json, malformed, not_allowed, not_found, text, typed,
};
use crate::keyspace;
use crate::protocol::{ErrorBody, ErrorCode, json_bytes};

pub(super) const CLUSTER_ID: HeaderName = HeaderName::from_static("x-etcd-cluster-id");
pub(super) const ETCD_INDEX: HeaderName = HeaderName::from_static("x-etcd-index");
pub(super) const RAFT_INDEX: HeaderName = HeaderName::from_static("x-raft-index");
pub(super) const RAFT_TERM: HeaderName = HeaderName::from_static("x-raft-term");

pub(super) const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// A response to a client.
pub(super) type ApiResponse = Response<Body>;

/// Returns `{"message":…}` without a newline: the error form of all routes except `/v2/keys`.
pub(super) fn message(status: StatusCode, says: &[u8]) -> ApiResponse {
    json(status, format!("{{\"message\":{}}}", json_string(says)))
}

/// Returns a JSON string in Go's form.
pub(super) fn json_string(text: impl AsRef<[u8]>) -> String {
    let mut out = Vec::new();
    json_bytes(&mut out, text.as_ref());
    String::from_utf8_lossy(&out).into_owned()
}

/// Returns a JSON list of strings.
pub(super) fn json_list<T: AsRef<[u8]>>(items: impl IntoIterator<Item = T>) -> String {
    format!("[{}]", items.into_iter().map(json_string).collect::<Vec<_>>().join(","))
}

/// Why a request is rejected.
#[derive(Debug)]
pub(super) enum Rejection {
    /// An error with a number, as `/v2/keys` returns.
    Error(ErrorBody),
    /// A sentence, as all other routes return.
    Message(StatusCode, Cow<'static, str>),
}

impl Rejection {
    /// Makes the response.
    pub(super) fn to_response(&self) -> ApiResponse {
        match self {
            Self::Error(fault) => numbered(fault),
            Self::Message(status, says) => message(*status, says.as_bytes()),
        }
    }
}

fn numbered(fault: &ErrorBody) -> ApiResponse {
    let mut body = Vec::with_capacity(96 + fault.cause.len());
    fault.write(&mut body);
    let status = StatusCode::from_u16(fault.code.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = json(status, body);
    response.headers_mut().insert(ETCD_INDEX, HeaderValue::from(fault.index));
    response
}

/// Adds the three index headers to a response.
pub(super) fn with_indexes(mut response: ApiResponse, index: u64, position: Position) -> ApiResponse {
    let headers = response.headers_mut();
    headers.insert(ETCD_INDEX, HeaderValue::from(index));
    headers.insert(RAFT_INDEX, HeaderValue::from(position.index));
    headers.insert(RAFT_TERM, HeaderValue::from(position.term));
    response
}

/// Converts the keyspace's refusal.
pub(super) fn refused(error: keyspace::Error) -> Rejection {
    Rejection::Error(ErrorBody { code: ErrorCode(error.code as u16), cause: error.cause, index: error.index })
}
