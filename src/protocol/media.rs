//! The part of Go's `mime.ParseMediaType` that decides whether a body is a form, with its errors.

use std::collections::BTreeSet;

const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// Returns whether a body of this type is a form; the error is Go's text.
pub(super) fn is_form(content_type: &[u8]) -> Result<bool, &'static str> {
    if content_type == FORM {
        return Ok(true);
    }
    // No type: HTTP allows any bytes then.
    if content_type.is_empty() {
        return Ok(false);
    }
    let end = content_type.iter().position(|byte| *byte == b';').unwrap_or(content_type.len());
    let (base, parameters) = content_type.split_at(end);
    let base = trim_end(trim_start(base));
    check_base(base)?;
    check_parameters(parameters)?;
    Ok(base.eq_ignore_ascii_case(FORM))
}

fn check_base(base: &[u8]) -> Result<(), &'static str> {
    let (kind, rest) = token(base);
    if kind.is_empty() {
        return Err("mime: no media type");
    }
    if rest.is_empty() {
        return Ok(());
    }
    let Some(rest) = rest.strip_prefix(b"/") else { return Err("mime: expected slash after first token") };
    match token(rest) {
        ([], _) => Err("mime: expected token after slash"),
        (_, []) => Ok(()),
        _ => Err("mime: unexpected content after media subtype"),
    }
}

fn check_parameters(mut rest: &[u8]) -> Result<(), &'static str> {
    let mut names = BTreeSet::new();
    loop {
        rest = trim_start(rest);
        if rest.is_empty() {
            return Ok(());
        }
        let Some((name, after)) = parameter(rest) else {
            let only_a_semicolon = trim_end(rest) == b";";
            return if only_a_semicolon { Ok(()) } else { Err("mime: invalid media parameter") };
        };
        if !names.insert(name.to_ascii_lowercase()) {
            return Err("mime: duplicate parameter name");
        }
        rest = after;
    }
}

/// Splits `; name = value` off the front: returns the name and the rest.
fn parameter(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, rest) = token(trim_start(text.strip_prefix(b";")?));
    if name.is_empty() {
        return None;
    }
    let rest = trim_start(trim_start(rest).strip_prefix(b"=")?);
    let after = if rest.first() == Some(&b'"') { quoted(rest)? } else { token(rest).1 };
    (after.len() < rest.len()).then_some((name, after))
}

/// Returns the rest after the quoted string at the front.
fn quoted(text: &[u8]) -> Option<&[u8]> {
    let mut at = 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(&text[at + 1..]),
            b'\r' | b'\n' => return None,
            // Before any other byte a backslash is literal: some clients send Windows paths.
            b'\\' if text.get(at + 1).is_some_and(|next| is_special(*next)) => at += 2,
            _ => at += 1,
        }
    }
}

fn token(text: &[u8]) -> (&[u8], &[u8]) {
    let ends = |byte: &u8| !byte.is_ascii_graphic() || is_special(*byte);
    text.split_at(text.iter().position(ends).unwrap_or(text.len()))
}

const fn is_special(byte: u8) -> bool {
    matches!(
        byte,
        b'(' | b')'
            | b'<'
            | b'>'
            | b'@'
            | b','
            | b';'
            | b':'
            | b'\\'
            | b'"'
            | b'/'
            | b'['
            | b']'
            | b'?'
            | b'='
    )
}

/// Removes white space from the front, including Unicode's.
fn trim_start(mut text: &[u8]) -> &[u8] {
    while let Some(length) = (1..=text.len().min(MAX_SPACE_BYTES)).find(|length| is_space(&text[..*length])) {
        text = &text[length..];
    }
    text
}

fn trim_end(mut text: &[u8]) -> &[u8] {
    while let Some(length) =
        (1..=text.len().min(MAX_SPACE_BYTES)).find(|length| is_space(&text[text.len() - length..]))
    {
        text = &text[..text.len() - length];
    }
    text
}

/// The most bytes that a white-space character takes.
const MAX_SPACE_BYTES: usize = 3;

/// Returns whether this is a single white-space character.
fn is_space(text: &[u8]) -> bool {
    str::from_utf8(text).is_ok_and(|text| text.chars().count() == 1 && text.trim().is_empty())
}
