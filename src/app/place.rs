//! `retune place`: chooses the node for a container.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tokio::time::Instant;

use super::exit::Exit;
use super::register::cluster;
use super::status_table::plain;
use super::{print, print_error};
use crate::client::cluster::{Event, Get, Keys, RequestError};
use crate::placement::{Node, NodeRefusal, PlaceError};
use crate::registrar::NODES;
use crate::settings::{Output, PlaceSettings};
use crate::source;

/// Swarm's message, whichever filter would have run first.
const NO_NODES: &str = "No nodes available in the cluster";
/// The store's error code for a missing key.
const KEY_NOT_FOUND: i64 = 100;

/// Chooses a node, or reports for each what refuses it.
pub(super) async fn place(
    source: source::Settings,
    what: PlaceSettings,
    output: Output,
) -> anyhow::Result<Exit> {
    // Each member may take as long as one request.
    let limit = source.timeout.saturating_mul(u32::try_from(source.nodes.len()).unwrap_or(u32::MAX).max(1));
    let nodes = nodes(source, limit).await.context("cannot read the nodes from the store")?;
    let rules = &what.rules;
    let printed = if what.why {
        rules.why(&what.request, &nodes).map(|why| reasons(&why, output))
    } else {
        let chosen = rules.place(&what.request, &nodes, &mut |below| rand::random_range(0..below.max(1)));
        chosen.map(|ranked| choice(&what, &ranked, output))
    };
    let printed = printed.map_err(|refusal| match refusal {
        PlaceError::NoNode(_) if nodes.is_empty() => PlaceError::NoNode(NO_NODES.to_owned()),
        refusal => refusal,
    });
    Ok(match printed {
        Ok(PlaceOutput { text, clean }) => match print(&text) {
            Exit::Done => {
                if nodes.is_empty() {
                    print_error(NO_NODES);
                    hint();
                }
                Exit::clean(clean)
            }
            exit => exit,
        },
        Err(refusal) => report_refusal(&refusal, nodes.is_empty(), output),
    })
}

/// What to print to stdout, and whether a node was found.
#[derive(Debug, PartialEq, Eq)]
struct PlaceOutput {
    text: String,
    clean: bool,
}

fn report_refusal(refusal: &PlaceError, nobody: bool, output: Output) -> Exit {
    print_error(&refusal.to_string());
    match refusal {
        // A bad argument, as in the rest of the command line.
        PlaceError::Invalid(_) => Exit::CouldNotRun,
        PlaceError::NoNode(words) => {
            if nobody {
                hint();
            }
            if output == Output::Json {
                print(&lines(&json!({ "nodes": [], "refusal": words })));
            }
            Exit::Negative
        }
    }
}

fn hint() {
    print_error(&format!(
        "(nothing lies below {NODES} in the store: does `retune register` run on the nodes, with this store?)"
    ));
}

fn choice(what: &PlaceSettings, ranked: &[&Node], output: Output) -> PlaceOutput {
    let shown = if what.all { ranked } else { ranked.get(..1).unwrap_or(ranked) };
    if output == Output::Json {
        let nodes: Vec<_> =
            shown.iter().map(|node| json!({ "name": node.name, "address": node.address })).collect();
        let clean = !what.address || shown.iter().all(|node| !node.address.is_empty());
        return PlaceOutput { text: lines(&json!({ "nodes": nodes })), clean };
    }
    let (mut text, mut clean) = (String::new(), true);
    for node in shown {
        let line = if what.address { &node.address } else { &node.name };
        if line.is_empty() {
            print_error(&format!(
                "{}: it publishes no address; start its registrar with --engine-address, for instance tcp://HOST:2376",
                node.name
            ));
            clean = false;
        } else {
            text.push_str(&plain(line));
            text.push('\n');
        }
    }
    PlaceOutput { text, clean }
}

fn reasons(why: &[NodeRefusal], output: Output) -> PlaceOutput {
    let clean = why.iter().any(|why| why.refused_by.is_none());
    if output == Output::Json {
        let node = |why: &NodeRefusal| match &why.refused_by {
            None => json!({ "name": why.node, "fits": true }),
            Some(words) => json!({ "name": why.node, "fits": false, "refused_by": words }),
        };
        let nodes: Vec<_> = why.iter().map(node).collect();
        return PlaceOutput { text: lines(&json!({ "nodes": nodes })), clean };
    }
    let line = |why: &NodeRefusal| match &why.refused_by {
        None => format!("{}: fits\n", plain(&why.node)),
        Some(words) => format!("{}: refused by {}\n", plain(&why.node), plain(&refusal_of_node(words))),
    };
    PlaceOutput { text: why.iter().map(line).collect(), clean }
}

