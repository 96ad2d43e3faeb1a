//! The keyspace's errors.

use thiserror::Error as ThisError;

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
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[error("{code:?} ({}) [{index}]", String::from_utf8_lossy(.cause))]
pub struct Error {
    /// The error number.
    pub code: Code,
    /// The subject, in etcd's words; may contain bytes of a key or value.
    pub cause: Vec<u8>,
    /// The index at that moment.
    pub index: u64,
}

/// Bytes or nodes that are not a valid state of a keyspace.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
pub enum DecodeError {
    /// Bytes that cannot be read.
    #[error("undecodable: {what} at byte {at}")]
    Bytes {
        /// What is wrong with them.
        what: &'static str,
        /// The position in the input.
        at: usize,
    },
    /// A node or event that does not fit the others.
    #[error("{}: {what}", String::from_utf8_lossy(.key))]
    Inconsistent {
        /// What is wrong with it.
        what: &'static str,
        /// Its key.
        key: Vec<u8>,
    },
}
