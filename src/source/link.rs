//! The link from a source to its receiver: sends events, reports each outage once, waits between tries.

use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep};

use super::{SourceError, SourceEvent};
use crate::backoff::Backoff;
use crate::client::ClientError;

const MIN_RETRY_DELAY: Duration = Duration::from_millis(100);
/// A write must reach its file within three seconds of the store's return, so no wait may be that long.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(2);
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The receiver was dropped.
#[derive(Debug)]
pub(super) struct Closed;

/// Why a round of watching ended.
pub(super) enum RoundEnd {
    Closed(Closed),
    Store(ClientError),
}

impl From<Closed> for RoundEnd {
    fn from(closed: Closed) -> Self {
        Self::Closed(closed)
    }
}

impl From<ClientError> for RoundEnd {
    fn from(error: ClientError) -> Self {
        Self::Store(error)
    }
}

/// Why a watch ended although the store is reachable.
#[derive(Debug)]
pub(super) enum WatchEnd {
    /// The position to resume from is lost: list again.
    Relist,
    /// The node is behind this index, which was seen before; list again, after giving it time to catch up.
    Behind(u64),
}

#[derive(Debug)]
pub(super) struct Link {
    events: Sender<SourceEvent>,
    source: String,
    backoff: Backoff,
    down: bool,
    /// When the source began to respond, after the last wait.
    up_since: Option<Instant>,
    logged: Option<Instant>,
}

impl Link {
    pub(super) fn new(events: Sender<SourceEvent>, source: String) -> Self {
        Self {
            events,
            source,
            backoff: Backoff::new(MIN_RETRY_DELAY, MAX_RETRY_DELAY),
            down: false,
            up_since: None,
            logged: None,
        }
    }

    /// Waits while the receiver is busy: nothing accumulates here.
    pub(super) async fn send(&self, event: SourceEvent) -> Result<(), Closed> {
        self.events.send(event).await.map_err(|_| Closed)
    }

    /// Handles the end of a round that took this long: returns why the watch ends, or waits and returns `None` to try
    /// again.
    pub(super) async fn handle_end(
        &mut self,
        end: RoundEnd,
        took: Duration,
    ) -> Result<Option<WatchEnd>, Closed> {
        match end {
            RoundEnd::Closed(closed) => Err(closed),
            RoundEnd::Store(ClientError::Cleared { .. }) => Ok(Some(WatchEnd::Relist)),
            RoundEnd::Store(ClientError::Behind { seen, .. }) => Ok(Some(WatchEnd::Behind(seen))),
            RoundEnd::Store(error) => {
                // An upgraded store may have lost this API; the listing finds out which API it has.
                let moved = matches!(error, ClientError::NotServed { .. });
                self.report_and_wait(error.into(), took).await?;
                Ok(moved.then_some(WatchEnd::Relist))
            }
        }
    }

    /// Reports an outage when it is new, then waits until the next try is due. The duration of the failed try counts
    /// towards the wait, so that slow failures and waits do not add up. The waits start over only after a source that
    /// responded for a while: one that accepts each watch and then fails at once must not be asked without a pause.
    pub(super) async fn report_and_wait(&mut self, error: SourceError, took: Duration) -> Result<(), Closed> {
        if self.up_since.take().is_some_and(|since| since.elapsed() >= MAX_RETRY_DELAY) {
            self.backoff.reset();
        }
        let wait = self.backoff.next();
        self.report(error).await?;
        sleep(wait.saturating_sub(took)).await;
        Ok(())
    }

    /// Reports an outage when it is new; the log repeats it each minute.
    pub(super) async fn report(&mut self, error: SourceError) -> Result<(), Closed> {
        if self.logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
            self.logged = Some(Instant::now());
            tracing::warn!(source = self.source, "{error}; trying again until it responds");
        } else {
            tracing::debug!(source = self.source, "{error}");
        }
        if !self.down {
            self.send(SourceEvent::Down(error)).await?;
            self.down = true;
        }
        Ok(())
    }

    /// Reports the end of an outage, if there was one.
    pub(super) async fn report_up(&mut self) -> Result<(), Closed> {
        self.up_since.get_or_insert_with(Instant::now);
        if self.down {
            self.send(SourceEvent::Up).await?;
            self.down = false;
            // Keep the throttle's state: a store that is up and down must not log more than one that stays down.
            tracing::debug!(source = self.source, "it responds again");
        }
        Ok(())
    }
}
