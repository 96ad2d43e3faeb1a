//! `diff`: compares a document with the store.

use super::document::write;
use super::error::CommandError;
use super::import::{Document, document};
use super::session::Session;
use super::{print, subtree};
use crate::diff::LineDiff;

const EXIT_DIFFERENT: u8 = 1;
/// As with the `diff` program: 1 means that there is a difference.
const EXIT_FAILURE: u8 = 2;

pub(super) async fn run(session: &Session<'_>, format: &str) -> Result<(), CommandError> {
    let failure = |why: String| CommandError { code: EXIT_FAILURE, ..CommandError::with_prefix(why) };
    let Document { item: wanted, format, file, key } = document(session, format).map_err(failure)?;
    let before = match subtree::read(session, &key, true).await? {
        Some(item) => write(&item.with_ttls_of(Some(&wanted)), format).map_err(failure)?,
        None => String::new(),
    };
    let after = write(&wanted, format).map_err(failure)?;
    if before == after {
        return Ok(());
    }
    let text = LineDiff::new(&before, &after).unified(3, &format!("store:{key}"), &file);
    print::result(&text)?;
    Err(CommandError { code: EXIT_DIFFERENT, message: String::new() })
}
