//! What the proxy answers itself, in etcd's order: paths that are not clean, its figures, what it does not let
//! through, origins, its list of endpoints. All else is forwarded.

use std::convert::Infallible;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{HOST, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode, Version};

use super::super::connection::{Phase, Seat};
use super::super::cors;
use super::super::respond::{self, Answer, Body};
use super::super::routes::{redirect, spare};
use super::super::shared::{Premises, Service};
use super::forward::{self, Forwarder};
use super::settings::Way;
use crate::protocol::{Cleaned, clean};

impl Service for Forwarder {
    fn premises(&self) -> &Arc<Premises> {
        &self.premises
    }

    async fn answer(seat: Arc<Seat<Self>>, request: Request<Incoming>) -> Result<Answer, Infallible> {
        seat.enter(Phase::Work);
        let (head, body) = request.into_parts();
        let answer = routed(&seat, head, body).await;
        if matches!(answer.body(), Body::Whole(_)) {
            seat.enter(Phase::Rest);
        }
        Ok(answer)
    }
}

async fn routed(seat: &Arc<Seat<Forwarder>>, head: Parts, body: Incoming) -> Answer {
    let path = match clean(head.uri.path()) {
        Cleaned::Bad => return respond::malformed("400 Bad Request"),
        _ if head.version >= Version::HTTP_11 && !head.headers.contains_key(HOST) => {
            return respond::malformed("400 Bad Request: missing required Host header");
        }
        Cleaned::Redirect(to) => {
            spare(body).await;
            return redirect(&head, &to);
        }
        Cleaned::Clean(path) => path,
    };
    if path == b"/metrics" {
        spare(body).await;
        return seat.shared.figures.page(&seat.shared);
    }
    if seat.shared.way == Way::Reads && head.method != Method::GET {
        spare(body).await;
        return respond::empty(StatusCode::NOT_IMPLEMENTED);
    }
    let origin = seat.shared.origins.allow(&head.headers);
    let mut answer = if head.method == Method::OPTIONS {
        spare(body).await;
        respond::empty(StatusCode::OK)
    } else if path == b"/v2/config/local/proxy" {
        spare(body).await;
        if head.method == Method::GET { endpoints(seat) } else { respond::not_allowed(Some("GET")) }
    } else if let Some(refused) = seat.shared.hops.refuse(&head.headers) {
        spare(body).await;
        refused
    } else {
        forward::answer(seat, head, body).await
    };
    if let Some(origin) = origin {
        allow(&mut answer, origin);
    }
    answer
}

/// The member's own word on origins stays beside the proxy's.
fn allow(answer: &mut Answer, origin: HeaderValue) {
    let theirs = std::mem::take(answer.headers_mut());
    cors::mark(answer, origin);
    let mut last = None;
    for (name, value) in theirs {
        // A name is told once and holds for the values behind it.
        last = name.or(last);
        if let Some(name) = &last {
            answer.headers_mut().append(name.clone(), value);
        }
    }
}

/// The list of endpoints that are in use.
fn endpoints(seat: &Seat<Forwarder>) -> Answer {
    let list: Vec<String> =
        seat.shared.directory.usable().iter().map(|endpoint| endpoint.site.url.clone()).collect();
    let body = serde_json::json!({ "endpoints": list }).to_string() + "\n";
    respond::typed(StatusCode::OK, respond::TEXT, body)
}
