//! Fuzzing of requests: paths, queries, forms.

use super::{ErrorBody, GoUrl, Method, Params, clean, unescaped};

/// Reads the text before the first newline as a request's target, the rest as its form.
pub(crate) fn form(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (target, body) = (String::from_utf8_lossy(&data[..at]), data.get(at + 1..).unwrap_or_default());
    drop(GoUrl::parse(&target));
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    drop((clean(path), unescaped(path)));
    for method in [Method::Get, Method::Put, Method::Post, Method::Delete] {
        let kind = Some(&b"application/x-www-form-urlencoded"[..]);
        if let Err(error) = Params::read(method, query, kind, body) {
            written(&error, data.len());
        }
    }
}

/// An error repeats a part of the request at most once, escaped.
fn written(error: &ErrorBody, given: usize) {
    let mut out = Vec::new();
    error.write(&mut out);
    assert!(out.len() <= 400 + 24 * given, "{} bytes for an error about {given}", out.len());
    let json: serde_json::Value = serde_json::from_slice(&out).expect("an error is JSON");
    assert!(json["errorCode"].is_number());
}
