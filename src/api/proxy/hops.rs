//! Detects request loops. A member that advertises a proxy's address as its own client URL makes that proxy call
//! itself, or two proxies call each other, until the head of the request is too large.
//!
//! Each proxy adds itself to the `Via` header (RFC 9110, section 7.6.3) under a random name. One that finds its own
//! name there, or too many others, refuses with status 508 (Loop Detected). The previous proxy then tries its other
//! endpoints.

use hyper::header::{HeaderMap, HeaderValue, VIA};
use hyper::{Response, StatusCode};

use super::super::respond::{self, ApiResponse};

/// How many proxies a request may have passed.
const MAX_HOPS: usize = 5;
/// The prefix of the names of these proxies.
const NAME_PREFIX: &str = "retune-";

/// This proxy's entry in `Via`.
#[derive(Debug)]
pub(super) struct Hops {
    name: String,
}

impl Hops {
    pub(super) fn new() -> Self {
        Self { name: format!("{NAME_PREFIX}{:016x}", rand::random::<u64>()) }
    }

    /// Returns the refusal of a request that has passed this proxy before, or too many proxies.
    pub(super) fn refuse(&self, headers: &HeaderMap) -> Option<ApiResponse> {
        let passed = names(headers);
        let been_here = passed.iter().any(|name| *name == self.name);
        if !been_here && passed.len() < MAX_HOPS {
            return None;
        }
        let says = if been_here {
            "httpproxy: this request came back to a proxy that it has passed: a member advertises the proxy's address".to_owned()
        } else {
            format!("httpproxy: this request has passed {} proxies: they lead to each other", passed.len())
        };
        Some(self.loop_detected(&says))
    }

    /// Returns 508 in this proxy's name.
    pub(super) fn loop_detected(&self, says: &str) -> ApiResponse {
        let mut response = respond::message(StatusCode::LOOP_DETECTED, says.as_bytes());
        self.add(response.headers_mut());
        response
    }

    /// Adds this proxy to a message.
    pub(super) fn add(&self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::from_str(&format!("1.1 {}", self.name)) {
            headers.append(VIA, value);
        }
    }

    /// Returns whether a 508 came from this proxy itself.
    pub(super) fn is_own<B>(&self, response: &Response<B>) -> bool {
        names(response.headers()) == [self.name.as_str()]
    }
}

/// Returns whether a request came through such a proxy.
pub(super) fn came_through_one(headers: &HeaderMap) -> bool {
    !names(headers).is_empty()
}

/// Returns the message, for clients and the log, about an endpoint that leads back.
pub(super) fn says(url: &str) -> String {
    format!(
        "{url} leads back to a proxy, in a loop; start the member that advertises it with its own URL in \
         --advertise-client-urls"
    )
}

/// Returns the names of these proxies in `Via`, in the order of the path.
fn names(headers: &HeaderMap) -> Vec<&str> {
    let values = headers.get_all(VIA).iter().filter_map(|value| value.to_str().ok());
    let entries = values.flat_map(|value| value.split(','));
    entries
        .filter_map(|entry| entry.split_whitespace().nth(1))
        .filter(|name| name.starts_with(NAME_PREFIX))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_looped_or_took_too_many_hops_is_refused() {
        let own = Hops::new();
        let mut headers = HeaderMap::new();
        assert!(own.refuse(&headers).is_none());
        // Entries of other proxies do not count.
        for other in ["1.1 varnish (Varnish/6.0), 1.0 fred", "HTTP/1.1 example.com:80", ""] {
            headers.append(VIA, HeaderValue::from_static(other));
        }
        for _ in 0..MAX_HOPS {
            assert!(own.refuse(&headers).is_none(), "{headers:?}");
            Hops::new().add(&mut headers);
        }
        assert_eq!(own.refuse(&headers).unwrap().status(), StatusCode::LOOP_DETECTED);
        // Another proxy may have joined them in one header.
        let joined = format!("1.1 {}, 1.1 {}", own.name, Hops::new().name);
        let headers = HeaderMap::from_iter([(VIA, HeaderValue::from_str(&joined).unwrap())]);
        assert!(own.refuse(&headers).is_some());
        assert!(Hops::new().refuse(&headers).is_none());
    }

    #[test]
    fn a_refusal_names_the_proxy() {
        let (own, other) = (Hops::new(), Hops::new());
        let response = own.loop_detected("x");
        assert!(own.is_own(&response) && !other.is_own(&response));
    }
}
