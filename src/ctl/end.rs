//! How a command ends that did not do what it was asked.

use crate::client::cluster::RequestError;

/// The exit code for words that make no sense, and for every failure of `member`.
pub(super) const EXIT_BAD_ARGS: u8 = 1;
/// The exit code when the cluster could not be reached.
pub(super) const EXIT_NO_CONNECTION: u8 = 2;
/// The exit code when the store said no or did not answer.
pub(super) const EXIT_SERVER_ERROR: u8 = 4;
/// The exit code for a cluster that is not fully healthy.
pub(super) const EXIT_UNHEALTHY: u8 = 5;

/// The exit code when a document or a diff could not be written: one would say that something differs.
pub(super) const EXIT_NO_RESULT: u8 = 2;

/// An exit code, and what goes to stderr before it.
#[derive(Debug)]
pub(super) struct End {
    pub(super) code: u8,
    pub(super) message: String,
}

impl End {
    /// As etcdctl reports an error; the two blanks are its own.
    pub(super) fn error(code: u8, error: &RequestError) -> Self {
        let mut message = format!("Error:  {error}\n");
        if let Some(detail) = error.detail() {
            message.push_str(&detail);
            message.push('\n');
        }
        Self { code, message }
    }

    /// The store said no or did not answer.
    pub(super) fn server(error: &RequestError) -> Self {
        Self::error(EXIT_SERVER_ERROR, error)
    }

    /// As etcdctl reports a mistake in a command's words.
    pub(super) fn mistake(text: &str) -> Self {
        Self { code: EXIT_BAD_ARGS, message: format!("Error:  {text}\n") }
    }

    /// This text as it is.
    pub(super) fn usage(text: &str) -> Self {
        Self { code: EXIT_BAD_ARGS, message: text.to_owned() }
    }

    /// An error without etcdctl's frame around it, as its `member` commands print it.
    pub(super) fn bare(error: &RequestError) -> Self {
        Self { code: EXIT_BAD_ARGS, message: format!("{error}\n") }
    }
}
