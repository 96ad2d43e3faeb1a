//! etcd v3 as a source: every root at one revision, then one stream of watches.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::stream::{StreamExt, TryStreamExt};
use tokio::time::{Instant, sleep, timeout};

use super::link::{Closed, Link, RoundEnd, WatchEnd};
use super::roots::Roots;
use super::{Listing, Snapshot, SourceEvent, WatchStart};
use crate::client::ClientError;
use crate::client::v3::{Event, MAX_OPERATIONS, Message, Pair, Range, Ranges, V3, Watch};
use crate::key;
use crate::values::{Change, Datum};

/// Transactions in flight at once.
const MAX_INFLIGHT_TRANSACTIONS: usize = 8;
/// The most extra keys accepted when many roots are read as one range: reading a few neighbours is cheaper than one
/// range for each root.
const MAX_FREE_NEIGHBOURS: usize = 1_000;
const MAX_NEIGHBOURS_PER_ROOT: usize = 20;
/// How often the node of a quiet stream is probed, and how long it has to respond.
const PROBE_INTERVAL: Duration = Duration::from_secs(30);
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// A transaction over several watches arrives as several messages, microseconds apart.
const BATCH_DELAY: Duration = Duration::from_micros(200);
/// At most about this many changes in one batch.
const MAX_CHANGES: usize = 10_000;

#[derive(Debug)]
pub(super) struct Etcd3 {
    api: V3,
    /// Whether the last listing read many roots as one range. Then one watch follows them all: a transaction is one
    /// message, and the store keeps one watch instead of thousands.
    as_one_range: AtomicBool,
}

/// The keys that a listing has collected.
#[derive(Default)]
struct ListingBuilder {
    entries: Vec<(Arc<str>, Datum)>,
    skipped: usize,
}

impl ListingBuilder {
    fn add(&mut self, pair: Pair, wanted: impl Fn(&str) -> bool) {
        match entry(pair) {
            Some((name, datum)) if wanted(&name) => self.entries.push((name, datum)),
            Some(_) => {}
            None => self.skipped += 1,
        }
    }

    fn listing(self, revision: u64, roots: &[String]) -> Listing {
        if self.skipped > 0 {
            tracing::warn!(
                keys = self.skipped,
                "left out keys that are not UTF-8 or hold an empty, `.` or `..` segment"
            );
        }
        let snapshot = Snapshot { entries: self.entries, revision };
        Listing { snapshot, indexes: vec![revision; roots.len()] }
    }
}

impl Etcd3 {
    pub(super) const fn new(api: V3) -> Self {
        Self { api, as_one_range: AtomicBool::new(false) }
    }

    pub(super) async fn list(&self, roots: &[String]) -> Result<Listing, ClientError> {
        if roots.len() > MAX_OPERATIONS
            && let Some(listing) = self.list_at_once(roots).await?
        {
            self.as_one_range.store(true, Ordering::Relaxed);
            return Ok(listing);
        }
        self.as_one_range.store(false, Ordering::Relaxed);
        self.list_each(roots).await
    }

