//! Settings of `retune place`.

mod ports;
mod rows;

use super::invocation::{Invocation, PlaceSettings, Task};
use super::reader::Reader;
use super::spec::CommandSpec;
use super::{store, units};
use crate::placement::{Dialect, Filter, Request, Rules, Strategy};

use ports::Published;
pub(super) use rows::{REQUIREMENT_ROWS, SELECTION_ROWS};

pub(super) const PLACE: CommandSpec = CommandSpec {
    notes: "Exit status 1 means that no node fits; stderr says why.\nWith --output json, a stable interface: \
            {\"nodes\": [{\"name\", \"address\"}]}, the best first; with --why {\"nodes\": [{\"name\", \"fits\", \
            \"refused_by\"}]}; when none fits {\"nodes\": [], \"refusal\"}.",
    ..CommandSpec::new("place", "Choose the node for a container, from what the registrars publish", place)
};

fn place(read: &mut Reader<'_>) -> Invocation {
    let output = read.format("output");
    let source = store::client_settings(read);
    let dialect = read.choice("compat", &[("swarm", Dialect::Swarm)], Dialect::Plain);
    let place = PlaceSettings {
        request: request(read),
        rules: Rules {
            strategy: read.choice("strategy", &Strategy::NAMES, Strategy::default()),
            filters: filters(read),
            dialect,
        },
        all: read.on("all"),
        why: read.on("why"),
        address: read.on("address"),
    };
    if place.why && (place.all || place.address) {
        read.report("why", "reports every node by its name, so --all and --address do not go with it");
    }
    Invocation { source, output, ..Invocation::new(Task::Place(Box::new(place))) }
}

fn request(read: &mut Reader<'_>) -> Request {
    let mut request = Request::default();
    for text in read.texts("env") {
        if let Some(policy) = text.strip_prefix("reschedule:") {
            request.expressions.reschedule.push(policy.to_owned());
        } else if let Err(error) = request.expressions.add(&text) {
            read.report("env", error.to_string());
        }
    }
    let published = read.parsed_all("publish", Published::read);
    request.exposed = read.parsed_all("expose", ports::exposed);
    for Published { bindings, exposed } in published {
        request.ports.extend(bindings);
        // As in docker: published ports are exposed too, which is what counts on the host's network.
        request.exposed.extend(exposed);
    }
    let mut seen = std::collections::HashSet::new();
    request.exposed.retain(|port| seen.insert(port.clone()));
    match read.text("net").as_deref() {
        Some("host") => request.host_network = true,
        Some(other) => request.network_of = other.strip_prefix("container:").map(str::to_owned),
        None => {}
    }
    request.memory = read.parsed("memory", memory).unwrap_or_default();
    request.cpus = read.parsed("cpus", cpus).unwrap_or_default();
    request.volumes_from = read.texts("volumes-from");
    request.links = read.texts("link");
    request
}

fn filters(read: &mut Reader<'_>) -> Vec<Filter> {
    let filters = read.parsed_all("filter", |name| {
        name.parse().map_err(|message| {
            let all: Vec<&str> = Filter::ALL.iter().map(|filter| filter.name()).collect();
            format!("{name:?}: {message}; there are {}", all.join(", "))
        })
    });
    if filters.is_empty() { Filter::ALL.to_vec() } else { filters }
}

/// Docker's convention: 0 asks for nothing.
fn memory(text: &str) -> Result<i64, String> {
    if text.trim().parse() == Ok(0_u8) {
        return Ok(0);
    }
    i64::try_from(units::bytes(text)?).map_err(|_| format!("{text:?} is more than any node has"))
}

/// Parses a number of processors; a fraction is rounded up, since nodes count whole ones.
fn cpus(text: &str) -> Result<i64, String> {
    let wrong = || format!("{text:?} is not a number of processors; write one such as 2");
    let (whole, part) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    if part.contains(|c: char| !c.is_ascii_digit()) {
        return Err(wrong());
    }
    let whole: u32 = whole.parse().map_err(|_| wrong())?;
    Ok(i64::from(whole) + i64::from(part.contains(|c| c != '0')))
}
