//! Which node is chosen: constraints, affinities, images, ports, room.

use serde_json::json;

use super::nodes::{NodeRecords, record, web};

/// `a` runs a container on port 80 and has an image, `b` and `c` are empty.
fn node_records() -> NodeRecords {
    let field = NodeRecords::new();
    fill(&field);
    field
}

fn fill(field: &NodeRecords) {
    let mut a = record(&json!({"label_name": "1", "zone": "us-east"}), &web());
    a["images"] = json!([{"id": "sha256:06a1f75304ba", "tags": ["redis:7"]}]);
    field.publish("a", &a);
    field.publish("b", &record(&json!({"label_name": "2", "zone": "us-west"}), &json!([])));
    field.publish("c", &record(&json!({}), &json!([])));
}

#[track_caller]
fn assert_chosen(field: &NodeRecords, words: &str, wanted: &str) {
    let done = field.place(words).exits(0);
    assert_eq!(done.stdout, format!("{wanted}\n"), "{words}: {}", done.stderr);
    assert_eq!(done.stderr, "", "{words}: nothing but the answer");
}

#[test]
fn constraints_affinities_images_and_ports_select_a_node() {
    let field = node_records();
    for (words, wanted) in [
        ("-e constraint:label_name==1", "a"),
        ("-e constraint:label_name!=1", "b"),
        ("-e constraint:zone==us-* -e constraint:label_name!=1", "b"),
        ("-e constraint:node==c", "c"),
        ("-e constraint:zone==/us-(west|south)/", "b"),
        ("-e affinity:container==front", "a"),
        ("-e affinity:container!=front -e constraint:zone==us-*", "b"),
        ("-e affinity:image==redis", "a"),
        ("-e affinity:image==redis:7", "a"),
        ("-e whitelist:node==b|c", "b"),
        ("-p 80:80", "b"),
        ("-p 8080:80 -e constraint:label_name==1", "a"),
        ("-p 80:80/udp -e constraint:label_name==1", "a"),
        ("--link front:f", "a"),
        ("--net container:front", "a"),
        ("-m 1g -c 1 --strategy binpack", "a"),
        ("-m 1g -c 1", "b"),
        ("-e constraint:label_name==~9", "b"),
    ] {
        assert_chosen(&field, words, wanted);
    }
}

#[test]
fn the_records_can_be_in_a_real_etcd() {
    let Some(field) = NodeRecords::real() else { return };
    field.place("").exits(1).says("No nodes available in the cluster");
    fill(&field);
    assert_chosen(&field, "-e constraint:label_name==1", "a");
    assert_chosen(&field, "-p 80:80", "b");
    field.place("-e constraint:label_name==0").exits(1);
}

#[test]
fn a_container_that_fits_nowhere_is_reported_with_the_unmet_requirements() {
    let field = node_records();
    for (words, says) in [
        ("-e constraint:label_name==0", "unable to find a node that satisfies label_name==0\n"),
        ("-e affinity:container==back", "unable to find a node that satisfies container==back\n"),
        ("-e affinity:image==postgres", "unable to find a node that satisfies image==postgres\n"),
        ("-p 80:80 -e constraint:label_name==1", "unable to find a node that satisfies label_name==1\n"),
        ("-m 5g", "no resources available to schedule container\n"),
    ] {
        let done = field.place(words).exits(1);
        assert_eq!((&*done.stdout, &*done.stderr), ("", says), "{words}");
    }
    let all = NodeRecords::of(&[("a", record(&json!({}), &web()))]);
    let done = all.place("-p 80:80").exits(1);
    assert_eq!(done.stderr, "unable to find a node with port 80 available\n");
}

#[test]
fn swarms_behaviour_is_reproduced_on_request() {
    let field = node_records();
    // In this dialect a missing label is an empty text, and TCP and UDP are the same.
    assert_chosen(&field, "--compat swarm -e constraint:zone==* -e constraint:node==c", "c");
    field.place("-e constraint:zone==* -e constraint:node==c").exits(1);
    assert_chosen(&field, "-p 80:80/udp -e constraint:node==a", "a");
    field.place("--compat swarm -p 80:80/udp -e constraint:node==a").exits(1);
    field
        .place("--compat swarm -e constraint:label_name==0")
        .exits(1)
        .says("Unable to find a node that satisfies the following conditions")
        .says("[available container slots]\n[label_name==0]");
}

#[test]
fn unlisted_filters_are_not_applied() {
    let field = node_records();
    assert_chosen(&field, "--filter port -e constraint:label_name==0 -p 80:80", "b");
    assert_chosen(&field, "--filter constraint -e constraint:node==a -p 80:80", "a");
}

#[test]
fn random_chooses_any_node_that_fits() {
    let field = node_records();
    let done = field.place("--strategy random --all -p 80:80").exits(0);
    let mut names: Vec<&str> = done.stdout.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["b", "c"]);
}
