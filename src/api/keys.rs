//! `/v2/keys`: reads, writes and watches.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method as Verb, StatusCode};

use super::auth;
use super::body::{self, NoBody, Taken};
use super::connection::Seat;
use super::counters::{Kind, add};
use super::render::{self, Depth};
use super::respond::{self, Answer, Body, CLUSTER_ID, ETCD_INDEX, RAFT_INDEX, RAFT_TERM, Refused};
use super::watch::WatchBody;
use crate::consensus::{Position, Refusal};
use crate::keyspace::auth::{Asked, Wish};
use crate::keyspace::{self, Action, Event, Operation, Time, WatchFor, expiry};
use crate::protocol::{ErrorCode, Fault, Method, Params};

/// No more room than this is made on a guess.
const LARGEST_ROOM: usize = 32 << 20;
const ALLOW: &str = "HEAD,GET,PUT,POST,DELETE";

/// Answers a request to the key `key` (the decoded path after `/v2/keys`, clean but for a slash at its end).
pub(super) async fn answer(seat: &Arc<Seat>, head: &Parts, body: Incoming, key: &[u8]) -> Answer {
    let Some(method) = method(&head.method) else { return respond::not_allowed(Some(ALLOW)) };
    let answered = request(seat, head, body, method, key).await;
    let mut answer = answered.unwrap_or_else(|refused| refused.answer());
    answer.headers_mut().insert(CLUSTER_ID, seat.shared.cluster_id.clone());
    answer
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

/// Reads the request and does what it asks.
async fn request(
    seat: &Arc<Seat>,
    head: &Parts,
    body: Incoming,
    method: Method,
    key: &[u8],
) -> Result<Answer, Refused> {
    let begun = Instant::now();
    let content_type = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let form = form(seat, content_type, body, method).await?;
    let query = head.uri.query().unwrap_or_default();
    let params = Params::read(method, query, content_type, &form.bytes).map_err(Refused::Fault)?;
    if seat.shared.handle.guarded() {
        let wish = if matches!(method, Method::Get | Method::Head) { Wish::Read } else { Wish::Write };
        auth::to_key(seat, &head.headers, Asked { key, wish, recursive: params.recursive }).await?;
    }
    let key = match key {
        b"" => b"/",
        [key @ .., b'/'] if !key.is_empty() => key,
        key => key,
    };
    let counters = &seat.shared.counters;
    let kind = kind(method, &params);
    counters.received(kind);
    let answered = match method {
        Method::Get if params.wait && !params.quorum => return watch(seat, key, &params),
        Method::Get | Method::Head => {
            if kind == Kind::QuorumGet {
                // A read of this member's state that is not older than the request.
                match seat.shared.handle.read_index().await {
                    Ok(()) => read(seat, key, &params),
                    Err(refusal) => Err(refuse(refusal)),
                }
            } else {
                read(seat, key, &params)
            }
        }
        _ if !fits(method, key) => Err(Refused::Fault(Fault::of_request(
            ErrorCode::INVALID_FIELD,
            "the key has too many levels for its length",
        ))),
        _ => match seat.shared.handle.settled().await {
            Ok(()) => write(seat, operation(method, key, &params, seat.shared.handle.now()), &params).await,
            Err(refusal) => Err(refuse(refusal)),
        },
    };
    match &answered {
        Ok(_) => counters.succeeded(kind, begun.elapsed()),
        Err(Refused::Fault(fault)) => counters.failed(kind, fault.code.status()),
        Err(Refused::Message(status, _)) => counters.failed(kind, status.as_u16()),
    }
    answered
}

/// Whether the store takes such a key: one of tens of thousands of levels would cost gigabytes in the paths of its
/// parents alone.
fn fits(method: Method, key: &[u8]) -> bool {
    match method {
        // An in-order key gets a name of twenty digits.
        Method::Post => {
            keyspace::is_key(&[key.strip_suffix(b"/").unwrap_or(key), b"/", &[b'0'; 20]].concat())
        }
        _ => keyspace::is_key(key),
    }
}

fn kind(method: Method, params: &Params) -> Kind {
    match method {
        Method::Get if params.quorum => Kind::QuorumGet,
        Method::Get => Kind::Get,
        Method::Head => Kind::Head,
        Method::Put => Kind::Put,
        Method::Post => Kind::Post,
        Method::Delete => Kind::Delete,
    }
}

/// The form, where the method and the Content-Type make the body one; other bodies are read off and ignored.
async fn form<'s>(
    seat: &'s Seat,
    content_type: Option<&[u8]>,
    body: Incoming,
    method: Method,
) -> Result<Taken<'s>, Refused> {
    if body.is_end_stream() {
        return Ok(Taken::default());
    }
    let taken = if Params::in_body(method, content_type) {
        body::take(body, seat.shared.max_request_bytes, &seat.shared).await
    } else {
        body::read_off(body).await.map(|()| Taken::default())
    };
    taken.map_err(|why| match why {
        NoBody::TooLarge => Refused::Fault(Fault::form_too_large()),
        NoBody::Broken => Refused::Fault(Fault::of_request(ErrorCode::INVALID_FORM, "unexpected EOF")),
        NoBody::NoRoom => busy("too many large requests at once; try again later"),
    })
}

