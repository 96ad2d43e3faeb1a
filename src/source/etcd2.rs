//! etcd v2 as a source: recursive reads, then one-shot watches resumed by index.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{FutureExt, try_join_all};
use futures_util::stream::{FuturesUnordered, StreamExt, TryStreamExt};
use rand::RngExt;
use tokio::time::Instant;

use super::link::{Closed, Link, RoundEnd, WatchEnd};
use super::roots::Roots;
use super::{Listing, Snapshot, SourceEvent, WatchStart};
use crate::client::ClientError;
use crate::client::v2::{self, Event, Node, V2, Walked, Watch};
use crate::key;
use crate::values::{Change, Datum};

/// More roots than this are read by one request for their common directory.
const MAX_SEPARATE_LISTS: usize = 16;
/// More roots than this are watched by one watch on their common directory.
const MAX_SEPARATE_WATCHES: usize = 8;
/// How often roots that were read at different indexes are read again to make the indexes equal.
const MAX_LEVELLING_ROUNDS: usize = 5;
/// A watch without events for about this long is restarted from the latest index known, so that its position never
/// falls out of the store's history.
const IDLE_WATCH_INTERVAL: Duration =
    if cfg!(test) { Duration::from_millis(500) } else { Duration::from_secs(50) };
/// How long to wait for the next of several past events.
const PAST_EVENT_TIMEOUT: Duration = Duration::from_millis(5);
/// At most this many past events in one batch; the store keeps no more.
const MAX_PAST_EVENTS: usize = 1000;

#[derive(Debug)]
pub(super) struct Etcd2 {
    api: V2,
}

/// One watched path, and the index to continue from.
#[derive(Clone, Debug)]
struct WatchedRoot {
    key: String,
    next: u64,
    /// The cluster that the index `next` belongs to.
    epoch: u64,
}

/// The result of one round of a watched root.
struct RoundResult {
    watched_root: usize,
    next: u64,
    events: Vec<Event>,
    watch: Option<Watch>,
}

impl Etcd2 {
    pub(super) const fn new(api: V2) -> Self {
        Self { api }
    }

    pub(super) async fn list(&self, roots: &[String]) -> Result<Listing, ClientError> {
        if let Some(dir) = common_dir(roots, MAX_SEPARATE_LISTS) {
            let found = self.api.list(&dir).await?;
            let mut entries = Vec::new();
            if let Some(node) = found.node {
                let roots = Roots::new(roots);
                collect_files(node, &|key| roots.covers(key), &mut entries);
            }
            let snapshot = Snapshot { entries, revision: found.index };
            return Ok(Listing { snapshot, indexes: vec![found.index; roots.len()] });
        }
        let mut found: Vec<Option<v2::Listing>> = roots.iter().map(|_| None).collect();
        for _ in 0..MAX_LEVELLING_ROUNDS {
            let index = |found: &Option<v2::Listing>| found.as_ref().map(|listing| listing.index);
            let newest = found.iter().filter_map(index).max();
            let behind: Vec<usize> =
                (0..roots.len()).filter(|at| newest.is_none() || index(&found[*at]) != newest).collect();
            if behind.is_empty() {
                break;
            }
            let reads = behind
                .into_iter()
                .map(|at| async move { Ok::<_, ClientError>((at, self.api.list(&roots[at]).await?)) });
            let mut reads = futures_util::stream::iter(reads).buffer_unordered(MAX_SEPARATE_LISTS);
            while let Some((at, read)) = reads.try_next().await? {
                found[at] = Some(read);
            }
        }
        let mut entries = Vec::new();
        let mut indexes = Vec::with_capacity(roots.len());
        for (root, v2::Listing { index, node }) in roots.iter().zip(found.into_iter().flatten()) {
            indexes.push(index);
            if let Some(node) = node {
                collect_files(node, &|key| key::contains(root, key), &mut entries);
            }
        }
        let revision = indexes.iter().copied().min().unwrap_or(0);
        Ok(Listing { snapshot: Snapshot { entries, revision }, indexes })
    }

