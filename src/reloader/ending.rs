//! Ending in good order although signals come in the middle of work.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::stop::{Signal, Signals, Stop};

/// How far away "no deadline" is.
const NO_DEADLINE: Duration = Duration::from_secs(86_400 * 365);

/// Lets work end although signals come: the first stop gives it a deadline, the second cuts it off. Answers
/// its result and the signal that is still to be answered; `None` when it was cut off.
pub(super) async fn to_the_end<T>(
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
                // Read the confdir again, or say how things stand: of the two only the first must not be lost.
                other => kept = if kept == Some(Signal::Reread) { kept } else { Some(other) },
            }
        }
    }
}
