//! TOML, JSON and YAML files as a source.
//!
//! Later files win, key by key. While a file is missing or broken, the last values stay and the outage is reported
//! once. Any hint causes a check of all files; only changed content causes an event.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::flatten::flatten;
use super::fswatch::FileWatcher;
use super::glob::Glob;
use super::link::{Closed, Link, WatchEnd};
use super::roots::Roots;
use super::walk::{Walk, file_error};
use super::{Listing, Snapshot, SourceError, SourceEvent};
use crate::document::{Node, parse_json, parse_toml, parse_yaml};
use crate::values::{Change, Datum};

/// A larger file is not a configuration file.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// A broken file is read again after this delay before it is reported: most are only half written.
const REREAD_DELAY: Duration = Duration::from_millis(100);
/// How soon a broken or missing file is checked again without a hint.
const RETRY_DELAY: Duration = Duration::from_secs(2);
/// How long all values must be missing before this counts as a change.
const EMPTY_CONFIRM_DELAY: Duration = Duration::from_secs(1);
/// Paths may change while they are resolved; after this many rounds, wait for the next hint.
const MAX_RESOLVE_ROUNDS: usize = 5;

type Entries = BTreeMap<Arc<str>, Datum>;

#[derive(Clone, Debug)]
pub(super) struct Files {
    paths: Arc<[PathBuf]>,
    filter: Glob,
}

/// The result of one read.
struct FileReading {
    walk: Walk,
    /// The content's hash and the values; no values when the content is unchanged.
    found: Result<(u64, Option<Entries>), SourceError>,
}

/// The state at the last good read.
#[derive(Clone, Default)]
struct LastRead {
    hash: Option<u64>,
    stamp: Vec<(PathBuf, u64, u64, u64, i64, i64)>,
}

impl Files {
    pub(super) fn new(paths: Vec<PathBuf>, filter: &str) -> Result<Self, SourceError> {
        if paths.is_empty() {
            return Err(SourceError::Settings("the file source needs at least one file or folder".into()));
        }
        let filter = Glob::new(filter)
            .map_err(|why| SourceError::Settings(format!("the file filter {filter:?}: {why}")))?;
        Ok(Self { paths: paths.into(), filter })
    }

    pub(super) fn describe(&self) -> String {
        self.paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    }

    pub(super) async fn list(&self, roots: &[String]) -> Result<Listing, SourceError> {
        let (_, entries) = self.read(roots, LastRead::default()).await.found?;
        let entries = entries.unwrap_or_default().into_iter().collect();
        Ok(Listing { snapshot: Snapshot { entries, revision: 0 }, indexes: Vec::new() })
    }

    /// Sends the differences from `last`, for ever.
    pub(super) async fn watch(
        &self,
        roots: &[String],
        last: &[(Arc<str>, Datum)],
        link: &mut Link,
    ) -> Result<WatchEnd, Closed> {
        let mut file_watcher = FileWatcher::new();
        let mut values: Entries = last.iter().cloned().collect();
        let mut known = LastRead::default();
        loop {
            let mut reading = self.read(roots, known.clone()).await;
            for _ in 0..MAX_RESOLVE_ROUNDS {
                if !file_watcher.set_paths(&reading.walk.watch_paths) {
                    break;
                }
                // Something may have changed between the read and the new watch.
                reading = self.read(roots, known.clone()).await;
            }
            if reading.found.is_err() {
                tokio::time::sleep(REREAD_DELAY).await;
                reading = self.read(roots, known.clone()).await;
            }
            let emptied = matches!(&reading.found, Ok((_, Some(entries))) if entries.is_empty());
            if emptied && !values.is_empty() {
                // A program that truncates a file before it writes leaves no values for a moment: wait until they are
                // confirmed missing.
                tokio::time::sleep(EMPTY_CONFIRM_DELAY).await;
                reading = self.read(roots, known.clone()).await;
            }
            let limit = match reading.found {
                Ok((hash, entries)) => {
                    link.report_up().await?;
                    if let Some(entries) = entries {
                        let changes = difference(&values, &entries);
                        if !changes.is_empty() {
                            link.send(SourceEvent::Changes { changes, revision: 0 }).await?;
                        }
                        values = entries;
                    }
                    known = LastRead { hash: Some(hash), stamp: reading.walk.stamp };
                    None
                }
                Err(error) => {
                    link.report(error).await?;
                    Some(RETRY_DELAY)
                }
            };
            file_watcher.wait(limit).await;
        }
    }

