//! Access checks: origins of browsers, and host names of plain-HTTP requests.

use hyper::StatusCode;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, HOST, HeaderMap,
    HeaderValue, ORIGIN,
};

use super::respond::{self, ApiResponse};

/// The allowed origins of browsers; `None`: all.
#[derive(Debug)]
pub(super) struct AllowedOrigins(Option<Vec<String>>);

impl AllowedOrigins {
    pub(super) fn new(list: &[String]) -> Self {
        Self(names(list))
    }

    /// Returns the value of `Access-Control-Allow-Origin` for a request with these headers.
    pub(super) fn allow(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let Some(list) = &self.0 else { return Some(HeaderValue::from_static("*")) };
        let origin = request.get(ORIGIN)?;
        list.iter().any(|known| known.as_bytes() == origin.as_bytes()).then(|| origin.clone())
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

    /// Returns the refusal when the request's host is not allowed.
    pub(super) fn refuse(&self, request: &HeaderMap) -> Option<ApiResponse> {
        let list = self.0.as_ref()?;
        let given = request.get(HOST).map_or(&b""[..], HeaderValue::as_bytes);
        let given = String::from_utf8_lossy(given);
        let name = host_name(&given);
        if list.iter().any(|known| known == name) {
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

/// Returns `HOST` of `HOST:PORT`, or everything if it has no such form.
fn host_name(given: &str) -> &str {
    let Some((host, _)) = given.rsplit_once(':') else { return given };
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        inner
    } else if host.contains(':') {
        given
    } else {
        host
    }
}

#[cfg(test)]
mod tests {
    use super::host_name;

    #[test]
    fn the_port_is_not_part_of_a_host_name() {
        for (given, name) in
            [("a", "a"), ("a:1", "a"), ("[::1]:1", "::1"), ("::1", "::1"), ("[::1]", "[::1]"), ("", "")]
        {
            assert_eq!(host_name(given), name, "{given}");
        }
    }
}
