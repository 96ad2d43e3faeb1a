//! What a container must run near to, or away from: other containers, images, labels of containers.

use super::super::Dialect;
use super::super::expression::Expression;
use super::super::facts::{Container, Image, Node};
use super::super::request::Request;
use super::keep;

/// The length of a short id.
const SHORT_ID_CHARS: usize = 12;

pub(super) fn meets(expr: &Expression, node: &Node, dialect: Dialect) -> bool {
    match expr.key.as_str() {
        "container" => {
            expr.matches(node.containers.iter().flat_map(|container| container_names(container, dialect)))
        }
        "image" => expr.matches(node.images.iter().flat_map(|image| image_names(image, dialect))),
        label => {
            let labels =
                node.containers.iter().filter_map(|container| match (container.labels.get(label), dialect) {
                    (Some(value), _) => Some(value.as_str()),
                    (None, Dialect::Swarm) => Some(""),
                    (None, Dialect::Plain) => None,
                });
            expr.matches(labels)
        }
    }
}

/// Returns the names of a container that an expression can use.
fn container_names(container: &Container, dialect: Dialect) -> Vec<&str> {
    let own = container.names.first().map(|name| own_name(name));
    let mut names: Vec<&str> = [Some(container.id.as_str()), own].into_iter().flatten().collect();
    if dialect == Dialect::Plain {
        names.extend(container.id.get(..SHORT_ID_CHARS));
    }
    names
}

fn own_name(name: &str) -> &str {
    name.strip_prefix('/').unwrap_or(name)
}

/// Returns the names of an image that an expression can use: its id, and its name with and without a tag.
fn image_names(image: &Image, dialect: Dialect) -> Vec<&str> {
    let mut names = vec![image.id.as_str()];
    if dialect == Dialect::Plain
        && let Some(id) = image.id.strip_prefix("sha256:")
    {
        names.push(id);
        names.extend(id.get(..SHORT_ID_CHARS));
    }
    for tag in &image.tags {
        names.push(tag);
        names.push(repository(tag));
    }
    names
}

/// Returns an image name without its tag: `localhost:5000/test` for `localhost:5000/test:v1`.
fn repository(tag: &str) -> &str {
    let (before, _) = tag.split_once('@').unwrap_or((tag, ""));
    match before.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => before,
    }
}

/// Keeps the nodes that have every container that this one depends on.
pub(super) fn dependencies<'n>(request: &Request, nodes: Vec<&'n Node>) -> Result<Vec<&'n Node>, String> {
    let before_colon = |text: &'_ String| text.split(':').next().unwrap_or_default().to_owned();
    let mut wanted: Vec<String> = request.volumes_from.iter().map(before_colon).collect();
    wanted.extend(request.links.iter().map(before_colon));
    wanted.extend(request.network_of.clone());
    if wanted.is_empty() {
        return Ok(nodes);
    }
    keep(nodes, |node| wanted.iter().all(|name| has_container(node, name))).ok_or_else(|| {
        format!("Unable to find a node fulfilling all dependencies: {}", asked(request).join(" "))
    })
}

/// Returns the command line words that request the dependencies.
pub(super) fn asked(request: &Request) -> Vec<String> {
    let mut asked: Vec<String> =
        request.volumes_from.iter().map(|name| format!("--volumes-from={name}")).collect();
    asked.extend(request.links.iter().map(|name| format!("--link={name}")));
    asked.extend(request.network_of.iter().map(|name| format!("--net=container:{name}")));
    asked
}

/// Returns whether the node has the container: by id, short id, name with or without its slash or the node's name
/// before it, or a unique prefix of its id.
fn has_container(node: &Node, name: &str) -> bool {
    if name.is_empty() {
        return false;
    }
    let of_node = name.strip_prefix(node.name.as_str()).and_then(|rest| rest.strip_prefix('/'));
    let known = |container: &Container| {
        let by_name = container
            .names
            .iter()
            .any(|own| own_name(own) == own_name(name) || of_node.is_some_and(|name| own_name(own) == name));
        by_name || container.id == name || container.id.get(..SHORT_ID_CHARS) == Some(name)
    };
    node.containers.iter().any(known)
        || node.containers.iter().filter(|container| container.id.starts_with(name)).count() == 1
}
