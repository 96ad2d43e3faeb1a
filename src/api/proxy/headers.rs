//! The headers that are forwarded.

use std::net::IpAddr;

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Headers that concern one connection only. The last are not in any standard, but etcd drops them.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("trailers"),
];

/// Returns a request's headers for the next hop.
pub(super) fn of_request(mut headers: HeaderMap, client: Option<IpAddr>) -> HeaderMap {
    strip(&mut headers);
    // The body is complete by now: its length is set again, and `Expect` is pointless.
    headers.remove(CONTENT_LENGTH);
    headers.remove(EXPECT);
    if let Some(client) = client {
        // An IPv4 client of a dual-stack socket appears under its IPv4 address.
        let mut hops: Vec<u8> = Vec::new();
        for prior in headers.get_all(&FORWARDED_FOR) {
            hops.extend_from_slice(prior.as_bytes());
            hops.extend_from_slice(b", ");
        }
        hops.extend_from_slice(client.to_canonical().to_string().as_bytes());
        if let Ok(hops) = HeaderValue::from_bytes(&hops) {
            headers.insert(FORWARDED_FOR, hops);
        }
    }
    headers
}

/// Removes the headers that concern one connection only, including those that `Connection` names.
pub(super) fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().filter(|name| **name != CONTENT_LENGTH).chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn the_client_is_appended_to_x_forwarded_for() {
        let client = Some("10.0.0.9".parse().unwrap());
        let got = of_request(map(&[("Accept", "x"), ("Content-Length", "3")]), client);
        assert_eq!(got, map(&[("Accept", "x"), ("X-Forwarded-For", "10.0.0.9")]));
        let got = of_request(map(&[("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "2.2.2.2")]), client);
        assert_eq!(got, map(&[("X-Forwarded-For", "1.1.1.1, 2.2.2.2, 10.0.0.9")]));
    }

    #[test]
    fn hop_by_hop_headers_are_not_forwarded() {
        let mut headers = map(&[
            ("Connection", "close, X-Mine"),
            ("X-Mine", "1"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Authorization", "secret"),
            ("Proxy-Authenticate", "x"),
            ("TE", "trailers"),
            ("Trailers", "x"),
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "h2c"),
            ("Authorization", "Basic cm9vdDpwdw=="),
        ]);
        strip(&mut headers);
        assert_eq!(headers, map(&[("Authorization", "Basic cm9vdDpwdw==")]));
    }
}
