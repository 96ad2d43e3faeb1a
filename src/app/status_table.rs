//! A registrar's status as a table, and its summary.

use crate::registrar::{ContainerStatus, ServiceStatus, Status};

/// Why no single container has that id or name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FindError {
    /// None is registered.
    Missing,
    /// Several ids begin with it.
    Ambiguous,
}

/// Returns the container of a name, an id, or the beginning of an id.
pub(super) fn find<'s>(status: &'s Status, container: &str) -> Result<&'s ContainerStatus, FindError> {
    let bare = container.trim_start_matches('/');
    let all = || status.containers.iter();
    let named = all().find(|own| own.id == bare || own.name.trim_start_matches('/') == bare);
    if let Some(found) = named {
        return Ok(found);
    }
    let mut begun = all().filter(|own| !bare.is_empty() && own.id.starts_with(bare));
    match (begun.next(), begun.next()) {
        (Some(found), None) => Ok(found),
        (Some(_), Some(_)) => Err(FindError::Ambiguous),
        (None, _) => Err(FindError::Missing),
    }
}

/// Returns how many keys of a container are in the store or will be soon.
pub(super) fn remaining_keys(container: &ContainerStatus) -> usize {
    let to_come = |service: &&ServiceStatus| {
        let held = service.kept.as_ref().is_some_and(|kept| kept.held);
        held || matches!(service.state.as_str(), "passing" | "starting")
    };
    container.services.iter().filter(to_come).count()
}

/// Returns whether every service is healthy and in the store, and the registrar reaches both engine and store.
pub(super) fn is_healthy(status: &Status) -> bool {
    status.complete
        && status.engine_error.is_empty()
        && status.store_error.is_empty()
        && status.containers.iter().all(|container| container.state != "failing")
        && services(status).all(|(_, service)| service.state == "absent" || is_in_store(service))
}

fn is_in_store(service: &ServiceStatus) -> bool {
    service.state == "passing" && service.kept.as_ref().is_some_and(|kept| kept.held)
}

fn services(status: &Status) -> impl Iterator<Item = (&ContainerStatus, &ServiceStatus)> {
    status
        .containers
        .iter()
        .flat_map(|container| container.services.iter().map(move |service| (container, service)))
}

/// Returns one line.
pub(super) fn summary(status: &Status) -> String {
    let registered = services(status).filter(|(_, service)| is_in_store(service)).count();
    let there = services(status).filter(|(_, service)| service.state != "absent").count();
    format!("{registered} of {there} services registered")
}

/// Returns a table of services, what is skipped, and what is wrong.
pub(super) fn text(status: &Status) -> String {
    let mut rows = vec![["NAME", "STATE", "SERVICE", "KEY", "VALUE", "WHY"].map(str::to_owned)];
    for container in &status.containers {
        let name = container.name.trim_start_matches('/');
        if container.services.is_empty() {
            rows.push([name, &container.state, "-", "-", "-", &container.why].map(cell));
        }
        for service in &container.services {
            let why = why(service);
            rows.push([name, &service.state, &service.id, &service.key, &service.value, &why].map(cell));
        }
    }
    let mut text = aligned(&rows);
    for container in &status.containers {
        for skipped in &container.skipped {
            text.push_str(&format!(
                "skipped: {}: {}\n",
                cell(container.name.trim_start_matches('/')),
                plain(skipped)
            ));
        }
    }
    let mut note = |what: &str, why: &str| {
        if !why.is_empty() {
            text.push_str(&format!("{what}: {}\n", plain(why)));
        }
    };
    note("the engine is unreachable", &status.engine_error);
    note("the store is unreachable", &status.store_error);
    if !status.complete {
        note("not complete", "not every container has been checked yet");
    }
    text.push_str(&format!("{}: {}\n", cell(&status.node), summary(status)));
    text
}

