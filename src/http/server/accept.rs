//! Accepting connections until the stop.

use std::io;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::stop::Stop;

/// The first delay after a failed accept; doubled up to the maximum while accepting keeps failing.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(20);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(1);

/// Accepts connections until the stop and runs what `admit` makes of each. While `limit` of them run, further ones wait in
/// the socket's queue. `failing` is called when accepting begins to fail. Returns the connections that are left.
pub(crate) async fn accept_until<C, A, R>(
    stop: &Stop,
    limit: usize,
    accept: impl Fn() -> A,
    mut admit: impl FnMut(C) -> Option<R>,
    mut failing: impl FnMut(&io::Error),
) -> JoinSet<()>
where
    A: Future<Output = io::Result<C>>,
    R: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    let mut delay = None;
    loop {
        let accepted = tokio::select! {
            () = stop.wait() => break,
            // Remove ended ones at once, so that the set holds only open connections.
            Some(_) = connections.join_next() => continue,
            accepted = accept(), if connections.len() < limit => accepted,
        };
        match accepted {
            Ok(accepted) => {
                delay = None;
                if let Some(running) = admit(accepted) {
                    connections.spawn(running);
                }
            }
            Err(error) if is_connection_error(&error) => {}
            Err(error) => {
                let wait = delay.map_or(MIN_RETRY_DELAY, |last: Duration| (last * 2).min(MAX_RETRY_DELAY));
                if delay.replace(wait).is_none() {
                    failing(&error);
                }
                tokio::select! { () = stop.wait() => break, () = sleep(wait) => {} }
            }
        }
    }
    connections
}

/// Returns whether an accept failed only because of that connection: the next may work.
fn is_connection_error(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, PermissionDenied};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | PermissionDenied)
}
