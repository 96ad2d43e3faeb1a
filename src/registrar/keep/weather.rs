//! Whether the store answers.

use std::time::Duration;

use tokio::time::Instant;

use super::act::one_line;
use crate::backoff::Backoff;
use crate::client::cluster::AskError;
use crate::registrar::board::{Board, Count};

const FIRST: Duration = Duration::from_millis(100);
const CEILING: Duration = Duration::from_secs(5);

/// What comes and goes faster is told no more often.
const APART: Duration = Duration::from_secs(10);

/// Says once that the store is away and once that it is back, and how long to leave it alone in between.
#[derive(Debug)]
pub(super) struct Weather {
    down: Option<Down>,
    /// When it was told last that the store is away.
    told: Option<Instant>,
}

#[derive(Debug)]
struct Down {
    since: Instant,
    until: Instant,
    told: bool,
    backoff: Backoff,
}

impl Weather {
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

    pub(super) fn failed(&mut self, error: &AskError, board: &Board) {
        board.count(Count::StoreErrors);
        let (now, text) = (Instant::now(), one_line(error));
        let news = self.told.is_none_or(|told| now > told + APART);
        let down = self.down.get_or_insert_with(|| {
            if news {
                tracing::error!("the store cannot be asked and is tried until it can: {text}");
                self.told = Some(now);
            }
            Down { since: now, until: now, told: news, backoff: Backoff::new(FIRST, CEILING) }
        });
        // What was under way together fails together, and is one failure.
        if now >= down.until {
            down.until = now + down.backoff.next();
        }
        board.write(|status| status.store_error = text);
    }

    /// The store answers; returns how long it did not.
    pub(super) fn answered(&mut self, board: &Board) -> Option<Duration> {
        let down = self.down.take()?;
        let outage = down.since.elapsed();
        if down.told {
            tracing::info!("the store answers again after {outage:.1?}");
        }
        board.write(|status| status.store_error.clear());
        Some(outage)
    }
}
