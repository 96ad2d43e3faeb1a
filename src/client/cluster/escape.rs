//! Go's escaping of queries; etcdctl's debug output shows it, and servers log it.

use crate::protocol::query_encoded;

/// Names and values of a query or a form.
pub(super) type Parameters = Vec<(&'static str, Vec<u8>)>;

/// Returns pairs as a query or a form body, sorted by name.
pub(super) fn pairs(mut pairs: Parameters) -> String {
    pairs.sort_by_key(|(name, _)| *name);
    let mut out = String::new();
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        out.push_str(name);
        out.push('=');
        out.push_str(&query_encoded(&value));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::escape;

    #[test]
    fn escapes_match_gos() {
        assert_eq!(
            escape("/a b/ü%/?x!*'()$&+,:;=@".as_bytes()),
            "/a%20b/%C3%BC%25/%3Fx%21%2A%27%28%29$&+,:;=@"
        );
        assert_eq!(escape(b"/\xff"), "/%FF");
        let pairs = pairs(vec![("value", b"a b\xff&".to_vec()), ("ttl", b"5".to_vec())]);
        assert_eq!(pairs, "ttl=5&value=a+b%FF%26");
    }
}
