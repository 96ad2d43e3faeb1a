//! What a container requires: expressions, ports, memory, and what it must run near to.

use std::collections::BTreeMap;

use super::Dialect;
use super::expression::{Expression, ExpressionKind};
use super::facts::PortBinding;
use super::pattern::ExpressionError;

/// The expressions of a request as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expressions {
    /// Each with its kind, in order of priority.
    pub expressions: Vec<(ExpressionKind, String)>,
    /// Policies for a lost node; returned to the caller, unused here.
    pub reschedule: Vec<String>,
}

/// What a container requires.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The expressions.
    pub expressions: Expressions,
    /// Host ports.
    pub ports: Vec<PortBinding>,
    /// Whether it shares the host's network.
    pub host_network: bool,
    /// The ports that it exposes, as `80/tcp`; used with the host's network.
    pub exposed: Vec<String>,
    /// Processors to reserve; 0: none.
    pub cpus: i64,
    /// Bytes of memory to reserve; 0: none.
    pub memory: i64,
    /// Containers whose volumes it mounts, each with an optional `:mode`.
    pub volumes_from: Vec<String>,
    /// Containers that it is linked to, each with an optional `:alias`.
    pub links: Vec<String>,
    /// The container whose network it shares.
    pub network_of: Option<String>,
}

impl Expressions {
    /// Adds an expression as `-e` takes it, for instance `constraint:zone==a`.
    ///
    /// # Errors
    /// Its kind is unknown.
    pub fn add(&mut self, text: &str) -> Result<(), ExpressionError> {
        let (kind, rest) = ExpressionKind::of(text).ok_or_else(|| ExpressionError::Kind(text.to_owned()))?;
        self.expressions.push((kind, rest.to_owned()));
        Ok(())
    }

    /// Returns those of one kind.
    pub(super) fn of(&self, kind: ExpressionKind) -> impl Iterator<Item = &str> {
        self.expressions.iter().filter(move |(of, _)| *of == kind).map(|(_, text)| text.as_str())
    }

    /// Parses all of them.
    pub(super) fn parse(&self, dialect: Dialect) -> Result<Vec<Expression>, ExpressionError> {
        let mut parsed: Vec<Expression> = Vec::with_capacity(self.expressions.len());
        for (kind, text) in &self.expressions {
            let soft = parsed.iter().filter(|expr| expr.soft.is_some()).count();
            parsed.push(Expression::parse(*kind, text, soft, dialect)?);
        }
        Ok(parsed)
    }
}

/// Returns the label under which Swarm keeps expressions of a kind, as a JSON list.
fn label(kind: &str) -> String {
    format!("com.docker.swarm.{kind}")
}

/// Collects the expressions in a container's environment and labels, as Swarm does, and returns them with the rest of
/// the environment. Those of labels come first. A label that is not a list of texts counts as empty.
#[must_use]
pub fn collect(env: &[String], labels: &BTreeMap<String, String>) -> (Expressions, Vec<String>) {
    let listed = |name: &str| -> Vec<String> {
        let text = labels.get(&label(name));
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    };
    let mut kept = Vec::new();
    let mut expressions = Expressions { reschedule: listed("reschedule-policies"), ..Expressions::default() };
    let named = [
        (ExpressionKind::Affinity, "affinities"),
        (ExpressionKind::Constraint, "constraints"),
        (ExpressionKind::Whitelist, "whitelists"),
    ];
    let mut by_kind = named.map(|(kind, name)| (kind, listed(name)));
    for entry in env {
        let parts = entry.split_once(':');
        let of = by_kind.iter_mut().find(|(kind, _)| parts.is_some_and(|(word, _)| word == kind.word()));
        match (parts, of) {
            (Some((_, text)), Some((_, texts))) => texts.push(text.to_owned()),
            (Some(("reschedule", text)), None) => expressions.reschedule.push(text.to_owned()),
            _ => kept.push(entry.clone()),
        }
    }
    for (kind, texts) in by_kind {
        expressions.expressions.extend(texts.into_iter().map(|text| (kind, text)));
    }
    (expressions, kept)
}
