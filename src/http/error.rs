//! The causes of errors. Libraries wrap them in layers, and the innermost is usually the one that helps.

use std::io;
use std::iter::successors;
use std::time::Duration;

pub(crate) use crate::tls::advice::{AnyError, causes};

/// Returns the innermost cause, which is the shortest and most specific.
pub(crate) fn innermost(error: AnyError<'_>) -> AnyError<'_> {
    causes(error).last().unwrap_or(error)
}

/// Returns the kind of the innermost I/O error.
pub(crate) fn io_kind(error: AnyError<'_>) -> Option<io::ErrorKind> {
    causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).last().map(io::Error::kind)
}

/// Formats an error without the system's number.
pub(crate) fn without_number(error: AnyError<'_>) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.as_str(), |(words, _)| words).to_owned()
}

/// Formats an error with its causes.
pub(crate) fn chain_text<'e>(error: AnyError<'e>) -> String {
    // What an I/O error wraps is in its own text already.
    let chain = successors(Some(error), |cause: &AnyError<'e>| (*cause).source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Returns the error of an exceeded time limit.
pub(crate) fn timed_out(what: &str, limit: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{what} took longer than {limit:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_inside_an_io_error_is_found_and_written_once() {
        let refused = io::Error::from_raw_os_error(111);
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::TimedOut, refused));
        assert_eq!(causes(&wrapped).count(), 3);
        assert_eq!(io_kind(&wrapped), Some(io::ErrorKind::ConnectionRefused));
        assert_eq!(without_number(innermost(&wrapped)), "Connection refused");
        assert_eq!(chain_text(&wrapped), "Connection refused (os error 111)");
        assert_eq!(io_kind(&std::fmt::Error), None);
    }
}
