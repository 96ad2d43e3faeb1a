//! One request, from one member to the next until one answers.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Request, Response, StatusCode, Uri};

use super::super::body::{self, NoBody};
use super::super::connection::Seat;
use super::super::cors::Origins;
use super::super::error::ApiError;
use super::super::respond::{self, Answer, Body, Refused};
use super::super::shared::Premises;
use super::dial::{Dialer, Limits};
use super::directory::{Directory, Endpoint};
use super::figures::{Dropped, Figures};
use super::headers;
use super::hops::{self, Hops};
use super::line::{Line, Question};
use super::passing::Passing;
use super::pool::Pool;
use super::settings::{ProxySettings, Way};
use crate::protocol::Fault;

/// What a member refuses for its size it refuses itself, up to so many bytes beyond.
const BEYOND: usize = 1 << 20;

/// What every request needs.
#[derive(Debug)]
pub(in crate::api) struct Forwarder {
    pub(super) premises: Arc<Premises>,
    pub(super) origins: Origins,
    pub(super) way: Way,
    pub(super) directory: Directory,
    pub(super) pool: Pool,
    pub(super) figures: Figures,
    pub(super) hops: Hops,
    longest_body: usize,
}

impl Forwarder {
    pub(super) fn new(settings: &ProxySettings, connections: usize) -> Result<Self, ApiError> {
        let limits = Limits {
            dial: settings.dial_timeout,
            write: settings.write_timeout,
            read: settings.read_timeout,
        };
        Ok(Self {
            // Each connection of a client may need one to a member.
            premises: Arc::new(Premises::new((connections / 2).max(8))),
            origins: Origins::new(&settings.api.cors),
            way: settings.way,
            directory: Directory::new(settings.failure_wait),
            pool: Pool::new(Dialer::new(&settings.client_tls, limits)?),
            figures: Figures::default(),
            hops: Hops::new(),
            longest_body: settings.api.max_request_bytes.saturating_add(BEYOND),
        })
    }
}

/// Has a member answer.
pub(super) async fn answer(seat: &Arc<Seat<Forwarder>>, head: Parts, body: Incoming) -> Answer {
    let shared = &seat.shared;
    let (method, begun) = (head.method.clone(), Instant::now());
    shared.figures.received(&method);
    let taken = match body::take(body, shared.longest_body, &shared.premises).await {
        Ok(taken) => taken,
        Err(why) => return no_body(why),
    };
    let endpoints = shared.directory.usable();
    let (watch, first) = (is_watch(&head), !hops::came_through_one(&head.headers));
    // Where some endpoints are only down, they are what is wrong. A proxy before this one has to hear of the loop all the
    // same, so that it tries its other endpoints.
    let is_loop = |tried: &[_]| !first || shared.directory.all_loop(tried);
    if endpoints.is_empty() {
        shared.figures.dropped(&method, Dropped::NoEndpoint);
        if let Some(url) = shared.directory.looped().filter(|_| is_loop(&[])) {
            return shared.hops.answer(&format!("httpproxy: {}", hops::says(&url)));
        }
        return respond::message(
            StatusCode::SERVICE_UNAVAILABLE,
            b"httpproxy: zero endpoints currently available",
        );
    }
    let question = question(head, taken.bytes.clone(), seat);
    match first_answer(shared, &endpoints, &question, first).await {
        Ok((answer, line, endpoint)) => {
            shared.figures.handled(&method, answer.status(), begun.elapsed());
            pass(seat, answer, line, endpoint, watch)
        }
        Err(Unanswered { looped, failed }) => {
            shared.figures.dropped(&method, Dropped::NoAnswer);
            if let Some(endpoint) = looped.filter(|_| !(first && failed) && is_loop(&endpoints)) {
                return shared.hops.answer(&format!("httpproxy: {}", hops::says(&endpoint.site.url)));
            }
            let says = format!("httpproxy: unable to get response from {} endpoint(s)", endpoints.len());
            respond::message(StatusCode::BAD_GATEWAY, says.as_bytes())
        }
    }
}

/// What became of the endpoints when none of them answered.
#[derive(Debug, Default)]
struct Unanswered<'e> {
    /// One that leads back, if one does.
    looped: Option<&'e Endpoint>,
    /// Whether another one could not be asked.
    failed: bool,
}

/// The first answer, of whatever status but that of a loop. Who gives none is left alone for a while.
///
/// One that leads back is left alone as well when this proxy was the `first` to get the request, or is that endpoint
/// itself. For requests that came through another proxy it may be that one which must not ask here.
async fn first_answer<'e>(
    shared: &Forwarder,
    endpoints: &'e [Arc<Endpoint>],
    question: &Question,
    first: bool,
) -> Result<(Response<Incoming>, Line, &'e Endpoint), Unanswered<'e>> {
    let mut unanswered = Unanswered::default();
    for endpoint in endpoints {
        match shared.pool.ask(&endpoint.site, question.clone()).await {
            Ok((answer, line)) if answer.status() != StatusCode::LOOP_DETECTED => {
                return Ok((answer, line, endpoint));
            }
            Ok((answer, _)) => {
                shared.figures.dropped(question.method(), Dropped::NotSent);
                if first || shared.hops.is_own(&answer) {
                    shared.directory.leads_back(endpoint);
                }
                unanswered.looped = Some(&**endpoint);
            }
            Err(why) => {
                shared.figures.dropped(question.method(), Dropped::NotSent);
                shared.directory.failed(endpoint, &why);
                unanswered.failed = true;
            }
        }
    }
    Err(unanswered)
}

/// The request as it goes on: path and query letter by letter, the client's own `Host`, the whole body at once.
fn question(head: Parts, body: Bytes, seat: &Seat<Forwarder>) -> Question {
    let target = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    // Where a body is usual, that there is none has to be said.
    let says_empty = body.is_empty() && matches!(head.method, Method::PUT | Method::POST | Method::PATCH);
    let mut question = Request::new(Full::new(body));
    *question.uri_mut() = Uri::from(target);
    *question.method_mut() = head.method;
    *question.headers_mut() = headers::of_request(head.headers, seat.client);
    seat.shared.hops.add(question.headers_mut());
    if says_empty {
        question.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    question
}

/// A member's answer as it goes back.
fn pass(
    seat: &Arc<Seat<Forwarder>>,
    answer: Response<Incoming>,
    line: Line,
    endpoint: &Endpoint,
    watch: bool,
) -> Answer {
    let (mut head, body) = answer.into_parts();
    headers::strip(&mut head.headers);
    let passing = Passing::new(body, line, endpoint.site.clone(), Arc::clone(seat), watch);
    let mut passed = respond::bare(head.status, Body::Passing(Box::new(passing)));
    *passed.headers_mut() = head.headers;
    passed
}

/// Whether the answer may keep its client waiting.
fn is_watch(head: &Parts) -> bool {
    let query = head.uri.query().unwrap_or_default();
    head.method == Method::GET && query.split('&').any(|pair| pair.starts_with("wait="))
}

fn no_body(why: NoBody) -> Answer {
    match why {
        // In a member's words.
        NoBody::TooLarge => Refused::Fault(Fault::form_too_large()).answer(),
        NoBody::NoRoom => respond::message(
            StatusCode::SERVICE_UNAVAILABLE,
            b"httpproxy: too many request bodies are under way; try again later",
        ),
        NoBody::Broken => respond::message(
            StatusCode::INTERNAL_SERVER_ERROR,
            b"httpproxy: failed to read request body: it broke off",
        ),
    }
}
