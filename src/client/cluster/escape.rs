//! Go's escaping of paths, queries and quoted text; etcdctl's debug output shows it, and servers log it.

use std::fmt::Write as _;

use crate::protocol::{percent_encoded, unreserved};

/// Escapes in a path what Go escapes.
pub(super) fn path(bytes: &[u8]) -> String {
    crate::protocol::escape(bytes)
}

/// Returns pairs as a query or a form body, sorted by name.
pub(super) fn pairs(mut pairs: Vec<(&'static str, Vec<u8>)>) -> String {
    pairs.sort_by_key(|(name, _)| *name);
    let mut out = String::new();
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        out.push_str(name);
        out.push('=');
        out.push_str(&percent_encoded(&value, |byte| unreserved(byte) || byte == b' ').replace(' ', "+"));
    }
    out
}

/// Returns the path without empty, `.` and `..` segments; keeps a final slash.
pub(super) fn clean(path: &[u8]) -> Vec<u8> {
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in path.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let mut out = vec![b'/'];
    out.extend(segments.join(&b'/'));
    if path.ends_with(b"/") && out.len() > 1 {
        out.push(b'/');
    }
    out
}

/// Returns text in double quotes, as Go's `%q` writes it.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() && (c as u32) < 0x80 => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_and_keep_a_final_slash() {
        for (from, to) in [
            ("/v2/keys//a//b/../c/", "/v2/keys/a/c/"),
            ("/v2/keys/..", "/v2"),
            ("/../..", "/"),
            ("/v2/keys/", "/v2/keys/"),
            ("/v2/keys", "/v2/keys"),
        ] {
            assert_eq!(String::from_utf8(clean(from.as_bytes())).unwrap(), to);
        }
    }

    #[test]
    fn escapes_are_those_of_go() {
        assert_eq!(
            path("/a b/ü%/?x!*'()$&+,:;=@".as_bytes()),
            "/a%20b/%C3%BC%25/%3Fx%21%2A%27%28%29$&+,:;=@"
        );
        assert_eq!(path(b"/\xff"), "/%FF");
        let pairs = pairs(vec![("value", b"a b\xff&".to_vec()), ("ttl", b"5".to_vec())]);
        assert_eq!(pairs, "ttl=5&value=a+b%FF%26");
        assert_eq!(quoted("a\"b\\\n\u{1}é"), "\"a\\\"b\\\\\\n\\x01é\"");
    }
}
