//! The messages for failed requests and unexpected response bodies.

use std::io;
use std::time::Duration;

use super::tls;
use crate::http::error::{AnyError, causes, innermost, io_kind};
use crate::tls::advice;

/// Returns the message for a timeout.
pub(crate) fn timeout_message(limit: Duration) -> String {
    format!("no response within {limit:?}")
}

/// Returns the innermost cause of an HTTP library error, the only actionable part, and what to do about it.
pub(crate) fn reason(error: &reqwest::Error) -> String {
    let host = error.url().and_then(|url| url.host_str()).unwrap_or("its host");
    let tls = |cause: AnyError<'_>| cause.downcast_ref().and_then(|cause| tls::reason(cause, host));
    if let Some(reason) = causes(error).find_map(tls) {
        return reason;
    }
    // An end of stream while connecting can only come from the handshake.
    if error.is_connect() && io_kind(error) == Some(io::ErrorKind::UnexpectedEof) {
        return advice::ENDED.to_owned();
    }
    innermost(error).to_string()
}

/// Returns the beginning of a body on one line, for an error message.
pub(crate) fn excerpt(body: &[u8]) -> String {
    const MAX_EXCERPT_CHARS: usize = 200;
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * MAX_EXCERPT_CHARS)]);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() {
        "an empty body".into()
    } else if line.chars().count() > MAX_EXCERPT_CHARS {
        line.chars().take(MAX_EXCERPT_CHARS).chain(" …".chars()).collect()
    } else {
        line
    }
}
