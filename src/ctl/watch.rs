//! `watch`: prints changes of a key.

use crate::client::cluster::{Event, Keys, RequestError};

use super::error::CommandError;
use super::print;
use super::session::Session;

/// Prints the next event, or all from now on. An interrupt ends it successfully.
pub(super) async fn run(
    session: &Session<'_>,
    forever: bool,
    after: u64,
    recursive: bool,
) -> Result<(), CommandError> {
    let key = session.key()?;
    let mut from = Position::after(after);
    let events = async {
        loop {
            let event = from.next(session, key, recursive).await?;
            if event.node.dir {
                continue;
            }
            let head =
                if recursive { format!("[{}] {}\n", event.action, event.node.key) } else { String::new() };
            match print::event_text(&event, session.output()) {
                Ok(text) => print::out_until_read(head + &text).await,
                Err(text) => {
                    print::out_until_read(head).await;
                    print::error_until_read(text).await;
                }
            }
            if !forever {
                return Ok(());
            }
        }
    };
    until_interrupted(session.with_member_updates(events)).await
}

/// Runs `work`; an interrupt ends it successfully.
pub(super) async fn until_interrupted(
    work: impl Future<Output = Result<(), CommandError>>,
) -> Result<(), CommandError> {
    tokio::select! {
        done = work => done,
        // Without a handler the interrupt would kill the process.
        Ok(()) = tokio::signal::ctrl_c() => Ok(()),
    }
}

/// The index to wait from, and the cluster that it belongs to.
pub(super) struct Position {
    from: u64,
    epoch: u64,
}

impl Position {
    /// Returns the position after this index; 0: from now on.
    pub(super) const fn after(index: u64) -> Self {
        Self { from: if index > 0 { index.wrapping_add(1) } else { 0 }, epoch: 0 }
    }

    /// Returns the next event and advances the position. In a store that was replaced or restored, continues from now
    /// on.
    pub(super) async fn next(
        &mut self,
        session: &Session<'_>,
        key: &[u8],
        recursive: bool,
    ) -> Result<Event, CommandError> {
        loop {
            let place = (self.from, self.epoch);
            match Keys::new(&session.cluster, None).next(key, place, recursive).await {
                Ok(event) => {
                    self.from = event.node.modified.saturating_add(1);
                    return Ok(event);
                }
                Err(RequestError::Replaced) => *self = Self { from: 0, epoch: session.cluster.epoch() },
                Err(error) => return Err(error.into()),
            }
        }
    }
}
