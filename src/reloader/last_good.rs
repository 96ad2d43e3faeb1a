//! The last good snapshot: what a daemon renders from while its source is down at start.
//!
//! Kept in the state folder, readable by its owner only, since it holds every value. It is written some time after a
//! change and at the end, not for every change.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::state_file;
use crate::key;
use crate::replace::check_private;
use crate::values::{Datum, Values};

const FORMAT_VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct SnapshotHead {
    format: u32,
    source: String,
    roots: Vec<String>,
    taken: u64,
    keys: usize,
}

#[derive(Serialize, Deserialize)]
struct SavedEntry {
    k: Arc<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    b: Option<String>,
}

/// A snapshot as it was read back.
#[derive(Debug)]
pub(super) struct LastGood {
    pub(super) values: Values,
    /// When it was taken, in seconds since 1970.
    pub(super) taken: u64,
}

/// Where the snapshot of one source is kept.
#[derive(Clone, Debug)]
pub(super) struct SnapshotCache {
    path: Option<PathBuf>,
    source: String,
}

impl SnapshotCache {
    /// Returns the cache of a source; without a state folder nothing is kept.
    pub(super) fn new(state_dir: Option<&Path>, confdir: &Path, source: &str) -> Self {
        let name = format!("{} {source}", confdir.display());
        let path = state_dir
            .map(|dir| dir.join("last-good").join(format!("{}.jsonl", state_file::name_of(name.as_bytes()))));
        Self { path, source: source.to_owned() }
    }

    /// Writes a snapshot. Blocking.
    pub(super) fn put(&self, roots: &[String], values: &Values) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        state_file::write(path, 0o600, |file| self.write_to(file, roots, values))
    }

    fn write_to(&self, file: &mut fs::File, roots: &[String], values: &Values) -> io::Result<()> {
        let mut out = BufWriter::new(file);
        let taken =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |age| age.as_secs());
        let head = SnapshotHead {
            format: FORMAT_VERSION,
            source: self.source.clone(),
            roots: roots.to_vec(),
            taken,
            keys: values.len(),
        };
        line(&mut out, &head)?;
        for (key, datum) in values.iter() {
            let entry = match datum {
                Datum::Text(text) => SavedEntry { k: Arc::clone(key), v: Some(Arc::clone(text)), b: None },
                Datum::Binary(bytes) => {
                    SavedEntry { k: Arc::clone(key), v: None, b: Some(STANDARD.encode(bytes)) }
                }
            };
            line(&mut out, &entry)?;
        }
        out.flush()
    }

    /// Returns the snapshot kept for this source, if it is intact and covers all of `roots`.
    pub(super) fn get(&self, roots: &[String]) -> Option<LastGood> {
        let path = self.path.as_ref()?;
        if let Some(error) = path.parent().filter(|dir| dir.exists()).and_then(|dir| check_private(dir).err())
        {
            tracing::warn!("the last good values are not used: {error}");
            return None;
        }
        let text = fs::read_to_string(path).ok()?;
        let mut lines = text.lines();
        let head: SnapshotHead = serde_json::from_str(lines.next()?).ok()?;
        let covered = roots.iter().all(|root| {
            head.roots.iter().any(|have| key::contains(have, root) && !key::is_hidden_below(have, root))
        });
        if head.format != FORMAT_VERSION || head.source != self.source || !covered {
            return None;
        }
        let values: Values = lines.map(entry).collect::<Option<_>>()?;
        (values.len() == head.keys).then_some(LastGood { values, taken: head.taken })
    }
}

fn line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value).map_err(io::Error::other)?;
    out.write_all(b"\n")
}

fn entry(line: &str) -> Option<(Arc<str>, Datum)> {
    let SavedEntry { k, v, b } = serde_json::from_str(line).ok()?;
    let datum = match (v, b) {
        (Some(text), None) => Datum::Text(text),
        (None, Some(text)) => Datum::Binary(STANDARD.decode(text).ok()?.into()),
        _ => return None,
    };
    Some((k, datum))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn values() -> Values {
        let binary = Datum::Binary(vec![0xff, 0].into());
        [(Arc::from("/app/a"), Datum::from("one\ntwo")), (Arc::from("/app/b"), binary)].into_iter().collect()
    }

    fn roots(list: &[&str]) -> Vec<String> {
        list.iter().map(|root| (*root).to_owned()).collect()
    }

    #[test]
    fn a_snapshot_round_trips_and_only_its_owner_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let snapshot_cache = SnapshotCache::new(Some(dir.path()), Path::new("/c"), "etcd");
        snapshot_cache.put(&roots(&["/app"]), &values()).unwrap();
        assert_eq!(snapshot_cache.get(&roots(&["/app/a"])).unwrap().values, values());
        let mode = fs::metadata(snapshot_cache.path.as_ref().unwrap()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_snapshot_of_another_source_or_of_fewer_keys_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let snapshot_cache = |source| SnapshotCache::new(Some(dir.path()), Path::new("/c"), source);
        snapshot_cache("etcd").put(&roots(&["/app"]), &values()).unwrap();
        assert!(snapshot_cache("other").get(&roots(&["/app"])).is_none());
        assert!(snapshot_cache("etcd").get(&roots(&["/app", "/db"])).is_none());
    }

    #[test]
    fn a_torn_snapshot_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let snapshot_cache = SnapshotCache::new(Some(dir.path()), Path::new("/c"), "etcd");
        snapshot_cache.put(&roots(&["/app"]), &values()).unwrap();
        let path = snapshot_cache.path.clone().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.lines().take(2).collect::<Vec<_>>().join("\n")).unwrap();
        assert!(snapshot_cache.get(&roots(&["/app"])).is_none());
    }
}
