//! `import --from`: copies the keys of another running store, then follows it if that is asked for.

use std::ffi::OsStr;

use crate::client::cluster::{Cluster, Options};

use super::command::ImportSource;
use super::error::CommandError;
use super::import_from::{LISTING_START_TIMEOUT, Migration};
use super::session::Session;
use super::{follow, print, session, subtree};

pub(super) async fn run(session: &Session<'_>, from: &ImportSource) -> Result<(), CommandError> {
    let key = subtree::key(session, 0)?;
    let login = match from.user.as_deref() {
        Some(typed) => Some(session::login(typed).await?),
        None => None,
    };
    let options = Options {
        endpoints: from.endpoints.clone(),
        trust: session.call.access.trust.clone(),
        login,
        timeout: LISTING_START_TIMEOUT,
        dial: session.call.access.total_timeout,
        trace: session.call.access.debug.then_some(print::debug as fn(&str)),
        sync: from.follow && session.call.access.sync,
    };
    let source = Cluster::new(options).map_err(|error| CommandError::usage(format!("{error}\n")))?;
    let hidden =
        from.hidden.iter().map(|key| subtree::key_of(OsStr::new(key)).map_err(CommandError::with_prefix));
    let hidden = hidden.collect::<Result<Vec<_>, _>>()?;
    let keys = std::iter::once(key).chain(hidden);
    let mut migrations = Vec::new();
    for key in keys {
        let migration = Migration { session, source: &source, key, clients: from.clients };
        let listing = migration.copy(from.merge).await?;
        migrations.push((migration, listing));
    }
    if !from.follow {
        return Ok(());
    }
    session
        .with_member_updates(async {
            tokio::select! {
                done = follow::run(migrations) => done,
                never = source.follow_members() => match never {},
            }
        })
        .await
}
