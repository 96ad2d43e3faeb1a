//! The requests that the proxy handles itself, in etcd's order: unclean paths, its metrics, refused methods,
//! origins, writes of other servers' web pages, its list of endpoints. Everything else is forwarded.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::super::respond::{self, ApiResponse};
use super::super::routes::redirect;
use super::super::{cors, health};
use super::forward;
use super::forwarder::Forwarder;
use super::settings::ProxyMode;
use crate::http::server::{ConnState, ServerContext, Service, discard, request_head};
use crate::protocol::{CleanPath, clean};

impl Service for Forwarder {
    fn context(&self) -> &Arc<ServerContext> {
        &self.context
    }

    async fn handle(conn: &Arc<ConnState<Self>>, mut head: Parts, body: Incoming) -> ApiResponse {
        let cleaned = clean(head.uri.path());
        if cleaned != CleanPath::Bad
            && let Some(says) = request_head::malformed(&head)
        {
            return respond::malformed(says);
        }
        let path = match cleaned {
            CleanPath::Bad => return respond::malformed("400 Bad Request"),
            CleanPath::Redirect(to) => {
                discard(body).await;
                return redirect(&head, &to);
            }
            CleanPath::Clean(path) => path,
        };
        if path == b"/metrics" {
            discard(body).await;
            let shared = &conn.shared;
            return shared.metrics.page(shared.endpoint_list.usable().len(), shared.context.connections());
        }
        if conn.shared.mode == ProxyMode::Reads && head.method != Method::GET {
            discard(body).await;
            return respond::empty(StatusCode::NOT_IMPLEMENTED);
        }
        let (origins, hosts) = (&conn.shared.origins, &conn.shared.hosts);
        let origin = origins.allow(&head.headers);
        let mut response = if head.method == Method::OPTIONS {
            discard(body).await;
            respond::empty(StatusCode::OK)
        } else if let Some(refusal) = origins.refuse_write(&head, conn.secure, hosts) {
            discard(body).await;
            refusal
        } else if path == b"/v2/config/local/proxy" {
            discard(body).await;
            if head.method == Method::GET { endpoints(conn) } else { respond::not_allowed(Some("GET")) }
        } else if let Some(refused) = conn.shared.hops.refuse(&head.headers) {
            discard(body).await;
            refused
        } else {
            cors::drop_origin(&mut head);
            forward::forward(conn, head, body).await
        };
        if let Some(origin) = origin {
            allow(&mut response, origin);
        }
        response
    }

    fn is_health_check(head: &Parts) -> bool {
        health::is_check(head)
    }
}

/// The member's own CORS headers stay beside the proxy's.
fn allow(response: &mut ApiResponse, origin: HeaderValue) {
    let theirs = std::mem::take(response.headers_mut());
    cors::add_headers(response, origin);
    let mut last = None;
    for (name, value) in theirs {
        // A name is present once and applies to the values after it.
        last = name.or(last);
        if let Some(name) = &last {
            response.headers_mut().append(name.clone(), value);
        }
    }
}

/// Returns the list of endpoints in use.
fn endpoints(conn: &ConnState<Forwarder>) -> ApiResponse {
    let body = serde_json::json!({ "endpoints": conn.shared.endpoint_list.usable_urls() }).to_string() + "\n";
    respond::typed(StatusCode::OK, respond::TEXT, body)
}
