//! Keys as bytes: validity, segments, parent directories, hidden keys.

use super::Key;

/// The greatest product of a key's levels and its length. Creating a key creates the directories above it, and a
/// listing shows each with its full path: without a limit, the listing after one request with a megabyte of
/// `/a/a/a…` would have hundreds of gigabytes. 2,000 levels of one byte fit, and so do sixteen levels in a megabyte.
pub const MAX_DEPTH_TIMES_LENGTH: usize = 16 << 20;

/// Returns whether `bytes` are a key: absolute, clean (no empty, `.` or `..` segment, no `/` at the end but for the
/// root), and within [`MAX_DEPTH_TIMES_LENGTH`].
#[must_use]
pub fn is_key(bytes: &[u8]) -> bool {
    let Some(rest) = bytes.strip_prefix(b"/") else { return false };
    let segments = || rest.split(|byte| *byte == b'/');
    rest.is_empty()
        || segments().all(|segment| !matches!(segment, b"" | b"." | b".."))
            && segments().count().saturating_mul(bytes.len()) <= MAX_DEPTH_TIMES_LENGTH
}

/// Returns whether `bytes` may be a segment of a key.
pub(super) fn is_segment(bytes: &[u8]) -> bool {
    !matches!(bytes, b"" | b"." | b"..") && !bytes.contains(&b'/')
}

/// Returns whether `key` is the root.
pub(super) const fn is_root(key: &[u8]) -> bool {
    key.len() <= 1
}

/// Returns the segments of `key` from the top, each with the path that ends with it.
pub(super) fn segments(key: &[u8]) -> Segments<'_> {
    // The root has no segment: starting after its one slash ends the iteration.
    Segments { key, from: if is_root(key) { 2 } else { 1 } }
}

/// See [`segments`].
pub(super) struct Segments<'k> {
    key: &'k [u8],
    from: usize,
}

impl<'k> Iterator for Segments<'k> {
    type Item = (&'k [u8], &'k [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.key.get(self.from..)?;
        let length = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
        let end = self.from + length;
        self.from = end + 1;
        Some((&rest[..length], &self.key[..end]))
    }
}

/// Returns how many levels below the root `key` is.
pub(super) fn depth(key: &[u8]) -> u32 {
    let slashes = key.iter().filter(|byte| **byte == b'/').count();
    if is_root(key) { 0 } else { u32::try_from(slashes).unwrap_or(u32::MAX) }
}

/// Splits `key` into its directory and its last segment; `None` for the root.
pub(super) fn split(key: &[u8]) -> Option<(&[u8], &[u8])> {
    if is_root(key) {
        return None;
    }
    let slash = key.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    Some((&key[..slash.max(1)], &key[slash + 1..]))
}

/// Iterates over `key` and every directory above it, the root last.
pub(super) fn upward(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(key), |key| split(key).map(|(parent, _)| parent))
}

/// Returns the part of `key` below `dir`, which contains it: `b/c` for `/a/b/c` below `/a`. Empty for the directory
/// itself.
pub(super) fn below<'k>(dir: &[u8], key: &'k [u8]) -> &'k [u8] {
    let rest = key.get(dir.len()..).unwrap_or_default();
    rest.strip_prefix(b"/").unwrap_or(rest)
}

/// Returns whether `key` is hidden from watches of `watched`, a directory above it: a segment between them begins
/// with an underscore.
pub(super) fn hidden(watched: &[u8], key: &[u8]) -> bool {
    below(watched, key).split(|byte| *byte == b'/').any(|segment| segment.starts_with(b"_"))
}

/// Returns the prefix of all keys below `dir`, and the first key after them.
pub(super) fn bounds(dir: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let stem = if is_root(dir) { b"" } else { dir };
    // `0` is the byte that follows the slash.
    ([stem, b"/"].concat(), [stem, b"0"].concat())
}

/// Joins `dir` and `name`.
fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    let stem = if is_root(dir) { b"" } else { dir };
    [stem, b"/", name].concat()
}

/// Returns the key that an in-order create below `dir` gets at `index`.
pub(super) fn in_order(dir: &[u8], index: u64) -> Key {
    join(dir, format!("{index:020}").as_bytes()).into()
}
