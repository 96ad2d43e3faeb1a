//! `import --snap`: imports the keys of a snapshot of etcd 0.4.
//!
//! Such a file is a checksum in eight hexadecimal digits and a newline, then a JSON object whose `state` is the store
//! in base64. etcd 0.4.9 exports only that store for migrations. The store is a JSON object too.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use serde::Deserialize;

use crate::client::cluster::Set;

use super::error::CommandError;
use super::session::Session;
use super::{print, subtree};

/// The shortest TTL of an imported key, as in etcd's own import.
const MIN_TTL_SECS: u64 = 300;
/// The longest accepted file; no store of that time was larger.
const MAX_FILE_BYTES: u64 = 1 << 30;

#[derive(Deserialize)]
struct Snapshot {
    state: String,
}

#[derive(Deserialize)]
struct Store {
    #[serde(rename = "Root")]
    root: SnapshotNode,
}

#[derive(Debug, Deserialize)]
struct SnapshotNode {
    #[serde(default, rename = "Value")]
    value: String,
    #[serde(default, rename = "ExpireTime")]
    expires: String,
    #[serde(default, rename = "Children")]
    children: Option<BTreeMap<String, Self>>,
}

/// One key to write.
#[derive(Debug, PartialEq, Eq)]
struct SnapshotKey {
    key: String,
    value: String,
    ttl: u64,
}

pub(super) async fn run(
    session: &Session<'_>,
    path: &Path,
    hidden: &[String],
    clients: usize,
) -> Result<String, CommandError> {
    let shown = path.display();
    let size = std::fs::metadata(path).map_or(0, |meta| meta.len());
    if size > MAX_FILE_BYTES {
        let limit = MAX_FILE_BYTES >> 20;
        return Err(CommandError::usage(format!("snapshot file {shown} is larger than {limit} MiB\n")));
    }
    let file = std::fs::read(path)
        .map_err(|_| CommandError::usage(format!("cannot read snapshot file {shown}\n")))?;
    let undecoded = |why| CommandError::usage(format!("cannot decode snapshot file {shown}: {why}\n"));
    let root = decode(&file).map_err(undecoded)?;
    print::out(&format!("starting to import snapshot {shown} with {clients} clients\n"));
    let now = Timestamp::now();
    let mut keys = Vec::new();
    collect(&root, "", now, &mut keys);
    for key in hidden {
        let found = find(&root, key).ok_or_else(|| {
            CommandError::usage(format!("the snapshot has no key {key}; nothing was written\n"))
        })?;
        collect(found, &subtree::key_of(OsStr::new(key)).map_err(CommandError::with_prefix)?, now, &mut keys);
    }
    let count = keys.len();
    let mut sets =
        stream::iter(keys.into_iter().map(|copied| set(session, copied))).buffer_unordered(clients);
    while let Some(done) = sets.next().await {
        done?;
    }
    Ok(format!("finished importing {count} keys\n"))
}

async fn set(session: &Session<'_>, copied: SnapshotKey) -> Result<(), CommandError> {
    let how = Set { ttl: copied.ttl, ..Set::default() };
    // Each key gets the timeout of a whole command, from when its turn comes.
    let done = session.keys().set(copied.key.as_bytes(), copied.value.as_bytes(), &how).await;
    print::error(&format!("copying key: {}\n", copied.key));
    done.map(drop).map_err(|error| {
        let error = CommandError::from(error);
        CommandError { message: format!("failed to copy key {}\n{}", copied.key, error.message), ..error }
    })
}

fn decode(file: &[u8]) -> Result<SnapshotNode, String> {
    let json = match file.first() {
        Some(b'{') => file.to_vec(),
        _ => verify_checksum(file)?,
    };
    let store = |json: &[u8]| serde_json::from_slice::<Store>(json).map(|store| store.root);
    match serde_json::from_slice::<Snapshot>(&json) {
        Ok(snapshot) => {
            let state = STANDARD
                .decode(snapshot.state)
                .map_err(|error| format!("its state is not base64: {error}"))?;
            store(&state).map_err(|error| format!("its state is not a store: {error}"))
        }
        Err(_) => store(&json).map_err(|error| format!("it is neither a snapshot nor a store: {error}")),
    }
}

