//! `/v2/keys`: reads, writes and watches.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method as Verb, StatusCode};

use super::auth::{self, Caller};
use super::counters::{RequestKind, add};
use super::reads::{self, read};
use super::render;
use super::respond::{self, ApiResponse, CLUSTER_ID, Rejection, refused, with_indexes};
use super::shared::ConnState;
use super::watch::WatchBody;
use crate::consensus::ProposeError;
use crate::http::server::{self, Body, BodyError, BufferedBody};
use crate::keyspace::auth::{AccessMode, KeyAccess, WatchRights};
use crate::keyspace::{self, Action, Event, Operation, Time, WatchOptions, expiry};
use crate::protocol::{ErrorBody, ErrorCode, Method, Params};

const ALLOW: &str = "HEAD,GET,PUT,POST,DELETE";

/// Returns the response to a request to the key `key` (the decoded path after `/v2/keys`, clean except for a
/// trailing slash).
pub(super) async fn handle(conn: &Arc<ConnState>, head: &Parts, body: Incoming, key: &[u8]) -> ApiResponse {
    let Some(method) = method(&head.method) else { return respond::not_allowed(Some(ALLOW)) };
    let answered = request(conn, head, body, method, key).await;
    let mut response = answered.unwrap_or_else(|refused| reads::counted_error(conn, refused.to_response()));
    response.headers_mut().insert(CLUSTER_ID, conn.shared.cluster_id.clone());
    response
}

fn method(verb: &Verb) -> Option<Method> {
    Some(match *verb {
        Verb::GET => Method::Get,
        Verb::PUT => Method::Put,
        Verb::POST => Method::Post,
        Verb::DELETE => Method::Delete,
        Verb::HEAD => Method::Head,
        _ => return None,
    })
}

/// Reads and executes the request.
async fn request(
    conn: &Arc<ConnState>,
    head: &Parts,
    body: Incoming,
    method: Method,
    key: &[u8],
) -> Result<ApiResponse, Rejection> {
    let begun = Instant::now();
    let content_type = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let path = key;
    let mode =
        if matches!(method, Method::Get | Method::Head) { AccessMode::Read } else { AccessMode::Write };
    let access = |recursive| KeyAccess { key: path, mode, recursive };
    // The login comes before the form: memory is not given to strangers.
    let is_form = Params::in_body(method, content_type) && !body.is_end_stream();
    let caller = if is_form { Some(Caller::identify(conn, &head.headers).await?) } else { None };
    let form = form(conn, body, caller.as_ref(), access(false)).await?;
    let query = head.uri.query().unwrap_or_default();
    let params = Params::read(method, query, content_type, &form.bytes).map_err(Rejection::Error)?;
    // Parameters come before rights, as in etcd. Rights may have changed while the form arrived.
    let caller = match caller.filter(|caller| caller.is_current(conn)) {
        Some(caller) => caller,
        None => Caller::identify(conn, &head.headers).await?,
    };
    caller.check(access(params.recursive))?;
    let key = match key {
        b"" => b"/",
        [key @ .., b'/'] if !key.is_empty() => key,
        key => key,
    };
    let counters = &conn.shared.counters;
    let kind = kind(method, &params);
    counters.received(kind);
    let answered = match method {
        Method::Get if params.wait && !params.quorum => {
            return watch(conn, key, &params, &caller.watch_rights(path));
        }
        Method::Get | Method::Head => {
            if kind == RequestKind::QuorumGet {
                // A read of this member's state that is not older than the request.
                match conn.shared.handle.read_index().await {
                    Ok(()) => read(conn, key, &params).await,
                    Err(refusal) => Err(refuse(refusal)),
                }
            } else {
                read(conn, key, &params).await
            }
        }
        _ if !fits(method, key) => Err(Rejection::Error(ErrorBody::of_request(
            ErrorCode::INVALID_FIELD,
            "the key has too many levels for its length",
        ))),
        _ => match writable(conn, key, &params).await {
            Ok(()) => write(conn, operation(method, key, &params, conn.shared.handle.now()), &params).await,
            Err(refusal) => Err(refusal),
        },
    };
    match &answered {
        Ok(_) => counters.succeeded(kind, begun.elapsed()),
        Err(Rejection::Error(fault)) => counters.failed(kind, fault.code.status()),
        Err(Rejection::Message(status, _)) => counters.failed(kind, status.as_u16()),
    }
    answered
}

