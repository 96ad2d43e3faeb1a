//! `import` of a document.

use std::ffi::OsStr;
use std::io::Read as _;
use std::path::Path;

use super::document::{Format, KeyNode, read_at};
use super::error::CommandError;
use super::plan::{PlanOptions, apply, plan};
use super::session::Session;
use super::{print, subtree};

/// The longest accepted document.
const MAX_DOCUMENT_BYTES: u64 = 64 << 20;

pub(super) async fn run(
    session: &Session<'_>,
    format: &str,
    dry_run: bool,
    prune: bool,
) -> Result<(), CommandError> {
    let Document { item: wanted, key, .. } = document(session, format).map_err(CommandError::with_prefix)?;
    let live = subtree::read(session, &key, true).await?;
    let steps =
        plan(&key, live.as_ref(), &wanted, PlanOptions { prune, keep_ttl: false }).map_err(|blocked| {
            CommandError::with_prefix(format_args!(
                "{}; nothing was written (--prune would replace it)",
                blocked.join(", ")
            ))
        })?;
    if dry_run {
        let lines: String = steps.iter().map(|step| format!("would {}", step.describe())).collect();
        print::out(&lines);
    } else {
        apply(session, &steps).await?;
    }
    let verb = if dry_run { "to make" } else { "made" };
    let (files, changes) = (wanted.files(), steps.len());
    print::error(&format!("{files} keys in the document, {changes} changes {verb}\n"));
    Ok(())
}

/// A document, and the key it belongs to.
pub(super) struct Document {
    pub(super) item: KeyNode,
    pub(super) format: Format,
    /// The file's name, as typed.
    pub(super) file: String,
    /// The given key, else the one in the document, else the root.
    pub(super) key: String,
}

/// Reads the document that one of the words names; the other word, if any, is a key.
pub(super) fn document(session: &Session<'_>, format: &str) -> Result<Document, String> {
    let words = &session.call.args;
    let Some(first) = words.first() else { return Err("file required, or - for stdin".into()) };
    let is_key = |word: &OsStr| word.as_encoded_bytes().starts_with(b"/");
    let swapped = words.get(1).is_some_and(|second| {
        !is_document(first) && (is_document(second) || (is_key(first) && !is_key(second)))
    });
    let file = if swapped { &words[1] } else { first };
    let stdin = file == OsStr::new("-");
    let path = Path::new(file);
    let format = Format::find(format, Some(path).filter(|_| !stdin))?;
    let name = if stdin { "stdin".into() } else { path.display().to_string() };
    let mut text = String::new();
    let read_all = if stdin {
        std::io::stdin().lock().take(MAX_DOCUMENT_BYTES + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_DOCUMENT_BYTES + 1).read_to_string(&mut text))
    };
    read_all.map_err(|error| format!("{name}: {error}"))?;
    if text.len() as u64 > MAX_DOCUMENT_BYTES {
        return Err(format!("{name} is larger than {} MiB", MAX_DOCUMENT_BYTES >> 20));
    }
    let (item, own) = read_at(&text, format).map_err(|why| format!("{name}: {why}"))?;
    let key = match words.get(if swapped { 0 } else { 1 }) {
        Some(word) => subtree::key_of(word)?,
        None => subtree::key_of(OsStr::new(own.as_deref().unwrap_or("/")))?,
    };
    Ok(Document { item, format, file: file.to_string_lossy().into_owned(), key })
}

/// Returns whether a word names an existing document, so that the word before it can be a key.
fn is_document(word: &OsStr) -> bool {
    word == OsStr::new("-") || Path::new(word).metadata().is_ok_and(|file| !file.is_dir())
}
