//! The output about the choice, and the errors when no choice is possible.

use serde_json::{Value, json};

use super::nodes::{NodeRecords, record, web};
use crate::support::{Dir, Retune};

fn record_at(address: &str, containers: &Value) -> Value {
    let mut record = record(&json!({"zone": "a"}), containers);
    record["address"] = json!(address);
    record
}

fn node_records() -> NodeRecords {
    NodeRecords::of(&[
        ("n1", record_at("tcp://10.0.0.1:2376", &web())),
        ("n2", record_at("ssh://10.0.0.2", &json!([]))),
        ("n3", record_at("", &web())),
    ])
}

#[test]
fn the_address_of_the_node_is_printed_on_request() {
    let field = node_records();
    assert_eq!(field.place("--address").exits(0).stdout, "ssh://10.0.0.2\n");
    assert_eq!(field.place("--address -e constraint:node==n1").exits(0).stdout, "tcp://10.0.0.1:2376\n");
    let done = field.place("--address -e constraint:node==n3").exits(1).says("n3: it publishes no address");
    assert_eq!(done.stdout, "");
}

#[test]
fn all_nodes_that_fit_are_ranked_one_per_line() {
    let field = node_records();
    assert_eq!(field.place("--all").exits(0).stdout, "n2\nn1\nn3\n");
    assert_eq!(field.place("--all --strategy binpack").exits(0).stdout, "n1\nn3\nn2\n");
    let json: Value = serde_json::from_str(&field.place("--all --output json").exits(0).stdout).unwrap();
    let names: Vec<_> = json["nodes"].as_array().unwrap().iter().map(|node| &node["name"]).collect();
    assert_eq!(names, ["n2", "n1", "n3"]);
    assert_eq!(json["nodes"][0]["address"], "ssh://10.0.0.2");
}

#[test]
fn every_node_has_the_reason_it_was_refused() {
    let field = node_records();
    let done = field.place("--why -p 80:80 -e constraint:node!=n3").exits(0);
    assert_eq!(
        done.stdout,
        "n1: refused by port 80 available\nn2: fits\nn3: refused by port 80 available\n"
            .replace("available", "that is taken")
    );
    let done = field.place("--why -e constraint:zone==b").exits(1);
    assert_eq!(done.stdout, "n1: refused by zone==b\nn2: refused by zone==b\nn3: refused by zone==b\n");
    let json: Value =
        serde_json::from_str(&field.place("--why --output json -p 80:80").exits(0).stdout).unwrap();
    assert_eq!(json["nodes"][1], json!({"name": "n2", "fits": true}));
    assert_eq!(
        json["nodes"][0],
        json!({"name": "n1", "fits": false, "refused_by": "unable to find a node with port 80 available"})
    );
}

#[test]
fn a_refusal_is_json_too() {
    let done = node_records().place("--output json -e constraint:zone==b").exits(1);
    let words = "unable to find a node that satisfies zone==b";
    assert_eq!(serde_json::from_str::<Value>(&done.stdout).unwrap(), json!({"nodes": [], "refusal": words}));
    assert_eq!(done.stderr, format!("{words}\n"));
}

#[test]
fn without_nodes_the_error_names_what_publishes_them() {
    let done = NodeRecords::new()
        .place("")
        .exits(1)
        .says("No nodes available in the cluster")
        .says("retune register");
    assert_eq!(done.stdout, "");
}

#[test]
fn an_unreadable_record_is_a_warning_and_does_not_prevent_a_choice() {
    let field = node_records();
    field.write("n0", "no record");
    field.write("n9/below", "neither");
    let done = field.place("--all").exits(0).says("/_retune/nodes/n0").says("/_retune/nodes/n9");
    assert_eq!(done.stdout, "n2\nn1\nn3\n");
}

#[test]
fn an_unreachable_store_and_an_invalid_request_exit_2() {
    let dir = Dir::new();
    let nowhere = ["place", "--endpoints", "http://127.0.0.1:1"];
    Retune::new(&dir, &nowhere).run().exits(2).says("cannot read the nodes from the store");
    let field = node_records();
    for words in [
        "-e constraint:zone=a",
        "-e constraint:z==a",
        "-e constraint:zone==/(/",
        "-e zone==a",
        "-p x",
        "--why --all",
    ] {
        let done = field.place(words).exits(2);
        assert_eq!(done.stdout, "", "{words}");
        assert_ne!(done.stderr, "", "{words}");
    }
    Retune::new(&dir, &nowhere).args(&["--endpoints", &field.url()]).run().exits(0).prints("n2\n");
}