/// Returns whether the store accepts such a key: with tens of thousands of levels, the paths of its parents alone
/// would take gigabytes.
fn fits(method: Method, key: &[u8]) -> bool {
    match method {
        // An in-order key gets a name of twenty digits.
        Method::Post => {
            keyspace::is_key(&[key.strip_suffix(b"/").unwrap_or(key), b"/", &[b'0'; 20]].concat())
        }
        _ => keyspace::is_key(key),
    }
}

fn kind(method: Method, params: &Params) -> RequestKind {
    match method {
        Method::Get if params.quorum => RequestKind::QuorumGet,
        Method::Get => RequestKind::Get,
        Method::Head => RequestKind::Head,
        Method::Put => RequestKind::Put,
        Method::Post => RequestKind::Post,
        Method::Delete => RequestKind::Delete,
    }
}

/// Reads the form of `caller`. A body without one is no form; it is discarded, and so is a form that may not be sent.
async fn form(
    conn: &ConnState,
    body: Incoming,
    caller: Option<&Caller>,
    access: KeyAccess<'_>,
) -> Result<BufferedBody, Rejection> {
    let share = match caller {
        Some(caller) if caller.is_trusted() => Some(conn.bodies()),
        Some(caller) if caller.allows(access) => Some(conn.guest_bodies()),
        _ => None,
    };
    let taken = match share {
        Some(share) => server::take(body, conn.shared.max_request_bytes, &share).await,
        None => server::read_to_end(body).await.map(|()| BufferedBody::default()),
    };
    taken.map_err(|why| match why {
        BodyError::TooLarge => Rejection::Error(ErrorBody::form_too_large()),
        BodyError::Broken => {
            Rejection::Error(ErrorBody::of_request(ErrorCode::INVALID_FORM, "unexpected EOF"))
        }
        BodyError::MemoryLimit => busy("too many large requests at once; try again later"),
    })
}

/// Waits until a write can be proposed.
async fn writable(conn: &ConnState, key: &[u8], params: &Params) -> Result<(), Rejection> {
    conn.shared.handle.clock_ready().await.map_err(refuse)?;
    let given = params.value.len() + params.prev_value.as_ref().map_or(0, Vec::len);
    reads::write_room(conn, key, given).await
}

async fn write(conn: &ConnState, operation: Operation, params: &Params) -> Result<ApiResponse, Rejection> {
    let response = conn.shared.handle.propose(operation).await.map_err(refuse)?;
    let event = response.result.map_err(refused)?;
    let body = if params.no_value_on_success && is_quiet(event.action) {
        Bytes::from(format!("{{\"action\":\"{}\"}}\n", event.action.word()))
    } else {
        render::own_event(&event, |text| reads::counted(conn, text))
    };
    let status = if created(&event) { StatusCode::CREATED } else { StatusCode::OK };
    Ok(with_indexes(respond::json(status, body), event.index(), response.position))
}

fn watch(
    conn: &Arc<ConnState>,
    key: &[u8],
    params: &Params,
    rights: &WatchRights,
) -> Result<ApiResponse, Rejection> {
    let what = WatchOptions { recursive: params.recursive, stream: params.stream, since: params.wait_index };
    let handle = &conn.shared.handle;
    add(&conn.shared.counters.watches, 1);
    let watch = handle.watch(key, what, rights.clone()).map_err(refused)?;
    // A change of rights since the check did not see this watch.
    if handle.auth_enabled() && !handle.auth().allows_watch(rights, key, params.recursive) {
        return Err(auth::denied());
    }
    let index = watch.index;
    let body = Body::Stream(Box::new(WatchBody::new(watch, params.stream, Arc::clone(conn))));
    let mut response = respond::bare(StatusCode::OK, body);
    response.headers_mut().insert(CONTENT_TYPE, respond::JSON);
    Ok(with_indexes(response, index, handle.position()))
}

