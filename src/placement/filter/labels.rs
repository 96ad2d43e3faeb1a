//! Constraints, which ask for a node's labels, and whitelists, which name nodes.

use super::super::Dialect;
use super::super::expression::Expression;
use super::super::facts::Node;

pub(super) fn meets(expr: &Expression, node: &Node, dialect: Dialect) -> bool {
    if expr.key == "node" {
        // A node that nothing is known of is no node called "".
        let known = |name: &&str| dialect == Dialect::Swarm || !name.is_empty();
        return expr.matches([node.id.as_str(), node.name.as_str()].into_iter().filter(known));
    }
    match (node.labels.get(&expr.key), dialect) {
        (Some(label), _) => expr.matches([label.as_str()]),
        // To Swarm a label that is not there is an empty one, and `*` matches it.
        (None, Dialect::Swarm) => expr.matches([""]),
        (None, Dialect::Plain) => expr.matches([]),
    }
}

/// Swarm looks at the value only: `!=` means what `==` does.
pub(super) fn is_listed(expr: &Expression, node: &Node, dialect: Dialect) -> bool {
    let listed = expr.value.split('|').any(|name| name == node.name);
    listed == (expr.equal || dialect == Dialect::Swarm)
}
