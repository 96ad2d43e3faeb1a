//! `edit`: edits a value or a subtree in the user's editor.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::document::{Format, KeyNode, KeyNodeKind, read, write};
use super::error::{CommandError, EXIT_SERVER_ERROR};
use super::export::without_ttls;
use super::plan::{PlanOptions, PlannedWrite, apply, plan};
use super::session::Session;
use super::{print, subtree};

pub(super) async fn run(session: &Session<'_>, format: &str) -> Result<(), CommandError> {
    session.key()?;
    let format = Format::find(format, None).map_err(CommandError::with_prefix)?;
    let key = subtree::key(session, 0)?;
    let item = subtree::read_existing(session, &key, true).await?;
    let (text, extension) = match &item.kind {
        KeyNodeKind::File(value) => (value.clone(), "txt"),
        KeyNodeKind::Dir(_) => (
            write(&without_ttls(item.clone()), format).map_err(CommandError::with_prefix)?,
            format.extension(),
        ),
    };
    let draft = Draft::new(&text, extension).map_err(CommandError::with_prefix)?;
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
        Err(error) => Err(draft.keep(error)),
    }
}

/// Writes the changes; returns whether there were any.
async fn write_back(
    session: &Session<'_>,
    key: &str,
    item: &KeyNode,
    text: &str,
    edited: &str,
    format: Format,
) -> Result<bool, CommandError> {
    let steps = match &item.kind {
        KeyNodeKind::File(_) => {
            let value = without_editors_newline(text, edited);
            if value == text {
                return Ok(false);
            }
            vec![PlannedWrite::update(key, value, item.ttl, item.index)]
        }
        KeyNodeKind::Dir(_) => {
            if edited == text {
                return Ok(false);
            }
            let unread = |why| CommandError::with_prefix(format_args!("nothing was written: {why}"));
            let wanted = read(edited, format).map_err(unread)?;
            if !wanted.is_dir() {
                return Err(CommandError::with_prefix(
                    "nothing was written: the document is no longer a directory",
                ));
            }
            let options = PlanOptions { prune: true, keep_ttl: true };
            plan(key, Some(item), &wanted, options)
                .map_err(|blocked| CommandError::with_prefix(blocked.join(", ")))?
        }
    };
    if steps.is_empty() {
        return Ok(false);
    }
    // Each write has its own condition; this check makes a change anywhere stop all of them.
    let now = subtree::read(session, key, true).await?;
    if !now.is_some_and(|now| now.is_same_version(item)) {
        let message = format!("Error:  {key} was changed in the store meanwhile; nothing was written\n");
        return Err(CommandError { code: EXIT_SERVER_ERROR, message });
    }
    apply(session, &steps).await?;
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
    fn new(text: &str, extension: &str) -> Result<Self, String> {
        let name = format!("retune-edit-{:016x}.{extension}", rand::random::<u64>());
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
    fn failed(self, before: &str, why: &str) -> CommandError {
        let error = CommandError::with_prefix(why);
        if fs::read(&self.path).is_ok_and(|now| now != before.as_bytes()) {
            return self.keep(error);
        }
        error
    }

    fn keep(mut self, error: CommandError) -> CommandError {
        self.kept = true;
        error.append(&format!("your text is kept in {}\n", self.path.display()))
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
    fn an_editors_final_newline_is_not_a_change() {
        assert_eq!(without_editors_newline("a", "a\n"), "a");
        assert_eq!(without_editors_newline("a\n", "a\n"), "a\n");
        assert_eq!(without_editors_newline("a", "a\n\n"), "a\n");
        assert_eq!(without_editors_newline("a\n", "b"), "b");
    }
}
