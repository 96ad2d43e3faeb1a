//! Go's `ParseForm`: names and values from query and body, and its errors.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::{ErrorBody, ErrorCode};

/// The names with a meaning; only the encoding of others is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Value,
    Ttl,
    Dir,
    PrevExist,
    PrevValue,
    PrevIndex,
    Recursive,
    Sorted,
    Quorum,
    Wait,
    WaitIndex,
    Stream,
    Refresh,
    NoValueOnSuccess,
}

impl Name {
    const COUNT: usize = 14;

    fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"value" => Self::Value,
            b"ttl" => Self::Ttl,
            b"dir" => Self::Dir,
            b"prevExist" => Self::PrevExist,
            b"prevValue" => Self::PrevValue,
            b"prevIndex" => Self::PrevIndex,
            b"recursive" => Self::Recursive,
            b"sorted" => Self::Sorted,
            b"quorum" => Self::Quorum,
            b"wait" => Self::Wait,
            b"waitIndex" => Self::WaitIndex,
            b"stream" => Self::Stream,
            b"refresh" => Self::Refresh,
            b"noValueOnSuccess" => Self::NoValueOnSuccess,
            _ => return None,
        })
    }
}

/// The first value of each known name.
#[derive(Debug, Default)]
pub(super) struct Form<'r> {
    fields: [Option<Cow<'r, [u8]>>; Name::COUNT],
}

impl<'r> Form<'r> {
    /// Adds the pairs of `text`; a name that already has a value keeps it.
    pub(super) fn take(&mut self, text: &'r [u8]) -> Result<(), ErrorBody> {
        if text.contains(&b';') {
            // Go continues after it, and reports it instead of earlier and later errors.
            return Err(fault("invalid semicolon separator in query"));
        }
        for pair in text.split(|byte| *byte == b'&') {
            let equals = pair.iter().position(|byte| *byte == b'=');
            let (name, value) = pair.split_at(equals.unwrap_or(pair.len()));
            let value = value.get(1..).unwrap_or_default();
            match Name::of(&decode(name, true).map_err(bad_escape)?) {
                Some(name) => {
                    let value = decode(value, true).map_err(bad_escape)?;
                    self.fields[name as usize].get_or_insert(value);
                }
                None => check(value).map_err(bad_escape)?,
            }
        }
        Ok(())
    }

    /// Returns the value of `name`.
    pub(super) fn get(&self, name: Name) -> Option<&[u8]> {
        self.fields[name as usize].as_deref()
    }

    /// Returns the value of `name` as owned bytes.
    pub(super) fn into_value(mut self, name: Name) -> Vec<u8> {
        self.fields[name as usize].take().unwrap_or_default().into_owned()
    }
}

/// Resolves percent escapes and, in a form, `+` for a space. The error is the text from the first bad `%`.
pub(super) fn decode(text: &[u8], form: bool) -> Result<Cow<'_, [u8]>, &[u8]> {
    let special = |byte: &u8| *byte == b'%' || (form && *byte == b'+');
    let Some(first) = text.iter().position(special) else { return Ok(Cow::Borrowed(text)) };
    let mut out = Vec::with_capacity(text.len());
    out.extend_from_slice(&text[..first]);
    let mut rest = &text[first..];
    while let Some(&byte) = rest.first() {
        let length = match byte {
            b'%' => {
                out.push(escaped(rest)?);
                3
            }
            b'+' if form => {
                out.push(b' ');
                1
            }
            _ => {
                let run = rest.iter().position(special).unwrap_or(rest.len());
                out.extend_from_slice(&rest[..run]);
                run
            }
        };
        rest = &rest[length..];
    }
    Ok(Cow::Owned(out))
}

/// As `decode`, for a text whose result is not needed.
fn check(text: &[u8]) -> Result<(), &[u8]> {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        escaped(&rest[at..])?;
        rest = &rest[at + 3..];
    }
    Ok(())
}

/// Returns the byte of the escape at the front.
fn escaped(text: &[u8]) -> Result<u8, &[u8]> {
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    match (digit(1), digit(2)) {
        (Some(high), Some(low)) => Ok((high * 16 + low) as u8),
        _ => Err(&text[..text.len().min(3)]),
    }
}

fn bad_escape(escape: &[u8]) -> ErrorBody {
    fault(format!("invalid URL escape {}", quote(escape)))
}

/// Returns an error 210 with this cause.
pub(super) fn fault(cause: impl Into<Vec<u8>>) -> ErrorBody {
    ErrorBody::of_request(ErrorCode::INVALID_FORM, cause)
}

/// Go's `strconv.Quote`, correct for texts of up to three bytes that begin with `%` (so no character beyond
/// U+07FF).
fn quote(text: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in text.utf8_chunks() {
        for letter in chunk.valid().chars() {
            let done = match letter {
                '"' | '\\' => write!(out, "\\{letter}"),
                '\x07' => write!(out, "\\a"),
                '\x08' => write!(out, "\\b"),
                '\x0c' => write!(out, "\\f"),
                '\n' => write!(out, "\\n"),
                '\r' => write!(out, "\\r"),
                '\t' => write!(out, "\\t"),
                '\x0b' => write!(out, "\\v"),
                _ if letter.is_ascii_control() => write!(out, "\\x{:02x}", letter as u32),
                _ if prints(letter) => write!(out, "{letter}"),
                _ => write!(out, "\\u{:04x}", letter as u32),
            };
            done.expect("text grows");
        }
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}").expect("text grows");
        }
    }
    out.push('"');
    out
}

/// Returns whether Go considers a character below U+0800 printable.
const fn prints(letter: char) -> bool {
    matches!(
        letter as u32,
        0x20..=0x7e | 0xa1..=0xac | 0xae..=0x377 | 0x37a..=0x37f | 0x384..=0x38a | 0x38c | 0x38e..=0x3a1
            | 0x3a3..=0x52f | 0x531..=0x556 | 0x559..=0x58a | 0x58d..=0x58f | 0x591..=0x5c7 | 0x5d0..=0x5ea
            | 0x5ef..=0x5f4 | 0x606..=0x61b | 0x61e..=0x6dc | 0x6de..=0x70d | 0x710..=0x74a | 0x74d..=0x7b1
            | 0x7c0..=0x7fa | 0x7fd..=0x7ff
    )
}
