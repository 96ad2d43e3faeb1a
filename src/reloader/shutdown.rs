//! Lets running work finish when stop signals arrive.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::stop::{Signal, Signals, Stop};

/// How a daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DaemonEnd {
    /// In good order.
    Stopped,
    /// Cut off by a second signal or by its deadline; pending reloads are in the journal.
    CutOff,
}

/// Used as "no deadline".
const NO_DEADLINE: Duration = Duration::from_secs(86_400 * 365);

/// Runs work to its end while handling signals: the first stop signal sets a deadline, the second aborts the work.
/// Returns its result and the signal that still has to be handled; `None` when the work was cut off.
pub(super) async fn run_to_completion<T>(
    work: impl Future<Output = T>,
    signals: &mut Signals,
    stop: &Stop,
    grace: Duration,
    stopping: impl Fn(),
) -> Option<(T, Option<Signal>)> {
    tokio::pin!(work);
    let mut deadline = None;
    let mut kept = None;
    loop {
        let limit = deadline.unwrap_or_else(|| Instant::now() + NO_DEADLINE);
        tokio::select! {
            result = &mut work => return Some((result, kept)),
            () = sleep_until(limit) => {
                if deadline.is_some() {
                    tracing::error!("the running command did not end within {grace:?} of the stop signal");
                    return None;
                }
            }
            signal = signals.next() => match signal {
                Signal::Stop => {
                    tracing::info!("stopping once the running command has ended, at the latest in {grace:?}");
                    stop.request();
                    stopping();
                    deadline = Some(Instant::now() + grace);
                }
                Signal::StopNow => return None,
                // Keep one of the other signals: a reread must not be lost, a status dump may be.
                other => kept = if kept == Some(Signal::Reread) { kept } else { Some(other) },
            }
        }
    }
}
