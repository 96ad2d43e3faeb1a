//! Reads one TOML table field by field, and keeps the line of each problem.
//!
//! Typed deserialising stops at the first mistake and loses its line; a user who fixes a resource file wants all
//! problems at once, each with its line and the nearest known name.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::command::Program;
use crate::nearest::nearest;
use crate::scalar;

/// The longest duration accepted; adding much more to a clock overflows.
const MAX_DURATION: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Something wrong in a resource file, at a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The resource file.
    pub file: PathBuf,
    /// The line, counted from one; zero for the whole file.
    pub line: usize,
    /// What is wrong and what to do.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file.display(), self.text),
            line => write!(f, "{}:{line}: {}", self.file.display(), self.text),
        }
    }
}

/// One table of a resource file while it is read: fields that were read are known, the others are reported.
pub(super) struct Fields<'t> {
    file: &'t Path,
    text: &'t str,
    section: &'static str,
    left: BTreeMap<String, (usize, &'t DeValue<'t>)>,
    known: Vec<&'static str>,
    /// Wrong values found so far.
    pub(super) problems: Vec<Problem>,
}

impl<'t> Fields<'t> {
    /// Starts on `table`, called `section` in messages. Names match in any case, as confd's do.
    pub(super) fn new(file: &'t Path, text: &'t str, section: &'static str, table: &'t DeTable<'t>) -> Self {
        let left = table
            .iter()
            .map(|(name, value)| (name.get_ref().to_lowercase(), (line_at(text, name), value.get_ref())))
            .collect();
        Self { file, text, section, left, known: Vec::new(), problems: Vec::new() }
    }

    fn take(&mut self, name: &'static str) -> Option<(usize, &'t DeValue<'t>)> {
        self.known.push(name);
        self.left.remove(name)
    }

    /// Records a problem at a line.
    pub(super) fn wrong(&mut self, line: usize, text: impl Into<String>) {
        self.problems.push(Problem { file: self.file.to_owned(), line, text: text.into() });
    }

    fn mistyped(&mut self, name: &str, line: usize, wanted: &str, got: &DeValue<'_>) {
        self.wrong(line, format!("{name} must be {wanted}, not {}", got.type_str()));
    }

    /// Reads a string and its line.
    pub(super) fn string_at(&mut self, name: &'static str) -> Option<(usize, String)> {
        let (line, value) = self.take(name)?;
        match value.as_str() {
            Some(text) => Some((line, text.to_owned())),
            None => {
                self.mistyped(name, line, "a quoted string", value);
                None
            }
        }
    }

    /// Reads a string; an empty one counts as not given, as in confd.
    pub(super) fn string(&mut self, name: &'static str) -> Option<String> {
        self.string_at(name).map(|(_, text)| text).filter(|text| !text.is_empty())
    }

    /// Reads a list of strings.
    pub(super) fn strings(&mut self, name: &'static str) -> Option<Vec<String>> {
        let (line, value) = self.take(name)?;
        let texts = value.as_array().and_then(|list| {
            list.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        });
        if texts.is_none() {
            self.mistyped(name, line, "a list of strings", value);
        }
        texts
    }

    /// Reads a command: shell text, or a list of a program and its arguments. An empty text counts as not given.
    pub(super) fn command(&mut self, name: &'static str) -> Option<Program> {
        let (line, value) = self.take(name)?;
        if let Some(text) = value.as_str() {
            return Some(text).filter(|text| !text.is_empty()).map(|text| Program::Shell(text.to_owned()));
        }
        let Some(words) = value.as_array() else {
            self.mistyped(name, line, "a quoted string or a list of strings", value);
            return None;
        };
        let words: Option<Vec<OsString>> =
            words.iter().map(|word| word.get_ref().as_str().map(OsString::from)).collect();
        match words {
            Some(words) if words.first().is_some_and(|program| !program.is_empty()) => {
                Some(Program::Arguments(words))
            }
            _ => {
                self.wrong(line, format!("{name} must be a list of strings that begins with the program"));
                None
            }
        }
    }

    /// Reads a boolean; false when not given.
    pub(super) fn flag(&mut self, name: &'static str) -> bool {
        let Some((line, value)) = self.take(name) else { return false };
        value.as_bool().unwrap_or_else(|| {
            self.mistyped(name, line, "true or false", value);
            false
        })
    }

