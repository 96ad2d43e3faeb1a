//! The API version that both sides speak.

use std::fmt;

/// The newest version that this code was tested with. Newer engines support it, too.
const NEWEST_TESTED: Version = Version { major: 1, minor: 47 };
/// The version of an engine that does not report one: the header exists since this version.
const UNREPORTED: Version = Version { major: 1, minor: 24 };

/// An API version. Every URL names one, because without it the engine uses its newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    major: u16,
    minor: u16,
}

impl Version {
    /// Returns the version to use with an engine whose newest is `theirs`, the header of its ping response.
    pub(super) fn settled(theirs: Option<&str>) -> Self {
        theirs.and_then(Self::read).unwrap_or(UNREPORTED).min(NEWEST_TESTED)
    }

    fn read(text: &str) -> Option<Self> {
        let (major, minor) = text.trim().split_once('.')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lower_of_both_maximum_versions_is_used() {
        for (theirs, spoken) in [
            (Some("1.41"), "v1.41"),
            (Some("1.9"), "v1.9"),
            (Some("1.47"), "v1.47"),
            (Some("1.56"), "v1.47"),
            (Some("2.0"), "v1.47"),
            (Some("newest/../.."), "v1.24"),
            (Some(""), "v1.24"),
            (None, "v1.24"),
        ] {
            assert_eq!(Version::settled(theirs).to_string(), spoken, "{theirs:?}");
        }
    }
}
