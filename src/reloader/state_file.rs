//! The program's own files in the state folder, below a folder that only their owner can enter.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::disk;
use crate::replace::check_private;
use crate::scalar::hex;

/// Returns the SHA-256 of some bytes in hexadecimal.
pub(super) fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Returns the file name of what belongs to `owner`, without an extension.
pub(super) fn name_of(owner: &[u8]) -> String {
    digest(owner)[..32].to_owned()
}

/// Returns the file name of what belongs to a confdir, without an extension.
///
/// # Errors
/// When its path cannot be made absolute.
pub(super) fn name_of_confdir(confdir: &Path) -> io::Result<String> {
    Ok(name_of(std::path::absolute(confdir)?.as_os_str().as_encoded_bytes()))
}

/// Creates a folder if it is missing, for its owner only. One that other users can write is refused: they could plant
/// values to render from, or files to remove.
pub(super) fn make_folder(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(disk::at(dir))?;
    check_private(dir).map_err(io::Error::other)
}

/// Writes a file with these permission bits. Its folder is created anew if somebody removed it.
pub(super) fn write(
    path: &Path,
    mode: u32,
    content: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    path.parent().map_or(Ok(()), make_folder)?;
    let temporary = path.with_extension(format!("new.{}", std::process::id()));
    disk::write_whole(path, &temporary, mode, content).map_err(disk::at(path))
}
