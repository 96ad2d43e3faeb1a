//! The basic parts of the byte forms: numbers and byte strings, and a reader for untrusted bytes.
//!
//! Each has exactly one spelling, so that equal states have equal bytes.

use super::{DecodeError, Time};

/// Returns `flag` if it is set, no flag otherwise.
pub(super) const fn bit(flag: u8, set: bool) -> u8 {
    if set { flag } else { 0 }
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Zigzag encoding: small numbers of either sign take few bytes.
pub(super) fn put_signed(out: &mut Vec<u8>, number: i64) {
    put_varint(out, ((number << 1) ^ (number >> 63)) as u64);
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(super) fn put_time(out: &mut Vec<u8>, time: Time) {
    out.extend_from_slice(&time.to_le_bytes());
}

/// Reads untrusted bytes from the front. Nothing that it returns is longer than the remaining input.
#[derive(Debug)]
pub(super) struct ByteReader<'b> {
    all: &'b [u8],
    at: usize,
}

impl<'b> ByteReader<'b> {
    pub(super) const fn new(all: &'b [u8]) -> Self {
        Self { all, at: 0 }
    }

    /// Returns the error that `what` was wrong just before this position.
    pub(super) const fn wrong(&self, what: &'static str) -> DecodeError {
        DecodeError::Bytes { what, at: self.at }
    }

    pub(super) const fn left(&self) -> usize {
        self.all.len() - self.at
    }

    fn take(&mut self, length: usize) -> Result<&'b [u8], DecodeError> {
        let taken = self.all[self.at..].get(..length).ok_or(self.wrong("cut short"))?;
        self.at += length;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        Ok(self.take(1)?[0])
    }

    /// Reads the first byte of a form: its version.
    pub(super) fn version(&mut self, known: u8) -> Result<(), DecodeError> {
        if self.byte()? == known { Ok(()) } else { Err(self.wrong("an unknown version")) }
    }

    /// Reads a byte of flags, of which only those in `known` may be set.
    pub(super) fn flags(&mut self, known: u8) -> Result<u8, DecodeError> {
        let flags = self.byte()?;
        if flags & !known == 0 { Ok(flags) } else { Err(self.wrong("an unknown flag")) }
    }

    pub(super) fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if part << shift >> shift != part || byte == 0 && shift > 0 {
                break;
            }
            number |= part << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(self.wrong("a number of too many digits"))
    }

    pub(super) fn signed(&mut self) -> Result<i64, DecodeError> {
        let number = self.varint()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    pub(super) fn bytes(&mut self) -> Result<&'b [u8], DecodeError> {
        let length = self.varint()?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    pub(super) fn time(&mut self) -> Result<Time, DecodeError> {
        let bytes = self.take(size_of::<Time>())?;
        Ok(Time::from_le_bytes(bytes.try_into().expect("as many bytes as were asked for")))
    }

    /// Calls `value` if the flag is set.
    pub(super) fn when<T>(
        &mut self,
        set: bool,
        value: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        set.then(|| value(self)).transpose()
    }

    pub(super) const fn end(&self) -> Result<(), DecodeError> {
        if self.left() == 0 { Ok(()) } else { Err(self.wrong("followed by more")) }
    }
}
