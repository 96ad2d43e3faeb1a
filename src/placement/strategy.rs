//! Which of the nodes that may take a container is the best.

use std::cmp::Reverse;
use std::str::FromStr;

use super::facts::Node;
use super::request::Request;

/// A node may be given so many hundredths more than it has.
const OVERCOMMIT_PERCENT: i64 = 5;
/// How much a hundredth of health weighs.
const HEALTH_WEIGHT: i64 = 10;
const FULL: &str = "no resources available to schedule container";

/// How nodes are ranked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// The one with most room first.
    #[default]
    Spread,
    /// The one with least room that still fits first, so that others stay empty.
    Binpack,
    /// Any, whatever its room.
    Random,
}

impl FromStr for Strategy {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "spread" => Ok(Self::Spread),
            "binpack" | "binpacking" => Ok(Self::Binpack),
            "random" => Ok(Self::Random),
            _ => Err("strategy not supported"),
        }
    }
}

impl Strategy {
    /// The nodes, the best first; those that are too small or too full are left out. Ties are broken by name.
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
        if weighed.is_empty() { Err(FULL) } else { Ok(weighed.into_iter().map(|(_, node)| node).collect()) }
    }
}

/// How full a node would be, in hundredths of its processors and of its memory; `None`: it does not fit.
fn load(request: &Request, node: &Node) -> Option<i64> {
    let used = |of: fn(&super::Container) -> i64| {
        node.containers.iter().map(|container| of(container).max(0)).fold(0, i64::saturating_add)
    };
    let cpus = score(request.cpus, used(|container| container.cpus), node.cpus)?;
    let memory = score(request.memory, used(|container| container.memory), node.memory)?;
    Some(cpus + memory)
}

/// A part's score; one that is not asked for has the same everywhere.
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
