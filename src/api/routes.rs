//! Which answer a request gets: first what concerns every request, then by path.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;

use hyper::body::{Body as _, Incoming};
use hyper::header::{HOST, HeaderValue, LOCATION};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode, Version};

use super::connection::{Phase, Seat};
use super::respond::{self, Answer, Body};
use super::{auth, body, cors, debug, health, keys, members, metrics, snapshot, stats};
use crate::protocol::{Cleaned, clean, location};

/// Answers a request. It never fails: what is wrong with a request is said in its answer.
pub(super) async fn answer(seat: Arc<Seat>, request: Request<Incoming>) -> Result<Answer, Infallible> {
    seat.enter(Phase::Work);
    let (head, body) = request.into_parts();
    let answer = checked(&seat, &head, body).await;
    if matches!(answer.body(), Body::Whole(_)) {
        seat.enter(Phase::Rest);
    }
    Ok(answer)
}

/// What concerns every request, in etcd's order: host, origin, OPTIONS, then the path.
async fn checked(seat: &Arc<Seat>, head: &Parts, body: Incoming) -> Answer {
    // Such a request is not one for etcd's router, so that neither OPTIONS nor an origin counts.
    if !is_clean(head.uri.path().as_bytes()) && clean(head.uri.path()) == Cleaned::Bad {
        return respond::malformed("400 Bad Request");
    }
    if head.version >= Version::HTTP_11 && !head.headers.contains_key(HOST) {
        return respond::malformed("400 Bad Request: missing required Host header");
    }
    if !seat.secure
        && let Some(refusal) = seat.shared.hosts.refuse(&head.headers)
    {
        return refusal;
    }
    let origin = seat.shared.origins.allow(&head.headers);
    let mut answer = if head.method == Method::OPTIONS {
        respond::empty(StatusCode::OK)
    } else {
        cleaned(seat, head, body).await
    };
    if let Some(origin) = origin {
        cors::mark(&mut answer, origin);
    }
    answer
}

/// Brings the path into its clean form, or the client to it.
async fn cleaned(seat: &Arc<Seat>, head: &Parts, body: Incoming) -> Answer {
    let raw = head.uri.path();
    let path = if is_clean(raw.as_bytes()) {
        Cow::Borrowed(raw.as_bytes())
    } else {
        match clean(raw) {
            Cleaned::Clean(path) => Cow::Owned(path),
            Cleaned::Redirect(to) => {
                spare(body).await;
                return redirect(head, &to);
            }
            Cleaned::Bad => return respond::malformed("400 Bad Request"),
        }
    };
    if let Some(key) = path.strip_prefix(b"/v2/keys")
        && matches!(key.first(), None | Some(b'/'))
    {
        return keys::answer(seat, head, body, key).await;
    }
    routed(seat, head, body, &path).await
}

/// Whether a path is as it should be and free of escapes: nearly always, and then it need not be copied.
fn is_clean(path: &[u8]) -> bool {
    let mut last = 0;
    path.first() == Some(&b'/')
        && path.iter().all(|byte| {
            let strange = *byte == b'%' || (last == b'/' && matches!(byte, b'/' | b'.'));
            last = *byte;
            !strange
        })
}

/// The routes beside keys.
async fn routed(seat: &Arc<Seat>, head: &Parts, body: Incoming, path: &[u8]) -> Answer {
    if let Some(rest) = path.strip_prefix(b"/v2/members")
        && matches!(rest.first(), None | Some(b'/'))
    {
        return members::answer(seat, head, body, rest.strip_prefix(b"/").unwrap_or(rest)).await;
    }
    if let Some(rest) = path.strip_prefix(b"/v2/auth/") {
        return auth::answer(seat, head, body, rest).await;
    }
    if path == b"/config/local/log" {
        return if head.method == Method::PUT {
            debug::log_level(seat, body).await
        } else {
            spare(body).await;
            respond::not_allowed(Some("PUT"))
        };
    }
    spare(body).await;
    let read_only = |answer: fn(&Seat) -> Answer| {
        if head.method == Method::GET { answer(seat) } else { respond::not_allowed(Some("GET")) }
    };
    match path {
        b"/v2/machines" if matches!(head.method, Method::GET | Method::HEAD) => members::machines(seat),
        b"/v2/machines" => respond::not_allowed(Some("GET,HEAD")),
        b"/v2/stats/self" => read_only(stats::own),
        b"/v2/stats/leader" => read_only(stats::leader),
        b"/v2/stats/store" => read_only(stats::store),
        b"/version" => read_only(stats::version),
        b"/debug/vars" => read_only(debug::vars),
        b"/metrics" => metrics::answer(seat),
        b"/health" if head.method == Method::GET => health::answer(seat).await,
        b"/health" => respond::not_allowed(Some("GET")),
        b"/retune/snapshot" if head.method == Method::GET => snapshot::answer(seat, head).await,
        b"/retune/snapshot" => respond::not_allowed(Some("GET")),
        _ => respond::not_found(),
    }
}

/// Reads off a body that nobody asked for, so that the connection can be used again. If that fails the
/// connection ends with the answer, which is all there is to do.
pub(super) async fn spare(body: Incoming) {
    if !body.is_end_stream() {
        let _ = body::read_off(body).await;
    }
}

/// 301 to the clean path, with the query as it came.
pub(super) fn redirect(head: &Parts, path: &str) -> Answer {
    let to = location(path, head.uri.query().unwrap_or_default());
    let mut answer = if matches!(head.method, Method::GET | Method::HEAD) {
        let shown = to
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&#34;")
            .replace('\'', "&#39;");
        let body = format!("<a href=\"{shown}\">Moved Permanently</a>.\n\n");
        respond::typed(StatusCode::MOVED_PERMANENTLY, respond::HTML, body)
    } else {
        respond::empty(StatusCode::MOVED_PERMANENTLY)
    };
    let Ok(location) = HeaderValue::from_maybe_shared(bytes::Bytes::from(to)) else {
        return respond::malformed("400 Bad Request");
    };
    answer.headers_mut().insert(LOCATION, location);
    answer
}

#[cfg(test)]
mod tests {
    use super::is_clean;

    #[test]
    fn only_paths_that_need_no_work_are_taken_as_they_are() {
        for path in ["/", "/v2/keys", "/v2/keys/", "/v2/keys/a.b/c..d", "/v2/keys/a_b/+"] {
            assert!(is_clean(path.as_bytes()), "{path}");
        }
        for path in ["", "*", "a", "//", "/a//b", "/a/./b", "/a/../b", "/a/.", "/a/.b", "/%61"] {
            assert!(!is_clean(path.as_bytes()), "{path}");
        }
    }
}
