//! Four nodes, and what real Swarm chose among them.

mod dialect;
mod ranking;
mod swarm;

use std::collections::BTreeMap;

use super::*;

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn port(ip: &str, host_port: &str, protocol: &str) -> PortBinding {
    PortBinding { ip: ip.to_owned(), host_port: host_port.to_owned(), protocol: protocol.to_owned() }
}

fn node(number: usize, labelled: &[(&str, &str)]) -> Node {
    Node {
        name: format!("n{number}"),
        id: format!("id{number}"),
        labels: labels(labelled),
        cpus: 20,
        memory: 20 << 30,
        ..Node::default()
    }
}

fn container(id: &str, names: &[&str]) -> Container {
    Container { id: id.to_owned(), names: texts(names), ..Container::default() }
}

/// n0 and n1 run a container each that has host port 80: n0's on all addresses, n1's on the loopback.
fn nodes() -> Vec<Node> {
    let west = [("region", "us-west"), ("ip", "10.0.0.1"), ("st", "ssd"), ("eq", "=foo")];
    let mut n0 = node(0, &west);
    n0.containers = vec![Container {
        labels: labels(&[("tier", "db")]),
        ports: vec![port("", "80", "tcp")],
        ..container("aaaaaaaaaaaa1111", &["/redis", "/web/alias-redis"])
    }];
    n0.images = vec![
        Image { id: "sha256:06a1f75304ba".to_owned(), tags: texts(&["redis:latest"]) },
        Image { id: "sha256:0500".to_owned(), tags: texts(&["localhost:5000/test:v1"]) },
    ];
    let mut n1 = node(1, &[("region", "us-east"), ("ip", "10x0y0z1")]);
    n1.containers = vec![Container {
        ports: vec![port("127.0.0.1", "80", "tcp")],
        ..container("bbbbbbbbbbbb2222", &["/other"])
    }];
    n1.images = vec![Image { id: "sha256:0700".to_owned(), tags: texts(&["redis:7"]) }];
    vec![n0, n1, node(2, &[("region", "eu"), ("st", "")]), node(3, &[])]
}

fn request(expressions: &[&str]) -> Request {
    let mut request = Request::default();
    for text in expressions {
        request.expressions.add(text).expect("it is of a kind that there is");
    }
    request
}

/// Returns the chosen nodes, the best first, or why there is none.
fn outcome(rules: &Rules, request: &Request, nodes: &[Node]) -> String {
    match rules.place(request, nodes, &mut |_| 0) {
        Ok(ranked) => names(&ranked),
        Err(refusal) => format!("ERR {refusal}"),
    }
}

fn names(nodes: &[&Node]) -> String {
    nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>().join(",")
}

fn swarm() -> Rules {
    Rules { dialect: Dialect::Swarm, ..Rules::default() }
}