    /// Sends every change after a listing, until the position in the history is lost.
    pub(super) async fn watch(
        &self,
        roots: &[String],
        WatchStart { indexes, epoch, .. }: &WatchStart,
        link: &mut Link,
    ) -> Result<WatchEnd, Closed> {
        let mut watched_roots: Vec<WatchedRoot> = match common_dir(roots, MAX_SEPARATE_WATCHES) {
            // Some roots get events a second time; applying them twice gives the same values.
            Some(dir) => {
                vec![WatchedRoot {
                    key: dir,
                    next: indexes.iter().copied().min().unwrap_or(0).saturating_add(1),
                    epoch: *epoch,
                }]
            }
            None => roots
                .iter()
                .zip(indexes)
                .map(|(root, index)| WatchedRoot {
                    key: root.clone(),
                    next: index.saturating_add(1),
                    epoch: *epoch,
                })
                .collect(),
        };
        loop {
            let started = Instant::now();
            let end = self.rounds(&mut watched_roots, roots, link).await;
            if let Some(end) = link.handle_end(end, started.elapsed()).await? {
                return Ok(end);
            }
        }
    }

    /// Watches all roots at once until one fails. A root advances only after its events were sent.
    async fn rounds(&self, watched_roots: &mut [WatchedRoot], roots: &[String], link: &mut Link) -> RoundEnd {
        let end: Result<(), RoundEnd> = async {
            let opened = try_join_all(
                watched_roots.iter().map(|watched_root| self.open(watched_root, watched_root.next)),
            )
            .await?;
            link.report_up().await?;
            let mut rounds: FuturesUnordered<_> = opened
                .into_iter()
                .enumerate()
                .map(|(at, watch)| self.next_events(at, watched_roots[at].clone(), Some(watch)))
                .collect();
            while let Some(round) = rounds.next().await {
                let mut done = vec![round?];
                // Events that wait by now belong to the same batch.
                while let Some(Some(round)) = rounds.next().now_or_never() {
                    done.push(round?);
                }
                let revision = done.iter().map(|round| round.next - 1).max().unwrap_or(0);
                let changes: Vec<Change> = done
                    .iter_mut()
                    .flat_map(|round| {
                        std::mem::take(&mut round.events).into_iter().map(|event| (round.watched_root, event))
                    })
                    .filter_map(|(at, event)| change(event, &watched_roots[at].key, roots))
                    .collect();
                if !changes.is_empty() {
                    link.send(SourceEvent::Changes { changes, revision }).await?;
                }
                for round in done {
                    watched_roots[round.watched_root].next = round.next;
                    rounds.push(self.next_events(
                        round.watched_root,
                        watched_roots[round.watched_root].clone(),
                        round.watch,
                    ));
                }
            }
            Ok(())
        }
        .await;
        // Without roots there is no round, and `follow` starts no watch.
        end.err().unwrap_or(RoundEnd::Closed(Closed))
    }

    /// Opens the watch of a root. In a store that was replaced or restored the index means nothing, even if the store
    /// has passed it.
    async fn open(&self, watched_root: &WatchedRoot, next: u64) -> Result<Watch, ClientError> {
        let watch = self.api.watch(&watched_root.key, next).await;
        if self.api.epoch() == watched_root.epoch { watch } else { Err(ClientError::Cleared { from: next }) }
    }

    async fn next_events(
        &self,
        watched_root: usize,
        at: WatchedRoot,
        watch: Option<Watch>,
    ) -> Result<RoundResult, ClientError> {
        let mut next = at.next;
        let mut events = Vec::new();
        let mut watch = match watch {
            Some(watch) => watch,
            None => self.open(&at, next).await?,
        };
        loop {
            let wait = if events.is_empty() { idle_interval() } else { PAST_EVENT_TIMEOUT };
            match self.api.event(&mut watch, wait).await? {
                Some(event) => {
                    next = next.max(event.node.modified.saturating_add(1));
                    events.push(event);
                    // The store had no newer event when it accepted the watch, so there are no more past events.
                    if watch.index < next || events.len() >= MAX_PAST_EVENTS {
                        return Ok(RoundResult { watched_root, next, events, watch: None });
                    }
                    watch = self.open(&at, next).await?;
                }
                None if events.is_empty() => {
                    next = next.max(watch.index.saturating_add(1));
                    return Ok(RoundResult { watched_root, next, events, watch: None });
                }
                None => return Ok(RoundResult { watched_root, next, events, watch: Some(watch) }),
            }
        }
    }
}

/// Returns the one directory to request in place of more than `most` roots. etcd leaves hidden keys out of a
/// directory's listing, so roots hidden below the common directory are requested one by one.
fn common_dir(roots: &[String], most: usize) -> Option<String> {
    if roots.len() <= most {
        return None;
    }
    let dir = key::common(roots);
    roots.iter().all(|root| !key::is_hidden_below(&dir, root)).then_some(dir)
}

