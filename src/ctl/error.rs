//! The errors of commands, and their exit codes.

use std::fmt::Display;

use crate::client::cluster::RequestError;

/// The exit code for invalid arguments, and for every failure of `member`.
pub(super) const EXIT_BAD_ARGS: u8 = 1;
/// The exit code when the cluster could not be reached.
pub(super) const EXIT_NO_CONNECTION: u8 = 2;
/// The exit code when the store rejected the request or did not respond.
pub(super) const EXIT_SERVER_ERROR: u8 = 4;
/// The exit code for a cluster that is not fully healthy.
pub(super) const EXIT_UNHEALTHY: u8 = 5;

/// The exit code when a document or a diff could not be written; 1 would mean a difference.
pub(super) const EXIT_NO_RESULT: u8 = 2;

/// An exit code, and the text to print to stderr before it.
#[derive(Debug)]
pub(super) struct CommandError {
    pub(super) code: u8,
    pub(super) message: String,
}

impl CommandError {
    /// Formats an error as etcdctl does; the two blanks are its own.
    pub(super) fn from_request_error(code: u8, error: &RequestError) -> Self {
        let mut message = format!("Error:  {error}\n");
        if let Some(detail) = error.detail() {
            message.push_str(&detail);
            message.push('\n');
        }
        Self { code, message }
    }

    /// Formats a mistake in a command's arguments as etcdctl does.
    pub(super) fn with_prefix(text: impl Display) -> Self {
        Self::usage(format!("Error:  {text}\n"))
    }

    /// Prints this text unchanged.
    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self { code: EXIT_BAD_ARGS, message: text.into() }
    }

    /// Formats an error without etcdctl's frame, as its `member` commands print it.
    pub(super) fn without_prefix(error: impl Display) -> Self {
        Self::usage(format!("{error}\n"))
    }

    /// Adds a text behind the message.
    pub(super) fn append(self, text: &str) -> Self {
        Self { message: self.message + text, ..self }
    }
}

/// The store rejected the request or did not respond.
impl From<RequestError> for CommandError {
    fn from(error: RequestError) -> Self {
        Self::from_request_error(EXIT_SERVER_ERROR, &error)
    }
}
