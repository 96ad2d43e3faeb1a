//! `import --from --follow`: copies changes in the source after the first copy.
//!
//! Changes are copied one by one, as the watch reports them. Everything is compared periodically, and whenever changes
//! may have been missed: a store reports no event when only a TTL is renewed.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep};

use crate::client::cluster::{Delete, Event, Keys, RequestError, Set};

use super::end::End;
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
pub(super) async fn run(moves: Vec<(Migration<'_>, Listing)>) -> Result<(), End> {
    print::error("following the source; press CTRL+C to stop\n");
    let all = try_join_all(moves.into_iter().map(|(one, listing)| follow(one, listing)));
    until_interrupted(async { all.await.map(drop) }).await
}

/// One subtree that is followed.
struct Followed {
    /// The keys copied from the source: those that are deleted there must be deleted here.
    known: BTreeSet<String>,
    /// The next index, and the source's cluster that it belongs to.
    from: (u64, u64),
    /// When everything is compared again.
    due: Instant,
}

impl Followed {
    fn of(listing: Listing) -> Self {
        let shortest = listing.entries.values().map(|entry| entry.ttl).filter(|ttl| *ttl > 0).min();
        let pause = shortest.map_or(COMPARE_INTERVAL, |ttl| compare_interval(ttl.unsigned_abs()));
        let known = listing.entries.into_keys().collect();
        Self { known, from: (listing.index + 1, listing.epoch), due: Instant::now() + pause }
    }
}

/// Returns the interval between comparisons when a key expires after so many seconds.
fn compare_interval(ttl: u64) -> Duration {
    (Duration::from_secs(ttl) / 3).clamp(Duration::from_secs(1), EXPIRING_COMPARE_INTERVAL)
}

async fn follow(one: Migration<'_>, listing: Listing) -> Result<(), End> {
    let mut followed = Followed::of(listing);
    let mut failing = false;
    loop {
        let watch = Keys::new(one.source, None);
        let done = tokio::select! {
            event = watch.next(one.key.as_bytes(), followed.from, true) => match event {
                Ok(event) => copy_change(&one, &mut followed, &event).await,
                Err(RequestError::Etcd(error)) if error.code == 401 => compare_all(&one, &mut followed).await,
                Err(RequestError::Replaced) => compare_all(&one, &mut followed).await,
                Err(error) => Err(error.into()),
            },
            () = tokio::time::sleep_until(followed.due) => compare_all(&one, &mut followed).await,
        };
        match done {
            Ok(()) => failing = false,
            Err(end) => {
                if !std::mem::replace(&mut failing, true) {
                    print::error_until_read(end.message + "retrying until it succeeds\n").await;
                }
                sleep(RETRY_DELAY).await;
                // Whether the failed write was applied is unknown.
                followed.due = Instant::now();
            }
        }
    }
}

/// Makes the whole target match the source.
async fn compare_all(one: &Migration<'_>, followed: &mut Followed) -> Result<(), End> {
    let mut next = Followed::of(one.bring().await?);
    let gone: Vec<String> = followed.known.difference(&next.known).cloned().collect();
    let mut above: Option<String> = None;
    for key in gone {
        if above.as_ref().is_some_and(|above| is_below(above, &key)) {
            continue;
        }
        if let Err(end) = remove(one, &key).await {
            // Keys that could not be removed still count as copied.
            next.known.append(&mut followed.known);
            *followed = next;
            return Err(end);
        }
        above = Some(key);
    }
    *followed = next;
    Ok(())
}

/// Copies one change.
async fn copy_change(one: &Migration<'_>, followed: &mut Followed, event: &Event) -> Result<(), End> {
    let node = &event.node;
    if matches!(&*event.action, "delete" | "compareAndDelete" | "expire") {
        // A parent directory may be deleted; beyond the followed subtree nothing is ours to remove.
        let key = if is_below(&node.key, &one.key) { &one.key } else { &node.key };
        remove(one, key).await?;
        followed.known.retain(|known| known != key && !is_below(key, known));
    } else {
        let ttl = u64::try_from(node.ttl).unwrap_or(0);
        let how = Set { dir: node.dir, ttl, exists: None, ..Set::default() };
        let mut done = one.keys().set(node.key.as_bytes(), node.value.as_bytes(), &how).await;
        if node.dir && done.as_ref().is_err_and(|error| error.code() == Some(102)) {
            // The directory exists; only its TTL changes.
            let how = Set { exists: Some(true), ..how };
            done = one.keys().set(node.key.as_bytes(), b"", &how).await;
        }
        done?;
        followed.known.insert(node.key.clone());
        if node.ttl > 0 {
            followed.due = followed.due.min(Instant::now() + compare_interval(ttl));
        }
    }
    print::out_until_read(format!("{} {}\n", event.action, node.key)).await;
    followed.from.0 = node.modified + 1;
    Ok(())
}

async fn remove(one: &Migration<'_>, key: &str) -> Result<(), End> {
    let how = Delete { dir: true, recursive: true, ..Delete::default() };
    match one.keys().delete(key.as_bytes(), &how).await {
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
