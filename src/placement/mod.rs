//! Where a container may run: expressions, filters and strategies over facts about the nodes.
//!
//! Owns: the syntax of a request (`constraint:zone==a`, `affinity:container!=web-*`, `80:80/tcp`), its meaning, the
//! order of the filters, and the ranking of the remaining nodes.
//!
//! Promises: pure. The same request over the same facts gives the same result; the strategy `random` takes its random
//! numbers as an argument. No expression panics, and an invalid one is an error and never "no match".
//!
//! Two dialects. [`Dialect::Swarm`] is what Docker's classic Swarm 1.2 did, oddities included. [`Dialect::Plain`] is
//! ours, and differs where Swarm surprised: a literal is a literal (only `*` is special), a label that a node lacks
//! matches nothing, TCP and UDP ports are different ports, port ranges work, short ids are ids, a whitelist respects
//! its operator, and of several soft expressions that cannot all be met, the last ones are given up first, one by one.
//!
//! Leaves out: where the facts come from (`registrar` publishes them) and who starts the container.

mod expression;
mod facts;
mod filter;
mod pattern;
mod request;
mod selection;
mod strategy;

#[cfg(test)]
mod tests;

pub use expression::{Expression, ExpressionKind};
pub use facts::{Container, Image, Node, PortBinding};
pub use filter::Filter;
pub use pattern::ExpressionError;
pub use request::{Expressions, Request, collect};
pub use selection::Selection;
pub use strategy::Strategy;

use thiserror::Error;

/// The directory of the nodes' records, each under its node's name. Hidden: a listing of the root in etcd's v2 API does
/// not show it.
pub const NODES: &str = "/_retune/nodes";

/// The semantics of expressions and filters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Ours.
    #[default]
    Plain,
    /// Classic Swarm's, exactly.
    Swarm,
}

/// Why no node can take the container.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlaceError {
    /// An invalid expression.
    #[error(transparent)]
    Invalid(#[from] ExpressionError),
    /// No node is left, with a message for the user.
    #[error("{0}")]
    NoNode(String),
}

/// Why one node is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRefusal {
    /// The node.
    pub node: String,
    /// The first filter or expression that rejects it; `None`: it is not rejected.
    pub refused_by: Option<String>,
}

/// The rules of a choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The filters, in the order in which they apply.
    pub filters: Vec<Filter>,
    /// How the remaining nodes are ranked.
    pub strategy: Strategy,
    /// The semantics.
    pub dialect: Dialect,
}

const NO_NODES: &str = "No nodes available in the cluster";

/// Returns what these filters require, in Swarm's words.
fn conditions(filters: &[Filter], request: &Request) -> String {
    let mut all = "Unable to find a node that satisfies the following conditions ".to_owned();
    for filter in filters {
        let asked = filter.conditions(request);
        if !asked.is_empty() {
            all.push_str(&format!("\n[{}]", asked.join(" ")));
        }
    }
    all
}

impl Default for Rules {
    fn default() -> Self {
        Self { filters: Filter::ALL.to_vec(), strategy: Strategy::Spread, dialect: Dialect::Plain }
    }
}

