//! Candidates for shell completion: one request with a short timeout; errors are not shown.

use std::time::Duration;

use crate::client::cluster::Get;

use super::job::Invocation;
use super::print;
use super::session::{Session, texts};

/// Short, because the user waits for the completion.
const COMPLETION_TIMEOUT: Duration = Duration::from_millis(700);

/// Prints the keys that begin with the word; directories end with a slash.
pub(super) async fn keys(call: &Invocation) {
    let words = texts(&call.words);
    let typed = words.first().map_or("", String::as_str);
    // A completion cannot prompt for a password.
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
        // Without a typed leading slash, the candidates have none.
        let key = if typed.starts_with('/') { node.key.as_str() } else { node.key.trim_start_matches('/') };
        if key.starts_with(typed) && !key.contains(['\n', '\r']) {
            text.push_str(key);
            text.push_str(if node.dir { "/\n" } else { "\n" });
        }
    }
    print::out(text.as_bytes());
}
