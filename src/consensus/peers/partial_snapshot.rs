//! Partially fetched snapshot files: `INDEX.TAG.part`, where the tag identifies the complete file.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::fs::{self, File, OpenOptions};

/// How long a part is kept without progress.
const MAX_PART_AGE: Duration = Duration::from_secs(3600);

/// A part left by an earlier attempt or process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PartialSnapshot {
    /// As the other side sent it, with quotes.
    pub(super) tag: String,
    pub(super) length: u64,
}

/// Finds the part of the snapshot of `index`.
pub(super) async fn find(folder: &Path, index: u64) -> Option<PartialSnapshot> {
    let mut found = fs::read_dir(folder).await.ok()?;
    while let Ok(Some(entry)) = found.next_entry().await {
        let name = entry.file_name();
        let tag =
            name.to_str().and_then(|name| name.strip_suffix(".part")).and_then(|name| name.split_once('.'));
        if let Some((of, tag)) = tag
            && of == format!("{index:016x}")
            && let Ok(meta) = entry.metadata().await
            && meta.len() > 0
        {
            return Some(PartialSnapshot { tag: format!("\"{tag}\""), length: meta.len() });
        }
    }
    None
}

/// Opens the part to continue at `have`, and removes all other parts: there is one transfer at a time.
pub(super) async fn open(folder: &Path, index: u64, tag: &str, have: u64) -> io::Result<(PathBuf, File)> {
    let bare = tag.trim_matches('"');
    if bare.is_empty() || bare.len() > 32 || !bare.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the snapshot came without a valid tag"));
    }
    let path = folder.join(format!("{index:016x}.{bare}.part"));
    let mut found = fs::read_dir(folder).await?;
    while let Some(entry) = found.next_entry().await? {
        let other = entry.path();
        if other.extension().is_some_and(|extension| extension == "part") && other != path {
            fs::remove_file(&other).await?;
        }
    }
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(&path).await?;
    file.set_len(have).await?;
    let mut file = file;
    tokio::io::AsyncSeekExt::seek(&mut file, io::SeekFrom::Start(have)).await?;
    Ok((path, file))
}

/// Removes parts without progress for long: the log has brought their content by now.
pub(super) async fn remove_old(folder: &Path) {
    let Ok(mut found) = fs::read_dir(folder).await else { return };
    while let Ok(Some(entry)) = found.next_entry().await {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "part")
            && let Ok(meta) = entry.metadata().await
            && meta.modified().is_ok_and(|at| at.elapsed().is_ok_and(|age| age > MAX_PART_AGE))
            && let Err(error) = fs::remove_file(&path).await
        {
            tracing::warn!("{}: an old part of a snapshot could not be removed: {error}", path.display());
        }
    }
}

/// Gives a complete file, which is on disk, its final name.
pub(super) async fn finish(part: &Path, path: &Path) -> io::Result<()> {
    fs::rename(part, path).await?;
    File::open(path.parent().unwrap_or(Path::new("."))).await?.sync_all().await
}
