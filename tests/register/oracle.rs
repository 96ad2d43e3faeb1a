//! Computes the wanted content of the store from the engine's containers. Written from Registrator's rules alone, for
//! the kinds of containers that the scripts create, so that no test relies on the program's own parsing.

use std::collections::BTreeMap;

use crate::support::fake_engine::{Container, ContainerState, Health};

/// Where one registrar writes, and what it writes there.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) prefix: String,
    pub(super) node: String,
    pub(super) ip: String,
    /// Whether a name gets its port when several ports of the container are published.
    pub(super) suffix: bool,
}

/// Returns all keys and their values.
pub(super) fn expected(containers: &[Container], rules: &Rules) -> BTreeMap<String, String> {
    containers.iter().filter(|one| is_healthy(one)).flat_map(|one| services(one, rules)).collect()
}

fn is_healthy(container: &Container) -> bool {
    let healthy = matches!(container.health, None | Some(Health::Healthy));
    container.doing == ContainerState::Running && !container.stopping && healthy
}

/// Returns the services of one running container, healthy or not.
pub(super) fn services(container: &Container, rules: &Rules) -> Vec<(String, String)> {
    let said = service_settings(container);
    let word = |port: &str, what: &str| {
        let own = said.get(&format!("{port}_{what}")).filter(|value| !value.is_empty());
        own.or_else(|| said.get(what)).filter(|value| !value.is_empty())
    };
    let several = container.bindings.len() > 1;
    let mut found = Vec::new();
    for (port, host) in &container.bindings {
        let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        if word(number, "IGNORE").is_some() {
            continue;
        }
        let name = match (said.get(&format!("{number}_NAME")), said.get("NAME")) {
            (Some(name), _) => name.clone(),
            (None, name) => {
                let image = container.image.rsplit('/').next().unwrap_or_default();
                let default = image.split(':').next().unwrap_or_default().to_owned();
                let name = name.cloned().unwrap_or(default);
                if several && rules.suffix { format!("{name}-{number}") } else { name }
            }
        };
        let id = word(number, "ID").cloned().unwrap_or_else(|| {
            let end = if protocol == "udp" { ":udp" } else { "" };
            format!("{}:{}:{number}{end}", rules.node, container.name)
        });
        found.push((format!("{}/{name}/{id}", rules.prefix), format!("{}:{host}", rules.ip)));
    }
    found
}

/// Returns all settings after `SERVICE_`; labels win.
fn service_settings(container: &Container) -> BTreeMap<String, String> {
    let env = container.env.iter().filter_map(|pair| pair.split_once('='));
    let labels = container.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let all = env.chain(labels).filter_map(|(name, value)| Some((name.strip_prefix("SERVICE_")?, value)));
    all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
