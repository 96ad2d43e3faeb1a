//! Parses options like Go's `flag` package, which etcdctl and Registrator use, and the word order that urfave/cli allows.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use crate::protocol::quoted;
use crate::scalar;

use super::row::{Row, ValueKind};

/// How the error about an unknown flag begins.
pub(super) const UNDEFINED: &str = "flag provided but not defined: -";

/// The options with their values, and the other words.
#[derive(Debug, Default)]
pub(super) struct Flags {
    /// Keyed by the first name of the option.
    given: Vec<(&'static str, OsString)>,
    /// The names as they were typed.
    spelled: Vec<&'static str>,
    pub(super) words: Vec<OsString>,
}

impl Flags {
    fn last(&self, name: &str) -> Option<&OsStr> {
        self.given.iter().rev().find(|(own, _)| *own == name).map(|(_, value)| value.as_os_str())
    }

    /// Returns whether the option was given.
    pub(super) fn given(&self, name: &str) -> bool {
        self.last(name).is_some()
    }

    /// Returns whether the switch is on.
    pub(super) fn on(&self, name: &str) -> bool {
        self.last(name).and_then(OsStr::to_str).and_then(scalar::go_boolean).unwrap_or(false)
    }

    /// Returns the bytes of the value; empty when absent.
    pub(super) fn bytes(&self, name: &str) -> Vec<u8> {
        self.last(name).map_or_else(Vec::new, |value| value.as_bytes().to_vec())
    }

    /// Returns the value as text; empty when absent.
    pub(super) fn text(&self, name: &str) -> String {
        self.last(name).map_or_else(String::new, |value| value.to_string_lossy().into_owned())
    }

    /// Returns the value as text, if it is not empty.
    pub(super) fn filled(&self, name: &str) -> Option<String> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// Returns the number, when given.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.last(name).and_then(OsStr::to_str).and_then(|text| number(text).ok())
    }

    /// Returns the time to live in seconds; 0 when absent. As in etcdctl, which counts nanoseconds: these overflow, and
    /// count only if positive.
    pub(super) fn ttl(&self) -> u64 {
        let nanoseconds = self.number("ttl").unwrap_or(0).wrapping_mul(1_000_000_000);
        u64::try_from(nanoseconds).unwrap_or(0) / 1_000_000_000
    }

    /// Returns an index; 0 when absent. Go converts the signed number it reads to the unsigned one it sends without a
    /// check.
    pub(super) fn index(&self, name: &str) -> u64 {
        self.number(name).unwrap_or(0).cast_unsigned()
    }

    /// Returns the duration, when given.
    pub(super) fn span(&self, name: &str) -> Option<Duration> {
        self.last(name).and_then(OsStr::to_str).and_then(span)
    }

    /// Returns every value.
    pub(super) fn all(&self, name: &str) -> Vec<OsString> {
        self.given.iter().filter(|(own, _)| *own == name).map(|(_, value)| value.clone()).collect()
    }

