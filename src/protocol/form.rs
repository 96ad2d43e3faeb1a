//! Go's `ParseForm`: names and values from query and body, and its errors.

use std::borrow::Cow;

use super::{ErrorBody, ErrorCode, quote};

/// The names with a meaning; only the encoding of others is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ParamName {
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

impl ParamName {
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
    fields: [Option<Cow<'r, [u8]>>; ParamName::COUNT],
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
            match ParamName::of(&decode(name, true).map_err(bad_escape)?) {
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
    pub(super) fn get(&self, name: ParamName) -> Option<&[u8]> {
        self.fields[name as usize].as_deref()
    }

    /// Returns the value of `name` as owned bytes.
    pub(super) fn into_value(mut self, name: ParamName) -> Vec<u8> {
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
    fault(quote::bad_escape(escape))
}

/// Returns an error 210 with this cause.
pub(super) fn fault(cause: impl Into<Vec<u8>>) -> ErrorBody {
    ErrorBody::of_request(ErrorCode::INVALID_FORM, cause)
}
