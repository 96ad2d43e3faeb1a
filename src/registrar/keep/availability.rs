//! Whether the store answers.

use std::time::Duration;

use tokio::time::Instant;

use super::request::one_line;
use crate::backoff::Backoff;
use crate::client::cluster::RequestError;
use crate::registrar::status_board::{Count, StatusBoard};

const MIN_RETRY_DELAY: Duration = Duration::from_millis(100);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(5);

/// What comes and goes faster is told no more often.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Says once that the store is away and once that it is back, and how long to leave it alone in between.
#[derive(Debug)]
pub(super) struct StoreAvailability {
    down: Option<Outage>,
    /// When it was told last that the store is away.
    told: Option<Instant>,
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    until: Instant,
    told: bool,
    backoff: Backoff,
}

impl StoreAvailability {
    pub(super) const fn fair() -> Self {
        Self { down: None, told: None }
    }

    pub(super) const fn is_down(&self) -> bool {
        self.down.is_some()
    }

    /// Until when the store is not to be asked.
    pub(super) fn until(&self) -> Option<Instant> {
        self.down.as_ref().map(|down| down.until)
    }

    pub(super) fn failed(&mut self, error: &RequestError, status_board: &StatusBoard) {
        status_board.count(Count::StoreErrors);
        let (now, text) = (Instant::now(), one_line(error));
        let news = self.told.is_none_or(|told| now > told + LOG_INTERVAL);
        let down = self.down.get_or_insert_with(|| {
            if news {
                tracing::error!("the store cannot be asked and is tried until it can: {text}");
                self.told = Some(now);
            }
            Outage {
                since: now,
                until: now,
                told: news,
                backoff: Backoff::new(MIN_RETRY_DELAY, MAX_RETRY_DELAY),
            }
        });
        // What was under way together fails together, and is one failure.
        if now >= down.until {
            down.until = now + down.backoff.next();
        }
        status_board.write(|status| status.store_error = text);
    }

    /// The store answers; returns how long it did not.
    pub(super) fn answered(&mut self, status_board: &StatusBoard) -> Option<Duration> {
        let down = self.down.take()?;
        let outage = down.since.elapsed();
        if down.told {
            tracing::info!("the store answers again after {outage:.1?}");
        }
        status_board.write(|status| status.store_error.clear());
        Some(outage)
    }
}
