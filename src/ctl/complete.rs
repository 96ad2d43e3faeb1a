//! Candidates for shell completion: one request with a short timeout; errors are not shown.

use std::borrow::Cow;
use std::time::Duration;

use crate::client::cluster::Get;

use super::command::Invocation;
use super::session::Session;

/// Short, because the user waits for the completion.
const COMPLETION_TIMEOUT: Duration = Duration::from_millis(700);

/// Returns the keys that begin with the word; directories end with a slash.
pub(super) async fn keys(call: &Invocation) -> Option<String> {
    let typed = call.args.first().map_or(Cow::Borrowed(""), |word| word.to_string_lossy());
    let typed = &*typed;
    // A completion cannot prompt for a password.
    if call.access.username.as_deref().is_some_and(|name| !name.contains(':')) {
        return None;
    }
    let mut call = call.clone();
    call.access.debug = false;
    call.access.total_timeout = COMPLETION_TIMEOUT;
    let found = async {
        let session = Session::open_without_sync(&call).await.ok()?;
        let dir = &typed[..typed.rfind('/').map_or(0, |at| at + 1)];
        let how = Get { sorted: true, ..Get::default() };
        session.keys().get(format!("/{}", dir.trim_matches('/')).as_bytes(), how).await.ok()
    };
    let event = tokio::time::timeout(COMPLETION_TIMEOUT, found).await.ok()??;
    let mut text = String::new();
    for node in event.node.nodes.into_iter().flatten() {
        // Without a typed leading slash, the candidates have none.
        let key = if typed.starts_with('/') { node.key.as_str() } else { node.key.trim_start_matches('/') };
        if key.starts_with(typed) && !key.contains(['\n', '\r']) {
            text.push_str(key);
            text.push_str(if node.dir { "/\n" } else { "\n" });
        }
    }
    Some(text)
}
