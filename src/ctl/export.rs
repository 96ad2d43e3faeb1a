//! `export`: prints a subtree as a document.

use super::document::{Format, Item, ItemKind, write_at};
use super::end::End;
use super::session::Session;
use super::{live, print};

pub(super) async fn run(session: &Session<'_>, format: &str, ttl: bool, quorum: bool) -> Result<(), End> {
    let format = if format.is_empty() { "json" } else { format };
    let format = Format::find(format, None).map_err(End::mistake)?;
    let key = live::key(session, 0)?;
    let item = live::whole(session, &key, quorum).await?;
    let item = if ttl { item } else { lasting(item) };
    let text = write_at(&item, &key, format).map_err(|why| End::mistake(format_args!("{key}: {why}")))?;
    print::result(&text)
}

/// Returns the item without any TTL.
pub(super) fn lasting(item: Item) -> Item {
    let kind = match item.kind {
        ItemKind::Dir(entries) => {
            ItemKind::Dir(entries.into_iter().map(|(name, item)| (name, lasting(item))).collect())
        }
        file @ ItemKind::File(_) => file,
    };
    Item { kind, ttl: None, index: item.index }
}
