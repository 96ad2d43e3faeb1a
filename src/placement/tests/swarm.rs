//! Swarm's own results.

use super::*;

/// Applies one expression through its filter alone: with soft expressions, and without.
fn through(text: &str, soft: usize) -> String {
    let (word, expression) = text.split_once(':').expect("a kind");
    let kinds = [ExpressionKind::Constraint, ExpressionKind::Affinity, ExpressionKind::Whitelist];
    let kind = kinds.into_iter().find(|kind| kind.word() == word).expect("a kind that there is");
    let expr = match Expression::parse(kind, expression, 0, Dialect::Swarm) {
        Ok(expr) => expr,
        Err(invalid) => return format!("ERR {invalid}"),
    };
    let filter = Filter::ALL.into_iter().find(|filter| filter.kind() == Some(kind)).expect("its filter");
    let nodes = nodes();
    let asked: Vec<&Expression> = [&expr].into_iter().filter(|expr| expr.counts(soft)).collect();
    match filter.apply(&Request::default(), &asked, nodes.iter().collect(), Dialect::Swarm) {
        Ok(kept) => names(&kept),
        Err(words) => format!("ERR {words}"),
    }
}

#[test]
fn each_expression_chooses_the_nodes_that_swarm_chose() {
    let mut rows = 0;
    for row in include_str!("swarm.tsv").lines() {
        let mut columns = row.split('\t');
        let [text, both, hard] = [(); 3].map(|()| columns.next().expect("three columns"));
        assert_eq!(through(text, 1), both, "{text:?}, soft ones counting");
        assert_eq!(through(text, 0), hard, "{text:?}, soft ones left out");
        rows += 1;
    }
    assert!(rows > 80, "{rows} rows");
}

#[test]
fn requirements_are_listed_up_to_the_filter_that_fails() {
    let nobody =
        "ERR Unable to find a node that satisfies the following conditions \n[available container slots]";
    let check = |expressions: &[&str], expected: &str| {
        assert_eq!(outcome(&swarm(), &request(expressions), &nodes()), expected, "{expressions:?}");
    };
    check(&["constraint:label_name==0"], &format!("{nobody}\n[label_name==0]"));
    check(&["constraint:a==b"], &format!("{nobody}\nerror from constraint filter: Key 'a' is invalid"));
    let operator = "One of operator ==, != is expected";
    check(&["constraint:region"], &format!("{nobody}\nerror from constraint filter: {operator}"));
    check(&["affinity:image"], &format!("{nobody}\nerror from affinity filter: {operator}"));
    let mut busy = request(&["constraint:label_name==0", "affinity:container!=zz"]);
    busy.ports = vec![port("", "80", "tcp")];
    let expected = "ERR Unable to find a node that satisfies the following conditions \n[port 80 (Bridge mode)]\n\
                    [available container slots]\n[container!=zz (soft=false)]\n[label_name==0]";
    assert_eq!(outcome(&swarm(), &busy, &nodes()), expected);
    // The port filter runs first, so its message is reported.
    let mut both = request(&["constraint:a==b"]);
    both.ports = vec![port("", "80", "tcp")];
    let only = &nodes()[..1];
    let expected =
        "ERR Unable to find a node that satisfies the following conditions \n[port 80 (Bridge mode)]";
    assert_eq!(outcome(&swarm(), &both, only), expected);
}

#[test]
fn soft_expressions_are_dropped_together() {
    let check = |expressions: &[&str], expected: &str| {
        assert_eq!(outcome(&swarm(), &request(expressions), &nodes()), expected, "{expressions:?}");
    };
    check(&["constraint:label_name==~0"], "n2,n3,n0,n1");
    check(&["constraint:region==~us*", "constraint:st==~none"], "n2,n3,n0,n1");
    check(&["affinity:image==~redis"], "n0,n1");
}

#[test]
fn missing_nodes_and_missing_healthy_nodes_are_reported() {
    let none = "ERR No healthy node available in the cluster";
    assert_eq!(outcome(&swarm(), &Request::default(), &[]), none);
    let rules = Rules { filters: vec![Filter::Constraint], ..swarm() };
    assert_eq!(outcome(&rules, &Request::default(), &[]), "ERR No nodes available in the cluster");
    let ill: Vec<Node> = nodes().into_iter().map(|node| Node { health: Some(0), ..node }).collect();
    assert_eq!(outcome(&swarm(), &Request::default(), &ill), none);
}

#[test]
fn dependencies_are_found_by_name_and_by_id_prefix() {
    let with = |change: fn(&mut Request)| {
        let mut request = Request::default();
        change(&mut request);
        outcome(&swarm(), &request, &nodes())
    };
    assert_eq!(with(|request| request.volumes_from = texts(&["redis:ro"])), "n0");
    assert_eq!(with(|request| request.volumes_from = texts(&["aaaa"])), "n0");
    assert_eq!(with(|request| request.links = texts(&["n0/redis:db"])), "n0");
    let nobody =
        "ERR Unable to find a node that satisfies the following conditions \n[available container slots]\n";
    let both = |request: &mut Request| {
        request.volumes_from = texts(&["redis"]);
        request.links = texts(&["web:db"]);
    };
    assert_eq!(with(both), format!("{nobody}[--volumes-from=redis --link=web:db]"));
    let network = |request: &mut Request| request.network_of = Some("nope".to_owned());
    assert_eq!(with(network), format!("{nobody}[--net=container:nope]"));
}

