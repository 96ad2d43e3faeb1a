//! `get`, `ls`, `set`, `mk`, `update` and `rm`, and the same for directories.

use std::os::unix::ffi::OsStrExt as _;

use crate::client::cluster::{Delete, Get, Set};

use super::error::CommandError;
use super::print;
use super::session::Session;

pub(super) async fn get(session: &Session<'_>, how: Get) -> Result<String, CommandError> {
    let event = session.keys().get(session.key()?, how).await?;
    if event.node.dir {
        return Err(CommandError::usage(format!("{}: is a directory\n", event.node.key)));
    }
    Ok(print::event(&event, session.output()))
}

pub(super) async fn list(session: &Session<'_>, how: Get, slash: bool) -> Result<String, CommandError> {
    let key = session.call.args.first().map_or(&b"/"[..], |word| word.as_bytes());
    let event = session.keys().get(key, how).await?;
    if session.output() != "simple" {
        return Ok(print::event(&event, session.output()));
    }
    let mut text = String::new();
    for (depth, node) in event.node.walk().filter(|(depth, node)| *depth > 0 || !node.dir) {
        text.push_str(&node.key);
        text.push_str(if depth > 0 && node.dir && slash { "/\n" } else { "\n" });
    }
    Ok(text)
}

/// Writes a key or a directory; a directory prints nothing in the simple format.
pub(super) async fn set(session: &Session<'_>, how: &Set) -> Result<String, CommandError> {
    let key = session.key()?;
    let value = if how.dir { Vec::new() } else { session.value()? };
    let event = session.keys().set(key, &value, how).await?;
    let silent = how.dir && session.output() == "simple";
    Ok(if silent { String::new() } else { print::event(&event, session.output()) })
}

pub(super) async fn make_in_order(session: &Session<'_>, ttl: u64) -> Result<String, CommandError> {
    let (key, value) = (session.key()?, session.value()?);
    let event = session.keys().create_in_order(key, &value, ttl).await?;
    Ok(print::event(&event, session.output()))
}

pub(super) async fn remove(session: &Session<'_>, how: &Delete) -> Result<String, CommandError> {
    let event = session.keys().delete(session.key()?, how).await?;
    let silent = event.node.dir && session.output() == "simple";
    Ok(if silent { String::new() } else { print::event(&event, session.output()) })
}