/// Returns the part of a refusal by all nodes that applies to a single node.
fn refusal_of_node(words: &str) -> String {
    let taken =
        words.strip_prefix("unable to find a node with ").and_then(|port| port.split_once(" available"));
    if let Some((port, network)) = taken {
        return format!("{port} that is taken{network}");
    }
    let heads = ["unable to find a node that satisfies ", "Unable to find a node fulfilling "];
    heads.into_iter().find_map(|head| words.strip_prefix(head)).unwrap_or(words).to_owned()
}

fn lines(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

/// Returns every node that publishes itself, by name.
async fn nodes(source: source::Settings, limit: Duration) -> anyhow::Result<Vec<Node>> {
    let cluster = cluster(source)?;
    let keys = Keys::new(&cluster, Some(Instant::now() + limit));
    let how = Get { recursive: true, sorted: true, quorum: false };
    match keys.get(NODES.as_bytes(), how).await {
        Ok(event) => Ok(records(event)),
        Err(RequestError::Etcd(error)) if error.code == KEY_NOT_FOUND => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Returns the valid records and logs a warning for the others.
fn records(event: Event) -> Vec<Node> {
    let mut found = Vec::new();
    for record in event.node.nodes.unwrap_or_default() {
        let key = record.key;
        if record.dir {
            tracing::warn!("{key} is not a node record: it is a directory");
            continue;
        }
        match serde_json::from_str::<Node>(&record.value) {
            Ok(node) if node.name.is_empty() => {
                tracing::warn!("{key} is not a node record: it has no name");
            }
            Ok(mut node) => {
                // The key is authoritative: a record cannot pass for another node's.
                node.name = key.rsplit('/').next().unwrap_or_default().to_owned();
                found.push(node);
            }
            Err(error) => tracing::warn!("{key} is not a node record: {error}"),
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, address: &str) -> Node {
        Node { name: name.to_owned(), address: address.to_owned(), ..Node::default() }
    }

    fn what(words: &str) -> PlaceSettings {
        let words = format!("retune place {words} --config-file /dev/null");
        let args = words.split_whitespace().map(std::ffi::OsString::from).collect();
        match crate::settings::parse(args, &|_| None) {
            Ok(crate::settings::Parsed::Run(invocation)) => match invocation.task {
                crate::settings::Task::Place(place) => *place,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_the_best_is_printed_unless_all_are_requested() {
        let (a, b) = (node("a", "tcp://a:2376"), node("b", ""));
        let ranked = [&a, &b];
        let printed = |words: &str, output| choice(&what(words), &ranked, output);
        assert_eq!(printed("", Output::Text), PlaceOutput { text: "a\n".to_owned(), clean: true });
        assert_eq!(printed("--all", Output::Text).text, "a\nb\n");
        assert_eq!(
            printed("--address", Output::Text),
            PlaceOutput { text: "tcp://a:2376\n".to_owned(), clean: true }
        );
        let all = printed("--all --address", Output::Text);
        assert_eq!(all, PlaceOutput { text: "tcp://a:2376\n".to_owned(), clean: false }, "b has none");
        let json: serde_json::Value = serde_json::from_str(&printed("--all", Output::Json).text).unwrap();
        assert_eq!(
            json,
            json!({"nodes": [{"name": "a", "address": "tcp://a:2376"}, {"name": "b", "address": ""}]})
        );
    }

    #[test]
    fn a_record_is_named_by_its_key_and_cannot_forge_output() {
        let value = r#"{"name":"z","address":"x\ny"}"#;
        let record = |key: &str, value: &str| json!({"key": key, "value": value});
        let event = json!({"action": "get", "node": {"key": NODES, "dir": true, "nodes": [
            record("/_retune/nodes/b", value), record("/_retune/nodes/a", r#"{"name":"a"}"#), record("/_retune/nodes/d", "{}"), record("/_retune/nodes/c", "no JSON"),
            {"key": "/_retune/nodes/d", "dir": true},
        ]}});
        let found = records(Event::parse(event.to_string().as_bytes()).unwrap());
        let names: Vec<&str> = found.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(choice(&what("--address"), &[&found[1]], Output::Text).text, "x\\ny\n");
    }

    #[test]
    fn a_node_is_printed_with_the_reason_it_was_refused() {
        let why = |refused_by: Option<&str>| NodeRefusal {
            node: "n".to_owned(),
            refused_by: refused_by.map(str::to_owned),
        };
        let printed = |refused_by| reasons(&[why(refused_by)], Output::Text);
        assert_eq!(printed(None), PlaceOutput { text: "n: fits\n".to_owned(), clean: true });
        let refused = printed(Some("unable to find a node that satisfies zone==a"));
        assert_eq!(refused, PlaceOutput { text: "n: refused by zone==a\n".to_owned(), clean: false });
        let full = "no resources available to schedule container";
        assert_eq!(printed(Some(full)).text, format!("n: refused by {full}\n"));
        assert_eq!(reasons(&[why(Some("x")), why(None)], Output::Text).text.lines().count(), 2);
        assert!(reasons(&[why(Some("x")), why(None)], Output::Json).clean);
    }
}
