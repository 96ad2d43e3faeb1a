//! `import --from`: the keys of another running store.
//!
//! The writes are derived from two listings, those of source and target; what the target has already is not written
//! again. Directories that no entry creates, the empty ones and those that expire, are created first, parents before
//! children.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::time::Instant;

use crate::client::cluster::{Cluster, Get, Keys, Node, RequestError, Set, Walked};

use super::error::{CommandError, EXIT_NO_CONNECTION, EXIT_SERVER_ERROR};
use super::print;
use super::session::Session;

/// How long the source may take until a listing begins, which is large.
pub(super) const LISTING_START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a whole listing may take.
const LISTING_TIMEOUT: Duration = Duration::from_secs(600);
/// How much two TTLs may differ because they count whole seconds.
const TTL_TOLERANCE_SECS: i64 = 1;
/// How many keys a message names.
const MAX_NAMED_KEYS: usize = 5;

/// A file or a directory, without its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// `None`: a directory.
    pub(super) value: Option<String>,
    /// Whether it is an empty directory.
    empty: bool,
    /// Seconds left; 0: no expiry.
    pub(super) ttl: i64,
    /// The index of the write that created it.
    created: u64,
}

/// The content at and below a key, without the root itself.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) entries: BTreeMap<String, Entry>,
    /// The store's index.
    pub(super) index: u64,
    /// Which of the successive clusters of this store the index belongs to.
    pub(super) epoch: u64,
    /// The id of the cluster, if it reports one.
    cluster: Option<u64>,
    /// When it was requested: TTLs count from then.
    at: Instant,
}

/// Copies a subtree from one store to another.
pub(super) struct Migration<'m> {
    pub(super) session: &'m Session<'m>,
    pub(super) source: &'m Cluster,
    pub(super) key: String,
    pub(super) clients: usize,
}

/// Why there is no listing of the source.
enum ListingError {
    /// The key does not exist at this index.
    NoKey(u64, u64),
    Failed(RequestError),
}

impl ListingError {
    fn into_error(self, key: &str) -> CommandError {
        match self {
            Self::NoKey(..) => CommandError::with_prefix(format_args!("the source has no key {key}")),
            Self::Failed(error) => {
                let code = if error.is_connection() { EXIT_NO_CONNECTION } else { EXIT_SERVER_ERROR };
                let hint = format!("{key} could not be read from the source; run it again\n");
                CommandError::from_request_error(code, &error).append(&hint)
            }
        }
    }
}

/// The writes that make the target match the source.
#[derive(Debug, Default)]
struct CopyPlan {
    /// Directories to create, or to give another TTL.
    dirs: Vec<(String, i64, bool)>,
    files: Vec<(String, String, i64)>,
    /// How many files need no write.
    same: usize,
    /// Keys with another value in the target, or only in the target.
    conflicts: Vec<String>,
    /// Keys that are a file on one side and a directory on the other.
    blocked: Vec<String>,
}

