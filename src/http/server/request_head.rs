//! What holds for the head of every request, whatever it asks for: it is for one host, and says in one way where its body
//! ends. Another program on the way could understand an ambiguous head in another way than this one.

use std::net::IpAddr;

use hyper::Version;
use hyper::header::{HOST, HeaderName, HeaderValue, ORIGIN, TRANSFER_ENCODING};
use hyper::http::request::Parts;

/// How a browser relates the page that sends a request to the server: `cross-site`, `same-site`, `same-origin`, `none`.
pub(crate) const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Returns why a request is malformed, as the text of its 400, mostly in Go's words.
pub(crate) fn malformed(head: &Parts) -> Option<&'static str> {
    let mut hosts = head.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next(), head.uri.authority()) {
        (_, Some(_), _) => return Some("400 Bad Request: too many Host headers"),
        (Some(host), ..) if !host.as_bytes().iter().all(in_host) => {
            return Some("400 Bad Request: malformed Host header");
        }
        (Some(host), _, Some(target))
            if !host.as_bytes().eq_ignore_ascii_case(target.as_str().as_bytes()) =>
        {
            return Some("400 Bad Request: the request line and the Host header name different hosts");
        }
        (None, ..) if head.version >= Version::HTTP_11 => {
            return Some("400 Bad Request: missing required Host header");
        }
        _ => {}
    }
    let mut codings = head.headers.get_all(TRANSFER_ENCODING).iter();
    let plain = match (codings.next(), codings.next()) {
        (Some(coding), None) => coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
        (None, _) => true,
    };
    (!plain).then_some("400 Bad Request: the only supported Transfer-Encoding is chunked")
}

/// Returns whether Go accepts a byte in a `Host` header.
fn in_host(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!$%&'()*+,-.:;=[]_~".contains(byte)
}

/// Returns the host and port that a request is for; empty if it says none, which HTTP/1.0 allows.
pub(crate) fn authority(head: &Parts) -> &str {
    if let Some(target) = head.uri.authority() {
        let target = target.as_str();
        return target.rsplit_once('@').map_or(target, |(_, host)| host);
    }
    head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default()
}

/// Returns `HOST` of `HOST:PORT`, or everything if it has no such form.
pub(crate) fn host_name(authority: &str) -> &str {
    let Some((host, _)) = authority.rsplit_once(':') else { return authority };
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        inner
    } else if host.contains(':') {
        authority
    } else {
        host
    }
}

/// Returns whether a host always means the same machine: it is an address, or `localhost`. Any other name means what its
/// owner's DNS says, so a web page can be sent from one machine and then call another as its own (DNS rebinding).
pub(crate) fn is_fixed_host(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

/// Returns whether a request comes from a web page in a browser: programs send none of these headers.
pub(crate) fn is_from_web_page(head: &Parts) -> bool {
    head.headers.contains_key(ORIGIN) || head.headers.contains_key(SEC_FETCH_SITE)
}

/// Returns whether a request of a web page goes to the server that the page came from.
pub(crate) fn is_same_origin(head: &Parts, secure: bool) -> bool {
    match head.headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes) {
        Some(b"same-origin" | b"none") => true,
        Some(_) => false,
        // Older browsers, and plain HTTP to another machine.
        None => {
            let origin = head.headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
            let Some((scheme, host)) = origin.and_then(|origin| origin.split_once("://")) else {
                return false;
            };
            // The page may come from a server that does TLS for this one.
            (scheme == "https" || !secure) && host.eq_ignore_ascii_case(authority(head))
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn head(version: Version, target: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::get(target).version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_request_is_for_exactly_one_host() {
        let refused = |target: &str, hosts: &[&str]| {
            let headers: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            malformed(&head(Version::HTTP_11, target, &headers)).map(|says| &says[17..])
        };
        for (target, hosts, says) in [
            ("/", &["a:1"][..], None),
            ("/", &["[::1]:1"], None),
            ("/", &[""], None),
            ("http://a:1/", &["A:1"], None),
            ("/", &["a", "a"], Some("too many Host headers")),
            ("/", &["a", "b"], Some("too many Host headers")),
            ("/", &[], Some("missing required Host header")),
            ("http://a:1/", &[], Some("missing required Host header")),
            ("/", &["a b"], Some("malformed Host header")),
            ("/", &["a@b"], Some("malformed Host header")),
            ("/", &["a/b"], Some("malformed Host header")),
            ("http://a:1/", &["b:1"], Some("the request line and the Host header name different hosts")),
            ("http://b@a:1/", &["a:1"], Some("the request line and the Host header name different hosts")),
            ("http://a:1/", &[""], Some("the request line and the Host header name different hosts")),
        ] {
            assert_eq!(refused(target, hosts), says, "{target} {hosts:?}");
        }
        assert_eq!(malformed(&head(Version::HTTP_10, "/", &[])), None);
    }

    #[test]
    fn the_only_transfer_coding_is_chunked() {
        let coded = |values: &[&str]| {
            let coding = values.iter().map(|value| ("transfer-encoding", *value));
            let headers: Vec<_> = [("host", "a")].into_iter().chain(coding).collect();
            malformed(&head(Version::HTTP_11, "/", &headers)).is_none()
        };
        assert!(coded(&[]) && coded(&["chunked"]) && coded(&["Chunked"]));
        for values in
            [&["gzip, chunked"][..], &["gzip", "chunked"], &["chunked", "chunked"], &["identity"], &[""]]
        {
            assert!(!coded(values), "{values:?}");
        }
    }

    #[test]
    fn the_host_of_the_request_line_counts() {
        let of = |target: &str, headers: &[(&str, &str)]| {
            let head = head(Version::HTTP_10, target, headers);
            host_name(authority(&head)).to_owned()
        };
        assert_eq!(of("/", &[("host", "a:1")]), "a");
        assert_eq!(of("http://b@c:1/", &[]), "c");
        assert_eq!(of("/", &[]), "");
    }

    #[test]
    fn the_port_is_not_part_of_a_host_name() {
        for (given, name) in
            [("a", "a"), ("a:1", "a"), ("[::1]:1", "::1"), ("::1", "::1"), ("[::1]", "[::1]"), ("", "")]
        {
            assert_eq!(host_name(given), name, "{given}");
        }
        for (host, fixed) in [
            ("localhost", true),
            ("LocalHost", true),
            ("127.0.0.1", true),
            ("10.0.0.9", true),
            ("::1", true),
            ("[::1]", true),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("0x7f.1", false),
            ("", false),
        ] {
            assert_eq!(is_fixed_host(host), fixed, "{host}");
        }
    }

    #[test]
    fn a_page_of_this_server_is_told_from_pages_of_others() {
        let same = |secure: bool, headers: &[(&str, &str)]| {
            let headers = [&[("host", "a:1")], headers].concat();
            is_same_origin(&head(Version::HTTP_11, "/", &headers), secure)
        };
        let site = |site: &'static str| [("sec-fetch-site", site), ("origin", "http://a:1")];
        assert!(same(false, &site("same-origin")) && same(false, &site("none")));
        assert!(
            !same(false, &site("cross-site")) && !same(false, &site("same-site")) && !same(false, &site(""))
        );
        let origin = |secure: bool, origin: &str| same(secure, &[("origin", origin)]);
        assert!(origin(false, "http://a:1") && origin(false, "https://A:1") && origin(true, "https://a:1"));
        for other in ["http://a:2", "http://a", "http://a:1.evil.example", "null", "a:1", ""] {
            assert!(!origin(false, other), "{other}");
        }
        assert!(!origin(true, "http://a:1"), "a page without TLS");
    }
}
