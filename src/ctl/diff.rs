//! `diff`: compares a document with the store.

use similar::TextDiff;

use super::document::write;
use super::end::End;
use super::import::{Document, document};
use super::session::Session;
use super::{live, print};

const EXIT_DIFFERENT: u8 = 1;
/// As with the `diff` program: 1 means that there is a difference.
const EXIT_FAILURE: u8 = 2;

pub(super) async fn run(session: &Session<'_>, format: &str) -> Result<(), End> {
    let trouble = |why: String| End { code: EXIT_FAILURE, ..End::mistake(why) };
    let Document { item: wanted, format, file, key } = document(session, format).map_err(trouble)?;
    let before = match live::read(session, &key, true).await? {
        Some(item) => write(&item.lives_as(Some(&wanted)), format).map_err(trouble)?,
        None => String::new(),
    };
    let after = write(&wanted, format).map_err(trouble)?;
    if before == after {
        return Ok(());
    }
    let diff = TextDiff::from_lines(&before, &after);
    let text = diff.unified_diff().context_radius(3).header(&format!("store:{key}"), &file).to_string();
    print::result(&text)?;
    Err(End { code: EXIT_DIFFERENT, message: String::new() })
}
