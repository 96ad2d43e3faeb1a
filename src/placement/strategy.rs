//! Ranks the nodes that can run a container.

use std::cmp::Reverse;
use std::str::FromStr;

use super::facts::Node;
use super::request::Request;

/// How much more than its capacity a node may be given, in percent.
const OVERCOMMIT_PERCENT: i64 = 5;
/// The weight of one percent of health.
const HEALTH_WEIGHT: i64 = 10;
const NO_RESOURCES: &str = "no resources available to schedule container";

/// How nodes are ranked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// The node with the most free capacity first.
    #[default]
    Spread,
    /// The node with the least free capacity that still fits first, so that others stay empty.
    Binpack,
    /// Random order.
    Random,
}

impl FromStr for Strategy {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Self::NAMES.into_iter().find(|(own, _)| *own == name);
        found.map(|(_, strategy)| strategy).ok_or("strategy not supported")
    }
}

impl Strategy {
    /// Every name in Swarm's `--strategy`.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("spread", Self::Spread),
        ("binpack", Self::Binpack),
        ("binpacking", Self::Binpack),
        ("random", Self::Random),
    ];

    /// Returns the nodes, the best first, without those that are too small or too full. Sorts ties by name.
    ///
    /// # Errors
    /// None is left.
    pub(super) fn rank<'n>(
        self,
        request: &Request,
        mut nodes: Vec<&'n Node>,
        chance: &mut dyn FnMut(usize) -> usize,
    ) -> Result<Vec<&'n Node>, &'static str> {
        if self == Self::Random {
            for last in (1..nodes.len()).rev() {
                nodes.swap(last, chance(last + 1).min(last));
            }
            return Ok(nodes);
        }
        let mut weighed: Vec<_> =
            nodes.into_iter().filter_map(|node| Some((load(request, node)?, node))).collect();
        match self {
            Self::Spread | Self::Random => weighed.sort_by_key(|(load, node)| {
                (load - HEALTH_WEIGHT * node.health(), node.containers.len(), node.name.as_str())
            }),
            Self::Binpack => weighed.sort_by_key(|(load, node)| {
                (Reverse((load + HEALTH_WEIGHT * node.health(), node.containers.len())), node.name.as_str())
            }),
        }
        if weighed.is_empty() {
            Err(NO_RESOURCES)
        } else {
            Ok(weighed.into_iter().map(|(_, node)| node).collect())
        }
    }
}

/// Returns the load of a node with this container, in percent of its processors and memory; `None`: it does not fit.
fn load(request: &Request, node: &Node) -> Option<i64> {
    let used = |of: fn(&super::Container) -> i64| {
        node.containers.iter().map(|container| of(container).max(0)).fold(0, i64::saturating_add)
    };
    let cpus = score(request.cpus, used(|container| container.cpus), node.cpus)?;
    let memory = score(request.memory, used(|container| container.memory), node.memory)?;
    Some(cpus + memory)
}

/// Returns the score of one resource; if the request needs none of it, the score is the same on all nodes.
fn score(wanted: i64, used: i64, has: i64) -> Option<i64> {
    let total = i128::from(has) + i128::from(has) * i128::from(OVERCOMMIT_PERCENT) / 100;
    if i128::from(wanted) > total {
        return None;
    }
    if wanted <= 0 {
        return Some(100);
    }
    let score = (i128::from(used) + i128::from(wanted)) * 100 / total;
    i64::try_from(score).ok().filter(|score| *score <= 100)
}
