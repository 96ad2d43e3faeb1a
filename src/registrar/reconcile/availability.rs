//! Whether the store responds.

use std::time::Duration;

use tokio::time::Instant;

use super::request::one_line;
use crate::backoff::Backoff;
use crate::client::cluster::RequestError;
use crate::registrar::status_board::{Count, StatusBoard};

const MIN_RETRY_DELAY: Duration = Duration::from_millis(100);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(5);

/// The shortest interval between two log lines about outages.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Logs the beginning and the end of an outage once each, and says how long to wait before the next try.
#[derive(Debug, Default)]
pub(super) struct StoreAvailability {
    down: Option<Outage>,
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    until: Instant,
    backoff: Backoff,
}

impl StoreAvailability {
    pub(super) const fn is_down(&self) -> bool {
        self.down.is_some()
    }

    /// Returns the time before which the store must not be tried.
    pub(super) fn until(&self) -> Option<Instant> {
        self.down.as_ref().map(|down| down.until)
    }

    pub(super) fn failed(&mut self, error: &RequestError, status_board: &StatusBoard) {
        status_board.count(Count::StoreErrors);
        let (now, text) = (Instant::now(), one_line(error));
        let down = self.down.get_or_insert_with(|| {
            let mut log = status_board.outage();
            if !log.open && log.last.is_none_or(|last| now > last + LOG_INTERVAL) {
                tracing::error!("the store is unavailable; retrying until it responds: {text}");
                (log.last, log.open) = (Some(now), true);
            }
            Outage { since: now, until: now, backoff: Backoff::new(MIN_RETRY_DELAY, MAX_RETRY_DELAY) }
        });
        // Requests that were sent together fail together; count them as one failure.
        if now >= down.until {
            down.until = now + down.backoff.next();
        }
        status_board.write(|status| status.store_error = text);
    }

    /// Notes that the store responds; returns how long the outage was.
    pub(super) fn answered(&mut self, status_board: &StatusBoard) -> Option<Duration> {
        let down = self.down.take()?;
        let outage = down.since.elapsed();
        if std::mem::take(&mut status_board.outage().open) {
            tracing::info!("the store responds again after {outage:.1?}");
        }
        status_board.write(|status| status.store_error.clear());
        Some(outage)
    }
}
