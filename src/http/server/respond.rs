//! Complete responses, in the forms of Go's library.

use bytes::Bytes;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::body::Body;

const NOSNIFF: HeaderName = HeaderName::from_static("x-content-type-options");

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(crate) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The body for a client for which there is no place.
pub(super) const TOO_MANY_CONNECTIONS: &str = r#"{"message":"too many connections to this member"}"#;

/// Most responses have at most this many headers, including CORS: one allocation.
const HEADER_CAPACITY: usize = 12;

/// Returns a response without headers.
pub(crate) fn bare(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = HeaderMap::with_capacity(HEADER_CAPACITY);
    response
}

/// Returns an empty response.
pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    bare(status, Body::Full(Bytes::new()))
}

/// Returns a complete response with a content type.
pub(crate) fn typed(status: StatusCode, kind: HeaderValue, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = bare(status, Body::Full(body.into()));
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Returns a complete JSON response.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    typed(status, JSON, body)
}

/// Returns plain text as Go's `http.Error` sends it; `body` includes the newline.
pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = typed(status, TEXT, body);
    response.headers_mut().insert(NOSNIFF, HeaderValue::from_static("nosniff"));
    response
}

/// Returns 404 for an unknown path.
pub(crate) fn not_found() -> Response<Body> {
    text(StatusCode::NOT_FOUND, Bytes::from_static(b"404 page not found\n"))
}

/// Returns 405 with the allowed methods; without them where etcd names none.
pub(crate) fn not_allowed(allow: Option<&'static str>) -> Response<Body> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, Bytes::from_static(b"Method Not Allowed\n"));
    if let Some(allow) = allow {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    }
    response
}

/// Returns 400 for a request that Go does not accept as HTTP; the connection closes after it.
pub(crate) fn malformed(says: &'static str) -> Response<Body> {
    let mut response = typed(StatusCode::BAD_REQUEST, TEXT, Bytes::from_static(says.as_bytes()));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Returns 503 for a client for which there is no place.
pub(super) fn too_many_connections() -> Response<Body> {
    json(StatusCode::SERVICE_UNAVAILABLE, TOO_MANY_CONNECTIONS)
}
