//! Candidates for the shells' completions: one request, little patience, and never a word about a failure.

use std::time::Duration;

use crate::client::cluster::Get;

use super::job::Invocation;
use super::print;
use super::session::{Session, texts};

/// Someone waits with a finger on the key.
const COMPLETION_TIMEOUT: Duration = Duration::from_millis(700);

/// Prints the keys that begin as the word does, a directory with its slash.
pub(super) async fn keys(call: &Invocation) {
    let words = texts(&call.words);
    let typed = words.first().map_or("", String::as_str);
    // There is nobody to ask for a password.
    if call.access.username.as_deref().is_some_and(|name| !name.contains(':')) {
        return;
    }
    let mut call = call.clone();
    call.access.debug = false;
    call.access.total_timeout = COMPLETION_TIMEOUT;
    let found = async {
        let session = Session::unsynced(&call).await.ok()?;
        let dir = &typed[..typed.rfind('/').map_or(0, |at| at + 1)];
        let how = Get { sorted: true, ..Get::default() };
        session.keys().get(format!("/{}", dir.trim_matches('/')).as_bytes(), how).await.ok()
    };
    let Ok(Some(event)) = tokio::time::timeout(COMPLETION_TIMEOUT, found).await else { return };
    let mut text = String::new();
    for node in event.node.nodes.into_iter().flatten() {
        // Without a leading slash typed, none is put in front of the rest.
        let key = if typed.starts_with('/') { node.key.as_str() } else { node.key.trim_start_matches('/') };
        if key.starts_with(typed) && !key.contains(['\n', '\r']) {
            text.push_str(key);
            text.push_str(if node.dir { "/\n" } else { "\n" });
        }
    }
    print::out(text.as_bytes());
}
