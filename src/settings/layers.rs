//! The one value of each option that counts, and where it came from.

use std::ffi::OsString;
use std::path::PathBuf;

use super::problem::Problem;
use super::row::{Row, ValueKind};

/// Where a value came from, the strongest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    File,
    Environment,
    Flag,
}

/// The winning value of one option. No `Debug`: it may be a password.
pub(super) struct OptionValue {
    pub(super) row: &'static Row,
    pub(super) rank: Rank,
    /// The flag, the variable, or the file with line and key.
    pub(super) place: String,
    /// Its words, or why there are none. An empty list means the default.
    pub(super) words: Result<Vec<OsString>, String>,
}

/// Every winning value, and the problems found.
#[derive(Default)]
pub(super) struct Layers {
    pub(super) given: Vec<OptionValue>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
    /// Whether everything comes from etcd's settings file, where every mistake has the same exit status.
    pub(super) from_etcd_file: bool,
    /// Logged as information.
    pub(super) notices: Vec<String>,
}

impl Layers {
    /// Returns the value of an option, by its name in the table.
    pub(super) fn get(&self, name: &str) -> Option<&OptionValue> {
        self.given.iter().find(|given| given.row.name == name)
    }

    /// Returns the settings file that is named.
    pub(super) fn config_file(&self) -> Option<PathBuf> {
        self.get("config-file")?.words.as_ref().ok()?.first().map(PathBuf::from)
    }

    /// Returns the options that have a value, and where each came from.
    pub(super) fn places(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.given.iter().map(|given| (given.row.name, given.place.as_str()))
    }

    /// Returns the place of the option's current value, if it differs from this one.
    pub(super) fn overriding(&self, row: &Row, words: &Result<Vec<OsString>, String>) -> Option<String> {
        self.get(row.name).filter(|given| given.words != *words).map(|given| given.place.clone())
    }

    /// Adds a value unless a stronger layer has one.
    pub(super) fn add_unless_set(&mut self, given: OptionValue) {
        if self.get(given.row.name).is_none() {
            self.given.push(given);
        }
    }
}

pub(super) fn split(kind: ValueKind, value: OsString, commas: bool) -> Vec<OsString> {
    let list = match value.to_str() {
        Some(text) if commas => text.split(',').map(|part| OsString::from(part.trim())).collect(),
        // `-watch=` is not a valid value; it is kept so that it is reported.
        _ if kind == ValueKind::Switch => return vec![value],
        _ => vec![value],
    };
    list.into_iter().filter(|word| !word.is_empty()).collect()
}
