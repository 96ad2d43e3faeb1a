//! Forwards one request, from one member to the next until one responds.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Request, Response, StatusCode, Uri};

use super::super::respond::{self, ApiResponse, Rejection};
use super::endpoint_list::MemberEndpoint;
use super::forwarder::Forwarder;
use super::headers;
use super::hops;
use super::metrics::DropReason;
use super::response_stream::ResponseStream;
use crate::http::client::{Connection, OutgoingRequest};
use crate::http::server::{self, Body, BodyError, ConnState};
use crate::protocol::ErrorBody;

/// Forwards a request and returns the member's response.
pub(super) async fn forward(conn: &Arc<ConnState<Forwarder>>, head: Parts, body: Incoming) -> ApiResponse {
    let shared = &conn.shared;
    let (method, begun) = (head.method.clone(), Instant::now());
    shared.metrics.received(&method);
    let taken = match server::take(body, shared.max_body_bytes, &conn.bodies()).await {
        Ok(taken) => taken,
        Err(why) => return no_body(why),
    };
    let endpoints = shared.endpoint_list.usable();
    let (watch, first) = (is_watch(&head), !hops::came_through_one(&head.headers));
    // If some endpoints are only down, that is the error to report. But an earlier proxy must get the loop error, so
    // that it tries its other endpoints.
    let is_loop = |tried: &[_]| !first || shared.endpoint_list.all_loop(tried);
    if endpoints.is_empty() {
        shared.metrics.dropped(&method, DropReason::NoEndpoint);
        if let Some(url) = shared.endpoint_list.looped().filter(|_| is_loop(&[])) {
            return shared.hops.loop_detected(&format!("httpproxy: {}", hops::says(&url)));
        }
        return respond::message(
            StatusCode::SERVICE_UNAVAILABLE,
            b"httpproxy: zero endpoints currently available",
        );
    }
    let outgoing = outgoing(head, taken.bytes.clone(), conn);
    match first_response(shared, &endpoints, &outgoing, first).await {
        Ok((response, connection, endpoint)) => {
            shared.metrics.handled(&method, response.status(), begun.elapsed());
            pass(conn, response, connection, endpoint, watch)
        }
        Err(NoResponse { looped, failed }) => {
            shared.metrics.dropped(&method, DropReason::NoResponse);
            if let Some(endpoint) = looped.filter(|_| !(first && failed) && is_loop(&endpoints)) {
                return shared
                    .hops
                    .loop_detected(&format!("httpproxy: {}", hops::says(&endpoint.endpoint.url)));
            }
            let says = format!("httpproxy: unable to get response from {} endpoint(s)", endpoints.len());
            respond::message(StatusCode::BAD_GATEWAY, says.as_bytes())
        }
    }
}

/// The endpoints when none of them responded.
#[derive(Debug, Default)]
struct NoResponse<'e> {
    /// One that leads back to a proxy, if any.
    looped: Option<&'e MemberEndpoint>,
    /// Whether another one could not be reached.
    failed: bool,
}

/// Returns the first response, of any status except that of a loop. An endpoint without one is suspended for a
/// while.
///
/// An endpoint that leads back is also suspended when this proxy was the `first` to get the request, or is that
/// endpoint itself. For a request from another proxy, that proxy may be the one that must not use this endpoint.
async fn first_response<'e>(
    shared: &Forwarder,
    endpoints: &'e [Arc<MemberEndpoint>],
    outgoing: &OutgoingRequest,
    first: bool,
) -> Result<(Response<Incoming>, Connection, &'e MemberEndpoint), NoResponse<'e>> {
    let mut no_response = NoResponse::default();
    for endpoint in endpoints {
        match shared.pool.send(&endpoint.endpoint, outgoing.clone()).await {
            Ok((response, connection)) if response.status() != StatusCode::LOOP_DETECTED => {
                return Ok((response, connection, endpoint));
            }
            Ok((response, _)) => {
                shared.metrics.dropped(outgoing.method(), DropReason::NotSent);
                if first || shared.hops.is_own(&response) {
                    shared.endpoint_list.leads_back(endpoint);
                }
                no_response.looped = Some(&**endpoint);
            }
            Err(why) => {
                shared.metrics.dropped(outgoing.method(), DropReason::NotSent);
                shared.endpoint_list.failed(endpoint, &why);
                no_response.failed = true;
            }
        }
    }
    Err(no_response)
}

/// Makes the outgoing request: path and query unchanged, the client's own `Host`, the whole body at once.
fn outgoing(head: Parts, body: Bytes, conn: &ConnState<Forwarder>) -> OutgoingRequest {
    let target = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    // Where a body is usual, an empty one must be declared.
    let says_empty = body.is_empty() && matches!(head.method, Method::PUT | Method::POST | Method::PATCH);
    let mut outgoing = Request::new(Full::new(body));
    *outgoing.uri_mut() = Uri::from(target);
    *outgoing.method_mut() = head.method;
    *outgoing.headers_mut() = headers::of_request(head.headers, conn.client);
    conn.shared.hops.add(outgoing.headers_mut());
    if says_empty {
        outgoing.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    outgoing
}

/// Converts a member's response for the client.
fn pass(
    conn: &Arc<ConnState<Forwarder>>,
    response: Response<Incoming>,
    connection: Connection,
    endpoint: &MemberEndpoint,
    watch: bool,
) -> ApiResponse {
    let (mut head, body) = response.into_parts();
    headers::strip(&mut head.headers);
    let response_stream =
        ResponseStream::new(body, connection, endpoint.endpoint.clone(), Arc::clone(conn), watch);
    let mut passed = respond::bare(head.status, Body::Stream(Box::new(response_stream)));
    *passed.headers_mut() = head.headers;
    passed
}

/// Returns whether the response may keep its client waiting.
fn is_watch(head: &Parts) -> bool {
    let query = head.uri.query().unwrap_or_default();
    head.method == Method::GET && query.split('&').any(|pair| pair.starts_with("wait="))
}

fn no_body(why: BodyError) -> ApiResponse {
    match why {
        // As a member would report it.
        BodyError::TooLarge => Rejection::Error(ErrorBody::form_too_large()).to_response(),
        BodyError::MemoryLimit => respond::message(
            StatusCode::SERVICE_UNAVAILABLE,
            b"httpproxy: too many request bodies at once; try again later",
        ),
        BodyError::Broken => respond::message(
            StatusCode::INTERNAL_SERVER_ERROR,
            b"httpproxy: failed to read request body: it broke off",
        ),
    }
}
