//! Follows a source for ever: a snapshot, then changes, and a new snapshot whenever the position is lost.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep};

use super::link::{Closed, Link, WatchEnd};
use super::{Follow, Source, SourceEvent, WatchStart};

/// How often a store that seems behind gets time to catch up before its data counts as replaced.
const MAX_BEHIND_RETRIES: u32 = 3;
const BEHIND_RETRY_DELAY: Duration = Duration::from_millis(300);
/// The shortest time between two listings, whatever the settings say.
const MIN_RELIST_INTERVAL: Duration = Duration::from_millis(10);

impl Source {
    /// Sends a snapshot, then changes, for ever. In an outage it retries with growing waits, and sends `Down` and `Up`
    /// once each. It ends only when the receiver is dropped; dropping the future stops everything it does.
    ///
    /// With `relist` it also sends a whole snapshot at that interval, in order with the changes. Without `watch`, only
    /// those follow the first snapshot.
    pub async fn follow(&self, roots: Vec<String>, how: Follow, events: Sender<SourceEvent>) {
        let mut link = Link::new(events.clone(), self.describe());
        tokio::select! {
            () = events.closed() => {}
            Err(Closed) = self.run(&roots, how, &mut link) => {}
            never = self.follow_members(), if !roots.is_empty() => match never {},
        }
    }

    async fn run(&self, roots: &[String], how: Follow, link: &mut Link) -> Result<Infallible, Closed> {
        let watch = how.watch && self.watches() && !roots.is_empty();
        let mut seen = 0;
        let mut behind_retries = 0;
        loop {
            // Taken before the listing: if the store is replaced meanwhile, it is listed once more.
            let (started, epoch) = (Instant::now(), self.epoch());
            let listing = match self.list(roots).await {
                Ok(listing) => listing,
                Err(error) => {
                    link.report_and_wait(error, started.elapsed()).await?;
                    continue;
                }
            };
            link.report_up().await?;
            if listing.snapshot.revision < seen && behind_retries > 0 {
                behind_retries -= 1;
                sleep(BEHIND_RETRY_DELAY).await;
                continue;
            }
            let watch_start = WatchStart::after(&listing, epoch);
            link.send(SourceEvent::Snapshot(listing.snapshot)).await?;
            let relist = async {
                match how.relist {
                    Some(interval) => sleep(interval.max(MIN_RELIST_INTERVAL)).await,
                    None => pending().await,
                }
            };
            if !watch {
                relist.await;
                continue;
            }
            tokio::select! {
                end = self.watch(roots, &watch_start, link) => {
                    match end? {
                        WatchEnd::Relist => seen = 0,
                        WatchEnd::Behind(index) => (seen, behind_retries) = (index, MAX_BEHIND_RETRIES),
                    }
                    // A store that discards its history at once must not be listed in a tight loop.
                    if started.elapsed() < Duration::from_secs(1) {
                        sleep(BEHIND_RETRY_DELAY).await;
                    }
                }
                () = relist => seen = 0,
            }
        }
    }
}
