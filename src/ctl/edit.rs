//! `edit`: edits a value or a subtree in the user's editor.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::document::{Format, Item, ItemKind, read, write};
use super::end::{EXIT_SERVER_ERROR, End};
use super::export::lasting;
use super::plan::{PlannedWrite, Rule, carry_out, plan};
use super::session::Session;
use super::{live, print};

pub(super) async fn run(session: &Session<'_>, format: &str) -> Result<(), End> {
    session.key()?;
    let format = Format::find(format, None).map_err(End::mistake)?;
    let key = live::key(session, 0)?;
    let item = live::whole(session, &key, true).await?;
    let (text, end) = match &item.kind {
        ItemKind::File(value) => (value.clone(), "txt"),
        ItemKind::Dir(_) => {
            (write(&lasting(item.clone()), format).map_err(End::mistake)?, format.extension())
        }
    };
    let draft = Draft::new(&text, end).map_err(End::mistake)?;
    let edited = match draft.edit().await {
        Ok(edited) => edited,
        Err(why) => return Err(draft.failed(&text, &why)),
    };
    match write_back(session, &key, &item, &text, &edited, format).await {
        Ok(true) => Ok(()),
        Ok(false) => {
            print::error("unchanged\n");
            Ok(())
        }
        Err(end) => Err(draft.keep(end)),
    }
}

/// Writes the changes; returns whether there were any.
async fn write_back(
    session: &Session<'_>,
    key: &str,
    item: &Item,
    text: &str,
    edited: &str,
    format: Format,
) -> Result<bool, End> {
    let steps = match &item.kind {
        ItemKind::File(_) => {
            let value = without_editors_newline(text, edited);
            if value == text {
                return Ok(false);
            }
            vec![PlannedWrite::update(key, value, item.ttl, item.index)]
        }
        ItemKind::Dir(_) => {
            if edited == text {
                return Ok(false);
            }
            let unread = |why| End::mistake(format_args!("nothing was written: {why}"));
            let wanted = read(edited, format).map_err(unread)?;
            if !wanted.is_dir() {
                return Err(End::mistake("nothing was written: the document is no longer a directory"));
            }
            let rule = Rule { prune: true, keep_ttl: true };
            plan(key, Some(item), &wanted, rule).map_err(|blocked| End::mistake(blocked.join(", ")))?
        }
    };
    if steps.is_empty() {
        return Ok(false);
    }
    // Each write has its own condition; this check makes a change anywhere stop all of them.
    let now = live::read(session, key, true).await?;
    if !now.is_some_and(|now| now.untouched(item)) {
        let message = format!("Error:  {key} was changed in the store meanwhile; nothing was written\n");
        return Err(End { code: EXIT_SERVER_ERROR, message });
    }
    carry_out(session, &steps).await?;
    Ok(true)
}

/// Editors end the last line of a file; a value without a final newline does not get one because of that.
fn without_editors_newline<'t>(before: &str, after: &'t str) -> &'t str {
    if before.ends_with('\n') { after } else { after.strip_suffix('\n').unwrap_or(after) }
}

/// A file that only this user can read; deleted when dropped.
struct Draft {
    path: PathBuf,
    kept: bool,
}

impl Draft {
    fn new(text: &str, end: &str) -> Result<Self, String> {
        let name = format!("retune-edit-{:016x}.{end}", rand::random::<u64>());
        let path = std::env::temp_dir().join(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { path, kept: false })
    }

    async fn edit(&self) -> Result<String, String> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let editor = set("VISUAL").or_else(|| set("EDITOR")).unwrap_or_else(|| "vi".to_owned());
        // Through a shell, because these variables may contain options.
        let line = format!("{editor} \"$@\"");
        // An interrupt is meant for the editor; without a handler it would end this process and leave the draft behind.
        let interrupts = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt());
        let status = Command::new("/bin/sh").args(["-c", &line, &editor]).arg(&self.path).status().await;
        drop(interrupts);
        match status {
            Ok(status) if status.success() => {}
            Ok(_) => return Err(format!("the editor {editor:?} failed; nothing was written")),
            Err(error) => return Err(format!("the editor {editor:?} cannot be started: {error}")),
        }
        read_back(&self.path)
    }

    /// Returns the error of a failed edit; keeps the text that was typed.
    fn failed(self, before: &str, why: &str) -> End {
        let end = End::mistake(why);
        if fs::read(&self.path).is_ok_and(|now| now != before.as_bytes()) {
            return self.keep(end);
        }
        end
    }

    fn keep(mut self, end: End) -> End {
        self.kept = true;
        end.and(&format!("your text is kept in {}\n", self.path.display()))
    }
}

fn read_back(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}; nothing was written", path.display()))
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            fs::remove_file(&self.path).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_editors_final_newline_is_no_change() {
        assert_eq!(without_editors_newline("a", "a\n"), "a");
        assert_eq!(without_editors_newline("a\n", "a\n"), "a\n");
        assert_eq!(without_editors_newline("a", "a\n\n"), "a\n");
        assert_eq!(without_editors_newline("a\n", "b"), "b");
    }
}
