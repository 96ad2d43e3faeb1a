//! What our dialect does differently.

use super::*;

fn ask(expressions: &[&str]) -> String {
    outcome(&Rules::default(), &request(expressions), &nodes())
}

fn bound(ip: &str, host_port: &str, protocol: &str) -> String {
    let request = Request { ports: vec![port(ip, host_port, protocol)], ..Request::default() };
    outcome(&Rules::default(), &request, &nodes())
}

#[test]
fn only_the_star_is_a_wildcard_in_a_literal() {
    assert_eq!(ask(&["constraint:ip==10.0.0.1"]), "n0");
    assert_eq!(
        ask(&["constraint:region==us.west"]),
        "ERR unable to find a node that satisfies region==us.west"
    );
    assert_eq!(ask(&["constraint:region==us*st"]), "n0,n1");
    assert_eq!(ask(&["constraint:region!=("]), "n2,n3,n0,n1", "a parenthesis is one");
    assert_eq!(ask(&["constraint:region==/^us/"]), "n0,n1", "between slashes it is a regular expression");
}

#[test]
fn a_missing_label_matches_nothing() {
    assert_eq!(ask(&["constraint:region==*"]), "n2,n0,n1");
    assert_eq!(ask(&["constraint:nolabel==*"]), "ERR unable to find a node that satisfies nolabel==*");
    assert_eq!(ask(&["constraint:region!=us*"]), "n2,n3", "nor what is refused");
    assert_eq!(ask(&["affinity:tier==*"]), "n0");
}

#[test]
fn the_last_soft_expression_is_dropped_first() {
    assert_eq!(ask(&["constraint:region==~us*", "constraint:st==~none"]), "n0,n1");
    assert_eq!(ask(&["constraint:st==~none", "constraint:region==~us*"]), "n2,n3,n0,n1");
    assert_eq!(ask(&["constraint:region==~us*", "constraint:st==~none", "constraint:node!=n0"]), "n1");
    let hard = ask(&["constraint:region==~us*", "constraint:label_name==0"]);
    assert_eq!(hard, "ERR unable to find a node that satisfies label_name==0");
}

#[test]
fn protocols_have_separate_ports_and_ranges_are_expanded() {
    assert_eq!(bound("", "80", "udp"), "n2,n3,n0,n1");
    assert_eq!(bound("", "80", ""), "n2,n3", "without a word it is TCP");
    assert_eq!(bound("", "79-81", "tcp"), "n2,n3");
    assert_eq!(bound("", "81-90", "tcp"), "n2,n3,n0,n1");
    let request = Request { ports: vec![port("", "80", "tcp")], ..Request::default() };
    let words = outcome(&Rules::default(), &request, &nodes()[..1]);
    assert_eq!(words, "ERR unable to find a node with port 80 available");
}

#[test]
fn a_port_exposed_by_a_container_on_the_host_network_is_taken() {
    let host = Container { host_network: true, exposed: texts(&["80/tcp"]), ..container("cc", &["/host"]) };
    let on_host = [Node { containers: vec![host], ..node(0, &[]) }];
    let ask = |request: Request| outcome(&Rules::default(), &request, &on_host);
    let bridge = Request { ports: vec![port("", "80", "tcp")], ..Request::default() };
    assert_eq!(ask(bridge), "ERR unable to find a node with port 80 available");
    let other = Request { ports: vec![port("", "80", "udp")], ..Request::default() };
    assert_eq!(ask(other), "n0");
    let host = Request { host_network: true, exposed: texts(&["80/tcp"]), ..Request::default() };
    assert!(
        outcome(&Rules::default(), &host, &nodes()).starts_with("n2,n3"),
        "those with bound ports are left out"
    );
    assert_eq!(outcome(&Rules::default(), &host, &nodes()), "n2,n3");
}

#[test]
fn short_ids_are_ids() {
    assert_eq!(ask(&["affinity:container==aaaaaaaaaaaa"]), "n0");
    assert_eq!(ask(&["affinity:image==06a1f75304ba"]), "n0");
}

#[test]
fn a_whitelist_respects_its_operator() {
    assert_eq!(ask(&["whitelist:node==n0|n3"]), "n3,n0");
    assert_eq!(ask(&["whitelist:node!=n0|n3"]), "n2,n1");
}

