//! Responses: their headers, and the forms shared by several routes.

use std::borrow::Cow;

use bytes::Bytes;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use crate::http::server::Body;
use crate::protocol::{ErrorBody, json_bytes};

pub(super) const CLUSTER_ID: HeaderName = HeaderName::from_static("x-etcd-cluster-id");
pub(super) const ETCD_INDEX: HeaderName = HeaderName::from_static("x-etcd-index");
pub(super) const RAFT_INDEX: HeaderName = HeaderName::from_static("x-raft-index");
pub(super) const RAFT_TERM: HeaderName = HeaderName::from_static("x-raft-term");
const NOSNIFF: HeaderName = HeaderName::from_static("x-content-type-options");

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(super) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
pub(super) const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// Most responses have at most this many headers, including CORS: one allocation.
const HEADER_CAPACITY: usize = 12;

/// A response to a client.
pub(super) type ApiResponse = Response<Body>;

/// Returns a response without headers.
pub(super) fn bare(status: StatusCode, body: Body) -> ApiResponse {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = HeaderMap::with_capacity(HEADER_CAPACITY);
    response
}

/// Returns an empty response.
pub(super) fn empty(status: StatusCode) -> ApiResponse {
    bare(status, Body::Whole(Bytes::new()))
}

/// Returns a complete response with a content type.
pub(super) fn typed(status: StatusCode, kind: HeaderValue, body: impl Into<Bytes>) -> ApiResponse {
    let mut response = bare(status, Body::Whole(body.into()));
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Returns a complete JSON response.
pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> ApiResponse {
    typed(status, JSON, body)
}

/// Returns plain text as Go's `http.Error` sends it; `body` includes the newline.
pub(super) fn text(status: StatusCode, body: impl Into<Bytes>) -> ApiResponse {
    let mut response = typed(status, TEXT, body);
    response.headers_mut().insert(NOSNIFF, HeaderValue::from_static("nosniff"));
    response
}

/// Returns `{"message":…}` without a newline: the error form of all routes except `/v2/keys`.
pub(super) fn message(status: StatusCode, says: &[u8]) -> ApiResponse {
    let mut body = Vec::with_capacity(says.len() + 16);
    body.extend_from_slice(b"{\"message\":");
    json_bytes(&mut body, says);
    body.push(b'}');
    json(status, body)
}

/// Returns 404 for an unknown path.
pub(super) fn not_found() -> ApiResponse {
    text(StatusCode::NOT_FOUND, Bytes::from_static(b"404 page not found\n"))
}

/// Returns 405 with the allowed methods; without them where etcd names none.
pub(super) fn not_allowed(allow: Option<&'static str>) -> ApiResponse {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, Bytes::from_static(b"Method Not Allowed\n"));
    if let Some(allow) = allow {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    }
    response
}

/// Returns 400 for a request that Go does not accept as HTTP; the connection closes after it.
pub(super) fn malformed(says: &'static str) -> ApiResponse {
    let mut response = typed(StatusCode::BAD_REQUEST, TEXT, Bytes::from_static(says.as_bytes()));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Why a request is rejected.
#[derive(Debug)]
pub(super) enum Rejection {
    /// An error with a number, as `/v2/keys` returns.
    Fault(ErrorBody),
    /// A sentence, as all other routes return.
    Message(StatusCode, Cow<'static, str>),
}

impl Rejection {
    /// Makes the response.
    pub(super) fn response(&self) -> ApiResponse {
        match self {
            Self::Fault(fault) => numbered(fault),
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
