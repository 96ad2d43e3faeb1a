//! URLs as Go parses them, with its errors.

use std::borrow::Cow;

use super::form::decode;
use super::quote::{bad_escape, quoted};

/// The parts of a URL, without query and fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoUrl<'u> {
    /// In lower case; empty when there is none.
    pub scheme: String,
    /// The text after a scheme without slashes. Such a URL has neither host nor path.
    pub opaque: Option<&'u str>,
    /// Whether there is a user, with or without a password.
    pub has_user: bool,
    /// Host and port as written.
    pub host: &'u str,
    /// Decoded.
    pub path: Cow<'u, [u8]>,
}

impl<'u> GoUrl<'u> {
    /// Parses a URL as leniently as Go.
    ///
    /// # Errors
    /// Go's reason.
    pub fn parse(text: &'u str) -> Result<Self, String> {
        let text = text.split('#').next().unwrap_or_default();
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            return Err("net/url: invalid control character in URL".to_owned());
        }
        let (scheme, rest) = scheme(text)?;
        let rest = rest.split('?').next().unwrap_or_default();
        let mut url = Self { scheme, opaque: None, has_user: false, host: "", path: Cow::Borrowed(b"") };
        if !rest.starts_with('/') {
            if !url.scheme.is_empty() {
                url.opaque = Some(rest);
                return Ok(url);
            }
            if rest.split('/').next().is_some_and(|first| first.contains(':')) {
                return Err("first path segment in URL cannot contain colon".to_owned());
            }
        }
        let path = match rest.strip_prefix("//") {
            Some(after) if !(url.scheme.is_empty() && after.starts_with('/')) => {
                let (authority, path) = after.split_at(after.find('/').unwrap_or(after.len()));
                url.has_user = authority.contains('@');
                url.host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
                check_host(url.host)?;
                path
            }
            _ => rest,
        };
        url.path = decode(path.as_bytes(), false).map_err(bad_escape)?;
        Ok(url)
    }
}

fn scheme(text: &str) -> Result<(String, &str), String> {
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return Err("missing protocol scheme".to_owned()),
            b':' => return Ok((text[..at].to_ascii_lowercase(), &text[at + 1..])),
            _ => break,
        }
    }
    Ok((String::new(), text))
}

fn check_host(host: &str) -> Result<(), String> {
    let port = if host.starts_with('[') {
        &host[host.rfind(']').ok_or("missing ']' in host")? + 1..]
    } else {
        host.rfind(':').map_or("", |at| &host[at..])
    };
    let digits = port.strip_prefix(':').map(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    if !port.is_empty() && digits != Some(true) {
        return Err(format!("invalid port {} after host", quoted(port)));
    }
    let strange =
        |c: &char| c.is_ascii() && !c.is_ascii_alphanumeric() && !"-_.~!$&'()*+,;=:[]<>\"%".contains(*c);
    if let Some(c) = host.chars().find(strange) {
        return Err(format!("invalid character {} in host name", quoted(&c.to_string())));
    }
    decode(host.as_bytes(), false).map_err(bad_escape)?;
    // Only the bytes of other letters may be escaped, and the percent sign, for the zone of an IPv6 address.
    let mut escapes = host.match_indices('%').map(|(at, _)| &host.as_bytes()[at..at + 3]);
    match escapes.find(|escape| escape[1] < b'8' && *escape != b"%25") {
        Some(escape) => Err(bad_escape(escape)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_in_a_host_are_those_that_go_allows() {
        for fine in ["http://a%C3%BC:1", "http://[fe80::1%25eth0]:1"] {
            assert!(GoUrl::parse(fine).is_ok(), "{fine}");
        }
        for (url, escape) in [("http://a%41:1", "%41"), ("http://a%zz:1", "%zz"), ("http://a%4", "%4")] {
            assert_eq!(GoUrl::parse(url), Err(format!("invalid URL escape \"{escape}\"")));
        }
    }
}
