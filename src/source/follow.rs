//! Following a source for ever: snapshot, deltas, and again from the snapshot when the thread is lost.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep};

use super::link::{Closed, End, Link};
use super::{Follow, Source, SourceEvent, WatchStart};

/// How often a store that seems behind is given a moment before it is believed that its data was replaced.
const MAX_BEHIND_RETRIES: u32 = 3;
const BEHIND_RETRY_DELAY: Duration = Duration::from_millis(300);
/// A store is never listed more often than this, whatever the settings say.
const MIN_RELIST_INTERVAL: Duration = Duration::from_millis(10);

impl Source {
    /// Sends a snapshot, then deltas, for ever. Through an outage it tries again with growing waits and says `Down`
    /// and `Up` once each. It ends only when nobody listens any more; dropping it ends everything it does.
    ///
    /// With `relist` a whole snapshot comes at that pace too, in order with the deltas. Without `watch` that is all
    /// that comes after the first snapshot.
    pub async fn follow(&self, roots: Vec<String>, how: Follow, news: Sender<SourceEvent>) {
        let mut link = Link::new(news.clone(), self.describe());
        tokio::select! {
            () = news.closed() => {}
            Err(Closed) = self.run(&roots, how, &mut link) => {}
            never = self.follow_members(), if !roots.is_empty() => match never {},
        }
    }

    async fn run(&self, roots: &[String], how: Follow, link: &mut Link) -> Result<Infallible, Closed> {
        let watch = how.watch && self.watches() && !roots.is_empty();
        let mut seen = 0;
        let mut patience = 0;
        loop {
            // From before the listing: where the store is replaced in the middle of it, it is listed once more.
            let (started, epoch) = (Instant::now(), self.epoch());
            let listing = match self.list(roots).await {
                Ok(listing) => listing,
                Err(error) => {
                    link.down(error, started.elapsed()).await?;
                    continue;
                }
            };
            link.up().await?;
            if listing.snapshot.revision < seen && patience > 0 {
                patience -= 1;
                sleep(BEHIND_RETRY_DELAY).await;
                continue;
            }
            let place = WatchStart::after(&listing, epoch);
            link.send(SourceEvent::Snapshot(listing.snapshot)).await?;
            let relist = async {
                match how.relist {
                    Some(pace) => sleep(pace.max(MIN_RELIST_INTERVAL)).await,
                    None => pending().await,
                }
            };
            if !watch {
                relist.await;
                continue;
            }
            tokio::select! {
                end = self.watch(roots, &place, link) => {
                    match end? {
                        End::Relist => seen = 0,
                        End::Behind(index) => (seen, patience) = (index, MAX_BEHIND_RETRIES),
                    }
                    // A store that throws its history away at once must not be listed in a tight loop.
                    if started.elapsed() < Duration::from_secs(1) {
                        sleep(BEHIND_RETRY_DELAY).await;
                    }
                }
                () = relist => seen = 0,
            }
        }
    }
}