/// Collects files only: a directory is just part of the path of its files.
fn collect_files(node: Node, wanted: &dyn Fn(&str) -> bool, into: &mut Vec<(Arc<str>, Datum)>) {
    for Walked { node, .. } in node.into_walk() {
        if !node.dir && wanted(&node.key) {
            into.push((node.key.into(), Datum::Text(node.value.into())));
        }
    }
}

/// Converts an event of a watch on `watched_root` to a change of the values, if it causes one.
fn change(event: Event, watched_root: &str, roots: &[String]) -> Option<Change> {
    let Event { action, node, before, .. } = event;
    let key = if node.key.is_empty() { "/" } else { node.key.as_str() };
    let gone = matches!(action.as_str(), "delete" | "expire" | "compareAndDelete");
    let was_dir = node.dir || before.as_ref().is_some_and(|before| before.dir);
    // A directory may be deleted together with the root inside it.
    let ours =
        roots.iter().any(|root| key::contains(root, key) || (gone && was_dir && key::contains(key, root)));
    // A watch that reads past events shows hidden keys; neither a listing nor a live watch does.
    if !ours || key::is_hidden_below(watched_root, key) {
        return None;
    }
    let name: Arc<str> = key.into();
    if gone {
        return Some(if was_dir { Change::DeleteTree(name) } else { Change::Delete(name) });
    }
    if node.dir {
        // A directory may replace a file; a new or touched directory has no value of its own.
        return before.is_some_and(|before| !before.dir).then_some(Change::Delete(name));
    }
    Some(Change::Set(name, Datum::Text(node.value.into())))
}

fn idle_interval() -> Duration {
    IDLE_WATCH_INTERVAL.mul_f64(rand::rng().random_range(0.9..1.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(json: &str) -> Option<Change> {
        change(Event::parse(json.as_bytes()).unwrap(), "/app", &["/app/a".to_owned(), "/app/b".to_owned()])
    }

    #[test]
    fn each_action_becomes_one_change_or_none() {
        let set = Some(Change::Set("/app/a/x".into(), "1".into()));
        for action in ["set", "create", "update", "compareAndSwap"] {
            assert_eq!(
                seen(&format!(r#"{{"action":"{action}","node":{{"key":"/app/a/x","value":"1"}}}}"#)),
                set
            );
        }
        for action in ["delete", "expire", "compareAndDelete"] {
            let file = format!(r#"{{"action":"{action}","node":{{"key":"/app/a/x"}}}}"#);
            assert_eq!(seen(&file), Some(Change::Delete("/app/a/x".into())));
        }
        let gone = r#"{"action":"expire","node":{"key":"/app/a","dir":true}}"#;
        assert_eq!(seen(gone), Some(Change::DeleteTree("/app/a".into())));
        assert_eq!(seen(r#"{"action":"set","node":{"key":"/app/a/d","dir":true}}"#), None);
        assert_eq!(
            seen(
                r#"{"action":"update","node":{"key":"/app/a/d","dir":true},"prevNode":{"key":"/app/a/d","dir":true}}"#
            ),
            None
        );
        let replaced = r#"{"action":"set","node":{"key":"/app/a/x","dir":true},"prevNode":{"key":"/app/a/x","value":"1"}}"#;
        assert_eq!(seen(replaced), Some(Change::Delete("/app/a/x".into())));
    }

    #[test]
    fn deleting_a_parent_deletes_its_roots_and_siblings_are_ignored() {
        let above = r#"{"action":"delete","node":{"key":"/app","dir":true}}"#;
        assert_eq!(seen(above), Some(Change::DeleteTree("/app".into())));
        for beside in ["/app/ab", "/app/c/x", "/app/a/_x/y"] {
            assert_eq!(
                seen(&format!(r#"{{"action":"set","node":{{"key":"{beside}","value":"1"}}}}"#)),
                None,
                "{beside}"
            );
        }
    }

    #[test]
    fn roots_hidden_below_their_common_directory_are_requested_separately() {
        let names = |last: &str| -> Vec<String> { ["/a/x", "/a/y", last].map(str::to_owned).to_vec() };
        assert_eq!(common_dir(&names("/a/z"), 2).as_deref(), Some("/a"));
        assert_eq!(common_dir(&names("/a/_z"), 2), None);
        assert_eq!(common_dir(&names("/a/z"), 3), None);
    }
}
