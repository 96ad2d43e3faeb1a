//! What is wished for: expressions, ports, memory, and what the container must be near to.

use std::collections::BTreeMap;

use super::Dialect;
use super::expression::{Expression, ExpressionKind};
use super::facts::Binding;
use super::pattern::Invalid;

/// The expressions of a request as they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expressions {
    /// Each with its kind, in the order in which they count.
    pub expressions: Vec<(ExpressionKind, String)>,
    /// What is to be done when the node is lost; carried for whoever asks, decided on by nobody here.
    pub reschedule: Vec<String>,
}

/// What a container needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The expressions.
    pub wishes: Expressions,
    /// Host ports.
    pub ports: Vec<Binding>,
    /// It is to share the host's network.
    pub host_network: bool,
    /// The ports that it exposes, as `80/tcp`; what counts on the host's network.
    pub exposed: Vec<String>,
    /// Processors to set aside; 0 asks for none.
    pub cpus: i64,
    /// Bytes of memory to set aside; 0 asks for none.
    pub memory: i64,
    /// Containers whose volumes it wants, each with an optional `:mode`.
    pub volumes_from: Vec<String>,
    /// Containers that it is linked to, each with an optional `:alias`.
    pub links: Vec<String>,
    /// The container whose network it shares.
    pub network_of: Option<String>,
}

impl Expressions {
    /// Adds one as `-e` takes it, for instance `constraint:zone==a`.
    ///
    /// # Errors
    /// It is of no kind that there is.
    pub fn add(&mut self, text: &str) -> Result<(), Invalid> {
        let (kind, rest) = ExpressionKind::of(text).ok_or_else(|| Invalid::Kind(text.to_owned()))?;
        self.expressions.push((kind, rest.to_owned()));
        Ok(())
    }

    /// Those of one kind.
    pub(super) fn of(&self, kind: ExpressionKind) -> impl Iterator<Item = &str> {
        self.expressions.iter().filter(move |(of, _)| *of == kind).map(|(_, text)| text.as_str())
    }

    /// Understands all of them.
    pub(super) fn parse(&self, dialect: Dialect) -> Result<Vec<Expression>, Invalid> {
        let mut parsed: Vec<Expression> = Vec::with_capacity(self.expressions.len());
        for (kind, text) in &self.expressions {
            let soft = parsed.iter().filter(|expr| expr.soft.is_some()).count();
            parsed.push(Expression::parse(*kind, text, soft, dialect)?);
        }
        Ok(parsed)
    }
}

/// The label under which Swarm keeps expressions of a kind, as a JSON list.
fn label(kind: &str) -> String {
    format!("com.docker.swarm.{kind}")
}

/// The expressions in a container's environment and labels, as Swarm finds them, and what is left of the environment.
/// Those of labels come first. A label that is no list of texts has none.
#[must_use]
pub fn collect(env: &[String], labels: &BTreeMap<String, String>) -> (Expressions, Vec<String>) {
    let listed = |name: &str| -> Vec<String> {
        let text = labels.get(&label(name));
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    };
    let mut kept = Vec::new();
    let mut wishes = Expressions { reschedule: listed("reschedule-policies"), ..Expressions::default() };
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
            (Some(("reschedule", text)), None) => wishes.reschedule.push(text.to_owned()),
            _ => kept.push(entry.clone()),
        }
    }
    for (kind, texts) in by_kind {
        wishes.expressions.extend(texts.into_iter().map(|text| (kind, text)));
    }
    (wishes, kept)
}
