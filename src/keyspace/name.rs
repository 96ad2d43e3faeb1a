//! The name of a node in its directory.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;

/// The longest name without its own allocation: covers nearly all names in practice, including the twenty digits of
/// in-order keys.
const INLINE_BYTES: usize = 22;

/// One segment of a key. Ordered by its bytes.
#[derive(Clone)]
pub(super) enum NodeName {
    Short { length: u8, bytes: [u8; INLINE_BYTES] },
    Long(Box<[u8]>),
}

impl NodeName {
    pub(super) fn new(segment: &[u8]) -> Self {
        if segment.len() > INLINE_BYTES {
            return Self::Long(segment.into());
        }
        let mut bytes = [0; INLINE_BYTES];
        bytes[..segment.len()].copy_from_slice(segment);
        Self::Short { length: segment.len() as u8, bytes }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short { length, bytes } => &bytes[..usize::from(*length)],
            Self::Long(bytes) => bytes,
        }
    }
}

impl Borrow<[u8]> for NodeName {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl PartialEq for NodeName {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for NodeName {}

impl PartialOrd for NodeName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for NodeName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.as_bytes()))
    }
}
