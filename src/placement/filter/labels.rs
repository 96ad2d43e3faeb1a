//! Constraints, which test a node's labels, and whitelists of node names.

use super::super::Dialect;
use super::super::expression::Expression;
use super::super::facts::Node;

pub(super) fn meets(expr: &Expression, node: &Node, dialect: Dialect) -> bool {
    if expr.key == "node" {
        // An unknown name must not match the name "".
        let known = |name: &&str| dialect == Dialect::Swarm || !name.is_empty();
        return expr.matches([node.id.as_str(), node.name.as_str()].into_iter().filter(known));
    }
    match (node.labels.get(&expr.key), dialect) {
        (Some(label), _) => expr.matches([label.as_str()]),
        // For Swarm a missing label is an empty one, and `*` matches it.
        (None, Dialect::Swarm) => expr.matches([""]),
        (None, Dialect::Plain) => expr.matches([]),
    }
}

/// Returns whether a node is on the list. Swarm ignores the operator: `!=` means the same as `==`.
pub(super) fn is_listed(expr: &Expression, node: &Node, dialect: Dialect) -> bool {
    let listed = expr.value.split('|').any(|name| name == node.name);
    listed == (expr.equal || dialect == Dialect::Swarm)
}