    /// Reads many roots as one range over their common folder: one request instead of a range each. Returns `None` if
    /// that folder holds so many other keys that separate ranges are cheaper, or if it may not be read as a whole.
    async fn list_at_once(&self, roots: &[String]) -> Result<Option<Listing>, ClientError> {
        let limit = MAX_FREE_NEIGHBOURS + MAX_NEIGHBOURS_PER_ROOT * roots.len();
        let ranges = match self.api.first(range_with_neighbours(&key::common(roots)), limit).await {
            Ok(ranges) => ranges,
            Err(ClientError::Refused { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let pairs = ranges.pairs.into_iter().next().unwrap_or_default();
        if pairs.len() >= limit {
            return Ok(None);
        }
        let wanted = Roots::new(roots);
        let mut builder = ListingBuilder::default();
        for pair in pairs {
            builder.add(pair, |name| wanted.covers(name));
        }
        Ok(Some(builder.listing(ranges.revision, roots)))
    }

    async fn list_each(&self, roots: &[String]) -> Result<Listing, ClientError> {
        // With few roots, exact ranges leave out a large neighbour (`/app-old` beside `/app`); with many, fewer
        // operations matter more.
        let exact = roots.len() * 2 <= MAX_OPERATIONS;
        let ranges: Vec<Range> = roots
            .iter()
            .flat_map(|root| if exact { exact_ranges(root) } else { vec![range_with_neighbours(root)] })
            .collect();
        let (first, rest) = ranges.split_at(ranges.len().min(MAX_OPERATIONS));
        let head = self.api.ranges(first, None).await?;
        let revision = head.revision;
        // A closure does not work here: the compiler cannot prove that its future is `Send`.
        let mut reads = Vec::new();
        for chunk in rest.chunks(MAX_OPERATIONS) {
            reads.push(self.api.ranges(chunk, Some(revision)));
        }
        let mut all = vec![head];
        let tail: Vec<Ranges> =
            futures_util::stream::iter(reads).buffered(MAX_INFLIGHT_TRANSACTIONS).try_collect().await?;
        all.extend(tail);
        let per_root = if exact { 2 } else { 1 };
        let mut builder = ListingBuilder::default();
        for (at, pairs) in all.into_iter().flat_map(|ranges| ranges.pairs).enumerate() {
            let root = &roots[at / per_root];
            for pair in pairs {
                builder.add(pair, |name| key::contains(root, name));
            }
        }
        Ok(builder.listing(revision, roots))
    }

    /// Sends every change after a listing, until the position in the history is lost.
    pub(super) async fn watch(
        &self,
        roots: &[String],
        WatchStart { indexes, epoch, .. }: &WatchStart,
        link: &mut Link,
    ) -> Result<WatchEnd, Closed> {
        let mut ranges: Vec<(Range, u64)> = if self.as_one_range.load(Ordering::Relaxed) {
            let index = indexes.iter().min().copied().unwrap_or(0);
            vec![(range_with_neighbours(&key::common(roots)), index.saturating_add(1))]
        } else {
            roots
                .iter()
                .zip(indexes)
                .map(|(root, index)| (range_with_neighbours(root), index.saturating_add(1)))
                .collect()
        };
        loop {
            let started = Instant::now();
            let end = self.stream(roots, (&mut ranges, *epoch), link).await;
            if let Some(end) = link.handle_end(end, started.elapsed()).await? {
                return Ok(end);
            }
        }
    }

    /// Follows one stream until it fails. A range advances only after its events were sent.
    async fn stream(
        &self,
        roots: &[String],
        (ranges, epoch): (&mut [(Range, u64)], u64),
        link: &mut Link,
    ) -> RoundEnd {
        let end: Result<(), RoundEnd> = async {
            let opened = self.api.watch(ranges).await;
            // In a store that was replaced or restored the revisions mean nothing, even if it has passed them.
            if self.api.epoch() != epoch {
                return Err(ClientError::Cleared { from: ranges.first().map_or(0, |(_, from)| *from) }.into());
            }
            let mut watch = opened?;
            link.report_up().await?;
            let node = watch.node().to_owned();
            let key = ranges.first().map(|(range, _)| range.from.clone()).unwrap_or_default();
            let mut probe = std::pin::pin!(self.probe(&node, &key));
            let all_roots = (ranges.len() < roots.len()).then(|| Roots::new(roots));
            loop {
                let first = tokio::select! {
                    message = self.api.next(&mut watch) => message?,
                    error = &mut probe => return Err(error.into()),
                };
                let (messages, error) = self.receive_batch(&mut watch, first, ranges.len() > 1).await;
                let revision = messages.iter().map(|message| message.revision).max().unwrap_or(0);
                let mut changes = Vec::new();
                let mut places = Vec::with_capacity(messages.len());
                for message in messages {
                    let last = message.events.iter().map(|event| event.kv.modified).max();
                    // A progress message means that this range has had everything up to its revision.
                    places.push((message.range, last.unwrap_or(message.revision).saturating_add(1)));
                    // A range extends past its root, from `/app` to `/app-old`; such keys belong to another range.
                    let wanted = |name: &str| match &all_roots {
                        Some(all) => all.covers(name),
                        None => key::contains(&roots[message.range], name),
                    };
                    changes.extend(message.events.into_iter().filter_map(|event| change(event, wanted)));
                }
                if !changes.is_empty() {
                    link.send(SourceEvent::Changes { changes, revision }).await?;
                }
                for (range, next) in places {
                    ranges[range].1 = ranges[range].1.max(next);
                }
                if let Some(error) = error {
                    return Err(error.into());
                }
            }
        }
        .await;
        end.err().unwrap_or(RoundEnd::Closed(Closed))
    }

    /// Returns the first message and all that wait by now, and the error after them. With several watches it waits a
    /// moment longer, so that a transaction over them stays in one batch.
    async fn receive_batch(
        &self,
        watch: &mut Watch,
        first: Message,
        several: bool,
    ) -> (Vec<Message>, Option<ClientError>) {
        let mut messages = vec![first];
        let mut count = 0;
        let since = Instant::now();
        loop {
            match self.api.ready(watch) {
                Ok(Some(message)) => {
                    count += message.events.len();
                    messages.push(message);
                    if count >= MAX_CHANGES {
                        return (messages, None);
                    }
                }
                Err(error) => return (messages, Some(error)),
                Ok(None) if !several || since.elapsed() >= BATCH_DELAY => return (messages, None),
                Ok(None) => tokio::task::yield_now().await,
            }
        }
    }

    /// Returns an error once the node missed two probes in a row: a half-open connection reports nothing by itself.
    async fn probe(&self, node: &str, key: &str) -> ClientError {
        let mut missed = false;
        loop {
            sleep(PROBE_INTERVAL).await;
            let probe = timeout(PROBE_TIMEOUT, self.api.probe(node, key)).await;
            match probe {
                Ok(Ok(())) => missed = false,
                Ok(Err(error)) if missed => return error,
                Err(_) if missed => {
                    let why = format!("{node}: no response within {PROBE_TIMEOUT:?}, twice");
                    return ClientError::Unavailable { why };
                }
                _ => missed = true,
            }
        }
    }
}

/// Returns two ranges: the root itself, and everything below it.
fn exact_ranges(root: &str) -> Vec<Range> {
    let own = Range { from: root.to_owned(), to: format!("{root}\0") };
    let dir = if root == "/" { "" } else { root };
    vec![own, Range { from: format!("{dir}/"), to: format!("{dir}0") }]
}

/// Returns one range that holds the root, everything below it, and some neighbours: for `/app` also `/app-x`.
fn range_with_neighbours(root: &str) -> Range {
    let dir = if root == "/" { "" } else { root };
    Range { from: root.to_owned(), to: format!("{dir}0") }
}

/// Returns the key as text, `None` for one that no template can name.
fn name(key: Vec<u8>) -> Option<Arc<str>> {
    let key = String::from_utf8(key).ok()?;
    let clean = key
        .strip_prefix('/')
        .is_some_and(|rest| rest.split('/').all(|segment| !matches!(segment, "" | "." | "..")));
    clean.then(|| key.into())
}

fn entry(pair: Pair) -> Option<(Arc<str>, Datum)> {
    Some((name(pair.key)?, Datum::from_bytes(pair.value)))
}

fn change(event: Event, wanted: impl Fn(&str) -> bool) -> Option<Change> {
    let gone = event.is_delete();
    let name = name(event.kv.key)?;
    if !wanted(&name) {
        return None;
    }
    Some(if gone { Change::Delete(name) } else { Change::Set(name, Datum::from_bytes(event.kv.value)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_that_a_template_can_name_are_read() {
        for (key, good) in
            [("/a/b", true), ("a/b", false), ("/a//b", false), ("/a/", false), ("/a/../b", false)]
        {
            assert_eq!(name(key.into()).is_some(), good, "{key}");
        }
        assert!(name(vec![b'/', 0xff]).is_none());
    }

    #[test]
    fn a_range_holds_the_root_and_everything_below_it() {
        assert_eq!(range_with_neighbours("/"), Range { from: "/".into(), to: "0".into() });
        assert_eq!(range_with_neighbours("/app"), Range { from: "/app".into(), to: "/app0".into() });
        assert_eq!(exact_ranges("/app")[1], Range { from: "/app/".into(), to: "/app0".into() });
    }
}
