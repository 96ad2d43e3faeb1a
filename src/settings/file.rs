//! The settings file: flat TOML with the flags' names as keys.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::invocation::CommandId;
use super::layers::{OptionValue, Rank};
use super::options;
use super::problem::Problem;
use super::row::{Row, Support, ValueKind};
use crate::document::toml_message;
use crate::nearest::nearest;

/// A larger file is not a settings file.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// More problems of one file are not listed: it is no settings file, or one mistake caused them all.
pub(super) const MAX_PROBLEMS: usize = 50;
/// A file with more keys is no settings file: there are a few hundred options.
const MAX_KEYS: usize = 2000;

/// The content of the file, and its problems.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) given: Vec<OptionValue>,
    pub(super) problems: Vec<Problem>,
    /// Keys without effect. The caller decides whether that is an error.
    pub(super) idle: Vec<Problem>,
}

/// Reads the file; if the user `named` it, it must exist.
pub(super) fn load(path: &Path, named: bool, command: CommandId) -> Contents {
    let mut contents = Contents::default();
    let shown = path.display();
    let text = match read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if named {
                let message = "no such settings file; write it, or name another with --config-file";
                // confd continues without a file, even if one was requested.
                let list =
                    if command == CommandId::Confd { &mut contents.idle } else { &mut contents.problems };
                list.push(Problem::new(shown.to_string(), message));
            }
            return contents;
        }
        Err(error) => {
            contents.problems.push(Problem::new(shown.to_string(), format!("cannot be read: {error}")));
            return contents;
        }
    };
    parse(&text, &shown.to_string(), command)
}

/// Reads the file's text. `shown` is its path in messages.
pub(super) fn parse(text: &str, shown: &str, command: CommandId) -> Contents {
    let mut contents = Contents::default();
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors.into_iter().take(MAX_PROBLEMS) {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        contents.problems.push(Problem::new(format!("{shown}:{line}"), toml_message(text, &error)));
    }
    if !contents.problems.is_empty() {
        return contents;
    }
    let mut keys: Vec<_> = table.get_ref().iter().collect();
    if keys.len() > MAX_KEYS {
        let message = format!("it has {} keys at its top, so hardly a settings file", keys.len());
        contents.problems.push(Problem::new(shown, message));
        return contents;
    }
    keys.sort_by_key(|(key, _)| key.span().start);
    let mut more = false;
    for (key, value) in keys {
        // A setting still counts behind many that have no effect; for the others a place in the file would cost too much.
        if contents.problems.len() + contents.idle.len() >= MAX_PROBLEMS
            && options::key(key.get_ref()).is_none()
        {
            more = true;
            continue;
        }
        let place = format!("{shown}:{}: {}", line_of(text, key.span().start), key.get_ref());
        take(&mut contents, place, key.get_ref(), value.get_ref(), command);
    }
    if more {
        let list = if contents.problems.is_empty() { &mut contents.idle } else { &mut contents.problems };
        list.push(Problem::new(shown, "and more; mend these first"));
    }
    contents
}

/// Returns the text of a settings file, which has a size limit.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::new(
            ErrorKind::FileTooLarge,
            "it is larger than 1 MiB, so hardly a settings file",
        ));
    }
    Ok(text)
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count()
}

fn take(contents: &mut Contents, place: String, key: &str, value: &DeValue<'_>, command: CommandId) {
    let Some(row) = options::key(key) else {
        contents.idle.push(Problem::new(place, unknown(key, command)));
        return;
    };
    if command != CommandId::Confd && row.commands == [CommandId::Confd] {
        let message = match row.support {
            Support::Refused(reason) | Support::NoEffect(reason) | Support::Ignored(reason) => {
                reason.to_owned()
            }
            Support::Used => "only confd's command line has it; here the command decides".to_owned(),
        };
        contents.idle.push(Problem::new(place, message));
        return;
    }
    if contents.given.iter().any(|given| given.row.name == row.name) {
        let message = if options::plain(key) == options::plain(row.name) {
            format!("{} is set twice; keep one", row.name)
        } else {
            format!("{key} is another name of {}, and one of the two is set above; keep one", row.name)
        };
        contents.problems.push(Problem::new(place, message));
        return;
    }
    let words = words(row.kind, value);
    let words = words.map(|list| list.into_iter().filter(|word| !word.is_empty()).collect());
    contents.given.push(OptionValue { row, rank: Rank::File, place, words });
}

fn unknown(key: &str, command: CommandId) -> String {
    let known = options::rows().filter(|row| row.support == Support::Used && row.name != "config-file");
    let known = known.filter(|row| command == CommandId::Confd || row.commands != [CommandId::Confd]);
    match nearest(&key.replace('_', "-"), known.flat_map(Row::names)) {
        Some(near) => format!("no such setting; did you mean {near}?"),
        None => "no such setting; the flags' names are the names here too".to_owned(),
    }
}

fn words(kind: ValueKind, value: &DeValue<'_>) -> Result<Vec<OsString>, String> {
    let wrong = |wanted: &str| Err(format!("must be {wanted}, not a {}", value.type_str()));
    match (kind, value) {
        (ValueKind::Switch, DeValue::Boolean(on)) => Ok(vec![on.to_string().into()]),
        (ValueKind::Switch, _) => wrong("true or false"),
        (ValueKind::Span | ValueKind::Number | ValueKind::Bytes, DeValue::Integer(number))
            if number.radix() == 10 =>
        {
            Ok(vec![number.as_str().replace('_', "").into()])
        }
        (ValueKind::Span, DeValue::String(text)) => Ok(vec![text.as_ref().into()]),
        (ValueKind::Span, _) => wrong("seconds or a string such as \"5m\""),
        (ValueKind::Bytes, DeValue::String(text)) => Ok(vec![text.as_ref().into()]),
        (ValueKind::Bytes, _) => wrong("bytes or a string such as \"64m\""),
        (ValueKind::Number, _) => wrong("a whole number"),
        (_, DeValue::String(text)) => Ok(vec![text.as_ref().into()]),
        (kind, DeValue::Array(list)) if kind.many() => list
            .iter()
            .map(|item| match item.get_ref() {
                DeValue::String(text) => Ok(OsString::from(text.as_ref())),
                other => Err(format!("every entry must be a string, not a {}", other.type_str())),
            })
            .collect(),
        (kind, _) if kind.many() => wrong("a list of strings"),
        _ => wrong("a string"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_file_of_mistakes_only_is_refused_at_once_with_the_first_of_them() {
        let unknown: String = (0..MAX_KEYS).map(|at| format!("endpoint-{at} = 1\n")).collect();
        let many = format!("{unknown}one = 1\ntwo = 2\n");
        assert_eq!(parse(&many, "a.toml", CommandId::Confd).problems.len(), 1);
        for text in [unknown, "= \n".repeat(200_000)] {
            let begun = Instant::now();
            let contents = parse(&text, "a.toml", CommandId::Watch);
            let listed = contents.problems.len() + contents.idle.len();
            assert!((MAX_PROBLEMS..=MAX_PROBLEMS + 1).contains(&listed), "{listed} problems");
            assert!(contents.given.is_empty());
            assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        }
    }
    #[test]
    fn a_setting_behind_many_unknown_ones_counts() {
        let unknown: String = (0..200).map(|at| format!("a{at} = 1\n")).collect();
        let contents = parse(&format!("{unknown}zz = 1\nprefix = \"/p\"\n"), "a.toml", CommandId::Confd);
        assert_eq!(contents.given.len(), 1, "{} problems", contents.problems.len());
    }
}
