//! The `proxy` part of a data folder: the peer URLs of the cluster when it last responded.
//!
//! Location and form are etcd's, so either program can continue where the other stopped.

use std::fs::{self, DirBuilder};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::error::ApiError;
use crate::disk;

/// More than the URLs of any cluster need.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The owner of a data folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataDirOwner {
    /// Nobody.
    Nothing,
    /// A member's.
    Member,
    /// A proxy's.
    Proxy,
    /// It holds the data of both, which no program writes.
    Both,
}

/// Returns the owner of `data_dir`.
#[must_use]
pub fn data_dir_owner(data_dir: &Path) -> DataDirOwner {
    match (data_dir.join("member").exists(), data_dir.join("proxy").exists()) {
        (false, false) => DataDirOwner::Nothing,
        (true, false) => DataDirOwner::Member,
        (false, true) => DataDirOwner::Proxy,
        (true, true) => DataDirOwner::Both,
    }
}

/// Returns whether a proxy that ran in `data_dir` left the members' peer URLs.
#[must_use]
pub fn has_peer_urls(data_dir: &Path) -> bool {
    data_dir.join("proxy/cluster").exists()
}

/// The content of the file.
#[derive(Debug, Deserialize, Serialize)]
struct Cluster {
    #[serde(rename = "PeerURLs")]
    peer_urls: Vec<String>,
}

/// The file of peer URLs.
#[derive(Clone, Debug)]
pub(super) struct ClusterFile {
    path: PathBuf,
}

impl ClusterFile {
    /// Opens the file and creates its folder when missing. Returns the URLs if there are any.
    pub(super) fn open(data_dir: &Path) -> Result<(Self, Option<Vec<String>>), ApiError> {
        let folder = data_dir.join("proxy");
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|error| ApiError::File {
            path: folder.clone(),
            why: format!(
                "cannot be made: {}; name another --data-dir, or give this user the right to write",
                disk::cause(&error)
            ),
        })?;
        let path = folder.join("cluster");
        let bad = |why: String| ApiError::File { path: path.clone(), why };
        let known = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Ok(found) if found.len() > MAX_FILE_BYTES => Some(Err("it is too long".to_owned())),
            _ => Some(read(&path)),
        };
        let known = known.transpose().map_err(|why| {
            bad(format!("cannot be used: {why}; remove it, and --initial-cluster counts again"))
        })?;
        Ok((Self { path }, known))
    }

    /// Saves the URLs for the next start: after a crash the file has the old ones or the new.
    pub(super) fn save(&self, peer_urls: &[String]) -> io::Result<()> {
        let cluster = Cluster { peer_urls: peer_urls.to_vec() };
        let text = serde_json::to_vec(&cluster).map_err(io::Error::other)?;
        let aside = self.path.with_extension("bak");
        disk::write_whole(&self.path, &aside, 0o600, |file| file.write_all(&text))?;
        disk::sync_folder_of(&self.path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn read(path: &Path) -> Result<Vec<String>, String> {
    let text = fs::read(path).map_err(|error| disk::cause(&error))?;
    let cluster: Cluster = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    if cluster.peer_urls.is_empty() { Err("it names no URL".to_owned()) } else { Ok(cluster.peer_urls) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_etcds_format_and_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let (file, known) = ClusterFile::open(&data).unwrap();
        assert_eq!(known, None);
        file.save(&["http://a:1".to_owned(), "http://b:2".to_owned()]).unwrap();
        let text = fs::read_to_string(data.join("proxy/cluster")).unwrap();
        assert_eq!(text, r#"{"PeerURLs":["http://a:1","http://b:2"]}"#);
        let (_, known) = ClusterFile::open(&data).unwrap();
        assert_eq!(known.unwrap(), ["http://a:1", "http://b:2"]);
    }

    #[test]
    fn an_unusable_file_is_reported_with_a_remedy() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "{", "[]", "{\"PeerURLs\":[]}", "{\"PeerURLs\":null}"] {
            fs::create_dir_all(dir.path().join("proxy")).unwrap();
            fs::write(dir.path().join("proxy/cluster"), text).unwrap();
            let error = ClusterFile::open(dir.path()).unwrap_err().to_string();
            assert!(error.contains("proxy/cluster") && error.contains("remove it"), "{text}: {error}");
        }
    }

    #[test]
    fn a_folder_is_empty_a_members_a_proxys_or_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(data_dir_owner(dir.path()), DataDirOwner::Nothing);
        fs::create_dir(dir.path().join("proxy")).unwrap();
        assert_eq!(data_dir_owner(dir.path()), DataDirOwner::Proxy);
        fs::create_dir(dir.path().join("member")).unwrap();
        assert_eq!(data_dir_owner(dir.path()), DataDirOwner::Both);
        fs::remove_dir(dir.path().join("proxy")).unwrap();
        assert_eq!(data_dir_owner(dir.path()), DataDirOwner::Member);
    }
}
