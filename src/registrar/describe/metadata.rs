//! The settings that a container has for its services: `SERVICE_*` in its environment and labels.

use std::collections::BTreeMap;

use super::super::container::Container;

const PREFIX: &str = "SERVICE_";

/// The settings of all ports of a container.
pub(super) struct Metadata {
    general: BTreeMap<String, String>,
    /// By the port as it was written: `080` matches no port.
    by_port: BTreeMap<String, BTreeMap<String, String>>,
}

/// The settings of one port.
#[derive(Default)]
pub(super) struct Meta {
    pub(super) name: Option<String>,
    /// Whether the name was set for this port alone.
    pub(super) own_name: bool,
    pub(super) id: Option<String>,
    /// As written: a comma list.
    pub(super) tags: String,
    pub(super) ignored: bool,
    /// The other settings, with lower-case names.
    pub(super) attributes: BTreeMap<String, String>,
}

impl Metadata {
    /// Reads the environment, then the labels; the later of two settings wins.
    pub(super) fn read(container: &Container) -> Self {
        let mut all = Self { general: BTreeMap::new(), by_port: BTreeMap::new() };
        let env = container.env.iter().map(|(key, value)| (key, value));
        for (key, value) in env.chain(&container.labels) {
            if let Some(key) = key.strip_prefix(PREFIX) {
                all.add(&key.to_lowercase(), value);
            }
        }
        all
    }

    fn add(&mut self, key: &str, value: &str) {
        let of_port = key.split_once('_').filter(|(number, _)| number.parse::<i64>().is_ok());
        let (map, key) = match of_port {
            Some((number, key)) => (self.by_port.entry(number.to_owned()).or_default(), key),
            None => (&mut self.general, key),
        };
        if !key.is_empty() {
            map.insert(key.to_owned(), value.to_owned());
        }
    }

    /// Returns the settings of port `number`, for any protocol. A port's own setting overrides the general one, even
    /// when it is empty: that removes a general name or tag from one port.
    pub(super) fn of(&self, number: u16) -> Meta {
        let mut all = self.general.clone();
        let mut own_name = false;
        if let Some(own) = self.by_port.get(&number.to_string()) {
            own_name = own.get("name").is_some_and(|name| !name.is_empty());
            all.extend(own.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        let mut take = |key: &str| all.remove(key).filter(|value| !value.is_empty());
        let (name, id, tags, ignore) = (take("name"), take("id"), take("tags"), take("ignore"));
        Meta {
            name,
            own_name,
            id,
            tags: tags.unwrap_or_default(),
            ignored: ignore.is_some(),
            attributes: all,
        }
    }
}

impl Meta {
    /// Returns which network's address to register, for a container in several.
    pub(super) fn network(&self) -> Option<&str> {
        self.attributes.get("network").map(|network| network.trim()).filter(|network| !network.is_empty())
    }
}
