//! The options of `retune place`: docker's names for what a container needs.

use super::super::invocation::CommandId;
use super::super::row::ValueKind::{self, Bytes, Choice, List, Number, Repeat, Switch, Text};
use super::super::row::{Row, row};

const PLACE: &[CommandId] = &[CommandId::Place];
const STRATEGIES: ValueKind = Choice(&["spread", "binpack", "binpacking", "random"]);

/// The container's requirements.
pub(in crate::settings) const REQUIREMENT_ROWS: &[Row] = &[
    row(
        "env",
        Repeat,
        PLACE,
        "constraint:, affinity: or whitelist: and an expression such as zone==a or container!=web-*; ~ after the \
         operator makes it a preference; may be repeated",
    )
    .takes("EXPR")
    .short('e'),
    row("publish", Repeat, PLACE, "Host port, as docker run takes it: [IP:][HOST:]CONTAINER[/PROTO]; may be repeated")
        .takes("PORT")
        .short('p'),
    row("memory", Bytes, PLACE, "Memory to set aside").short('m'),
    row("cpus", Number, PLACE, "Processors to set aside").also(&["cpu-shares"]).short('c'),
    row("net", Text, PLACE, "host, or container:NAME, as docker run takes it; others do not matter here")
        .takes("NET")
        .also(&["network"]),
    row("expose", List, PLACE, "Port that the container exposes; matters with --net host").takes("PORT"),
    row("volumes-from", Repeat, PLACE, "Container whose volumes it wants; may be repeated").takes("NAME"),
    row("link", Repeat, PLACE, "Container that it is linked to; may be repeated").takes("NAME"),
];

/// How the choice is made and printed.
pub(in crate::settings) const SELECTION_ROWS: &[Row] = &[
    row("strategy", STRATEGIES, PLACE, "How the nodes that are left are ranked: most room first, least room first, or any")
        .default("spread"),
    row(
        "filter",
        List,
        PLACE,
        "Filters to apply, in this order: health, port, containerslots, dependency, affinity, constraint, whitelist; all \
         of them when not given",
    )
    .takes("NAMES"),
    row("compat", Choice(&["swarm"]), PLACE, "Exactly as Classic Swarm does"),
    row("all", Switch, PLACE, "Print every node that fits, the best first"),
    row("why", Switch, PLACE, "Print for each node what refuses it"),
    row("address", Switch, PLACE, "Print the node's address, as docker -H takes it, instead of its name"),
];
