//! The messages for failed requests and unexpected response bodies.

use std::error::Error;
use std::io;
use std::time::Duration;

use super::tls;
use crate::tls::advice;

/// Returns the message for a timeout.
pub(crate) fn no_answer(limit: Duration) -> String {
    format!("no response within {limit:?}")
}

/// Returns the innermost cause of an HTTP library error, the only actionable part, and what to do about it.
pub(crate) fn reason(error: &reqwest::Error) -> String {
    let mut cause: &(dyn Error + 'static) = error;
    loop {
        cause = unwrapped(cause);
        let host = || error.url().and_then(|url| url.host_str()).unwrap_or("its host");
        if let Some(reason) = cause.downcast_ref().and_then(|cause| tls::reason(cause, host())) {
            return reason;
        }
        match cause.source() {
            Some(deeper) => cause = deeper,
            // An end of stream while connecting can only come from the handshake.
            None if error.is_connect() && is_end_of_stream(cause) => return advice::ENDED.to_owned(),
            None => return cause.to_string(),
        }
    }
}

fn is_end_of_stream(cause: &(dyn Error + 'static)) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof)
}

/// Returns what an I/O error wraps, at any depth: `source()` skips it.
fn unwrapped<'e>(mut cause: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    while let Some(inner) = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        // The innermost I/O error may wrap nothing but text.
        if !inner.is::<io::Error>() && !inner.is::<rustls::Error>() {
            break;
        }
        cause = inner;
    }
    cause
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
