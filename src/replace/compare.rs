//! Compares the existing file with the wanted one.

use std::fmt;
use std::io::{self, Read};

use super::error::ReplaceError;
use super::{Attributes, PERMISSION_BITS, Target};

/// How the existing file differs from what is wanted; each pair is (have, want).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// The file is missing. Then `bytes` is set too, the others are not.
    pub missing: bool,
    /// The bytes differ.
    pub bytes: bool,
    /// The permission bits differ from those asked for.
    pub mode: Option<(u32, u32)>,
    /// The owner differs from the one asked for.
    pub uid: Option<(u32, u32)>,
    /// The group differs from the one asked for.
    pub gid: Option<(u32, u32)>,
}

impl fmt::Display for Difference {
    /// Describes the difference for the log: `text`, `mode 0644 instead of 0600`; never the text itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        match (self.missing, self.bytes) {
            (true, _) => words.push("no file yet".to_owned()),
            (false, true) => words.push("text".to_owned()),
            (false, false) => {}
        }
        words.extend(self.mode.map(|(have, want)| format!("mode {have:04o} instead of {want:04o}")));
        words.extend(self.uid.map(|(have, want)| format!("owner {have} instead of {want}")));
        words.extend(self.gid.map(|(have, want)| format!("group {have} instead of {want}")));
        f.write_str(&words.join(", "))
    }
}

impl Difference {
    /// Returns whether nothing differs.
    #[must_use]
    pub fn none(&self) -> bool {
        *self == Self::default()
    }
}

impl Target {
    /// Compares the existing file with `bytes` and with the set fields of `want`. A file of another length is not
    /// read.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn compare(&self, bytes: &[u8], want: &Attributes) -> Result<Difference, ReplaceError> {
        let Some(found) = self.found else {
            return Ok(Difference { missing: true, bytes: true, ..Difference::default() });
        };
        let differ =
            |have: u32, want: Option<u32>| want.filter(|want| *want != have).map(|want| (have, want));
        Ok(Difference {
            missing: false,
            bytes: found.len != bytes.len() as u64 || !self.holds(bytes)?,
            mode: differ(found.mode, want.mode.map(|mode| mode & PERMISSION_BITS)),
            uid: differ(found.uid, want.uid),
            gid: differ(found.gid, want.gid),
        })
    }

    fn holds(&self, bytes: &[u8]) -> Result<bool, ReplaceError> {
        let Some((mut file, _)) = self.open_existing()? else { return Ok(false) };
        let mut compare = || -> io::Result<bool> {
            let mut buffer = vec![0; bytes.len().clamp(1, 64 * 1024)];
            let mut rest = bytes;
            loop {
                let count = match file.read(&mut buffer) {
                    Ok(0) => return Ok(rest.is_empty()),
                    Ok(count) => count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error),
                };
                let Some(after) = rest.strip_prefix(&buffer[..count]) else { return Ok(false) };
                rest = after;
            }
        };
        compare().map_err(|error| ReplaceError::io("read", self.path(), error))
    }
}
