//! Which version of the API both sides speak.

use std::fmt;

/// The newest version whose answers this code was held against. Newer engines speak it, too.
const TESTED: Version = Version { major: 1, minor: 47 };
/// What an engine speaks that does not say: the header is as old as this version.
const UNSAID: Version = Version { major: 1, minor: 24 };

/// A version of the API; every URL names one, because without it the engine takes its newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    major: u16,
    minor: u16,
}

impl Version {
    /// The version to speak with an engine whose newest is `theirs`, the header of its ping.
    pub(super) fn settled(theirs: Option<&str>) -> Self {
        theirs.and_then(Self::read).unwrap_or(UNSAID).min(TESTED)
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
    fn the_lower_of_both_newest_versions_is_spoken() {
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
