//! `export`: prints a subtree as a document.

use super::document::{Format, KeyNode, KeyNodeKind, write_at};
use super::error::CommandError;
use super::session::Session;
use super::{print, subtree};

pub(super) async fn run(
    session: &Session<'_>,
    format: &str,
    ttl: bool,
    quorum: bool,
) -> Result<(), CommandError> {
    let format = if format.is_empty() { "json" } else { format };
    let format = Format::find(format, None).map_err(CommandError::with_prefix)?;
    let key = subtree::key(session, 0)?;
    let item = subtree::read_existing(session, &key, quorum).await?;
    let item = if ttl { item } else { without_ttls(item) };
    let text = write_at(&item, &key, format)
        .map_err(|why| CommandError::with_prefix(format_args!("{key}: {why}")))?;
    print::result(&text)
}

/// Returns the item without any TTL.
pub(super) fn without_ttls(item: KeyNode) -> KeyNode {
    let kind = match item.kind {
        KeyNodeKind::Dir(entries) => {
            KeyNodeKind::Dir(entries.into_iter().map(|(name, item)| (name, without_ttls(item))).collect())
        }
        file @ KeyNodeKind::File(_) => file,
    };
    KeyNode { kind, ttl: None, index: item.index }
}
