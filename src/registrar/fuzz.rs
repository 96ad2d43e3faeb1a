//! Fuzzing of an engine's answers.

use super::describe::{DescribeContext, describe};
use super::engine;
use super::settings::Rules;

/// Reads the bytes as an engine's answers of every kind, and describes the container.
pub(crate) fn answer(data: &[u8]) {
    let Ok(json) = serde_json::from_slice(data) else { return };
    let Some(container) = engine::fuzz::container(&json) else { return };
    let rules = Rules::default();
    let context = DescribeContext { rules: &rules, node: "node", host: None, own: None };
    let described = describe(&container, &context, &|_| None);
    assert!(described.services.len() <= data.len(), "{} services", described.services.len());
}

/// Reads the bytes as an engine's stream of events.
pub(crate) fn events(data: &[u8]) {
    engine::fuzz::events(data);
}