fn verify_checksum(file: &[u8]) -> Result<Vec<u8>, String> {
    let end =
        file.iter().take(9).position(|byte| *byte == b'\n').ok_or("it does not begin with a checksum")?;
    let message = std::str::from_utf8(&file[..end]).ok().and_then(|text| u32::from_str_radix(text, 16).ok());
    let message = message.ok_or("it does not begin with a checksum")?;
    let body = &file[end + 1..];
    let is = crc32fast::hash(body);
    if is == message {
        Ok(body.to_vec())
    } else {
        Err(format!("its checksum is {is:08x}, not {message:08x}"))
    }
}

fn find<'s>(root: &'s SnapshotNode, key: &str) -> Option<&'s SnapshotNode> {
    let mut segments = key.split('/').filter(|segment| !segment.is_empty());
    segments.try_fold(root, |at, segment| at.children.as_ref()?.get(segment))
}

/// Collects the files at and below a directory that are not hidden and have not expired.
fn collect(saved: &SnapshotNode, key: &str, now: Timestamp, keys: &mut Vec<SnapshotKey>) {
    // Go writes the year 1 for "never".
    let expires = saved.expires.parse::<Timestamp>().ok().filter(|expires| *expires > Timestamp::UNIX_EPOCH);
    let left = expires.map(|expires| expires.as_second() - now.as_second());
    if left.is_some_and(|left| left <= 0) {
        return;
    }
    let Some(children) = &saved.children else {
        let ttl = left.map_or(0, |left| left.unsigned_abs().max(MIN_TTL_SECS));
        keys.push(SnapshotKey { key: key.to_owned(), value: saved.value.clone(), ttl });
        return;
    };
    for (name, child) in children.iter().filter(|(name, _)| !name.starts_with('_')) {
        collect(child, &format!("{key}/{name}"), now, keys);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: &str = r#"{"Root":{"Path":"/","ExpireTime":"0001-01-01T00:00:00Z","Value":"","Children":{
        "a":{"Path":"/a","CreatedIndex":2,"ModifiedIndex":2,"ExpireTime":"0001-01-01T00:00:00Z","Value":"1","Children":null},
        "old":{"Path":"/old","ExpireTime":"2014-01-01T00:00:00Z","Value":"gone","Children":null},
        "soon":{"Path":"/soon","ExpireTime":"2200-01-01T00:00:10Z","Value":"x","Children":null},
        "_h":{"Path":"/_h","ExpireTime":"0001-01-01T00:00:00Z","Children":{
            "k":{"Path":"/_h/k","ExpireTime":"0001-01-01T00:00:00Z","Value":"2","Children":null}}}}},
        "CurrentIndex":5,"CurrentVersion":2}"#;

    #[test]
    fn both_formats_are_read_and_a_damaged_file_is_refused() {
        let body = format!("{{\"lastIndex\":5,\"state\":\"{}\"}}", STANDARD.encode(STORE));
        let whole = format!("{:08x}\n{body}", crc32fast::hash(body.as_bytes()));
        for file in [whole.as_str(), STORE] {
            let root = decode(file.as_bytes()).unwrap();
            assert_eq!(root.children.unwrap().len(), 4);
        }
        let damaged = whole.replace("lastIndex\":5", "lastIndex\":6");
        assert!(decode(damaged.as_bytes()).unwrap_err().contains("checksum"));
        for bad in ["", "x", "zzzzzzzz\n{}", "{\"state\":\"%\"}", "{}"] {
            assert!(decode(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn hidden_and_expired_keys_are_skipped_and_short_ttls_are_extended() {
        let root = decode(STORE.as_bytes()).unwrap();
        let now: Timestamp = "2200-01-01T00:00:00Z".parse().unwrap();
        let mut keys = Vec::new();
        collect(&root, "", now, &mut keys);
        let found: Vec<(&str, u64)> = keys.iter().map(|copied| (copied.key.as_str(), copied.ttl)).collect();
        assert_eq!(found, [("/a", 0), ("/soon", MIN_TTL_SECS)]);
        let mut keys = Vec::new();
        collect(find(&root, "/_h/").unwrap(), "/_h", now, &mut keys);
        assert_eq!(keys, [SnapshotKey { key: "/_h/k".into(), value: "2".into(), ttl: 0 }]);
    }
}
