//! `rm` and `rmdir`.

use crate::client::cluster::Delete;

use super::end::End;
use super::print;
use super::session::Session;

pub(super) async fn run(
    session: &Session<'_>,
    dir: bool,
    recursive: bool,
    value: &[u8],
    index: u64,
) -> Result<(), End> {
    let how = Delete { dir, recursive, previous_value: value.to_vec(), previous_index: index };
    let key = session.key()?;
    let event = session.keys().delete(key, &how).await.map_err(|error| End::server(&error))?;
    if !event.node.dir || session.output() != "simple" {
        print::event(&event, session.output());
    }
    Ok(())
}
