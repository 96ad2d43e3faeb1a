//! Access checks: origins of browsers, and host names of plain-HTTP requests.

use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, HeaderMap,
    HeaderValue, ORIGIN,
};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::respond::{self, ApiResponse};
use crate::http::server::request_head::{
    SEC_FETCH_SITE, authority, host_name, is_fixed_host, is_from_web_page, is_same_origin,
};

/// How much of an origin an error message shows.
const MAX_SHOWN_ORIGIN: usize = 100;

/// The origins of web pages that may use the API.
#[derive(Debug)]
pub(super) struct AllowedOrigins {
    /// The origins whose pages may read the responses; `None`: all.
    readers: Option<Vec<String>>,
    /// Whether the pages of all origins may send writes, too.
    all_write: bool,
}

impl AllowedOrigins {
    /// Takes the list of the settings. Without one, all pages may read, as in etcd, but write only if they come from this
    /// server: a browser sends a form or a `fetch` of any page even to `localhost`.
    pub(super) fn new(list: Option<&[String]>) -> Self {
        Self { readers: list.and_then(names), all_write: list.is_some_and(|list| names(list).is_none()) }
    }

    /// Returns the value of `Access-Control-Allow-Origin` for a request with these headers.
    pub(super) fn allow(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let Some(list) = &self.readers else { return Some(HeaderValue::from_static("*")) };
        let origin = request.get(ORIGIN)?;
        list.iter().any(|known| known.as_bytes() == origin.as_bytes()).then(|| origin.clone())
    }

    /// Returns the refusal of a write that a web page of another server sends. Programs send no such headers.
    pub(super) fn refuse_write(
        &self,
        head: &Parts,
        secure: bool,
        hosts: &AllowedHosts,
    ) -> Option<ApiResponse> {
        if is_read(&head.method) || !is_from_web_page(head) || self.all_write {
            return None;
        }
        let origin = head.headers.get(ORIGIN).map_or(&b""[..], HeaderValue::as_bytes);
        let mut listed = self.readers.iter().flatten();
        if listed.any(|known| is_origin(known, origin)) {
            return None;
        }
        let host = host_name(authority(head));
        // TLS verifies the name of the server.
        if is_same_origin(head, secure) && (secure || is_fixed_host(host) || hosts.names_host(host)) {
            return None;
        }
        let origin = String::from_utf8_lossy(origin);
        let shown: String = origin.chars().take(MAX_SHOWN_ORIGIN).collect();
        let says = format!(
            "a web page of another server ({shown}) may not change anything here; if it should, add its origin to --cors"
        );
        Some(respond::message(StatusCode::FORBIDDEN, says.as_bytes()))
    }
}

/// Returns whether a method changes nothing.
fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

/// Returns whether a browser writes an origin of the list as `origin`: without the usual port of its scheme.
fn is_origin(known: &str, origin: &[u8]) -> bool {
    let usual = if known.starts_with("https:") { ":443" } else { ":80" };
    [Some(known), known.strip_suffix(usual)].into_iter().flatten().any(|known| known.as_bytes() == origin)
}

/// Removes what a member would judge a write by. A proxy has judged it: the member does not know the proxy's list.
pub(super) fn drop_origin(head: &mut Parts) {
    if !is_read(&head.method) {
        head.headers.remove(ORIGIN);
        head.headers.remove(SEC_FETCH_SITE);
    }
}

/// Returns the names of a list; `None`: it has `*`, which is all.
fn names(list: &[String]) -> Option<Vec<String>> {
    list.iter().all(|name| name != "*").then(|| list.to_vec())
}

/// Adds the three headers.
pub(super) fn add_headers(response: &mut ApiResponse, origin: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("accept, content-type, authorization"),
    );
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, GET, OPTIONS, PUT, DELETE"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
}

/// The allowed host names of plain-HTTP requests, a protection against DNS rebinding; `None`: all.
#[derive(Debug)]
pub(super) struct AllowedHosts(Option<Vec<String>>);

impl AllowedHosts {
    pub(super) fn new(list: &[String]) -> Self {
        Self(names(list).filter(|names| !names.is_empty()))
    }

    /// Returns whether the list names this host.
    fn names_host(&self, host: &str) -> bool {
        self.0.iter().flatten().any(|known| known == host)
    }

    /// Returns the refusal when the host that the request is for is not allowed.
    pub(super) fn refuse(&self, head: &Parts) -> Option<ApiResponse> {
        self.0.as_ref()?;
        let name = host_name(authority(head));
        if self.names_host(name) {
            return None;
        }
        let says = format!(
            "\netcd received your request, but the Host header was unrecognized.\n\n\
             To fix this, choose one of the following options:\n\
             - Enable TLS, then any HTTPS request will be allowed.\n\
             - Add the hostname you want to use to the whitelist in settings.\n  \
             - e.g. etcd --host-whitelist {name:?}\n\n\
             This requirement has been added to help prevent \"DNS Rebinding\" attacks (CVE-2018-5702).\n\n"
        );
        Some(respond::text(StatusCode::MISDIRECTED_REQUEST, says))
    }
}