impl Migration<'_> {
    /// Copies everything; returns the source's content.
    pub(super) async fn copy(&self, merge: bool) -> Result<Listing, CommandError> {
        let source = self.source_listing().await.map_err(|why| why.into_error(&self.key))?;
        let target = self.target_entries(&source).await?;
        let plan = plan(&source.entries, &target);
        self.refuse(&plan, merge)?;
        let lossy = source.entries.iter().filter(|(_, entry)| {
            entry.value.as_ref().is_some_and(|value| value.contains(char::REPLACEMENT_CHARACTER))
        });
        let lossy: Vec<String> = lossy.map(|(key, _)| key.clone()).collect();
        if !lossy.is_empty() {
            print::error(&format!(
                "{}: the values may have contained bytes that are not text, which the source's API does not return\n",
                key_list(&lossy)
            ));
        }
        let (files, dirs, same) = (plan.files.len(), plan.dirs.len(), plan.same);
        self.write(plan, source.at).await?;
        let (key, index) = (&self.key, source.index);
        let summary = format!("copied {files} keys and {dirs} directories of {key} as of index {index}");
        print::out(&format!("{summary}; {same} keys existed already\n"));
        Ok(source)
    }

    /// Makes the target match the source again, whatever happened to either; returns the source's content.
    pub(super) async fn sync(&self) -> Result<Listing, CommandError> {
        let source = match self.source_listing().await {
            Err(ListingError::NoKey(index, epoch)) => {
                Listing { entries: BTreeMap::new(), index, epoch, cluster: None, at: Instant::now() }
            }
            listed => listed.map_err(|why| why.into_error(&self.key))?,
        };
        let target = self.target_entries(&source).await?;
        let plan = plan(&source.entries, &target);
        self.refuse(&plan, true)?;
        self.write(plan, source.at).await?;
        Ok(source)
    }

    /// Lists the source.
    async fn source_listing(&self) -> Result<Listing, ListingError> {
        let epoch = self.source.epoch();
        list(self.source, &self.key, LISTING_TIMEOUT).await.map_err(|error| match error {
            RequestError::Etcd(error) if error.code == 100 => ListingError::NoKey(error.index, epoch),
            error => ListingError::Failed(error),
        })
    }

    /// Lists the target; returns an empty map when the key does not exist.
    async fn target_entries(&self, source: &Listing) -> Result<BTreeMap<String, Entry>, CommandError> {
        let limit = LISTING_TIMEOUT.min(self.session.call.access.total_timeout.max(LISTING_START_TIMEOUT));
        match list(&self.session.cluster, &self.key, limit).await {
            Ok(target) if target.is_of_the_store_of(source) => Err(CommandError::with_prefix(format_args!(
                "source and target are one store (cluster {:x}), and {} would be copied onto itself; nothing was \
                 written. Name another store by --from or by --endpoints",
                source.cluster.unwrap_or_default(),
                self.key
            ))),
            Ok(target) => Ok(target.entries),
            Err(error) if error.code() == Some(100) => Ok(BTreeMap::new()),
            Err(error) => Err(error.into()),
        }
    }

    fn refuse(&self, plan: &CopyPlan, merge: bool) -> Result<(), CommandError> {
        if !plan.blocked.is_empty() {
            let names = key_list(&plan.blocked);
            let reason =
                "a file in one of the stores and a directory in the other; remove it from the target";
            return Err(CommandError::with_prefix(format_args!("{names}: {reason}; nothing was written")));
        }
        if !merge && !plan.conflicts.is_empty() {
            return Err(CommandError::with_prefix(format_args!(
                "the target has keys that the source does not have, or has with other values: {}; nothing was written \
                 (--merge lets the source's values win and other keys stay)",
                key_list(&plan.conflicts)
            )));
        }
        Ok(())
    }

    /// Performs the writes; TTLs are reduced by the time since `at`.
    async fn write(&self, plan: CopyPlan, at: Instant) -> Result<(), CommandError> {
        let total = plan.dirs.len() + plan.files.len();
        let mut progress = Progress::new(total);
        let mut levels: BTreeMap<usize, Vec<_>> = BTreeMap::new();
        for (key, ttl, exists) in plan.dirs {
            let how = Set { dir: true, exists: exists.then_some(true), ..Set::default() };
            levels.entry(key.matches('/').count()).or_default().push((key, String::new(), ttl, how));
        }
        let files = plan.files.into_iter().map(|(key, value, ttl)| (key, value, ttl, Set::default()));
        for group in levels.into_values().chain([files.collect()]) {
            let writes = group.into_iter().map(|(key, value, ttl, how)| self.put(key, value, ttl, how, at));
            let mut writes = stream::iter(writes).buffer_unordered(self.clients);
            while let Some(done) = writes.next().await {
                done?;
                progress.step();
            }
        }
        Ok(())
    }

    async fn put(
        &self,
        key: String,
        value: String,
        ttl: i64,
        how: Set,
        at: Instant,
    ) -> Result<(), CommandError> {
        let Some(ttl) = remaining_ttl(ttl, at.elapsed()) else { return Ok(()) };
        let how = Set { ttl, ..how };
        match self.keys().set(key.as_bytes(), value.as_bytes(), &how).await {
            Ok(_) => Ok(()),
            // Another client created the directory meanwhile.
            Err(error) if how.dir && ttl == 0 && error.code() == Some(102) => Ok(()),
            Err(error) => {
                let hint = format!("{key} could not be written; run it again to go on from here\n");
                Err(CommandError::from(error).append(&hint))
            }
        }
    }

    /// Returns the target's keys, with the timeout of one command.
    pub(super) fn keys(&self) -> Keys<'_> {
        self.session.keys()
    }
}