impl Rules {
    /// Returns the nodes that can run what `request` describes, the best first. Only the strategy `random` calls
    /// `chance`, for a number below its argument.
    ///
    /// # Errors
    /// An invalid expression, or no node fits: the message names what could not be met.
    pub fn place<'n>(
        &self,
        request: &Request,
        nodes: &'n [Node],
        chance: &mut dyn FnMut(usize) -> usize,
    ) -> Result<Vec<&'n Node>, PlaceError> {
        let expressions = match request.expressions.parse(self.dialect) {
            Ok(expressions) => expressions,
            Err(error) if self.dialect == Dialect::Swarm => {
                return Err(self.swarm_error(request, nodes, error));
            }
            Err(error) => return Err(error.into()),
        };
        let mut outcome = Err(PlaceError::NoNode(NO_NODES.to_owned()));
        for soft in self.attempts(&expressions) {
            let counting: Vec<&Expression> = expressions.iter().filter(|expr| expr.counts(soft)).collect();
            let left = self.remaining_nodes(&self.filters, request, &counting, nodes);
            outcome = left.and_then(|left| {
                let ranked = self.strategy.rank(request, left, chance);
                ranked.map_err(|words| PlaceError::NoNode(words.to_owned()))
            });
            if outcome.is_ok() {
                break;
            }
        }
        // If none fits: report what fails without any soft expression, because that must change.
        outcome
    }

    /// Returns Swarm's error for an invalid expression: Swarm notices it at its filter, after it applied the earlier
    /// ones.
    fn swarm_error(&self, request: &Request, nodes: &[Node], error: ExpressionError) -> PlaceError {
        let broken = |kind| {
            let mut texts = request.expressions.of(kind);
            texts.find_map(|text| Expression::parse(kind, text, 0, Dialect::Swarm).err())
        };
        let met = |(at, filter): (usize, &Filter)| {
            let kind = filter.kind()?;
            Some((at, kind, broken(kind)?))
        };
        let Some((at, kind, error)) = self.filters.iter().enumerate().find_map(met) else {
            return error.into();
        };
        let before = &self.filters[..at];
        let sound: Vec<Expression> = before
            .iter()
            .filter_map(|filter| filter.kind())
            .flat_map(|kind| {
                request.expressions.of(kind).map(move |text| Expression::parse(kind, text, 0, Dialect::Swarm))
            })
            .filter_map(Result::ok)
            .collect();
        let hard: Vec<&Expression> = sound.iter().filter(|expr| expr.counts(0)).collect();
        match self.remaining_nodes(before, request, &hard, nodes) {
            Err(refusal) => refusal,
            Ok(_) => PlaceError::NoNode(format!(
                "{}\nerror from {} filter: {error}",
                conditions(before, request),
                kind.word()
            )),
        }
    }

    /// Returns how many of the soft expressions count in each attempt.
    fn attempts(&self, expressions: &[Expression]) -> Vec<usize> {
        let soft = expressions.iter().filter(|expr| expr.soft.is_some()).count();
        match self.dialect {
            // Swarm tries again even without soft expressions, which changes nothing.
            Dialect::Swarm => vec![soft, 0],
            Dialect::Plain => (0..=soft).rev().collect(),
        }
    }

    /// Returns the nodes that no filter rejects.
    fn remaining_nodes<'n>(
        &self,
        filters: &[Filter],
        request: &Request,
        expressions: &[&Expression],
        nodes: &'n [Node],
    ) -> Result<Vec<&'n Node>, PlaceError> {
        let mut left: Vec<&Node> = nodes.iter().collect();
        for (position, filter) in filters.iter().enumerate() {
            left = filter.apply(request, expressions, left, self.dialect).map_err(|words| {
                // Swarm 1.2 listed the requirements of all filters up to the failing one; earlier versions named the
                // one expression, which is more helpful.
                let plain = self.dialect == Dialect::Plain || *filter == Filter::Health;
                PlaceError::NoNode(if plain { words } else { conditions(&filters[..=position], request) })
            })?;
        }
        if left.is_empty() { Err(PlaceError::NoNode(NO_NODES.to_owned())) } else { Ok(left) }
    }

    /// Returns, for each node, the first reason to reject it; ignores soft expressions.
    ///
    /// # Errors
    /// An invalid expression.
    pub fn why(&self, request: &Request, nodes: &[Node]) -> Result<Vec<NodeRefusal>, PlaceError> {
        let expressions = request.expressions.parse(self.dialect)?;
        let counting: Vec<&Expression> = expressions.iter().filter(|expr| expr.counts(0)).collect();
        let refused_by = |node| {
            let refusal = |filter: &Filter| filter.apply(request, &counting, vec![node], self.dialect).err();
            let no_room = || self.strategy.rank(request, vec![node], &mut |_| 0).err().map(str::to_owned);
            self.filters.iter().find_map(refusal).or_else(no_room)
        };
        Ok(nodes
            .iter()
            .map(|node| NodeRefusal { node: node.name.clone(), refused_by: refused_by(node) })
            .collect())
    }
}
