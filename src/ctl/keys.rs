//! `get`, `ls`, `set`, `mk` and `update`.

use std::os::unix::ffi::OsStrExt as _;

use crate::client::cluster::{Get, Node, Set};

use super::end::End;
use super::print;
use super::session::{Session, ttl as seconds};

pub(super) async fn get(session: &Session<'_>, get: Get) -> Result<(), End> {
    let key = session.key()?;
    let event = session.keys().get(key, get).await.map_err(|error| End::server(&error))?;
    if event.node.dir {
        return Err(End::usage(&format!("{}: is a directory\n", event.node.key)));
    }
    print::event(&event, session.output());
    Ok(())
}

pub(super) async fn list(session: &Session<'_>, get: Get, slash: bool) -> Result<(), End> {
    let key = session.call.words.first().map_or(&b"/"[..], |word| word.as_bytes());
    let event = session.keys().get(key, get).await.map_err(|error| End::server(&error))?;
    if session.output() != "simple" {
        print::event(&event, session.output());
        return Ok(());
    }
    let mut text = String::new();
    if !event.node.dir {
        text.push_str(&event.node.key);
        text.push('\n');
    }
    for node in event.node.nodes.iter().flatten() {
        depth_first(&mut text, node, slash);
    }
    print::out(text.as_bytes());
    Ok(())
}

fn depth_first(text: &mut String, node: &Node, slash: bool) {
    text.push_str(&node.key);
    text.push_str(if node.dir && slash { "/\n" } else { "\n" });
    for node in node.nodes.iter().flatten() {
        depth_first(text, node, slash);
    }
}

pub(super) async fn set(session: &Session<'_>, ttl: i64, value: &[u8], index: u64) -> Result<(), End> {
    let how =
        Set { ttl: seconds(ttl), previous_value: value.to_vec(), previous_index: index, ..Set::default() };
    write(session, &how).await
}

pub(super) async fn update(session: &Session<'_>, ttl: i64) -> Result<(), End> {
    write(session, &Set { ttl: seconds(ttl), exists: Some(true), ..Set::default() }).await
}

pub(super) async fn make(session: &Session<'_>, ttl: i64, in_order: bool) -> Result<(), End> {
    if !in_order {
        return write(session, &Set { ttl: seconds(ttl), exists: Some(false), ..Set::default() }).await;
    }
    let key = session.key()?;
    let value = session.value()?;
    let event = session.keys().create_in_order(key, &value, seconds(ttl)).await;
    print::event(&event.map_err(|error| End::server(&error))?, session.output());
    Ok(())
}

async fn write(session: &Session<'_>, how: &Set) -> Result<(), End> {
    let key = session.key()?;
    let value = session.value()?;
    let event = session.keys().set(key, &value, how).await.map_err(|error| End::server(&error))?;
    print::event(&event, session.output());
    Ok(())
}