/// Returns what is wrong with a service or its key.
fn why(service: &ServiceStatus) -> String {
    let key = match &service.kept {
        Some(kept) if kept.held => "",
        Some(kept) if kept.why.is_empty() => "not in the store",
        Some(kept) => &kept.why,
        None if service.state == "passing" => "not in the store yet",
        None => "",
    };
    [service.why.as_str(), key].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

fn cell(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { plain(text) }
}

/// Returns text that can neither forge a line nor move the cursor nor change the text direction: it may soon be part
/// of a command.
pub(super) fn plain(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    let shown = |c: char| if c.is_control() || turns(c) { c.escape_default().collect() } else { vec![c] };
    text.chars().flat_map(shown).collect()
}

fn aligned(rows: &[[String; 6]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registrar::KeyStatus;

    fn service(state: &str, kept: Option<bool>) -> ServiceStatus {
        ServiceStatus {
            id: "h:web:80".to_owned(),
            state: state.to_owned(),
            key: "/web/h:web:80".to_owned(),
            value: "10.0.0.9:8000".to_owned(),
            kept: kept.map(|held| KeyStatus { held, why: String::new() }),
            ..ServiceStatus::default()
        }
    }

    fn status(services: Vec<ServiceStatus>) -> Status {
        let container = ContainerStatus {
            id: "aaa111".to_owned(),
            name: "/web".to_owned(),
            state: "passing".to_owned(),
            services,
            skipped: vec!["port 443 not published on host".to_owned()],
            ..ContainerStatus::default()
        };
        Status { node: "h".to_owned(), complete: true, containers: vec![container], ..Status::default() }
    }

    #[test]
    fn healthy_means_every_service_passes_and_is_stored_and_engine_and_store_respond() {
        let well = status(vec![service("passing", Some(true))]);
        assert!(is_healthy(&well) && is_healthy(&Status { complete: true, ..Status::default() }));
        for (state, kept) in
            [("failing", Some(true)), ("passing", Some(false)), ("passing", None), ("starting", None)]
        {
            assert!(
                !is_healthy(&status(vec![service("passing", Some(true)), service(state, kept)])),
                "{state} {kept:?}"
            );
        }
        assert!(!is_healthy(&Status { complete: false, ..well.clone() }));
        assert!(!is_healthy(&Status { engine_error: "gone".to_owned(), ..well.clone() }));
        assert!(!is_healthy(&Status { store_error: "gone".to_owned(), ..well }));
    }

    #[test]
    fn the_table_has_a_line_per_service_then_skipped_ones_and_problems() {
        let mut shown = status(vec![service("passing", Some(true)), service("passing", None)]);
        shown.store_error = "no leader\nforged".to_owned();
        let text = text(&shown);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("NAME  STATE    SERVICE   KEY "), "{text}");
        assert_eq!(lines[1], "web   passing  h:web:80  /web/h:web:80  10.0.0.9:8000  -");
        assert!(lines[2].ends_with("not in the store yet"), "{text}");
        assert_eq!(
            &lines[3..],
            [
                "skipped: web: port 443 not published on host",
                "the store is unreachable: no leader\\nforged",
                "h: 1 of 2 services registered"
            ]
        );
    }

    #[test]
    fn a_container_is_found_by_name_id_or_unique_id_prefix() {
        let mut both = status(Vec::new());
        let other =
            ContainerStatus { id: "aaa222".to_owned(), name: "aaa".to_owned(), ..ContainerStatus::default() };
        both.containers.push(other);
        let found = |word: &str| find(&both, word).map(|found| found.id.as_str());
        assert_eq!((found("web"), found("/web"), found("aaa1")), (Ok("aaa111"), Ok("aaa111"), Ok("aaa111")));
        assert_eq!(found("aaa"), Ok("aaa222"), "a name comes first");
        assert_eq!(
            (found("aa"), found("zzz"), found("")),
            (Err(FindError::Ambiguous), Err(FindError::Missing), Err(FindError::Missing))
        );
    }

    #[test]
    fn remaining_keys_counts_stored_and_expected_keys() {
        let left = |state: &str, kept| remaining_keys(&status(vec![service(state, kept)]).containers[0]);
        assert_eq!(
            (left("passing", Some(true)), left("draining", Some(true)), left("starting", None)),
            (1, 1, 1)
        );
        assert_eq!((left("draining", None), left("failing", None), left("draining", Some(false))), (0, 0, 0));
    }
}