    /// Reads a user or group id.
    pub(super) fn id(&mut self, name: &'static str) -> Option<u32> {
        let (line, value) = self.take(name)?;
        let number = value.as_integer().and_then(|n| i64::from_str_radix(n.as_str(), n.radix()).ok());
        match number.map(u32::try_from) {
            Some(Ok(id)) => Some(id),
            // confd's own examples leave uid and gid out; some sites write -1 for "leave unchanged".
            Some(Err(_)) if number == Some(-1) => None,
            _ => {
                self.mistyped(name, line, "a whole number from 0 to 4294967295", value);
                None
            }
        }
    }

    /// Reads a duration: `"500ms"`, `"30s"`, `"5m"`, `"1h30m"`, or a number of seconds.
    pub(super) fn duration(&mut self, name: &'static str) -> Option<Duration> {
        let (line, value) = self.take(name)?;
        let parsed = match value {
            DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix())
                .ok()
                .and_then(|n| u64::try_from(n).ok())
                .map(Duration::from_secs),
            DeValue::String(text) => duration(text),
            _ => None,
        };
        let parsed = parsed.filter(|duration| *duration <= MAX_DURATION);
        if parsed.is_none() {
            self.wrong(line, format!("{name} must be a duration such as \"500ms\", \"30s\" or \"5m\""));
        }
        parsed
    }

    /// Returns the table `name` below this one.
    pub(super) fn table(&mut self, name: &'static str, section: &'static str) -> Option<Self> {
        let (line, value) = self.take(name)?;
        match value.as_table() {
            Some(table) => Some(Self::new(self.file, self.text, section, table)),
            None => {
                self.mistyped(name, line, "a table", value);
                None
            }
        }
    }

    /// Refuses a field that other programs know and that has no meaning here.
    pub(super) fn refuse(&mut self, name: &'static str, why: &str) {
        if let Some((line, _)) = self.left.remove(name) {
            self.wrong(line, format!("{name}: {why}"));
        }
    }

    /// Ends the table: returns the wrong values and the unknown fields, each with the nearest known name.
    pub(super) fn finish(self) -> (Vec<Problem>, Vec<Problem>) {
        let unknown = self.left.iter().map(|(name, (line, _))| {
            let hint = match nearest(name, self.known.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("known here: {}", self.known.join(", ")),
            };
            let text = format!("unknown field `{name}` in [{}]: {hint}", self.section);
            Problem { file: self.file.to_owned(), line: *line, text }
        });
        let unknown = unknown.collect();
        (self.problems, unknown)
    }
}

fn line_at<T>(text: &str, spanned: &Spanned<T>) -> usize {
    line_of(text, spanned.span().start)
}

/// Returns the line, counted from one, that holds byte `offset` of `text`.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes()[..offset.min(text.len())].iter().filter(|&&byte| byte == b'\n').count()
}

/// Parses a duration as Go spells it (`1h30m`, `250ms`) or as a plain number of seconds.
fn duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    scalar::span(text, scalar::unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos_or_seconds() {
        for (text, millis) in
            [("500ms", 500), ("30s", 30_000), ("1h30m", 5_400_000), ("1.5s", 1_500), ("7", 7_000)]
        {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "x", "5", "1d", "s", "-1s", "5 s"].iter().filter(|text| **text != "5") {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn every_problem_has_its_line_and_unknown_fields_the_nearest_valid_one() {
        let text = "src = 1\nkeyz = []\nmode = \"0644\"\n";
        let table = DeTable::parse(text).unwrap();
        let mut fields = Fields::new(Path::new("a.toml"), text, "template", table.get_ref());
        assert_eq!(fields.string("src"), None);
        assert_eq!(fields.strings("keys"), None);
        assert_eq!(fields.string("mode").as_deref(), Some("0644"));
        let (wrong, unknown) = fields.finish();
        assert_eq!(wrong[0].to_string(), "a.toml:1: src must be a quoted string, not integer");
        assert_eq!(
            unknown[0].to_string(),
            "a.toml:2: unknown field `keyz` in [template]: did you mean `keys`?"
        );
    }
}
