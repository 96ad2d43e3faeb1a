//! `mkdir`, `setdir` and `updatedir`.

use crate::client::cluster::Set;

use super::end::End;
use super::print;
use super::session::{Session, ttl as seconds};

/// Creates or changes a directory; prints nothing in the simple format.
pub(super) async fn make(session: &Session<'_>, ttl: i64, exists: Option<bool>) -> Result<(), End> {
    let key = session.key()?;
    let how = Set { dir: true, ttl: seconds(ttl), exists, ..Set::default() };
    let event = session.keys().set(key, b"", &how).await.map_err(|error| End::server(&error))?;
    if session.output() != "simple" {
        print::event(&event, session.output());
    }
    Ok(())
}
