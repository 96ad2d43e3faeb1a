//! One expression: `zone==a`, `container!=~web-*`, `node==/^db[0-9]+$/`.

use std::sync::LazyLock;

use regex::Regex;

use super::Dialect;
use super::pattern::{ExpressionError, Pattern};

/// What an expression is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpressionKind {
    /// The node's labels and name.
    Constraint,
    /// The containers and images on the node.
    Affinity,
    /// A list of node names.
    Whitelist,
}

impl ExpressionKind {
    /// Returns the word before the expression's colon, which messages use as well.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Constraint => "constraint",
            Self::Affinity => "affinity",
            Self::Whitelist => "whitelist",
        }
    }

    /// Returns the kind that `text` begins with, for instance `constraint:zone==a`, and the text after the colon.
    #[must_use]
    pub fn of(text: &str) -> Option<(Self, &str)> {
        let kinds = [Self::Constraint, Self::Affinity, Self::Whitelist];
        kinds.into_iter().find_map(|kind| Some((kind, text.strip_prefix(kind.word())?.strip_prefix(':')?)))
    }
}

/// A parsed expression.
#[derive(Clone, Debug)]
pub struct Expression {
    /// What it is compared with.
    pub kind: ExpressionKind,
    /// The left side: a label's name, or `node`, `container`, `image`.
    pub key: String,
    /// Whether the operator is `==`; otherwise `!=`.
    pub equal: bool,
    /// The value, without the mark of a soft expression.
    pub value: String,
    /// For a soft expression, which need not be met: its position, from which it is given up.
    pub soft: Option<usize>,
    pattern: Pattern,
}

/// The start of a regular expression and the characters of a value: Swarm's own sets.
static KEY: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(?i-u)[a-z_][a-z0-9\-_.]+$").expect("it compiles"));
static VALUE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?i-u)[=!/]?~?[a-z0-9:\-_\t\n\f\r .*/()?+\[\]\\^$|]+$").expect("it compiles")
});

impl Expression {
    /// Parses `text`, for instance `zone==a`. `soft` is its position among the soft expressions, if it is one.
    ///
    /// # Errors
    /// It is invalid.
    pub fn parse(
        kind: ExpressionKind,
        text: &str,
        soft: usize,
        dialect: Dialect,
    ) -> Result<Self, ExpressionError> {
        // Swarm searches all of the text for `==` before `!=`.
        let (equal, (key, value)) = match (text.split_once("=="), text.split_once("!=")) {
            (Some(parts), _) => (true, parts),
            (None, Some(parts)) => (false, parts),
            (None, None) => return Err(ExpressionError::Operator),
        };
        if !KEY.is_match(key) {
            return Err(ExpressionError::Key(key.to_owned()));
        }
        if !VALUE.is_match(value) {
            return Err(ExpressionError::Value(value.to_owned()));
        }
        let is_soft = value.starts_with('~');
        let value = value.trim_start_matches('~');
        if value == "/" {
            // An unterminated regular expression; Swarm crashes on it.
            return Err(ExpressionError::Value(value.to_owned()));
        }
        let pattern = Pattern::new(value, dialect)?;
        Ok(Self {
            kind,
            key: key.to_owned(),
            equal,
            value: value.to_owned(),
            soft: is_soft.then_some(soft),
            pattern,
        })
    }

    /// Returns whether it counts when only the first `soft` soft expressions do.
    pub(super) fn counts(&self, soft: usize) -> bool {
        self.soft.is_none_or(|place| place < soft)
    }

    /// Returns whether any of `candidates` matches for `==`, or none for `!=`.
    pub fn matches<'c>(&self, candidates: impl IntoIterator<Item = &'c str>) -> bool {
        candidates.into_iter().any(|candidate| self.pattern.matches(candidate)) == self.equal
    }

    /// Returns the expression as text, without the mark of a soft one.
    #[must_use]
    pub fn words(&self) -> String {
        format!("{}{}{}", self.key, if self.equal { "==" } else { "!=" }, self.value)
    }
}
