//! The filters, in the order in which Swarm applies them.

mod affinity;
mod labels;
mod ports;

use std::str::FromStr;

use super::Dialect;
use super::expression::{Expression, ExpressionKind};
use super::facts::Node;
use super::request::Request;

/// A filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// The node is healthy.
    Health,
    /// The host ports are free.
    Port,
    /// The node has room for one more container: its label `containerslots` is the limit.
    ContainerSlots,
    /// The containers that this one depends on are on the node.
    Dependency,
    /// The containers and images on the node.
    Affinity,
    /// The node's labels and name.
    Constraint,
    /// The node's name is on a list.
    Whitelist,
}

impl FromStr for Filter {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|filter| filter.name() == name).ok_or("filter not supported")
    }
}

impl Filter {
    /// All of them, in Swarm's order.
    pub const ALL: [Self; 7] = [
        Self::Health,
        Self::Port,
        Self::ContainerSlots,
        Self::Dependency,
        Self::Affinity,
        Self::Constraint,
        Self::Whitelist,
    ];

    /// Returns its name in Swarm's `--filter`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Port => "port",
            Self::ContainerSlots => "containerslots",
            Self::Dependency => "dependency",
            Self::Affinity => "affinity",
            Self::Constraint => "constraint",
            Self::Whitelist => "whitelist",
        }
    }

    /// Returns the kind of its expressions.
    pub(super) fn kind(self) -> Option<ExpressionKind> {
        match self {
            Self::Affinity => Some(ExpressionKind::Affinity),
            Self::Constraint => Some(ExpressionKind::Constraint),
            Self::Whitelist => Some(ExpressionKind::Whitelist),
            Self::Health | Self::Port | Self::ContainerSlots | Self::Dependency => None,
        }
    }

    /// Returns the nodes that it accepts.
    ///
    /// # Errors
    /// It rejects all of them: the requirement that none meets.
    pub(super) fn apply<'n>(
        self,
        request: &Request,
        expressions: &[&Expression],
        nodes: Vec<&'n Node>,
        dialect: Dialect,
    ) -> Result<Vec<&'n Node>, String> {
        match self {
            Self::Health => keep(nodes, |node| node.health() > 0)
                .ok_or_else(|| "No healthy node available in the cluster".to_owned()),
            Self::Port => ports::apply(request, nodes, dialect),
            Self::ContainerSlots => keep(nodes, has_a_slot)
                .ok_or_else(|| "No node with enough open slots available in the cluster".to_owned()),
            Self::Dependency => affinity::dependencies(request, nodes),
            Self::Affinity | Self::Constraint | Self::Whitelist => {
                let mut nodes = nodes;
                for expr in expressions.iter().filter(|expr| Some(expr.kind) == self.kind()) {
                    nodes = keep(nodes, |node| meets(expr, node, dialect))
                        .ok_or_else(|| refused(expr, dialect))?;
                }
                Ok(nodes)
            }
        }
    }

    /// Returns its requirements, as Swarm lists them.
    pub(super) fn conditions(self, request: &Request) -> Vec<String> {
        let parsed = |kind| {
            let texts = request.expressions.of(kind);
            texts.filter_map(move |text| Expression::parse(kind, text, 0, Dialect::Swarm).ok())
        };
        match self {
            Self::Health => Vec::new(),
            Self::Port => ports::conditions(request),
            Self::ContainerSlots => vec!["available container slots".to_owned()],
            Self::Dependency => affinity::asked(request),
            Self::Affinity => parsed(ExpressionKind::Affinity)
                .map(|expr| format!("{} (soft={})", expr.words(), expr.soft.is_some()))
                .collect(),
            Self::Constraint => parsed(ExpressionKind::Constraint).map(|expr| expr.words()).collect(),
            Self::Whitelist => parsed(ExpressionKind::Whitelist).map(|expr| expr.words()).collect(),
        }
    }
}

/// Returns whether a node meets an expression, soft or not.
pub(super) fn meets(expr: &Expression, node: &Node, dialect: Dialect) -> bool {
    match expr.kind {
        ExpressionKind::Affinity => affinity::meets(expr, node, dialect),
        ExpressionKind::Constraint => labels::meets(expr, node, dialect),
        ExpressionKind::Whitelist => labels::is_listed(expr, node, dialect),
    }
}

/// Returns the message for an expression that no node meets. Ours is that of Swarm's first versions, which users know.
fn refused(expr: &Expression, dialect: Dialect) -> String {
    let kind = match dialect {
        Dialect::Swarm => format!("the {} ", expr.kind.word()),
        Dialect::Plain => String::new(),
    };
    format!("unable to find a node that satisfies {kind}{}", expr.words())
}

/// Returns the nodes that meet the condition; `None`: there were some and none does.
fn keep(nodes: Vec<&Node>, meets: impl Fn(&Node) -> bool) -> Option<Vec<&Node>> {
    let kept: Vec<&Node> = nodes.into_iter().filter(|node| meets(node)).collect();
    if kept.is_empty() { None } else { Some(kept) }
}

/// Returns whether a node has a free slot. A label that is not a number sets no limit.
fn has_a_slot(node: &Node) -> bool {
    let slots = node.labels.get("containerslots").and_then(|text| text.parse::<i64>().ok());
    slots.is_none_or(|slots| i64::try_from(node.containers.len()).is_ok_and(|count| count < slots))
}