fn read(seat: &Seat, key: &[u8], params: &Params) -> Result<Answer, Refused> {
    let handle = &seat.shared.handle;
    let depth = if params.recursive { Depth::All } else { Depth::Children };
    let now = handle.now();
    seat.shared.counters.read(params.recursive);
    // The next large listing is most likely of the same tree: growing a buffer to it copies it as often as it doubles.
    let listed = &seat.shared.listed;
    let room = if params.recursive { listed.load(Relaxed) } else { 0 };
    let found = handle.view(|keyspace| {
        let view = keyspace.get(key)?;
        Ok((render::node(key, view, depth, now, room), keyspace.index()))
    });
    let (body, index) = found.map_err(refused)?;
    if params.recursive {
        listed.store((body.len() + body.len() / 16).min(LARGEST_ROOM), Relaxed);
    }
    let answer = respond::json(StatusCode::OK, body);
    Ok(placed(answer, index, handle.position()))
}

async fn write(seat: &Seat, operation: Operation, params: &Params) -> Result<Answer, Refused> {
    let answer = seat.shared.handle.propose(operation).await.map_err(refuse)?;
    let event = answer.result.map_err(refused)?;
    let body = if params.no_value_on_success && quiet(event.action) {
        Bytes::from(format!("{{\"action\":\"{}\"}}\n", event.action.word()))
    } else {
        render::answer(&event)
    };
    let status = if created(&event) { StatusCode::CREATED } else { StatusCode::OK };
    Ok(placed(respond::json(status, body), event.index(), answer.position))
}

fn watch(seat: &Arc<Seat>, key: &[u8], params: &Params) -> Result<Answer, Refused> {
    let what = WatchFor { recursive: params.recursive, stream: params.stream, since: params.wait_index };
    let handle = &seat.shared.handle;
    add(&seat.shared.counters.watches, 1);
    let watch = handle.watch(key, what).map_err(refused)?;
    let index = watch.index;
    let body = Body::Watch(Box::new(WatchBody::new(watch, params.stream, Arc::clone(seat))));
    let mut answer = respond::bare(StatusCode::OK, body);
    answer.headers_mut().insert(CONTENT_TYPE, respond::JSON);
    Ok(placed(answer, index, handle.position()))
}

/// Puts the three indexes on an answer.
fn placed(mut answer: Answer, index: u64, position: Position) -> Answer {
    let headers = answer.headers_mut();
    headers.insert(ETCD_INDEX, HeaderValue::from(index));
    headers.insert(RAFT_INDEX, HeaderValue::from(position.index));
    headers.insert(RAFT_TERM, HeaderValue::from(position.term));
    answer
}

/// Which change a request is.
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

/// Whether `noValueOnSuccess` cuts the answer short.
const fn quiet(action: Action) -> bool {
    matches!(action, Action::Set | Action::Create | Action::Update | Action::CompareAndSwap)
}

/// Whether the answer's status is 201.
fn created(event: &Event) -> bool {
    event.action == Action::Create || (event.action == Action::Set && event.prev.is_none())
}

/// The keyspace's refusal.
fn refused(error: keyspace::Error) -> Refused {
    Refused::Fault(Fault { code: ErrorCode(error.code as u16), cause: error.cause, index: error.index })
}

/// What a request is told that the group did not answer.
fn refuse(refusal: Refusal) -> Refused {
    let cause = match refusal {
        Refusal::TimedOut => "etcdserver: request timed out",
        Refusal::LeaderLost => "etcdserver: request timed out, possibly due to previous leader failure",
        Refusal::ConnectionLost => "etcdserver: request timed out, possibly due to connection lost",
        Refusal::NoSpace => "etcdserver: no space",
        Refusal::Stopping => "etcdserver: server stopped",
        Refusal::Overloaded => {
            return busy("this member has more writes waiting than it can carry out; try again later");
        }
    };
    Refused::Fault(Fault::of_request(ErrorCode(300), cause))
}

fn busy(says: &'static str) -> Refused {
    Refused::Message(StatusCode::SERVICE_UNAVAILABLE, says.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_group_did_not_answer_is_said_in_etcds_words() {
        for (refusal, status, begins) in [
            (Refusal::TimedOut, 500, "etcdserver: request timed out\""),
            (
                Refusal::LeaderLost,
                500,
                "etcdserver: request timed out, possibly due to previous leader failure\"",
            ),
            (
                Refusal::ConnectionLost,
                500,
                "etcdserver: request timed out, possibly due to connection lost\"",
            ),
            (Refusal::Stopping, 500, "etcdserver: server stopped\""),
            (Refusal::NoSpace, 500, "etcdserver: no space\""),
            (Refusal::Overloaded, 503, ""),
        ] {
            let answer = refuse(refusal).answer();
            assert_eq!(answer.status().as_u16(), status);
            assert_eq!(answer.headers()[CONTENT_TYPE], "application/json");
            let Body::Whole(body) = answer.body() else { panic!("a watch") };
            let text = String::from_utf8_lossy(body);
            if status == 500 {
                let whole = "{\"errorCode\":300,\"message\":\"Raft Internal Error\",\"cause\":\"";
                assert_eq!(text, format!("{whole}{begins},\"index\":0}}\n"));
                assert_eq!(answer.headers()[ETCD_INDEX], "0");
            } else {
                assert!(text.starts_with("{\"message\":\"this member has more writes"), "{text}");
            }
        }
    }

    #[test]
    fn a_ttl_of_zero_is_over_at_once() {
        let params = Params { ttl: Some(0), ..Params::default() };
        let made = operation(Method::Put, b"/a", &params, 1_700_000_000_000_000_000);
        assert!(matches!(made, Operation::Set { expires: Some(1_700_000_000_000_000_000), .. }), "{made:?}");
    }
}