#[test]
fn an_invalid_expression_is_an_error_whatever_else_holds() {
    let syntax = |text: &str| match Rules::default().place(&request(&[text]), &[], &mut |_| 0) {
        Err(PlaceError::Invalid(invalid)) => invalid.to_string(),
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(syntax("constraint:region==~/(/"), "'/(/' is not a regular expression: unclosed group");
    assert_eq!(syntax("constraint:region==/"), "Value '/' is invalid");
    assert_eq!(syntax("constraint:a==b"), "Key 'a' is invalid");
    assert!(syntax("constraint:zone==/a**/").contains("nested repetition"));
    let kind = Expressions::default().add("constrain:zone==a").unwrap_err();
    assert!(kind.to_string().contains("constraint:…"), "{kind}");
}

#[test]
fn each_node_gets_the_first_reason_for_its_refusal() {
    let mut wanted = request(&["constraint:region==us*", "constraint:st==~none"]);
    wanted.ports = vec![port("127.0.0.2", "80", "tcp")];
    let why = Rules::default().why(&wanted, &nodes()).expect("it makes sense");
    let told: Vec<_> =
        why.iter().map(|why| (why.node.as_str(), why.refused_by.as_deref().unwrap_or("-"))).collect();
    let region = "unable to find a node that satisfies region==us*";
    let port = "unable to find a node with port 80 available";
    assert_eq!(told, [("n0", port), ("n1", "-"), ("n2", region), ("n3", region)]);
}

#[test]
fn no_text_makes_it_panic() {
    use rand::{RngExt as _, SeedableRng as _};
    let mut random = rand::rngs::StdRng::seed_from_u64(7);
    let alphabet: Vec<char> = "ab01=!/~*.()?+[]\\^$|:- _-QEdws]".chars().collect();
    for _ in 0..20_000 {
        let length = random.random_range(0..14);
        let text: String = (0..length).map(|_| alphabet[random.random_range(0..alphabet.len())]).collect();
        for dialect in [Dialect::Plain, Dialect::Swarm] {
            let parsed = Expression::parse(ExpressionKind::Constraint, &format!("key=={text}"), 0, dialect);
            if let Ok(expr) = parsed {
                expr.matches(["", "ab01", &text]);
            }
        }
    }
}

#[test]
fn a_selection_ranks_nodes_where_a_request_would_be_refused() {
    let chosen = |texts: &[&str]| {
        let nodes = nodes();
        let chosen = Selection::parse(texts.iter().copied()).unwrap().choose(&nodes);
        let names =
            nodes.iter().zip(chosen).filter(|(_, chosen)| *chosen).map(|(node, _)| node.name.as_str());
        names.collect::<Vec<_>>().join(",")
    };
    for (texts, want) in [
        (&["constraint:region==us*"][..], "n0,n1"),
        (&["region==us*"], "n0,n1"),
        (&["region==us*", "affinity:container==redis"], "n0"),
        (&["whitelist:node!=n0|n1"], "n2,n3"),
        (&["region==none"], ""),
        (&["region==~none"], "n0,n1,n2,n3"),
        (&["region==~us*", "st==~none"], "n0,n1"),
        (&["st==~none", "region==~us*"], "n0,n1,n2,n3"),
        (&["region==~us*", "node!=n0", "st==~none"], "n1"),
        (&[], "n0,n1,n2,n3"),
    ] {
        assert_eq!(chosen(texts), want, "{texts:?}");
        // `why` must reject exactly the nodes that are not chosen.
        if !want.is_empty() {
            let mut placed: Vec<String> = Vec::new();
            let kind = |text: &&str| {
                if text.contains(':') { (*text).to_owned() } else { format!("constraint:{text}") }
            };
            let texts: Vec<String> = texts.iter().map(kind).collect();
            let asked = ask(&texts.iter().map(String::as_str).collect::<Vec<_>>());
            placed.extend(asked.split(',').map(str::to_owned));
            placed.sort();
            assert_eq!(placed.join(","), want, "{texts:?}");
        }
    }
    assert_eq!(Selection::parse(["zone"]).unwrap_err(), ExpressionError::Operator);
    let unknown = [Node::default()];
    assert_eq!(Selection::parse(["node==*"]).unwrap().choose(&unknown), [false]);
    assert_eq!(Selection::parse(["node!=n0"]).unwrap().choose(&unknown), [true]);
}
