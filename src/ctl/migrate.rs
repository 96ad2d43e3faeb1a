//! `import --from`: copies the keys of another running store, then follows it if that is asked for.

use std::ffi::OsStr;

use crate::client::cluster::{Cluster, Options};

use super::end::End;
use super::import_from::{LISTING_START_TIMEOUT, Migration};
use super::job::From;
use super::session::Session;
use super::{follow, live, print, session};

pub(super) async fn run(session: &Session<'_>, from: &From) -> Result<(), End> {
    let key = live::key(session, 0)?;
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
    let source = Cluster::new(options).map_err(|error| End::usage(format!("{error}\n")))?;
    let hidden = from.hidden.iter().map(|key| live::key_of(OsStr::new(key)).map_err(End::mistake));
    let hidden = hidden.collect::<Result<Vec<_>, _>>()?;
    let keys = std::iter::once(key).chain(hidden);
    let mut moves = Vec::new();
    for key in keys {
        let one = Migration { session, source: &source, key, clients: from.clients };
        let listing = one.copy(from.merge).await?;
        moves.push((one, listing));
    }
    if !from.follow {
        return Ok(());
    }
    session
        .lasting(async {
            tokio::select! {
                done = follow::run(moves) => done,
                never = source.follow_members() => match never {},
            }
        })
        .await
}
