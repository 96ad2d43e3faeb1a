//! The byte forms of users and roles: one for logs, one for snapshots.
//!
//! Each begins with a version. A list that may be missing is written with its count plus one; 0 means missing.
//! Decoding and encoding again gives the same bytes.

use std::collections::BTreeMap;

use super::{Auth, Change, Role, User};
use crate::keyspace::DecodeError;
use crate::keyspace::bytes::{ByteReader, bit, put_bytes, put_varint};

const STATE_VERSION: u8 = 1;
const CHANGE_VERSION: u8 = 1;
/// Bits of the state's flags.
const ENABLED: u8 = 1;
const BEGUN: u8 = 2;
/// Bits of the optional parts of a change.
const WITH_HASH: u8 = 1;
const WITH_GRANT: u8 = 1;
const WITH_REVOKE: u8 = 2;

impl Auth {
    /// Returns the byte form for snapshots.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + self.weight());
        out.push(STATE_VERSION);
        out.push(bit(ENABLED, self.enabled) | bit(BEGUN, self.begun));
        put_varint(&mut out, self.users.len() as u64);
        for (name, user) in &self.users {
            put_bytes(&mut out, name.as_bytes());
            put_bytes(&mut out, user.hash.as_bytes());
            put_list(&mut out, user.roles.as_deref());
        }
        put_varint(&mut out, self.roles.len() as u64);
        for (name, role) in &self.roles {
            put_bytes(&mut out, name.as_bytes());
            put_role(&mut out, role);
        }
        out
    }

    /// Decodes the byte form.
    ///
    /// # Errors
    /// The bytes are not what [`Auth::encode`] made.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut read = ByteReader::new(bytes);
        read.version(STATE_VERSION)?;
        let flags = read.flags(ENABLED | BEGUN)?;
        let users = map(&mut read, |read| Ok(User { hash: text(read)?, roles: list(read)? }))?;
        let roles = map(&mut read, role)?;
        read.end()?;
        Ok(Self { enabled: flags & ENABLED != 0, begun: flags & BEGUN != 0, users, roles })
    }
}

impl Change {
    /// Appends the byte form for the log.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(CHANGE_VERSION);
        match self {
            Self::Enable => out.push(0),
            Self::Disable => out.push(1),
            Self::PutUser { name, hash, roles, grant, revoke } => {
                out.push(2);
                put_bytes(out, name.as_bytes());
                out.push(bit(WITH_HASH, hash.is_some()));
                if let Some(hash) = hash {
                    put_bytes(out, hash.as_bytes());
                }
                put_list(out, roles.as_deref());
                put_texts(out, grant);
                put_texts(out, revoke);
            }
            Self::DeleteUser(name) => {
                out.push(3);
                put_bytes(out, name.as_bytes());
            }
            Self::PutRole { name, permissions, grant, revoke } => {
                out.push(4);
                put_bytes(out, name.as_bytes());
                put_role(out, permissions);
                out.push(bit(WITH_GRANT, grant.is_some()) | bit(WITH_REVOKE, revoke.is_some()));
                for part in [grant, revoke].into_iter().flatten() {
                    put_role(out, part);
                }
            }
            Self::DeleteRole(name) => {
                out.push(5);
                put_bytes(out, name.as_bytes());
            }
        }
    }

    /// Decodes the byte form.
    ///
    /// # Errors
    /// The bytes are not what [`Change::encode`] made.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut read = ByteReader::new(bytes);
        read.version(CHANGE_VERSION)?;
        let change = match read.byte()? {
            0 => Self::Enable,
            1 => Self::Disable,
            2 => {
                let name = text(&mut read)?;
                let flags = read.flags(WITH_HASH)?;
                let hash = read.when(flags & WITH_HASH != 0, text)?;
                let (roles, grant) = (list(&mut read)?, texts(&mut read)?);
                Self::PutUser { name, hash, roles, grant, revoke: texts(&mut read)? }
            }
            3 => Self::DeleteUser(text(&mut read)?),
            4 => {
                let (name, permissions) = (text(&mut read)?, role(&mut read)?);
                let flags = read.flags(WITH_GRANT | WITH_REVOKE)?;
                let grant = read.when(flags & WITH_GRANT != 0, role)?;
                let revoke = read.when(flags & WITH_REVOKE != 0, role)?;
                Self::PutRole { name, permissions, grant, revoke }
            }
            5 => Self::DeleteRole(text(&mut read)?),
            _ => return Err(read.wrong("an unknown change")),
        };
        read.end()?;
        Ok(change)
    }
}

fn put_texts(out: &mut Vec<u8>, texts: &[String]) {
    put_varint(out, texts.len() as u64);
    texts.iter().for_each(|text| put_bytes(out, text.as_bytes()));
}

fn put_list(out: &mut Vec<u8>, list: Option<&[String]>) {
    match list {
        None => out.push(0),
        Some(list) => {
            put_varint(out, list.len() as u64 + 1);
            list.iter().for_each(|text| put_bytes(out, text.as_bytes()));
        }
    }
}

fn put_role(out: &mut Vec<u8>, role: &Role) {
    put_list(out, role.read.as_deref());
    put_list(out, role.write.as_deref());
}

fn text(read: &mut ByteReader<'_>) -> Result<String, DecodeError> {
    let bytes = read.bytes()?;
    let text = std::str::from_utf8(bytes).map_err(|_| read.wrong("a text that is not UTF-8"))?;
    Ok(text.to_owned())
}

/// Reads `count` texts. Each takes at least one byte, so a count beyond the input is refused before memory is
/// reserved.
fn counted(read: &mut ByteReader<'_>, count: u64) -> Result<Vec<String>, DecodeError> {
    if count > read.left() as u64 {
        return Err(read.wrong("cut short"));
    }
    (0..count).map(|_| text(read)).collect()
}

fn texts(read: &mut ByteReader<'_>) -> Result<Vec<String>, DecodeError> {
    let count = read.varint()?;
    counted(read, count)
}

fn list(read: &mut ByteReader<'_>) -> Result<Option<Vec<String>>, DecodeError> {
    let count = read.varint()?;
    count.checked_sub(1).map(|count| counted(read, count)).transpose()
}

fn role(read: &mut ByteReader<'_>) -> Result<Role, DecodeError> {
    Ok(Role { read: list(read)?, write: list(read)? })
}

/// Reads a map; its names must be sorted and unique.
fn map<V>(
    read: &mut ByteReader<'_>,
    value: impl Fn(&mut ByteReader<'_>) -> Result<V, DecodeError>,
) -> Result<BTreeMap<String, V>, DecodeError> {
    let mut all = BTreeMap::new();
    for _ in 0..read.varint()? {
        let name = text(read)?;
        if all.last_key_value().is_some_and(|(last, _)| *last >= name) {
            return Err(read.wrong("a name that is out of order"));
        }
        all.insert(name, value(read)?);
    }
    Ok(all)
}