    /// Returns the error for an option given by two of its names.
    pub(super) fn alias_conflict(&self, options: &[&'static [Row]]) -> Option<String> {
        options.iter().flat_map(|options| options.iter()).find_map(|option| {
            let mut used = option.names().filter(|name| self.spelled.contains(name));
            let first = used.next()?;
            let second = used.next()?;
            Some(format!("Cannot use two forms of the same flag: {second} {first}"))
        })
    }
}

/// Reads options up to the first other word. Options before a mistake are returned with the error.
pub(super) fn read(words: &[OsString], options: &[&'static [Row]]) -> (Flags, Option<String>) {
    let mut flags = Flags::default();
    let mut at = 0;
    while at < words.len() {
        let word = words[at].as_bytes();
        if word.len() < 2 || word[0] != b'-' {
            break;
        }
        if word == b"--" {
            at += 1;
            break;
        }
        if let Err(why) = one(words, &mut at, options, &mut flags) {
            return (flags, Some(why));
        }
        at += 1;
    }
    flags.words = words[at..].to_vec();
    (flags, None)
}

fn one(
    words: &[OsString],
    at: &mut usize,
    options: &[&'static [Row]],
    flags: &mut Flags,
) -> Result<(), String> {
    let word = words[*at].as_bytes();
    let body = word.strip_prefix(b"--").or_else(|| word.strip_prefix(b"-")).unwrap_or(word);
    if body.is_empty() || body[0] == b'-' || body[0] == b'=' {
        return Err(format!("bad flag syntax: {}", words[*at].to_string_lossy()));
    }
    let (name, value) = match body.iter().position(|byte| *byte == b'=') {
        Some(cut) => (&body[..cut], Some(OsString::from_vec(body[cut + 1..].to_vec()))),
        None => (body, None),
    };
    let shown = String::from_utf8_lossy(name).into_owned();
    let found = options.iter().flat_map(|options| options.iter()).find_map(|option| {
        option.names().find(|own| own.as_bytes() == name).map(|spelled| (option, spelled))
    });
    let Some((option, spelled)) = found else {
        return Err(format!("{UNDEFINED}{shown}"));
    };
    let value = match (option.kind, value) {
        (_, Some(value)) => value,
        (ValueKind::Switch, None) => OsString::from("true"),
        (_, None) => {
            *at += 1;
            words.get(*at).cloned().ok_or_else(|| format!("flag needs an argument: -{shown}"))?
        }
    };
    if let Err(why) = check(option.kind, &value) {
        let value = quoted(&value.to_string_lossy());
        return Err(match option.kind {
            ValueKind::Switch => format!("invalid boolean value {value} for -{shown}: {why}"),
            _ => format!("invalid value {value} for flag -{shown}: {why}"),
        });
    }
    flags.given.push((option.name, value));
    flags.spelled.push(spelled);
    Ok(())
}

fn check(kind: ValueKind, value: &OsStr) -> Result<(), &'static str> {
    const SYNTAX: &str = "parse error";
    let text = value.to_str().unwrap_or("\u{fffd}");
    match kind {
        ValueKind::Switch => scalar::go_boolean(text).map(|_| ()).ok_or(SYNTAX),
        ValueKind::Number => number(text).map(|_| ()),
        ValueKind::Span => span(text).map(|_| ()).ok_or(SYNTAX),
        _ => Ok(()),
    }
}

/// Returns the words of one command with its options moved to the front, as urfave/cli does: only names that the
/// command knows count as options (`-1` may be a value), and the word after an option moves with it even when that
/// option is a switch, which ends the options. A `--` comes before all words.
pub(super) fn reordered(words: &[OsString], options: &[&'static [Row]]) -> Vec<OsString> {
    let (mut moved, mut rest) = (Vec::new(), Vec::new());
    let mut may_be_value = false;
    for (at, word) in words.iter().enumerate() {
        let known = is_option(word, options);
        if may_be_value && !known {
            may_be_value = false;
            moved.push(word.clone());
        } else if word == "--" {
            rest.insert(0, word.clone());
            rest.extend_from_slice(&words[at + 1..]);
            break;
        } else if known {
            moved.push(word.clone());
            may_be_value = !word.as_bytes().contains(&b'=');
        } else {
            rest.push(word.clone());
        }
    }
    moved.extend(rest);
    moved
}

fn is_option(word: &OsStr, options: &[&'static [Row]]) -> bool {
    let bytes = word.as_bytes();
    let Some(body) = bytes.strip_prefix(b"--").or_else(|| bytes.strip_prefix(b"-")) else { return false };
    let name = body.split(|byte| *byte == b'=').next().unwrap_or(body);
    options
        .iter()
        .flat_map(|options| options.iter())
        .any(|option| option.names().any(|own| own.as_bytes() == name))
}

/// Parses a number as Go does: in base 2, 8, 10 or 16 by its prefix, with underscores between the digits of a prefixed
/// one.
fn number(text: &str) -> Result<i64, &'static str> {
    let (negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, &lower[..]),
    };
    let plain = if base == 10 { digits.to_owned() } else { digits.replace('_', "") };
    if plain.is_empty() || !plain.chars().all(|c| c.is_digit(base)) {
        return Err("parse error");
    }
    let sign = if negative { "-" } else { "" };
    i64::from_str_radix(&format!("{sign}{plain}"), base).map_err(|_| "value out of range")
}

/// Parses a duration as Go does; a negative one counts as zero.
fn span(text: &str) -> Option<Duration> {
    let (negative, rest) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    // More than Go's type can hold, about 292 years, is also a mistake.
    let span = scalar::span(rest, scalar::go_unit).filter(|span| i64::try_from(span.as_nanos()).is_ok())?;
    Some(if negative { Duration::ZERO } else { span })
}

#[cfg(test)]
mod tests {
    use super::super::row::row;
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn options_may_come_last_and_arguments_after_two_dashes_are_not_options() {
        const OPTIONS: &[Row] = &[
            row("ttl", ValueKind::Number, &[], ""),
            row("recursive", ValueKind::Switch, &[], "").also(&["r"]),
        ];
        for (typed, read) in [
            ("/a 1 --ttl 5", "--ttl 5 /a 1"),
            ("/a --ttl 5 1", "--ttl 5 /a 1"),
            ("--ttl 5 /a 1", "--ttl 5 /a 1"),
            ("/a - 1", "/a - 1"),
            ("/a -1", "/a -1"),
            ("/a -- -1", "-- /a -1"),
            ("-r / -- echo -n", "-r / -- echo -n"),
            ("/ --ttl 4 -r -- echo", "--ttl 4 -r -- / echo"),
            ("-r --ttl=4 / -- echo", "-r --ttl=4 -- / echo"),
        ] {
            assert_eq!(reordered(&words(typed), &[OPTIONS]), words(read), "{typed}");
        }
    }

    #[test]
    fn numbers_and_durations_are_parsed_as_go_does() {
        for (text, want) in
            [("10", Ok(10)), ("0x10", Ok(16)), ("010", Ok(8)), ("-1", Ok(-1)), ("0x1_0", Ok(16))]
        {
            assert_eq!(number(text), want, "{text}");
        }
        assert_eq!(number("99999999999999999999"), Err("value out of range"));
        for bad in ["", "x", "1.5", "08", "1_0", "-", "0x"] {
            assert_eq!(number(bad), Err("parse error"), "{bad}");
        }
        assert_eq!(span("1m1.5s"), Some(Duration::from_millis(61_500)));
        assert_eq!(span("1ns"), Some(Duration::from_nanos(1)));
        for bad in ["", "5", "x", "1.5", ".s", "99999999999h"] {
            assert_eq!(span(bad), None, "{bad}");
        }
    }
}