async fn list(cluster: &Cluster, key: &str, limit: Duration) -> Result<Listing, RequestError> {
    let (at, epoch) = (Instant::now(), cluster.epoch());
    let how = Get { recursive: true, sorted: false, quorum: true };
    let answer = Keys::new(cluster, Some(at + limit)).get(key.as_bytes(), how).await?;
    let (index, cluster) = (answer.index, answer.cluster);
    Ok(Listing { entries: flat_entries(answer.node), index, epoch, cluster, at })
}

impl Listing {
    /// Returns whether both belong to the same store. The cluster id alone does not prove that: stores that were
    /// created with the same names and URLs, as with etcd's defaults, have the same id. But then different writes
    /// created their keys.
    fn is_of_the_store_of(&self, other: &Self) -> bool {
        if self.cluster.is_none() || self.cluster != other.cluster {
            return false;
        }
        let both = self.entries.iter().filter_map(|(key, own)| Some((own, other.entries.get(key)?)));
        let mut pairs = both.filter(|(own, other)| own.value.is_some() && other.value.is_some());
        // Another client may write either key between the two listings.
        pairs.any(|(own, other)| own.created == other.created)
    }
}

fn flat_entries(root: Node) -> BTreeMap<String, Entry> {
    let all = root.into_walk().filter(|walked| !matches!(&*walked.node.key, "" | "/"));
    let named = all.map(|Walked { node, entries, .. }| {
        let value = (!node.dir).then_some(node.value);
        let empty = node.dir && entries == 0;
        (node.key, Entry { empty, value, ttl: node.ttl, created: node.created })
    });
    named.collect()
}

fn plan(source: &BTreeMap<String, Entry>, target: &BTreeMap<String, Entry>) -> CopyPlan {
    let mut plan = CopyPlan::default();
    for (key, wanted) in source {
        let own = target.get(key);
        match (&wanted.value, own) {
            (None, Some(own)) if own.value.is_none() => {
                if !is_same_ttl(wanted.ttl, own.ttl) {
                    plan.dirs.push((key.clone(), wanted.ttl, true));
                }
            }
            (None, None) => {
                if wanted.empty || wanted.ttl > 0 {
                    plan.dirs.push((key.clone(), wanted.ttl, false));
                }
            }
            (Some(value), None) => plan.files.push((key.clone(), value.clone(), wanted.ttl)),
            (Some(value), Some(Entry { value: Some(own_value), ttl, .. })) => {
                if value == own_value && is_same_ttl(wanted.ttl, *ttl) {
                    plan.same += 1;
                    continue;
                }
                if value != own_value {
                    plan.conflicts.push(key.clone());
                }
                plan.files.push((key.clone(), value.clone(), wanted.ttl));
            }
            _ => plan.blocked.push(key.clone()),
        }
    }
    plan.conflicts.extend(target.keys().filter(|key| !source.contains_key(*key)).cloned());
    plan
}