#[test]
fn ports_are_compared_as_text_whatever_the_protocol() {
    let ask = |ip: &str, host_port: &str, protocol: &str| {
        let request = Request { ports: vec![port(ip, host_port, protocol)], ..Request::default() };
        outcome(&swarm(), &request, &nodes())
    };
    assert_eq!(ask("", "80", "tcp"), "n2,n3");
    assert_eq!(ask("127.0.0.1", "80", "tcp"), "n2,n3");
    assert_eq!(ask("192.168.1.1", "80", "tcp"), "n2,n3,n1");
    assert_eq!(ask("::", "80", "tcp"), "n2,n3");
    assert_eq!(ask("", "", "tcp"), "n2,n3,n0,n1");
    assert_eq!(ask("", "80-81", "tcp"), "n2,n3,n0,n1");
    assert_eq!(ask("", "80", "udp"), "n2,n3");
    let request = Request { ports: vec![port("", "80", "tcp")], ..Request::default() };
    let nobody =
        "ERR Unable to find a node that satisfies the following conditions \n[port 80 (Bridge mode)]";
    assert_eq!(outcome(&swarm(), &request, &nodes()[..1]), nobody);
}

#[test]
fn on_the_host_network_exposed_ports_conflict_only_with_each_other() {
    let host = Container { host_network: true, exposed: texts(&["80/tcp"]), ..container("cc", &["/host"]) };
    let nodes = [Node { containers: vec![host], ..node(0, &[]) }];
    let exposing = |port: &str| {
        let request = Request { host_network: true, exposed: texts(&[port]), ..Request::default() };
        outcome(&swarm(), &request, &nodes)
    };
    let nobody =
        "ERR Unable to find a node that satisfies the following conditions \n[port 80/tcp (Host mode)]";
    assert_eq!(exposing("80/tcp"), nobody);
    assert_eq!(exposing("81/tcp"), "n0");
    let bridge = Request { ports: vec![port("", "80", "tcp")], ..Request::default() };
    assert_eq!(outcome(&swarm(), &bridge, &nodes), "n0");
}

#[test]
fn a_node_with_as_many_containers_as_it_has_slots_is_full() {
    let ask = |slots: &str| {
        let slotted: Vec<Node> = nodes()
            .into_iter()
            .map(|node| Node { labels: labels(&[("containerslots", slots)]), ..node })
            .collect();
        outcome(&swarm(), &Request::default(), &slotted)
    };
    let nobody =
        "ERR Unable to find a node that satisfies the following conditions \n[available container slots]";
    assert_eq!(ask("0"), nobody);
    assert_eq!(ask("-1"), nobody);
    assert_eq!(ask("x"), "n2,n3,n0,n1");
    assert_eq!(ask("1"), "n2,n3");
}

#[test]
fn expressions_come_from_labels_first_and_are_removed_from_the_environment() {
    let env = texts(&["A=b", "constraint:st==ssd", "URL=http://h:1", "reschedule:on-node-failure"]);
    let labelled = labels(&[
        ("com.docker.swarm.constraints", r#"["region==us*"]"#),
        ("com.docker.swarm.affinities", "no list"),
    ]);
    let (expressions, kept) = collect(&env, &labelled);
    assert_eq!(kept, ["A=b", "URL=http://h:1"]);
    assert_eq!(expressions.reschedule, ["on-node-failure"]);
    let constraint = |text: &str| (ExpressionKind::Constraint, text.to_owned());
    assert_eq!(expressions.expressions, [constraint("region==us*"), constraint("st==ssd")]);
    assert_eq!(outcome(&swarm(), &Request { expressions, ..Request::default() }, &nodes()), "n0");
}

#[test]
fn regular_expressions_are_gos() {
    let matches = |pattern: &str, text: &str| {
        let expr =
            Expression::parse(ExpressionKind::Constraint, &format!("kk==/{pattern}/"), 0, Dialect::Swarm);
        expr.expect("it is taken").matches([text])
    };
    // These do not compile in Go, and match nothing.
    for pattern in ["a**", "a++", "[a--b]", "[b-a]", "(", "[", r"\"] {
        assert!(!matches(pattern, "aaaa--bb"), "{pattern}");
    }
    for (pattern, text) in [
        ("[[]", "["),
        ("[]a]", "]"),
        (r"^\Qa.b\E$", "a.b"),
        (r"\Qa.b", "a.b"),
        ("a*?b", "aab"),
        ("^[[:alpha:]-]+$", "a-b"),
        (r"^[^\d]$", "x"),
        (r"^[+-.]$", ","),
        (r"[\]]", "]"),
    ] {
        assert!(matches(pattern, text), "{pattern} on {text}");
    }
    assert!(!matches(r"\Qa.b\E", "axb"));
    assert!(!matches(r"\d", "\u{661}"), "digits are ASCII's");
}
