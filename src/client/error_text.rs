//! What failures and unexpected bodies are called in messages.

use std::error::Error;
use std::io;
use std::time::Duration;

use super::tls;
use crate::tls::advice;

/// The words for a wait that was too long.
pub(crate) fn no_answer(limit: Duration) -> String {
    format!("no answer within {limit:?}")
}

/// The deepest cause in an error of the HTTP library, the only part a person can act on, and how to act on it.
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
            // Only a handshake can find an end while connecting.
            None if error.is_connect() && ended(cause) => return advice::ENDED.to_owned(),
            None => return cause.to_string(),
        }
    }
}

fn ended(cause: &(dyn Error + 'static)) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof)
}

/// What an I/O error wraps, however deep: it does not tell that as its source.
fn unwrapped<'e>(mut cause: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    while let Some(inner) = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        // Below the last I/O error there may be nothing but its text.
        if !inner.is::<io::Error>() && !inner.is::<rustls::Error>() {
            break;
        }
        cause = inner;
    }
    cause
}

/// The beginning of a body, on one line, to be shown in an error.
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
