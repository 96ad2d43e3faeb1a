//! One expression: `zone==a`, `container!=~web-*`, `node==/^db[0-9]+$/`.

use std::sync::LazyLock;

use regex::Regex;

use super::Dialect;
use super::pattern::{Invalid, Pattern};

/// What an expression is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpressionKind {
    /// The node itself.
    Constraint,
    /// What runs or lies on the node already.
    Affinity,
    /// The node's name, out of a list.
    Whitelist,
}

impl ExpressionKind {
    /// The word before the expression's colon, and the one in messages.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Constraint => "constraint",
            Self::Affinity => "affinity",
            Self::Whitelist => "whitelist",
        }
    }

    /// The kind that `text` begins with, for instance `constraint:zone==a`, and what follows the colon.
    #[must_use]
    pub fn of(text: &str) -> Option<(Self, &str)> {
        let kinds = [Self::Constraint, Self::Affinity, Self::Whitelist];
        kinds.into_iter().find_map(|kind| Some((kind, text.strip_prefix(kind.word())?.strip_prefix(':')?)))
    }
}

/// A parsed expression.
#[derive(Clone, Debug)]
pub struct Expression {
    /// What it is held against.
    pub kind: ExpressionKind,
    /// What of it: a label's name, or `node`, `container`, `image`.
    pub key: String,
    /// `==` rather than `!=`.
    pub equal: bool,
    /// The value, without the mark of a soft one.
    pub value: String,
    /// It may go unmet, and is given up after so many others.
    pub soft: Option<usize>,
    pattern: Pattern,
}

/// What begins like a regular expression and what may be in a value: Swarm's own sets.
static KEY: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(?i-u)[a-z_][a-z0-9\-_.]+$").expect("it compiles"));
static VALUE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?i-u)[=!/]?~?[a-z0-9:\-_\t\n\f\r .*/()?+\[\]\\^$|]+$").expect("it compiles")
});

impl Expression {
    /// Understands `text`, for instance `zone==a`. `soft` is the place of it among those that are soft, if it is.
    ///
    /// # Errors
    /// It makes no sense.
    pub fn parse(kind: ExpressionKind, text: &str, soft: usize, dialect: Dialect) -> Result<Self, Invalid> {
        // Swarm looks for the one anywhere before it looks for the other.
        let (equal, (key, value)) = match (text.split_once("=="), text.split_once("!=")) {
            (Some(parts), _) => (true, parts),
            (None, Some(parts)) => (false, parts),
            (None, None) => return Err(Invalid::Operator),
        };
        if !KEY.is_match(key) {
            return Err(Invalid::Key(key.to_owned()));
        }
        if !VALUE.is_match(value) {
            return Err(Invalid::Value(value.to_owned()));
        }
        let is_soft = value.starts_with('~');
        let value = value.trim_start_matches('~');
        if value == "/" {
            // It would be a regular expression without an end; Swarm falls over it.
            return Err(Invalid::Value(value.to_owned()));
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

    /// Whether it counts when the first so many soft ones do.
    pub(super) fn counts(&self, soft: usize) -> bool {
        self.soft.is_none_or(|place| place < soft)
    }

    /// Whether any of `candidates` is what it asks for, or none is what it refuses.
    pub fn matches<'c>(&self, candidates: impl IntoIterator<Item = &'c str>) -> bool {
        candidates.into_iter().any(|candidate| self.pattern.matches(candidate)) == self.equal
    }

    /// The words of an expression: a soft one without its mark.
    #[must_use]
    pub fn words(&self) -> String {
        format!("{}{}{}", self.key, if self.equal { "==" } else { "!=" }, self.value)
    }
}
