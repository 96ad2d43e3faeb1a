//! Keys as bytes: their segments, what lies above them, which are hidden, which bytes are a key at all.

use super::Key;

/// The greatest product of a key's levels and its length. Making a key makes the directories above it, each of which
/// a mirror knows by its full path: without a bound one request of a megabyte of `/a/a/a…` would ask for hundreds of
/// gigabytes. 2,000 levels of one byte fit, and so do sixteen levels in a megabyte.
pub const MAX_DEPTH_TIMES_LENGTH: usize = 16 << 20;

/// Whether `bytes` are a key: absolute, clean (no empty, `.` or `..` segment, no `/` at the end but for the root),
/// and within [`MAX_DEPTH_TIMES_LENGTH`].
#[must_use]
pub fn is_key(bytes: &[u8]) -> bool {
    match bytes {
        [b'/'] => true,
        [b'/', rest @ ..] => {
            let mut levels = 0_usize;
            rest.split(|byte| *byte == b'/').all(|segment| {
                levels += 1;
                is_segment(segment)
            }) && within_spread(levels, bytes.len())
        }
        _ => false,
    }
}

/// Whether a key of that many levels and bytes is bearable.
pub(super) const fn within_spread(levels: usize, length: usize) -> bool {
    levels.saturating_mul(length) <= MAX_DEPTH_TIMES_LENGTH
}

/// Whether `bytes` can be one segment of a key.
pub(super) fn is_segment(bytes: &[u8]) -> bool {
    !matches!(bytes, b"" | b"." | b"..") && !bytes.contains(&b'/')
}

/// Whether `key` is the root.
pub(super) const fn is_root(key: &[u8]) -> bool {
    key.len() <= 1
}

/// The segments of `key` from the top, each with the path that ends with it.
pub(super) fn segments(key: &[u8]) -> Segments<'_> {
    // The root has no segment: its one slash is stepped over, and with it the end.
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

/// The directory `key` lies in and its last segment, or `None` for the root.
pub(super) fn split(key: &[u8]) -> Option<(&[u8], &[u8])> {
    if is_root(key) {
        return None;
    }
    let slash = key.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    Some((&key[..slash.max(1)], &key[slash + 1..]))
}

/// `key` and every directory above it, the root last.
pub(super) fn upward(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(key), |key| split(key).map(|(parent, _)| parent))
}

/// What of `key` lies below `dir`, which contains it: `b/c` for `/a/b/c` below `/a`. Empty for the directory itself.
pub(super) fn below<'k>(dir: &[u8], key: &'k [u8]) -> &'k [u8] {
    let rest = key.get(dir.len()..).unwrap_or_default();
    rest.strip_prefix(b"/").unwrap_or(rest)
}

/// Whether `key` is withheld from those who watch `watched`, a directory above it: a segment between them begins
/// with an underscore.
pub(super) fn hidden(watched: &[u8], key: &[u8]) -> bool {
    below(watched, key).split(|byte| *byte == b'/').any(|segment| segment.starts_with(b"_"))
}

/// The first bytes of all that lies below `dir`, and the first that come after them.
pub(super) fn bounds(dir: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let stem = if is_root(dir) { b"" } else { dir };
    // The byte after the slash in order is `0`.
    ([stem, b"/"].concat(), [stem, b"0"].concat())
}

/// `name` in `dir`.
fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    let stem = if is_root(dir) { b"" } else { dir };
    [stem, b"/", name].concat()
}

/// The key that an in-order create below `dir` gets at `index`.
pub(super) fn in_order(dir: &[u8], index: u64) -> Key {
    join(dir, format!("{index:020}").as_bytes()).into()
}
