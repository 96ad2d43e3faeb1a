//! The clients that have logged in before, with their users: their checks have a queue of their own.
//!
//! They are kept in a file, so that a restart, after which all of them log in again, does not make them strangers. The
//! file holds addresses and names, and nothing that depends on a password. It is only a hint: when it is lost or
//! unreadable, these clients wait like the others.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::http::server::ClientId;

/// How many pairs of client and user are remembered.
const MAX_KNOWN: usize = 1024;
/// The longest file.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The clients that have logged in.
#[derive(Debug)]
pub(super) struct KnownLogins {
    file: Option<PathBuf>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Each with the number of its last login; the lowest is removed when there are too many.
    logins: HashMap<(ClientId, String), u64>,
    last: u64,
    changed: bool,
}

impl KnownLogins {
    /// Reads the file, if there is one.
    pub(super) fn open(file: Option<PathBuf>) -> Self {
        let known = file.as_deref().map(read).unwrap_or_default();
        Self { file, known: Mutex::new(known) }
    }

    pub(super) fn contains(&self, client: ClientId, user: &str) -> bool {
        self.known().logins.contains_key(&(client, user.to_owned()))
    }

    /// Records a login. Returns the file and its new text if it is a new pair; such a login took a check of a password, which
    /// takes longer than a write.
    pub(super) fn add(&self, client: ClientId, user: &str) -> Option<(PathBuf, String)> {
        let mut known = self.known();
        known.add(client, user);
        let file = self.file.as_ref().filter(|_| known.changed)?;
        known.changed = false;
        Some((file.clone(), known.text()))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // The critical sections cannot panic.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn add(&mut self, client: ClientId, user: &str) {
        self.last += 1;
        self.changed |= self.logins.insert((client, user.to_owned()), self.last).is_none();
        if self.logins.len() > MAX_KNOWN
            && let Some(oldest) = self.logins.iter().min_by_key(|(_, number)| **number)
        {
            let oldest = oldest.0.clone();
            self.logins.remove(&oldest);
        }
    }

    /// Returns a line for each pair, the oldest first: the address, then the name as JSON.
    fn text(&self) -> String {
        let mut logins: Vec<_> = self.logins.iter().collect();
        logins.sort_by_key(|(_, number)| **number);
        logins
            .into_iter()
            .filter_map(|((client, user), _)| {
                let name = serde_json::to_string(user).ok()?;
                Some(format!("{} {name}\n", client.address()?))
            })
            .collect()
    }
}

fn read(file: &Path) -> Known {
    let mut text = String::new();
    let read = fs::File::open(file).and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text));
    let mut known = Known::default();
    match read {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return known,
        Err(error) => {
            tracing::warn!(
                file = %file.display(), %error,
                "the addresses that have logged in before cannot be read; they wait like others when many log in"
            );
            return known;
        }
    }
    for line in text.lines() {
        let Some((address, name)) = line.split_once(' ') else { continue };
        if let (Ok(address), Ok(user)) = (address.parse::<IpAddr>(), serde_json::from_str::<String>(name)) {
            known.add(ClientId::new(Some(address)), &user);
        }
    }
    known.changed = false;
    known
}

/// Replaces the file. Not synced: it is only a hint.
pub(super) fn write(file: &Path, text: &str) {
    let part = file.with_extension("part");
    if let Err(error) = fs::write(&part, text).and_then(|()| fs::rename(&part, file)) {
        tracing::debug!(file = %file.display(), %error, "the addresses that have logged in cannot be written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u32) -> ClientId {
        ClientId::new(Some(IpAddr::V4(number.into())))
    }

    #[test]
    fn logins_survive_a_restart_up_to_a_limit() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("logins");
        let known = KnownLogins::open(Some(file.clone()));
        let save = |written: Option<(PathBuf, String)>| written.map(|(file, text)| write(&file, &text));
        assert!(save(known.add(client(1), "a b\n")).is_some());
        assert!(save(known.add(client(1), "a b\n")).is_none(), "nothing new");
        assert!(save(known.add(client(2), "b")).is_some(), "at once, also soon after another");
        let again = KnownLogins::open(Some(file.clone()));
        assert!(again.contains(client(1), "a b\n") && again.contains(client(2), "b"));
        assert!(!again.contains(client(2), "a b\n"));
        for number in 0..MAX_KNOWN as u32 {
            again.add(client(100 + number), "c");
        }
        assert_eq!(again.known().logins.len(), MAX_KNOWN);
        assert!(!again.contains(client(2), "b"), "the oldest went");
        fs::write(&file, "nonsense\n1.2.3.4 \"x\n\n0.0.0.7 \"z\"\n").unwrap();
        assert_eq!(KnownLogins::open(Some(file)).known().logins.len(), 1);
    }
}
