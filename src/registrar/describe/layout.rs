//! The path and the value of a service's key.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::service;
use super::super::settings::{Layout, Rules, Value};
use super::facts::{MAX_VALUE_BYTES, ServiceFacts};
use super::network_owner::shown;
use super::template::Templates;
use crate::key;

/// The bytes of the longest key.
pub(super) const MAX_KEY_BYTES: usize = 512;
/// The store's internal directory, hidden from listings.
const HIDDEN: &str = "/_retune";

/// The value format that SkyDNS reads.
#[derive(Serialize)]
struct Skydns<'s> {
    host: &'s str,
    port: u16,
}

/// The rules' layout, prepared for many services.
pub(super) struct Layouts<'r> {
    rules: &'r Rules,
    templates: Option<Templates<'r>>,
}

impl<'r> Layouts<'r> {
    /// Parses the layout's templates, if it has any. An error says what is wrong with them.
    pub(super) fn new(rules: &'r Rules) -> Result<Self, String> {
        let templates = match &rules.layout {
            Layout::Template { key, value } => Some(Templates::new(key, value.as_deref())?),
            Layout::Registrator | Layout::Dockreg { .. } | Layout::Skydns { .. } => None,
        };
        Ok(Self { rules, templates })
    }

    /// Returns the key and the value of a service. An error is for the user.
    pub(super) fn render(&self, facts: &ServiceFacts<'_>) -> Result<(String, String), String> {
        let prefix = self.rules.prefix.as_str();
        let (key, value) = match &self.rules.layout {
            Layout::Registrator => (key_of(prefix, &own_path(facts))?, self.plain(facts, &facts.address)),
            Layout::Dockreg { directory } => {
                let path = format!("{}/{}", directory.trim_matches('/'), facts.address);
                (key_of(prefix, path.trim_start_matches('/'))?, self.plain(facts, "running"))
            }
            Layout::Skydns { domain } => {
                let path = format!("skydns/{}/{}", reversed(domain), own_path(facts));
                (key_of("/", &path)?, json(&Skydns { host: facts.ip, port: facts.port }))
            }
            Layout::Template { .. } => {
                let templates = self.templates.as_ref().expect("new() reads them for this layout");
                let (path, value) = templates.render(facts, prefix)?;
                let value = value.unwrap_or_else(|| self.plain(facts, &facts.address));
                (key_of(prefix, path.strip_prefix('/').unwrap_or(&path))?, value)
            }
        };
        if value.len() > MAX_VALUE_BYTES {
            let most = MAX_VALUE_BYTES >> 10;
            return Err(format!(
                "the value of {key} is larger than {most} KiB; shorten its tags and SERVICE_* attributes"
            ));
        }
        Ok((key, value))
    }

    fn plain(&self, facts: &ServiceFacts<'_>, text: &str) -> String {
        match self.rules.value {
            Value::Address => text.to_owned(),
            Value::Json => json(facts),
        }
    }
}

fn own_path(facts: &ServiceFacts<'_>) -> String {
    format!("{}/{}", facts.name, facts.id)
}

/// Returns `cluster.local` as `local/cluster`.
fn reversed(domain: &str) -> String {
    domain.trim_end_matches('.').rsplit('.').collect::<Vec<_>>().join("/")
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts and numbers under texts are always JSON")
}

/// Returns the key at `path` below `prefix`. Users choose names and ids, so a path is rejected when it could climb,
/// hide, or collide with another key.
fn key_of(prefix: &str, path: &str) -> Result<String, String> {
    let bad = |what: &str| {
        let path = shown(path);
        format!("its key would be {path}, which {what}; change its name or id (SERVICE_NAME, SERVICE_ID)")
    };
    if path.chars().any(char::is_control) {
        return Err(bad("has a control character"));
    }
    for segment in path.split('/') {
        match segment {
            "" => return Err(bad("has an empty part")),
            "." | ".." => return Err(bad("leaves its directory")),
            hidden if hidden.starts_with('_') => {
                return Err(bad("has a part that begins with _, which no listing of the store shows"));
            }
            _ => {}
        }
    }
    let key = key::join(prefix, path);
    if key.len() > MAX_KEY_BYTES {
        return Err(bad(&format!("makes a key of more than {MAX_KEY_BYTES} bytes")));
    }
    if key::contains(HIDDEN, &key) {
        return Err(bad(&format!("lies below {HIDDEN}, which the store keeps for itself")));
    }
    Ok(key)
}

/// Checks that the rules make valid keys, and different ones for different services, so that a broken template is
/// reported before any container runs.
///
/// # Errors
/// What is wrong with the template, directory, domain or prefix.
pub(in crate::registrar) fn check(rules: &Rules) -> Result<(), String> {
    let layouts = Layouts::new(rules)?;
    if let Some(templates) = &layouts.templates {
        templates.check()?;
    }
    let none = BTreeMap::new();
    let sample = |name, id, ip: &'static str, port| ServiceFacts {
        address: service::address(ip, port),
        ip,
        port,
        name,
        id,
        tags: vec!["blue".to_owned(), "green".to_owned()],
        attributes: &none,
        node: "node",
        container: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        container_name: id,
        image: "registry.example/web:1",
        protocol: "tcp",
        private_port: 80,
    };
    let samples = [
        sample("web", "node:web.0:80", "192.0.2.7", 8080),
        sample("api", "node:api.0:80", "192.0.2.8", 8081),
    ];
    let mut keys = Vec::with_capacity(samples.len());
    for facts in &samples {
        keys.push(match &layouts.templates {
            Some(templates) => {
                let (path, _) = templates.sample(facts, &rules.prefix)?;
                key_of(&rules.prefix, path.strip_prefix('/').unwrap_or(&path))?
            }
            None => layouts.render(facts)?.0,
        });
    }
    if keys[0] == keys[1] {
        return Err(format!(
            "every service would have the key {}; use in the key's template {{{{ name }}}} and {{{{ id }}}}, or what \
             else tells services apart",
            keys[0]
        ));
    }
    Ok(())
}
