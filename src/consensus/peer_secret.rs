//! The secret that all members of a cluster share: read from its file, never shown.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

/// A shorter secret could be guessed from recorded traffic.
const MIN_BYTES: usize = 16;
const MAX_BYTES: usize = 4096;
/// Mode bits: others than the owner may write.
const OTHERS_WRITE: u32 = 0o022;
/// Mode bits: everybody may read. A group may: that is how containers get their secrets.
const EVERYBODY_READS: u32 = 0o004;

/// What the members of a cluster prove to each other that they hold.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerSecret(Arc<[u8]>);

impl fmt::Debug for PeerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerSecret(hidden)")
    }
}

impl PeerSecret {
    /// Reads the file, without the line ends after its last line. Returns a warning if every user of this machine may
    /// read it.
    ///
    /// # Errors
    /// It cannot be read, others may write it, or its content is too short or too long.
    pub fn read(path: &Path) -> Result<(Self, Option<String>), String> {
        let shown = path.display();
        let unreadable = |error: std::io::Error| format!("{shown}: cannot be read: {error}");
        // A pipe or a device may never end.
        if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(format!("{shown}: it is not a file"));
        }
        let file = File::open(path).map_err(unreadable)?;
        let mode = file.metadata().map_err(unreadable)?.mode() & 0o777;
        if mode & OTHERS_WRITE != 0 {
            return Err(format!(
                "{shown}: its mode is {mode:o}, so others than its owner may replace the secret: chmod 600 {shown}"
            ));
        }
        let mut bytes = Vec::new();
        file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() > MAX_BYTES {
            return Err(format!("{shown}: it is longer than {MAX_BYTES} bytes"));
        }
        while bytes.pop_if(|byte| matches!(byte, b'\n' | b'\r')).is_some() {}
        if bytes.len() < MIN_BYTES {
            return Err(format!(
                "{shown}: a secret has at least {MIN_BYTES} bytes, and this one {}: make one with head -c 32 \
                 /dev/urandom | base64",
                bytes.len()
            ));
        }
        let warning = (mode & EVERYBODY_READS != 0).then(|| {
            format!("{shown}: its mode is {mode:o}, so every user of this machine can read the secret: chmod 600 {shown}")
        });
        Ok((Self(bytes.into()), warning))
    }

    /// Makes a secret for a test.
    #[cfg(test)]
    pub(super) fn of(text: &str) -> Self {
        Self(text.as_bytes().into())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const SECRET: &str = "0123456789abcdef";

    fn read(text: &str, mode: u32) -> Result<(PeerSecret, Option<String>), String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        PeerSecret::read(&path)
    }

    #[test]
    fn line_ends_after_the_secret_do_not_count() {
        for text in [SECRET.to_owned(), format!("{SECRET}\n"), format!("{SECRET}\r\n")] {
            assert_eq!(read(&text, 0o600), Ok((PeerSecret::of(SECRET), None)), "{text:?}");
        }
        assert_ne!(read(&format!(" {SECRET}"), 0o600).unwrap().0, PeerSecret::of(SECRET));
    }

    #[test]
    fn a_file_that_others_may_write_is_refused_and_one_that_all_may_read_is_reported() {
        for mode in [0o600, 0o400, 0o440, 0o640] {
            assert_eq!(read(SECRET, mode).unwrap().1, None, "{mode:o}");
        }
        let warning = read(SECRET, 0o644).unwrap().1.unwrap();
        assert!(warning.contains("its mode is 644") && warning.contains("chmod 600"), "{warning}");
        for mode in [0o620, 0o602, 0o666] {
            let refused = read(SECRET, mode).unwrap_err();
            assert!(refused.contains("may replace the secret"), "{mode:o}: {refused}");
        }
    }

    #[test]
    fn an_unusable_file_is_refused_and_its_content_is_never_shown() {
        let short = read("abcdef012345678\n", 0o600).unwrap_err();
        assert!(short.contains("at least 16 bytes, and this one 15"), "{short}");
        let long = read(&SECRET.repeat(300), 0o600).unwrap_err();
        assert!(long.contains("longer than 4096 bytes"), "{long}");
        let dir = tempfile::tempdir().unwrap();
        assert!(PeerSecret::read(dir.path()).unwrap_err().contains("it is not a file"));
        assert!(PeerSecret::read(&dir.path().join("none")).unwrap_err().contains("cannot be read"));
        let shown = format!("{:?} {short} {long}", PeerSecret::of(SECRET));
        assert!(!shown.contains("abcdef"), "{shown}");
    }
}
