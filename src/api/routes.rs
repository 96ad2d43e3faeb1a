//! Routes requests: first the checks for every request, then by path.

use std::borrow::Cow;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{HeaderValue, LOCATION};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::respond::{self, ApiResponse};
use super::shared::{ConnState, Shared};
use super::{auth, cors, debug, health, keys, members, metrics, snapshot, stats};
use crate::http::server::{ServerContext, Service, discard, request_head};
use crate::protocol::{CleanPath, clean, location};

impl Service for Shared {
    fn context(&self) -> &Arc<ServerContext> {
        &self.context
    }

    /// Does the checks for every request in etcd's order: host, origin, OPTIONS, then the path. etcd carries out the writes of
    /// every web page.
    async fn handle(conn: &Arc<ConnState>, head: Parts, body: Incoming) -> ApiResponse {
        // etcd's router never sees such a request, so neither OPTIONS nor an origin applies.
        if !is_clean(head.uri.path().as_bytes()) && clean(head.uri.path()) == CleanPath::Bad {
            return respond::malformed("400 Bad Request");
        }
        if let Some(says) = request_head::malformed(&head) {
            return respond::malformed(says);
        }
        let (hosts, origins) = (&conn.shared.hosts, &conn.shared.origins);
        if !conn.secure
            && let Some(refusal) = hosts.refuse(&head)
        {
            return refusal;
        }
        let origin = origins.allow(&head.headers);
        let mut response = if head.method == Method::OPTIONS {
            respond::empty(StatusCode::OK)
        } else if let Some(refusal) = origins.refuse_write(&head, conn.secure, hosts) {
            discard(body).await;
            refusal
        } else {
            cleaned(conn, &head, body).await
        };
        if let Some(origin) = origin {
            cors::add_headers(&mut response, origin);
        }
        response
    }

    fn is_health_check(head: &Parts) -> bool {
        health::is_check(head)
    }
}

/// Cleans the path, or redirects the client to the clean one.
async fn cleaned(conn: &Arc<ConnState>, head: &Parts, body: Incoming) -> ApiResponse {
    let raw = head.uri.path();
    let path = if is_clean(raw.as_bytes()) {
        Cow::Borrowed(raw.as_bytes())
    } else {
        match clean(raw) {
            CleanPath::Clean(path) => Cow::Owned(path),
            CleanPath::Redirect(to) => {
                discard(body).await;
                return redirect(head, &to);
            }
            CleanPath::Bad => return respond::malformed("400 Bad Request"),
        }
    };
    if let Some(key) = path.strip_prefix(b"/v2/keys")
        && matches!(key.first(), None | Some(b'/'))
    {
        return keys::handle(conn, head, body, key).await;
    }
    routed(conn, head, body, &path).await
}

/// Returns whether a path is clean and free of escapes: nearly always, and then it is not copied.
fn is_clean(path: &[u8]) -> bool {
    let mut last = 0;
    path.first() == Some(&b'/')
        && path.iter().all(|byte| {
            let strange = *byte == b'%' || (last == b'/' && matches!(byte, b'/' | b'.'));
            last = *byte;
            !strange
        })
}

/// Routes all paths except keys.
async fn routed(conn: &Arc<ConnState>, head: &Parts, body: Incoming, path: &[u8]) -> ApiResponse {
    if let Some(rest) = path.strip_prefix(b"/v2/members")
        && matches!(rest.first(), None | Some(b'/'))
    {
        return members::handle(conn, head, body, rest.strip_prefix(b"/").unwrap_or(rest)).await;
    }
    if let Some(rest) = path.strip_prefix(b"/v2/auth/") {
        return auth::handle(conn, head, body, rest).await;
    }
    if path == b"/config/local/log" {
        return if head.method == Method::PUT {
            debug::log_level(conn, head, body).await
        } else {
            discard(body).await;
            respond::not_allowed(Some("PUT"))
        };
    }
    discard(body).await;
    let read_only = |response: fn(&ConnState) -> ApiResponse| {
        if head.method == Method::GET { response(conn) } else { respond::not_allowed(Some("GET")) }
    };
    match path {
        b"/v2/machines" if matches!(head.method, Method::GET | Method::HEAD) => members::machines(conn),
        b"/v2/machines" => respond::not_allowed(Some("GET,HEAD")),
        b"/v2/stats/self" => read_only(stats::own),
        b"/v2/stats/leader" => read_only(stats::leader),
        b"/v2/stats/store" => read_only(stats::store),
        b"/version" => read_only(stats::version),
        b"/debug/vars" => read_only(debug::vars),
        b"/metrics" => metrics::handle(conn),
        b"/health" if head.method == Method::GET => health::handle(conn).await,
        b"/health" => respond::not_allowed(Some("GET")),
        b"/retune/snapshot" if head.method == Method::GET => snapshot::handle(conn, head).await,
        b"/retune/snapshot" => respond::not_allowed(Some("GET")),
        _ => respond::not_found(),
    }
}

/// Returns 301 to the clean path, with the query unchanged.
pub(super) fn redirect(head: &Parts, path: &str) -> ApiResponse {
    let to = location(path, head.uri.query().unwrap_or_default());
    let mut response = if matches!(head.method, Method::GET | Method::HEAD) {
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
    response.headers_mut().insert(LOCATION, location);
    response
}

#[cfg(test)]
mod tests {
    use super::is_clean;

    #[test]
    fn only_clean_paths_skip_normalization() {
        for path in ["/", "/v2/keys", "/v2/keys/", "/v2/keys/a.b/c..d", "/v2/keys/a_b/+"] {
            assert!(is_clean(path.as_bytes()), "{path}");
        }
        for path in ["", "*", "a", "//", "/a//b", "/a/./b", "/a/../b", "/a/.", "/a/.b", "/%61"] {
            assert!(!is_clean(path.as_bytes()), "{path}");
        }
    }
}
