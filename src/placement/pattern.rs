//! What a value matches: Go's regular expressions, which Swarm used, and plain words with `*`.

use regex::bytes::{Regex, RegexBuilder};
use thiserror::Error;

use super::Dialect;

/// A pattern may take so much room compiled; values are short.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// An expression that makes no sense. The words of the first three are Swarm's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Invalid {
    /// A key begins with a letter or `_` and has more of those, digits, `-` and `.`.
    #[error("Key '{0}' is invalid")]
    Key(String),
    /// A value that is empty or has characters that are not taken.
    #[error("Value '{0}' is invalid")]
    Value(String),
    /// Neither `==` nor `!=`.
    #[error("One of operator ==, != is expected")]
    Operator,
    /// A regular expression that does not compile.
    #[error("'{0}' is no regular expression: {1}")]
    Pattern(String, String),
    /// No such kind of expression.
    #[error("'{0}' is none of constraint:…, affinity:… and whitelist:…")]
    Kind(String),
}

/// A compiled value.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    Compiled(Regex),
    /// It does not compile: Swarm logs that and goes on as if nothing matched.
    Nothing,
}

impl Pattern {
    pub(super) fn new(value: &str, dialect: Dialect) -> Result<Self, Invalid> {
        let inner = value.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
        let text = match (inner, dialect) {
            (Some(inner), _) => from_go(inner),
            // Nothing but the star is replaced, so that all else keeps its meaning in a regular expression.
            (None, Dialect::Swarm) => from_go(&format!("^{}$", value.replace('*', ".*"))),
            (None, Dialect::Plain) => {
                let parts: Vec<String> = value.split('*').map(regex::escape).collect();
                Ok(format!(r"(?s)\A{}\z", parts.join(".*")))
            }
        };
        let compiled = text.and_then(|text| {
            // Bytes and ASCII classes, as in Go; a text that is longer than one line ends where it ends.
            let built = RegexBuilder::new(&text).unicode(false).size_limit(MAX_PATTERN_BYTES).build();
            built.map_err(|error| error.to_string())
        });
        match (compiled, dialect) {
            (Ok(regex), _) => Ok(Self::Compiled(regex)),
            (Err(_), Dialect::Swarm) => Ok(Self::Nothing),
            (Err(error), Dialect::Plain) => {
                let why =
                    error.lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_owned();
                Err(Invalid::Pattern(value.to_owned(), why))
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

/// A regular expression of Go's as one of the library's, which differ in what they take: Go refuses a repetition of a
/// repetition, knows `\Q…\E`, and has no arithmetic in its classes.
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
                // One more makes it a lazy one.
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

/// A class, of which `rest` begins with; how long it is.
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
            (Member::One(low), Member::One(high)) if low <= high => {
                put_member(Member::One(low), out);
                out.push('-');
                put_member(Member::One(high), out);
            }
            _ => return Err("invalid character class range".to_owned()),
        }
    }
}

#[derive(Clone, Copy)]
enum Member {
    One(char),
    /// A backslash and a letter: `\d` and its like.
    Escaped(char),
}

fn member(text: &str) -> Option<(Member, usize)> {
    let mut chars = text.chars();
    let first = chars.next()?;
    if first != '\\' {
        return Some((Member::One(first), first.len_utf8()));
    }
    let escaped = chars.next()?;
    let one = if escaped.is_ascii_alphanumeric() { Member::Escaped(escaped) } else { Member::One(escaped) };
    Some((one, 1 + escaped.len_utf8()))
}

fn put_member(member: Member, out: &mut String) {
    match member {
        Member::Escaped(letter) => out.extend(['\\', letter]),
        Member::One(one) if one.is_alphanumeric() => out.push(one),
        Member::One(one) => out.push_str(&format!("\\x{{{:X}}}", u32::from(one))),
    }
}