fn is_same_ttl(one: i64, other: i64) -> bool {
    (one > 0) == (other > 0) && (one - other).abs() <= TTL_TOLERANCE_SECS
}

/// Returns the rest of a TTL after this time, in whole seconds; `None` when it has expired.
fn remaining_ttl(ttl: i64, since: Duration) -> Option<u64> {
    if ttl <= 0 {
        return Some(0);
    }
    let left = ttl as f64 - since.as_secs_f64();
    (left > 0.0).then_some(left.round().max(1.0) as u64)
}

/// Returns the first of some keys, and how many more there are.
fn key_list(keys: &[String]) -> String {
    let first = keys[..keys.len().min(MAX_NAMED_KEYS)].join(", ");
    if keys.len() > MAX_NAMED_KEYS {
        format!("{first} (and {} more)", keys.len() - MAX_NAMED_KEYS)
    } else {
        first
    }
}

/// Shows the progress on a terminal.
struct Progress {
    total: usize,
    done: usize,
    shown: Option<Instant>,
}

impl Progress {
    fn new(total: usize) -> Self {
        Self { total, done: 0, shown: std::io::stderr().is_terminal().then(Instant::now) }
    }

    fn step(&mut self) {
        self.done += 1;
        let Some(shown) = &mut self.shown else { return };
        if shown.elapsed() > Duration::from_millis(200) || self.done == self.total {
            *shown = Instant::now();
            let end = if self.done == self.total { "\n" } else { "" };
            print::error(&format!("\r{}/{}{end}", self.done, self.total));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(list: &[(&str, Option<&str>, i64)]) -> BTreeMap<String, Entry> {
        let holds = |dir: &str| list.iter().any(|(key, ..)| key.starts_with(&format!("{dir}/")));
        let entry = |(key, value, ttl): &(&str, Option<&str>, i64)| {
            let empty = value.is_none() && !holds(key);
            ((*key).to_owned(), Entry { value: value.map(str::to_owned), empty, ttl: *ttl, created: 0 })
        };
        list.iter().map(entry).collect()
    }

    #[test]
    fn only_missing_or_different_keys_are_written() {
        let source = entries(&[
            ("/a", Some("1"), 0),
            ("/b", Some("2"), 9),
            ("/d", None, 0),
            ("/d/x", Some("3"), 0),
            ("/e", None, 0),
            ("/t", None, 50),
            ("/t/y", Some("4"), 0),
        ]);
        let fresh = plan(&source, &BTreeMap::new());
        assert_eq!(fresh.dirs, [("/e".to_owned(), 0, false), ("/t".to_owned(), 50, false)]);
        assert_eq!((fresh.files.len(), fresh.conflicts.len()), (4, 0));
        let again = plan(&source, &source);
        assert_eq!((again.dirs.len(), again.files.len(), again.same), (0, 0, 4));
        let other =
            entries(&[("/a", Some("other"), 0), ("/b", Some("2"), 5), ("/z", None, 0), ("/t", None, 0)]);
        let merged = plan(&source, &other);
        assert_eq!(merged.conflicts, ["/a", "/z"]);
        assert_eq!(merged.dirs, [("/e".to_owned(), 0, false), ("/t".to_owned(), 50, true)]);
        assert!(merged.files.iter().any(|(key, _, ttl)| key == "/b" && *ttl == 9));
        assert_eq!(plan(&source, &entries(&[("/a", None, 0)])).blocked, ["/a"]);
    }

    #[test]
    fn a_ttl_is_reduced_by_the_elapsed_time_and_expired_keys_are_not_written() {
        assert_eq!(remaining_ttl(0, Duration::from_secs(99)), Some(0));
        assert_eq!(remaining_ttl(10, Duration::from_millis(2_400)), Some(8));
        assert_eq!(remaining_ttl(1, Duration::from_millis(900)), Some(1));
        assert_eq!(remaining_ttl(1, Duration::from_secs(1)), None);
    }
}
