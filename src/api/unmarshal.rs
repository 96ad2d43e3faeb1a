//! Parses JSON requests, with errors in the words of Go's `encoding/json`.

use serde_json::Value;
use serde_json::error::Category;

/// Parses a request body as JSON; the error is Go's.
pub(super) fn parse(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        Category::Eof => "unexpected end of JSON input".to_owned(),
        _ => error_text(body, &error),
    })
}

/// The position comes from the parser; only the wording depends on the surrounding text.
fn error_text(body: &[u8], error: &serde_json::Error) -> String {
    let line = body.split(|byte| *byte == b'\n').take(error.line().saturating_sub(1));
    let start: usize = line.map(|line| line.len() + 1).sum();
    let at = (start + error.column().saturating_sub(1)).min(body.len().saturating_sub(1));
    let found = body.get(at).copied().unwrap_or_default();
    let says = error.to_string();
    let place = if says.starts_with("trailing characters") {
        "after top-level value"
    } else if says.starts_with("key must be a string") || says.starts_with("trailing comma") && found == b'}'
    {
        "looking for beginning of object key string"
    } else if says.starts_with("expected `:`") {
        "after object key"
    } else if says.starts_with("expected `,` or `}`") {
        "after object key:value pair"
    } else if says.starts_with("expected `,` or `]`") {
        "after array element"
    } else if says.starts_with("invalid escape") {
        "in string escape code"
    } else if says.starts_with("control character") {
        "in string literal"
    } else if says.starts_with("invalid number") {
        "in numeric literal"
    } else {
        "looking for beginning of value"
    };
    let shown = match found {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        byte => format!("'{}'", byte.escape_ascii()),
    };
    format!("invalid character {shown} {place}")
}

/// Returns the member `name` of an object, in any case as in Go; the last one of several. `null` has no members.
pub(super) fn field<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let members = value.as_object()?;
    members
        .get(name)
        .or_else(|| members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v))
}

/// Returns Go's name for the type of a value.
pub(super) const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Returns the `peerURLs` of a request about members, or Go's error.
pub(super) fn peer_urls(body: &[u8]) -> Result<Vec<String>, String> {
    let value = parse(body)?;
    if !matches!(value, Value::Object(_) | Value::Null) {
        let kind = kind(&value);
        return Err(format!(
            "json: cannot unmarshal {kind} into Go value of type struct {{ PeerURLs []string \
             \"json:\\\"peerURLs\\\"\" }}"
        ));
    }
    let wrong = |value: &Value, wanted: &str| {
        format!("json: cannot unmarshal {} into Go struct field .peerURLs of type {wanted}", kind(value))
    };
    match field(&value, "peerURLs") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(urls)) => urls
            .iter()
            .map(|url| match url {
                Value::String(url) => Ok(url.clone()),
                Value::Null => Ok(String::new()),
                other => Err(wrong(other, "string")),
            })
            .collect(),
        Some(other) => Err(wrong(other, "[]string")),
    }
}

#[cfg(test)]
mod tests {
    use super::peer_urls;

    #[test]
    fn errors_are_gos() {
        let into = "into Go value of type struct { PeerURLs []string \"json:\\\"peerURLs\\\"\" }";
        for (body, error_text) in [
            ("", "unexpected end of JSON input".to_owned()),
            ("{", "unexpected end of JSON input".to_owned()),
            ("[]", format!("json: cannot unmarshal array {into}")),
            ("5", format!("json: cannot unmarshal number {into}")),
            (
                "{\"peerURLs\":\"x\"}",
                "json: cannot unmarshal string into Go struct field .peerURLs of type []string".to_owned(),
            ),
            (
                "{\"peerURLs\":[true,\"x\"]}",
                "json: cannot unmarshal bool into Go struct field .peerURLs of type string".to_owned(),
            ),
            ("x", "invalid character 'x' looking for beginning of value".to_owned()),
            ("{\"a\":1}x", "invalid character 'x' after top-level value".to_owned()),
            ("{x}", "invalid character 'x' looking for beginning of object key string".to_owned()),
            ("{\"a\" 1}", "invalid character '1' after object key".to_owned()),
            ("{\"a\":1,}", "invalid character '}' looking for beginning of object key string".to_owned()),
            ("[1 2]", "invalid character '2' after array element".to_owned()),
            ("\"\\q\"", "invalid character 'q' in string escape code".to_owned()),
        ] {
            assert_eq!(peer_urls(body.as_bytes()).unwrap_err(), error_text, "{body}");
        }
    }

    #[test]
    fn names_match_in_any_case_and_null_is_ignored() {
        assert_eq!(peer_urls(br#"{"peerurls":["a",null]}"#).unwrap(), ["a", ""]);
        for body in ["null", "{}", "{\"peerURLs\":null}"] {
            assert!(peer_urls(body.as_bytes()).unwrap().is_empty(), "{body}");
        }
    }
}
