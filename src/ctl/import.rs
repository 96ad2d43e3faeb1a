//! `import` of a document.

use std::ffi::OsStr;
use std::io::Read as _;
use std::path::Path;

use super::document::{Format, Item, read};
use super::end::End;
use super::plan::{Rule, carry_out, plan};
use super::session::Session;
use super::{live, print};

/// A document larger than this is no configuration.
const MAX_DOCUMENT: u64 = 64 << 20;

pub(super) async fn run(session: &Session<'_>, format: &str, dry_run: bool, prune: bool) -> Result<(), End> {
    let (wanted, _) = document(session, format).map_err(|why| End::mistake(&why))?;
    let key = live::key(session, 1)?;
    let live = live::read(session, &key, true).await?;
    let steps = plan(&key, live.as_ref(), &wanted, Rule { prune, keep_ttl: false }).map_err(|blocked| {
        End::mistake(&format!("{}; nothing was written (--prune would replace it)", blocked.join(", ")))
    })?;
    if dry_run {
        let lines: String = steps.iter().map(|step| format!("would {}", step.says())).collect();
        print::out(lines.as_bytes());
    } else {
        carry_out(session, &steps).await?;
    }
    let verb = if dry_run { "to make" } else { "made" };
    let (files, changes) = (wanted.files(), steps.len());
    print::error(&format!("{files} keys in the document, {changes} changes {verb}\n"));
    Ok(())
}

/// The document that the first word names, and its format.
pub(super) fn document(session: &Session<'_>, format: &str) -> Result<(Item, Format), String> {
    let Some(file) = session.call.words.first() else { return Err("file required, or - for stdin".into()) };
    let stdin = file == OsStr::new("-");
    let path = Path::new(file);
    let format = Format::find(format, Some(path).filter(|_| !stdin))?;
    let name = if stdin { "stdin".into() } else { path.display().to_string() };
    let mut text = String::new();
    let read_all = if stdin {
        std::io::stdin().lock().take(MAX_DOCUMENT + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_DOCUMENT + 1).read_to_string(&mut text))
    };
    read_all.map_err(|error| format!("{name}: {error}"))?;
    if text.len() as u64 > MAX_DOCUMENT {
        return Err(format!("{name} is larger than {} MiB", MAX_DOCUMENT >> 20));
    }
    let item = read(&text, format).map_err(|why| format!("{name}: {why}"))?;
    Ok((item, format))
}
