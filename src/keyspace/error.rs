//! The keyspace's errors.

use std::fmt;

/// etcd's numbers for the keyspace's own errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Code {
    /// Key not found.
    KeyNotFound = 100,
    /// Compare failed.
    CompareFailed = 101,
    /// Not a file.
    NotAFile = 102,
    /// Not a directory.
    NotADirectory = 104,
    /// Key already exists.
    KeyExists = 105,
    /// Root is read only.
    RootReadOnly = 107,
    /// Directory not empty.
    DirectoryNotEmpty = 108,
    /// The event in requested index is outdated and cleared.
    HistoryCleared = 401,
}

/// A refusal. It changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The error number.
    pub code: Code,
    /// The subject, in etcd's words; may contain bytes of a key or value.
    pub cause: Vec<u8>,
    /// The index at that moment.
    pub index: u64,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({}) [{}]", self.code, String::from_utf8_lossy(&self.cause), self.index)
    }
}

impl std::error::Error for Error {}

/// Bytes or nodes that are not a valid state of a keyspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undecodable {
    /// Bytes that cannot be read.
    Bytes {
        /// What is wrong with them.
        what: &'static str,
        /// The position in the input.
        at: usize,
    },
    /// A node or event that does not fit the others.
    Misfit {
        /// What is wrong with it.
        what: &'static str,
        /// Its key.
        key: Vec<u8>,
    },
}

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes { what, at } => write!(f, "undecodable: {what} at byte {at}"),
            Self::Misfit { what, key } => write!(f, "{}: {what}", String::from_utf8_lossy(key)),
        }
    }
}

impl std::error::Error for Undecodable {}
