//! The record of a node.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::store::{RequestFate, Store};
use super::until;
use crate::placement::{Image, Node};
use crate::registrar::node;
use crate::registrar::settings::{Lease, OnExit};
use crate::registrar::status_board::StatusBoard;
use crate::stop::Stop;

const NODE_KEY: &str = "/_retune/nodes/h1";

struct Publisher {
    facts: watch::Sender<Option<Node>>,
    stop: Stop,
    tasks: JoinSet<Result<(), String>>,
}

fn fact(cpus: i64) -> Option<Node> {
    Some(Node { name: "h1".into(), cpus, ..Node::default() })
}

impl Publisher {
    fn start(store: &Store, host: &str, first: Option<Node>) -> Self {
        let (facts, listen) = watch::channel(first);
        let (stop, mut tasks) = (Stop::new(), JoinSet::new());
        let lease = Lease { ttl: Some(Duration::from_secs(2)), refresh: Duration::from_millis(300) };
        let status_board = Arc::new(StatusBoard::new());
        tasks.spawn(node::publish(
            store.cluster(),
            host.into(),
            (lease, OnExit::Remove),
            listen,
            status_board,
            stop.clone(),
        ));
        Self { facts, stop, tasks }
    }

    async fn end(mut self) {
        self.stop.request();
        self.tasks.join_next().await.unwrap().unwrap().unwrap();
    }
}

fn has_record(store: &Store, what: &str) -> bool {
    store.value(NODE_KEY).is_some_and(|record| record.contains(what))
}

#[tokio::test]
async fn a_node_record_has_its_lease_follows_the_facts_and_is_removed_at_shutdown() {
    let store = Store::new();
    let publisher = Publisher::start(&store, "machine-1", None);
    publisher.facts.send_replace(fact(1));
    until("it stands", || has_record(&store, "\"cpus\":1")).await;
    let record: Node = serde_json::from_str(&store.value(NODE_KEY).unwrap()).unwrap();
    assert_eq!(Some(record), fact(1), "whoever chooses reads it as it is");
    assert!(has_record(&store, "\"host\":\"machine-1\""));
    let first = store.get(NODE_KEY).await.node;
    let keys = store.keys();
    let watch = keys.next(NODE_KEY.as_bytes(), (first.modified + 1, 0), false);
    assert!(tokio::time::timeout(Duration::from_secs(3), watch).await.is_err(), "a renewal woke a watcher");
    assert!(store.get(NODE_KEY).await.node.ttl >= 1);
    for cpus in 2..10 {
        publisher.facts.send_replace(fact(cpus));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    until("the last stands", || has_record(&store, "\"cpus\":9")).await;
    let writes = store.seen().iter().filter(|request| request.contains("cpus%22%3A")).count();
    assert!(writes <= 3, "{writes} writes of one second's changes");
    store.delete("/_retune").await;
    until("it stands again", || has_record(&store, "\"cpus\":9")).await;
    publisher.end().await;
    assert!(!store.has(NODE_KEY));
}

#[tokio::test]
async fn the_record_of_a_live_host_is_not_overwritten_and_a_dead_hosts_is() {
    let store = Store::new();
    let first = Publisher::start(&store, "machine-1", fact(1));
    until("the first stands", || has_record(&store, "machine-1")).await;
    let second = Publisher::start(&store, "machine-2", fact(2));
    until("the second looked", || store.seen().iter().any(|request| request.starts_with("GET"))).await;
    second.facts.send_replace(fact(3));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(has_record(&store, "machine-1"));
    first.end().await;
    until("the second stands", || has_record(&store, "machine-2")).await;
    // A record of this node from before a crash is overwritten.
    let third = Publisher::start(&store, "machine-2", fact(4));
    until("the third stands", || has_record(&store, "\"cpus\":4")).await;
    third.end().await;
    drop(second);
}

#[tokio::test]
async fn after_lost_replies_and_an_outage_the_record_has_the_last_facts_and_a_long_record_lacks_images() {
    let store = Store::new();
    let mut count = 0;
    store.guard(move |_| {
        count += 1;
        if count % 3 == 0 {
            RequestFate::LoseAnswer
        } else if count < 8 {
            RequestFate::LoseRequest
        } else {
            RequestFate::Open
        }
    });
    let publisher = Publisher::start(&store, "machine-1", fact(1));
    until("it stands", || has_record(&store, "\"cpus\":1")).await;
    let images = (0..30_000).map(|number| Image { id: format!("{number:064}"), tags: Vec::new() }).collect();
    publisher.facts.send_replace(fact(2).map(|node| Node { images, ..node }));
    until("it stands", || has_record(&store, "\"cpus\":2")).await;
    assert!(has_record(&store, "\"images\":[]"));
    store.open();
    publisher.end().await;
    assert!(!store.has(NODE_KEY));
}

#[test]
fn a_name_is_one_segment() {
    for (name, want) in [("h1", "h1"), ("a/b", "a_b"), ("..", "__"), (".", "_"), ("", "_"), ("a b%", "a b%")]
    {
        assert_eq!(node::segment(name), want);
    }
}