    /// Reads everything on a blocking thread; files may lie on a slow mount.
    async fn read(&self, roots: &[String], known: LastRead) -> FileReading {
        let (files, roots) = (self.clone(), roots.to_vec());
        match tokio::task::spawn_blocking(move || files.read_now(&roots, &known)).await {
            Ok(reading) => reading,
            Err(error) => FileReading {
                walk: Walk::default(),
                found: Err(SourceError::Unavailable(format!("reading the files was interrupted: {error}"))),
            },
        }
    }

    fn read_now(&self, roots: &[String], known: &LastRead) -> FileReading {
        let (walk, outcome) = Walk::new(&self.paths, &self.filter);
        if let Err(error) = outcome {
            return FileReading { walk, found: Err(error) };
        }
        if let Some(hash) = known.hash
            && !walk.recently_modified
            && walk.stamp == known.stamp
        {
            return FileReading { walk, found: Ok((hash, None)) };
        }
        let found = contents(&walk.files).and_then(|contents| {
            let mut hasher = DefaultHasher::new();
            contents.hash(&mut hasher);
            let hash = hasher.finish();
            if known.hash == Some(hash) {
                return Ok((hash, None));
            }
            let roots = Roots::new(roots);
            let mut entries = Entries::new();
            for (path, text) in &contents {
                let node = parse(path, text)?;
                flatten(node, &|key| roots.covers(key), &mut entries)
                    .map_err(|message| SourceError::File { path: path.clone(), line: None, message })?;
            }
            Ok((hash, Some(entries)))
        });
        FileReading { walk, found }
    }
}

fn contents(files: &[PathBuf]) -> Result<Vec<(PathBuf, String)>, SourceError> {
    files.iter().map(|path| Ok((path.clone(), text(path)?))).collect()
}

fn text(path: &Path) -> Result<String, SourceError> {
    let bad = |message: String| SourceError::File { path: path.to_owned(), line: None, message };
    let file = fs::File::open(path).map_err(|error| file_error(path, &error))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| file_error(path, &error))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(bad(format!("is larger than {} MiB", MAX_FILE_BYTES >> 20)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let upto = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = upto.iter().filter(|byte| **byte == b'\n').count() + 1;
        SourceError::File { path: path.to_owned(), line: Some(line), message: "is not UTF-8 text".into() }
    })
}

fn parse(path: &Path, text: &str) -> Result<Node, SourceError> {
    let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or("");
    let parsed = match kind {
        "toml" => parse_toml(text),
        "json" => parse_json(text),
        _ => parse_yaml(text),
    };
    parsed.map_err(|why| {
        let (message, line) = placed(&why);
        SourceError::File { path: path.to_owned(), line, message: message.to_owned() }
    })
}

/// Splits a parser's message into the text without its place, and the line.
fn placed(why: &str) -> (&str, Option<usize>) {
    let Some((message, place)) = why.rsplit_once(" at line ") else { return (why, None) };
    let digits = place.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(place.len());
    match place[..digits].parse() {
        Ok(line) => (message, Some(line)),
        Err(_) => (why, None),
    }
}

fn difference(old: &Entries, new: &Entries) -> Vec<Change> {
    let gone = old.keys().filter(|key| !new.contains_key(*key)).map(|key| Change::Delete(Arc::clone(key)));
    let set = new
        .iter()
        .filter(|(key, datum)| old.get(*key) != Some(datum))
        .map(|(key, datum)| Change::Set(Arc::clone(key), datum.clone()));
    gone.chain(set).collect()
}
