//! The records that nodes publish about themselves, and which node a service runs on.

use std::collections::HashMap;
use std::sync::Arc;

use minijinja::Error;
use serde::Deserialize;

use super::super::error::fail;
use super::read::BackendService;
use crate::http::host_of;
use crate::key;
use crate::placement::{Container, Image, NODES, Node};
use crate::values::{Datum, View};

/// The records of all nodes, with indexes to find them.
#[derive(Debug, Default)]
pub(in crate::template) struct Nodes {
    /// Whether the resource's `keys` cover the records.
    pub(super) covered: bool,
    /// The keys of the records.
    pub(super) keys: Vec<Arc<str>>,
    pub(super) all: Vec<Arc<Node>>,
    by_name: HashMap<String, usize>,
    /// The node and its container, by the container's full id.
    by_container: HashMap<String, (usize, usize)>,
    /// The container's index on a node, by node and container name.
    by_container_name: HashMap<(usize, String), usize>,
    /// The node by its host's address; `None` where several nodes claim the address.
    by_host: HashMap<String, Option<usize>>,
}

/// The parts of a record besides the node.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Host {
    host: String,
}

impl Nodes {
    /// Reads all records that a resource sees.
    ///
    /// # Errors
    /// A record is invalid; the error does not contain its text.
    pub(super) fn read(view: &View) -> Result<Self, Error> {
        if !view.scope.covers(NODES) {
            return Ok(Self::default());
        }
        let mut nodes = Self { covered: true, ..Self::default() };
        for (key, datum) in view.values.below(NODES) {
            if key::parent(key) != Some(NODES) {
                continue;
            }
            let (mut node, host) = record(key, datum)?;
            if node.name.is_empty() {
                key::base(key).clone_into(&mut node.name);
            }
            nodes.keys.push(Arc::clone(key));
            nodes.add(node, &host.host);
        }
        Ok(nodes)
    }

    fn add(&mut self, node: Node, host: &str) {
        let at = self.all.len();
        for (place, container) in node.containers.iter().enumerate() {
            if !container.id.is_empty() {
                self.by_container.insert(container.id.clone(), (at, place));
            }
            if let Some(name) = container.names.first() {
                self.by_container_name.insert((at, name.trim_start_matches('/').to_owned()), place);
            }
        }
        let mut hosts = vec![host_of(&node.address), host];
        hosts.dedup();
        for host in hosts.into_iter().filter(|host| !host.is_empty()) {
            let claimed = self.by_host.entry(host.to_owned()).or_insert(Some(at));
            if *claimed != Some(at) {
                *claimed = None;
            }
        }
        self.by_name.insert(node.name.clone(), at);
        self.all.push(Arc::new(node));
    }

    /// Returns the node of a service, if known: the node the service names, else the one its id names, else the one
    /// that has its container, else the one at its address.
    fn of(&self, service: &BackendService) -> Option<usize> {
        if !service.node.is_empty() {
            return self.by_name.get(&service.node).copied();
        }
        let named = service.id.split_once(':').and_then(|(node, _)| self.by_name.get(node));
        let having = || self.by_container.get(&service.container).map(|(node, _)| node);
        let reached = || self.by_host.get(&service.ip).and_then(Option::as_ref);
        named.or_else(having).or_else(reached).copied()
    }

    /// Returns the service as expressions see it: a node that runs only this container, with the labels of its own
    /// node, overridden by the service's attributes. Fills in what the container's record holds.
    pub(super) fn join(&self, service: &mut BackendService) -> Node {
        let at = self.of(service);
        let mut joined = match at.map(|at| &self.all[at]) {
            Some(node) => Node {
                name: node.name.clone(),
                id: node.id.clone(),
                address: node.address.clone(),
                labels: node.labels.clone(),
                ..Node::default()
            },
            None => Node { name: service.node.clone(), ..Node::default() },
        };
        joined.labels.extend(service.attributes.clone());
        let known = at.and_then(|at| self.container(at, service));
        if let Some(container) = known {
            for (ours, theirs) in
                [(&mut service.container, &container.id), (&mut service.image, &container.image)]
            {
                if ours.is_empty() {
                    ours.clone_from(theirs);
                }
            }
        }
        joined.images = self.images(at, &service.image);
        joined.containers.extend(known.cloned().or_else(|| container(service)));
        joined
    }

    fn container(&self, at: usize, service: &BackendService) -> Option<&Container> {
        let by_id = self.by_container.get(&service.container).filter(|(node, _)| *node == at);
        let place = match by_id {
            Some((_, place)) => Some(place),
            // An id that the node does not list belongs to another container than the one of that name.
            None if !service.container.is_empty() => None,
            None => self.by_container_name.get(&(at, service.container_name.clone())),
        };
        self.all[at].containers.get(*place?)
    }

    /// Returns the image under all its names.
    fn images(&self, at: Option<usize>, name: &str) -> Vec<Image> {
        if name.is_empty() {
            return Vec::new();
        }
        let listed = at.iter().flat_map(|at| &self.all[*at].images);
        let is_it = |image: &&Image| image.id == name || image.tags.iter().any(|tag| tag == name);
        let mut images: Vec<Image> = listed.filter(is_it).cloned().collect();
        if images.is_empty() {
            images.push(Image { id: name.to_owned(), tags: vec![name.to_owned()] });
        }
        images
    }
}

/// Returns the container of a service whose node does not list it.
fn container(service: &BackendService) -> Option<Container> {
    let named = !service.container.is_empty() || !service.container_name.is_empty();
    named.then(|| Container {
        id: service.container.clone(),
        names: vec![service.container_name.clone()],
        image: service.image.clone(),
        ..Container::default()
    })
}

fn record(key: &str, datum: &Datum) -> Result<(Node, Host), Error> {
    let read = |text: &str| Ok((serde_json::from_str(text)?, serde_json::from_str(text)?));
    let found: Result<_, serde_json::Error> = match datum {
        Datum::Text(text) => read(text),
        Datum::Binary(_) => return Err(fail(format!("{key} is not a node record: it is not UTF-8"))),
    };
    found.map_err(|error| {
        let (line, column) = (error.line(), error.column());
        fail(format!("{key} is not a node record (line {line}, column {column} of its JSON)"))
    })
}
