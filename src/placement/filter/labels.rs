//! Constraints, which ask for a node's labels, and whitelists, which name nodes.

use super::super::Dialect;
use super::super::expression::Expression;
use super::super::facts::Node;

pub(super) fn meets(wish: &Expression, node: &Node, dialect: Dialect) -> bool {
    if wish.key == "node" {
        // A node that nothing is known of is no node called "".
        let known = |name: &&str| dialect == Dialect::Swarm || !name.is_empty();
        return wish.matches([node.id.as_str(), node.name.as_str()].into_iter().filter(known));
    }
    match (node.labels.get(&wish.key), dialect) {
        (Some(label), _) => wish.matches([label.as_str()]),
        // To Swarm a label that is not there is an empty one, and `*` matches it.
        (None, Dialect::Swarm) => wish.matches([""]),
        (None, Dialect::Plain) => wish.matches([]),
    }
}

/// Swarm looks at the value only: `!=` means what `==` does.
pub(super) fn is_listed(wish: &Expression, node: &Node, dialect: Dialect) -> bool {
    let listed = wish.value.split('|').any(|name| name == node.name);
    listed == (wish.equal || dialect == Dialect::Swarm)
}
