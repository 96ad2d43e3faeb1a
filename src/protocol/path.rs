//! Request paths: decoding, cleaning, encoding, as Go's router does.

use super::form::decode;

/// A request path, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CleanPath {
    /// A clean path: the decoded bytes.
    Clean(Vec<u8>),
    /// The clean path to redirect to (percent-encoded; without the query).
    Redirect(String),
    /// A bad percent escape.
    Bad,
}

/// Decodes and cleans a request path (the part before `?`); one trailing slash is kept.
///
/// Text that is not a path (`*`, `x`, control characters) is `Bad` as well. The empty path of `http://host` is
/// redirected to `/`.
#[must_use]
pub fn clean(raw: &str) -> CleanPath {
    if raw.is_empty() {
        return CleanPath::Redirect("/".to_owned());
    }
    if !raw.starts_with('/') || raw.bytes().any(|byte| byte.is_ascii_control()) {
        return CleanPath::Bad;
    }
    let Ok(path) = decode(raw.as_bytes(), false) else { return CleanPath::Bad };
    if is_clean(&path) {
        CleanPath::Clean(path.into_owned())
    } else {
        CleanPath::Redirect(escape(&cleaned(&path)))
    }
}

fn is_clean(path: &[u8]) -> bool {
    // The usual case: nothing in the path needs cleaning.
    if !path.windows(2).any(|pair| pair[0] == b'/' && matches!(pair[1], b'/' | b'.')) {
        return true;
    }
    let mut segments = path.split(|byte| *byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        if matches!(segment, b"." | b"..") || (segment.is_empty() && !last) {
            return false;
        }
    }
    true
}

/// Returns the path without empty, `.` and `..` segments; keeps a final slash.
#[must_use]
pub fn cleaned(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    for segment in path.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => out.truncate(out.iter().rposition(|byte| *byte == b'/').unwrap_or(0)),
            _ => {
                out.push(b'/');
                out.extend_from_slice(segment);
            }
        }
    }
    if out.is_empty() || path.ends_with(b"/") {
        out.push(b'/');
    }
    out
}

/// Returns the `Location` of a redirect to this path, with a non-empty query, whose non-ASCII bytes are
/// percent-encoded (in lower case, unlike the path, as in Go).
#[must_use]
pub fn location(path: &str, query: &str) -> String {
    let mut out = String::with_capacity(path.len() + query.len() + 1);
    out.push_str(path);
    if !query.is_empty() {
        out.push('?');
    }
    let mut letter = [0; 4];
    for c in query.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            percent(&mut out, c.encode_utf8(&mut letter).as_bytes(), b"0123456789abcdef");
        }
    }
    out
}

fn percent(out: &mut String, bytes: &[u8], hex: &[u8; 16]) {
    for byte in bytes {
        out.push('%');
        out.push(char::from(hex[usize::from(byte >> 4)]));
        out.push(char::from(hex[usize::from(byte & 15)]));
    }
}

/// Percent-encodes decoded path bytes as Go's `URL.EscapedPath` does.
#[must_use]
pub fn escape(path: &[u8]) -> String {
    percent_encoded(path, stays)
}

/// Percent-encodes all bytes but those that stay.
#[must_use]
pub fn percent_encoded(bytes: &[u8], stays: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(bytes.len() + 8);
    for &byte in bytes {
        if stays(byte) {
            out.push(char::from(byte));
        } else {
            percent(&mut out, &[byte], b"0123456789ABCDEF");
        }
    }
    out
}

/// Encodes a value of a query or a form, as Go does.
#[must_use]
pub fn query_encoded(bytes: &[u8]) -> String {
    percent_encoded(bytes, |byte| unreserved(byte) || byte == b' ').replace(' ', "+")
}

/// Returns whether a byte needs no escape in any part of a URL.
#[must_use]
pub const fn unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~')
}

const fn stays(byte: u8) -> bool {
    unreserved(byte) || matches!(byte, b'$' | b'&' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'@')
}

/// Decodes `%XX` to text; invalid escapes stay unchanged.
#[must_use]
pub fn unescaped(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let code = (*first == b'%').then(|| after.get(..2)).flatten();
        let code = code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
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
            assert_eq!(String::from_utf8(cleaned(from.as_bytes())).unwrap(), to);
        }
    }
}
