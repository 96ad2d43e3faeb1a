//! `import --from --follow`: copies changes in the source after the first copy.
//!
//! Changes are copied one by one, as the watch reports them. Everything is compared periodically, and whenever changes
//! may have been missed: a store reports no event when only a TTL is renewed.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep};

use crate::client::cluster::{Delete, Event, Keys, RequestError, Set};

use super::error::CommandError;
use super::import_from::{Listing, Migration};
use super::print;
use super::watch::until_interrupted;

/// The longest interval between full comparisons when keys expire.
const EXPIRING_COMPARE_INTERVAL: Duration = Duration::from_secs(10);
/// The same when no key expires.
const COMPARE_INTERVAL: Duration = Duration::from_secs(300);
/// The delay after a failure of either store.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Follows until interrupted.
pub(super) async fn run(migrations: Vec<(Migration<'_>, Listing)>) -> Result<(), CommandError> {
    print::error("following the source; press CTRL+C to stop\n");
    let all = try_join_all(migrations.into_iter().map(|(migration, listing)| follow(migration, listing)));
    until_interrupted(async { all.await.map(drop) }).await
}

/// One subtree that is followed.
struct FollowState {
    /// The keys copied from the source: those that are deleted there must be deleted here.
    known: BTreeSet<String>,
    /// The next index, and the source's cluster that it belongs to.
    from: (u64, u64),
    /// When everything is compared again.
    due: Instant,
}

impl FollowState {
    fn of(listing: Listing) -> Self {
        let shortest = listing.entries.values().map(|entry| entry.ttl).filter(|ttl| *ttl > 0).min();
        let pause = shortest.map_or(COMPARE_INTERVAL, |ttl| compare_interval(ttl.unsigned_abs()));
        let known = listing.entries.into_keys().collect();
        Self { known, from: (listing.index.saturating_add(1), listing.epoch), due: Instant::now() + pause }
    }
}

/// Returns the interval between comparisons when a key expires after so many seconds.
fn compare_interval(ttl: u64) -> Duration {
    (Duration::from_secs(ttl) / 3).clamp(Duration::from_secs(1), EXPIRING_COMPARE_INTERVAL)
}

async fn follow(migration: Migration<'_>, listing: Listing) -> Result<(), CommandError> {
    let mut state = FollowState::of(listing);
    let mut failing = false;
    loop {
        let watch = Keys::new(migration.source, None);
        let done = tokio::select! {
            event = watch.next(migration.key.as_bytes(), state.from, true) => match event {
                Ok(event) => copy_change(&migration, &mut state, &event).await,
                Err(RequestError::Etcd(error)) if error.code == 401 => compare_all(&migration, &mut state).await,
                Err(RequestError::Replaced) => compare_all(&migration, &mut state).await,
                Err(error) => Err(error.into()),
            },
            () = tokio::time::sleep_until(state.due) => compare_all(&migration, &mut state).await,
        };
        match done {
            Ok(()) => failing = false,
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    print::error_until_read(error.message + "retrying until it succeeds\n").await;
                }
                sleep(RETRY_DELAY).await;
                // Whether the failed write was applied is unknown.
                state.due = Instant::now();
            }
        }
    }
}

/// Makes the whole target match the source.
async fn compare_all(migration: &Migration<'_>, state: &mut FollowState) -> Result<(), CommandError> {
    let mut next = FollowState::of(migration.sync().await?);
    let gone: Vec<String> = state.known.difference(&next.known).cloned().collect();
    let mut above: Option<String> = None;
    for key in gone {
        if above.as_ref().is_some_and(|above| is_below(above, &key)) {
            continue;
        }
        if let Err(error) = remove(migration, &key).await {
            // Keys that could not be removed still count as copied.
            next.known.append(&mut state.known);
            *state = next;
            return Err(error);
        }
        above = Some(key);
    }
    *state = next;
    Ok(())
}

/// Copies one change.
async fn copy_change(
    migration: &Migration<'_>,
    state: &mut FollowState,
    event: &Event,
) -> Result<(), CommandError> {
    let node = &event.node;
    if matches!(&*event.action, "delete" | "compareAndDelete" | "expire") {
        // A parent directory may be deleted; beyond the followed subtree nothing is ours to remove.
        let key = if is_below(&node.key, &migration.key) { &migration.key } else { &node.key };
        remove(migration, key).await?;
        state.known.retain(|known| known != key && !is_below(key, known));
    } else {
        let ttl = u64::try_from(node.ttl).unwrap_or(0);
        let how = Set { dir: node.dir, ttl, exists: None, ..Set::default() };
        let mut done = migration.keys().set(node.key.as_bytes(), node.value.as_bytes(), &how).await;
        if node.dir && done.as_ref().is_err_and(|error| error.code() == Some(102)) {
            // The directory exists; only its TTL changes.
            let how = Set { exists: Some(true), ..how };
            done = migration.keys().set(node.key.as_bytes(), b"", &how).await;
        }
        done?;
        state.known.insert(node.key.clone());
        if node.ttl > 0 {
            state.due = state.due.min(Instant::now() + compare_interval(ttl));
        }
    }
    print::out_until_read(format!("{} {}\n", event.action, node.key)).await;
    state.from.0 = node.modified.saturating_add(1);
    Ok(())
}

async fn remove(migration: &Migration<'_>, key: &str) -> Result<(), CommandError> {
    let how = Delete { dir: true, recursive: true, ..Delete::default() };
    match migration.keys().delete(key.as_bytes(), &how).await {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.code(), Some(100 | 107)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn is_below(dir: &str, key: &str) -> bool {
    key.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::is_below;

    #[test]
    fn below_ends_at_a_slash() {
        assert!(is_below("/a", "/a/b") && !is_below("/a", "/ab") && !is_below("/a", "/a"));
    }
}
