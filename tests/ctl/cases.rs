//! The command lines for both programs, as cases: each begins with two new stores.

use std::time::Duration;

use super::pair::WATCH_START_DELAY;
use super::{cases_auth as auth, cases_keys as keys, cases_options as words_of};

/// One command line.
#[derive(Clone, Debug)]
pub struct CaseLine {
    /// The arguments after the program's name.
    pub words: Vec<&'static str>,
    pub stdin: &'static [u8],
    pub env: Vec<(&'static str, &'static str)>,
    /// When to interrupt it, because it does not end by itself.
    pub interrupt: Option<Duration>,
    /// Whether the output's lines come in random order.
    pub any_order: bool,
    /// Whether the environment does not name the store.
    pub bare: bool,
    /// Whether the output ends with the general help, which differs.
    pub page: bool,
}

impl CaseLine {
    pub(super) fn interrupted(self) -> Self {
        Self { interrupt: Some(WATCH_START_DELAY), ..self }
    }

    pub(super) fn any_order(self) -> Self {
        Self { any_order: true, ..self }
    }

    pub(super) fn bare(self) -> Self {
        Self { bare: true, ..self }
    }

    pub(super) fn page(self) -> Self {
        Self { page: true, ..self }
    }

    pub(super) fn stdin(self, stdin: &'static [u8]) -> Self {
        Self { stdin, ..self }
    }

    pub(super) fn env(mut self, name: &'static str, value: &'static str) -> Self {
        self.env.push((name, value));
        self
    }
}

pub(super) fn words(words: &[&'static str]) -> CaseLine {
    CaseLine {
        words: words.to_vec(),
        stdin: b"",
        env: Vec::new(),
        interrupt: None,
        any_order: false,
        bare: false,
        page: false,
    }
}

/// Returns a line from simple words.
pub(super) fn line(text: &'static str) -> CaseLine {
    words(&text.split(' ').collect::<Vec<_>>())
}

pub(super) fn lines(text: &'static str) -> Vec<CaseLine> {
    text.lines().map(str::trim).filter(|text| !text.is_empty()).map(line).collect()
}

/// Returns all cases with their names.
pub fn cases() -> Vec<(&'static str, Vec<CaseLine>)> {
    vec![
        ("files", keys::files()),
        ("directories", keys::directories()),
        ("removing", keys::removing()),
        ("conditions", keys::conditions()),
        ("odd values", keys::values()),
        ("watching", keys::watching()),
        ("options", words_of::options()),
        ("help", words_of::help()),
        ("places", words_of::endpoints()),
        ("members", words_of::members()),
        ("users and roles", auth::users_and_roles()),
        ("authentication", auth::authentication()),
        ("without a quorum", words_of::without_quorum()),
    ]
}
