//! The error codes: number, message, HTTP status, and the body with them.

use std::fmt;

use super::json;

/// The number of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u16);

#[allow(missing_docs, reason = "the names are the messages of the table below")]
impl ErrorCode {
    pub const KEY_NOT_FOUND: Self = Self(100);
    pub const COMPARE_FAILED: Self = Self(101);
    pub const NOT_A_FILE: Self = Self(102);
    pub const NOT_A_DIRECTORY: Self = Self(104);
    pub const KEY_EXISTS: Self = Self(105);
    pub const ROOT_READ_ONLY: Self = Self(107);
    pub const DIRECTORY_NOT_EMPTY: Self = Self(108);
    pub const UNAUTHORIZED: Self = Self(110);
    pub const PREV_VALUE_REQUIRED: Self = Self(201);
    pub const TTL_NOT_A_NUMBER: Self = Self(202);
    pub const INDEX_NOT_A_NUMBER: Self = Self(203);
    pub const INVALID_FIELD: Self = Self(209);
    pub const INVALID_FORM: Self = Self(210);
    pub const VALUE_ON_REFRESH: Self = Self(211);
    pub const TTL_REQUIRED: Self = Self(212);
    pub const RAFT_INTERNAL: Self = Self(300);
    pub const HISTORY_CLEARED: Self = Self(401);
}

impl ErrorCode {
    /// Returns etcd's message; empty for a number that etcd does not define.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self.0 {
            100 => "Key not found",
            101 => "Compare failed",
            102 => "Not a file",
            103 => "Reached the max number of peers in the cluster",
            104 => "Not a directory",
            105 => "Key already exists",
            106 => "The prefix of given key is a keyword in etcd",
            107 => "Root is read only",
            108 => "Directory not empty",
            109 => "Peer address has existed",
            110 => "The request requires user authentication",
            200 => "Value is Required in POST form",
            201 => "PrevValue is Required in POST form",
            202 => "The given TTL in POST form is not a number",
            203 => "The given index in POST form is not a number",
            204 => "Value or TTL is required in POST form",
            205 => "The given timeout in POST form is not a number",
            206 => "Name is required in POST form",
            207 => "Index or value is required",
            208 => "Index and value cannot both be specified",
            209 => "Invalid field",
            210 => "Invalid POST form",
            211 => "Value provided on refresh",
            212 => "A TTL must be provided on refresh",
            300 => "Raft Internal Error",
            301 => "During Leader Election",
            400 => "watcher is cleared due to etcd recovery",
            401 => "The event in requested index is outdated and cleared",
            402 => "Standby Internal Error",
            403 => "Invalid active size",
            404 => "Standby remove delay",
            500 => "Client Internal Error",
            _ => "",
        }
    }

    /// Returns the HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self.0 {
            100 => 404,
            101 | 105 => 412,
            102 | 108 => 403,
            110 => 401,
            300 | 301 => 500,
            _ => 400,
        }
    }
}

/// The body of an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorBody {
    /// The number.
    pub code: ErrorCode,
    /// The cause; left out when empty.
    pub cause: Vec<u8>,
    /// The store's index; 0 when the request never reached the store.
    pub index: u64,
}

impl ErrorBody {
    /// Returns an error of the request alone: its index is 0.
    #[must_use]
    pub fn of_request(code: ErrorCode, cause: impl Into<Vec<u8>>) -> Self {
        Self { code, cause: cause.into(), index: 0 }
    }

    /// Returns the error for a form body beyond the limit.
    #[must_use]
    pub fn form_too_large() -> Self {
        Self::of_request(ErrorCode::INVALID_FORM, "http: POST too large")
    }

    /// Writes `{"errorCode":…,"message":…,"cause":…,"index":…}` and a newline.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"errorCode\":");
        json::number(out, u64::from(self.code.0));
        out.extend_from_slice(b",\"message\":");
        json::bytes(out, self.code.message().as_bytes());
        if !self.cause.is_empty() {
            out.extend_from_slice(b",\"cause\":");
            json::bytes(out, &self.cause);
        }
        out.extend_from_slice(b",\"index\":");
        json::number(out, self.index);
        out.extend_from_slice(b"}\n");
    }
}

impl fmt::Display for ErrorBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.0, self.code.message())?;
        if !self.cause.is_empty() {
            write!(f, " ({})", String::from_utf8_lossy(&self.cause))?;
        }
        write!(f, " [{}]", self.index)
    }
}

impl std::error::Error for ErrorBody {}
