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
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    /// Requests the stop after a while.
    async fn stop_after(seconds: u64, stop: &Stop) {
        sleep(Duration::from_secs(seconds)).await;
        stop.request();
    }

    #[tokio::test(start_paused = true)]
    async fn connections_beyond_the_limit_wait_and_a_stop_does_not() {
        let (stop, admitted) = (Stop::new(), AtomicUsize::new(0));
        let accept = || async {
            sleep(Duration::from_millis(10)).await;
            Ok(())
        };
        let admit = |()| {
            admitted.fetch_add(1, Relaxed);
            Some(std::future::pending())
        };
        let accepting = accept_until(&stop, 2, accept, admit, |_| {});
        let (left, ()) = tokio::join!(accepting, stop_after(1, &stop));
        assert_eq!((left.len(), admitted.load(Relaxed)), (2, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_accept_is_retried_with_growing_delays_and_reported_once() {
        let (stop, tried, reported) = (Stop::new(), AtomicUsize::new(0), AtomicUsize::new(0));
        let accept = || async {
            tried.fetch_add(1, Relaxed);
            Err::<(), _>(io::Error::from_raw_os_error(24))
        };
        let failing = |_: &io::Error| {
            reported.fetch_add(1, Relaxed);
        };
        let accepting = accept_until(&stop, 2, accept, |()| Some(async {}), failing);
        tokio::join!(accepting, stop_after(10, &stop));
        assert_eq!(reported.load(Relaxed), 1);
        assert!((12..18).contains(&tried.load(Relaxed)), "{tried:?}");
    }
}
