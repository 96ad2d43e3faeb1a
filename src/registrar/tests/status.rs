//! The status as JSON, which other programs parse.

use tokio::time::Instant;

use super::super::container::Port;
use super::super::model::Model;
use super::world::{listed, node_config, running};

#[tokio::test(start_paused = true)]
async fn skipped_ports_are_listed_beside_a_passing_service() {
    let now = Instant::now();
    let mut container = running(&"a".repeat(64), 1234, 1_000);
    container.ports.insert(Port::read("443/tcp").unwrap(), Vec::new());
    let mut model = Model::new(node_config());
    model.listed(vec![listed(&container)], now);
    while let Some(id) = model.due_inspections(1, now).pop() {
        model.inspected(&id, Ok(Some(container.clone())), now);
    }
    let status = serde_json::to_value(model.status().remove(0)).unwrap();
    assert_eq!(status["state"], "passing", "{status}");
    assert_eq!(status["skipped"], serde_json::json!(["ignored: port 443 not published on host"]), "{status}");
    assert!(status.get("passed").is_none(), "{status}");
}