/// Returns the keyspace operation of a request.
fn operation(method: Method, key: &[u8], params: &Params, now: Time) -> Operation {
    let key = key.into();
    let value = || params.value.as_slice().into();
    let expires = params.ttl.map(|ttl| expiry(now, ttl));
    let prev_value = params.prev_value.as_deref().map(Into::into);
    let prev_index = params.prev_index;
    let compares = prev_value.is_some() || prev_index.is_some();
    let (dir, recursive, refresh) = (params.dir, params.recursive, params.refresh);
    match (method, params.prev_exist) {
        (Method::Post, _) => Operation::Create { key, dir, value: value(), expires, in_order: true },
        (Method::Delete, _) if compares => Operation::CompareAndDelete { key, prev_value, prev_index },
        (Method::Delete, _) => Operation::Delete { key, dir, recursive },
        (_, Some(false)) => Operation::Create { key, dir, value: value(), expires, in_order: false },
        _ if compares => {
            Operation::CompareAndSwap { key, prev_value, prev_index, value: value(), expires, refresh }
        }
        (_, Some(true)) => Operation::Update { key, value: value(), expires, refresh },
        (_, None) => Operation::Set { key, dir, value: value(), expires, refresh },
    }
}

/// Returns whether `noValueOnSuccess` shortens the response.
const fn is_quiet(action: Action) -> bool {
    matches!(action, Action::Set | Action::Create | Action::Update | Action::CompareAndSwap)
}

/// Returns whether the response's status is 201.
fn created(event: &Event) -> bool {
    event.action == Action::Create || (event.action == Action::Set && event.prev.is_none())
}

/// Returns the error for a request that the group did not complete.
fn refuse(refusal: ProposeError) -> Rejection {
    let cause = match refusal {
        ProposeError::TimedOut => "etcdserver: request timed out",
        ProposeError::LeaderLost => "etcdserver: request timed out, possibly due to previous leader failure",
        ProposeError::ConnectionLost => "etcdserver: request timed out, possibly due to connection lost",
        ProposeError::NoSpace => "etcdserver: no space",
        ProposeError::Stopping => "etcdserver: server stopped",
        ProposeError::Overloaded => {
            return busy("this member has too many writes waiting; try again later");
        }
    };
    Rejection::Error(ErrorBody::of_request(ErrorCode(300), cause))
}

fn busy(says: &'static str) -> Rejection {
    Rejection::Message(StatusCode::SERVICE_UNAVAILABLE, says.into())
}

#[cfg(test)]
mod tests {
    use super::super::respond::ETCD_INDEX;
    use super::*;

    #[test]
    fn an_unanswered_request_is_reported_with_etcds_message() {
        for (refusal, status, begins) in [
            (ProposeError::TimedOut, 500, "etcdserver: request timed out\""),
            (
                ProposeError::LeaderLost,
                500,
                "etcdserver: request timed out, possibly due to previous leader failure\"",
            ),
            (
                ProposeError::ConnectionLost,
                500,
                "etcdserver: request timed out, possibly due to connection lost\"",
            ),
            (ProposeError::Stopping, 500, "etcdserver: server stopped\""),
            (ProposeError::NoSpace, 500, "etcdserver: no space\""),
            (ProposeError::Overloaded, 503, ""),
        ] {
            let response = refuse(refusal).to_response();
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
            let Body::Full(body) = response.body() else { panic!("a watch") };
            let text = String::from_utf8_lossy(body);
            if status == 500 {
                let whole = "{\"errorCode\":300,\"message\":\"Raft Internal Error\",\"cause\":\"";
                assert_eq!(text, format!("{whole}{begins},\"index\":0}}\n"));
                assert_eq!(response.headers()[ETCD_INDEX], "0");
            } else {
                assert!(text.starts_with("{\"message\":\"this member has too many writes"), "{text}");
            }
        }
    }

    #[test]
    fn a_ttl_of_zero_expires_at_once() {
        let params = Params { ttl: Some(0), ..Params::default() };
        let made = operation(Method::Put, b"/a", &params, 1_700_000_000_000_000_000);
        assert!(matches!(made, Operation::Set { expires: Some(1_700_000_000_000_000_000), .. }), "{made:?}");
    }
}
