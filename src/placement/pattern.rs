//! Matching of values: Go's regular expressions, which Swarm used, and plain text with `*`.

use regex::bytes::{Regex, RegexBuilder};
use thiserror::Error;

use super::Dialect;

/// The size limit of a compiled pattern; values are short.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// An invalid expression. The messages of the first three are Swarm's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ExpressionError {
    /// A key must begin with a letter or `_`, followed by letters, `_`, digits, `-` and `.`.
    #[error("Key '{0}' is invalid")]
    Key(String),
    /// A value that is empty or has invalid characters.
    #[error("Value '{0}' is invalid")]
    Value(String),
    /// Neither `==` nor `!=`.
    #[error("One of operator ==, != is expected")]
    Operator,
    /// A regular expression that does not compile.
    #[error("'{0}' is not a regular expression: {1}")]
    Pattern(String, String),
    /// An unknown kind of expression.
    #[error("'{0}' is not constraint:…, affinity:… or whitelist:…")]
    Kind(String),
}

/// A compiled value.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    Compiled(Regex),
    /// Does not compile: Swarm logs that and continues as if nothing matched.
    Nothing,
}

impl Pattern {
    pub(super) fn new(value: &str, dialect: Dialect) -> Result<Self, ExpressionError> {
        let inner = value.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
        let text = match (inner, dialect) {
            (Some(inner), _) => from_go(inner),
            // Only the star is replaced, so everything else keeps its meaning in a regular expression.
            (None, Dialect::Swarm) => from_go(&format!("^{}$", value.replace('*', ".*"))),
            (None, Dialect::Plain) => {
                let parts: Vec<String> = value.split('*').map(regex::escape).collect();
                Ok(format!(r"(?s)\A{}\z", parts.join(".*")))
            }
        };
        let compiled = text.and_then(|text| {
            // Bytes and ASCII classes, as in Go; `$` matches only at the end of the text.
            let built = RegexBuilder::new(&text).unicode(false).size_limit(MAX_PATTERN_BYTES).build();
            built.map_err(|error| error.to_string())
        });
        match (compiled, dialect) {
            (Ok(regex), _) => Ok(Self::Compiled(regex)),
            (Err(_), Dialect::Swarm) => Ok(Self::Nothing),
            (Err(error), Dialect::Plain) => {
                let why =
                    error.lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_owned();
                Err(ExpressionError::Pattern(value.to_owned(), why))
            }
        }
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Compiled(regex) => regex.is_match(text.as_bytes()),
            Self::Nothing => false,
        }
    }
}

/// Translates a regular expression of Go into one of the library. The syntax differs: Go rejects a repetition of a
/// repetition, has `\Q…\E`, and has no set operations in its classes.
fn from_go(go: &str) -> Result<String, String> {
    let mut out = String::with_capacity(go.len() + 8);
    let mut rest = go;
    let mut repeated = false;
    while let Some(next) = rest.chars().next() {
        let mut length = next.len_utf8();
        let was_repeated = std::mem::replace(&mut repeated, false);
        match next {
            '*' | '+' | '?' => {
                if was_repeated {
                    return Err(format!("invalid nested repetition operator: `{next}`"));
                }
                out.push(next);
                // A `?` after the repetition makes it lazy.
                if rest[length..].starts_with('?') {
                    out.push('?');
                    length += 1;
                }
                repeated = true;
            }
            '[' => length = class(rest, &mut out)?,
            '\\' if rest.starts_with(r"\Q") => {
                let inner = &rest[2..];
                let end = inner.find(r"\E");
                out.push_str(&regex::escape(&inner[..end.unwrap_or(inner.len())]));
                length = end.map_or(rest.len(), |end| end + 4);
            }
            '\\' => {
                let escaped = rest[1..].chars().next().ok_or("trailing backslash at end of expression")?;
                out.push('\\');
                out.push(escaped);
                length += escaped.len_utf8();
            }
            _ => out.push(next),
        }
        rest = &rest[length..];
    }
    Ok(out)
}

/// Translates the class at the start of `rest`; returns its length.
fn class(rest: &str, out: &mut String) -> Result<usize, String> {
    let unclosed = || "missing closing ]".to_owned();
    let mut at = 1;
    out.push('[');
    if rest[at..].starts_with('^') {
        out.push('^');
        at += 1;
    }
    let first = at;
    loop {
        let next = rest[at..].chars().next().ok_or_else(unclosed)?;
        if next == ']' && at > first {
            out.push(']');
            return Ok(at + 1);
        }
        if let Some(named) = rest[at..].strip_prefix("[:")
            && let Some(end) = named.find(":]")
        {
            out.push_str(&rest[at..at + end + 4]);
            at += end + 4;
            continue;
        }
        let (low, length) = member(&rest[at..]).ok_or_else(unclosed)?;
        at += length;
        let range = rest[at..].strip_prefix('-').filter(|after| !after.starts_with(']'));
        let Some(after) = range else {
            put_member(low, out);
            continue;
        };
        let (high, length) = member(after).ok_or_else(unclosed)?;
        at += 1 + length;
        match (low, high) {
            (ClassMember::One(low), ClassMember::One(high)) if low <= high => {
                put_member(ClassMember::One(low), out);
                out.push('-');
                put_member(ClassMember::One(high), out);
            }
            _ => return Err("invalid character class range".to_owned()),
        }
    }
}

#[derive(Clone, Copy)]
enum ClassMember {
    One(char),
    /// A backslash and a letter, such as `\d`.
    Escaped(char),
}

fn member(text: &str) -> Option<(ClassMember, usize)> {
    let mut chars = text.chars();
    let first = chars.next()?;
    if first != '\\' {
        return Some((ClassMember::One(first), first.len_utf8()));
    }
    let escaped = chars.next()?;
    let one = if escaped.is_ascii_alphanumeric() {
        ClassMember::Escaped(escaped)
    } else {
        ClassMember::One(escaped)
    };
    Some((one, 1 + escaped.len_utf8()))
}

fn put_member(member: ClassMember, out: &mut String) {
    match member {
        ClassMember::Escaped(letter) => out.extend(['\\', letter]),
        ClassMember::One(one) if one.is_alphanumeric() => out.push(one),
        ClassMember::One(one) => out.push_str(&format!("\\x{{{:X}}}", u32::from(one))),
    }
}
