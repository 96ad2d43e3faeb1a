//! Registered services joined with the records of their nodes.

use super::*;

const A: &str = r#"{"name":"h1","id":"ENG1","address":"tcp://10.0.0.1:2375","host":"m1","cpus":4,"memory":8589934592,
    "labels":{"zone":"a","disk":"ssd"},
    "containers":[{"id":"c1c1c1c1c1c1c1c1","names":["/web.1"],"image":"web:2","labels":{"tier":"front"}}],
    "images":[{"id":"sha256:1111","tags":["web:2","web:latest"]}]}"#;
const B: &str = r#"{"name":"h2","id":"ENG2","address":"ssh://10.0.0.2","labels":{"zone":"b"},"health":80,
    "containers":[{"id":"c2c2c2c2c2c2c2c2","names":["/web.2"],"image":"web:1","labels":{"tier":"back"}}]}"#;

const JSON: &str = r#"{"address":"10.9.9.9:80","ip":"10.9.9.9","port":80,"name":"web","id":"x3","tags":["blue","udp"],
    "attributes":{"zone":"c","weight":"7"},"node":"h1","container":"c3c3c3c3c3c3c3c3","container_name":"web.3",
    "image":"web:3"}"#;

fn both(more: &[(&str, &str)]) -> View {
    let mut values = vec![("/_retune/nodes/h1", A), ("/_retune/nodes/h2", B)];
    values.extend(more);
    view_of("/", &["/app", "/service", "/_retune/nodes"], &values)
}

fn web() -> View {
    both(&[
        ("/app/web/h1:web.1:80", "10.0.0.7:8001"),
        ("/app/web/h2:web.2:80", "10.0.0.8:8002"),
        ("/app/web/x3", JSON),
        ("/app/web/y4", "10.0.0.2:8004"),
        ("/app/web/z5", "10.0.0.77:8005"),
    ])
}

const NAMES: &str = "|map(attribute='id')|join(' ')";

#[track_caller]
fn ids(list: &str, view: &View) -> String {
    text(&format!("{{{{ {list}{NAMES} }}}}"), view)
}

#[test]
fn a_service_is_joined_with_the_node_in_its_key_or_address() {
    let line = "{% for b in backends('/app') %}{{ b.id }} {{ b.name }} {{ b.address }} node={{ b.node }} \
        zone={{ b.labels.zone|default('-') }} \
        {{ b.container|default('-', true) }} {{ b.image|default('-', true) }}\n{% endfor %}";
    assert_eq!(
        text(line, &web()),
        "h1:web.1:80 web 10.0.0.7:8001 node=h1 zone=a c1c1c1c1c1c1c1c1 web:2\n\
         h2:web.2:80 web 10.0.0.8:8002 node=h2 zone=b c2c2c2c2c2c2c2c2 web:1\n\
         x3 web 10.9.9.9:80 node=h1 zone=c c3c3c3c3c3c3c3c3 web:3\n\
         y4 web 10.0.0.2:8004 node=h2 zone=b - -\n\
         z5 web 10.0.0.77:8005 node= zone=- - -\n"
    );
    let one = "{% for b in backends('/app') if b.id == 'x3' %}{{ b }}{% endfor %}";
    assert_eq!(
        text(one, &web()),
        "{\"address\":\"10.9.9.9:80\",\"attributes\":{\"weight\":\"7\",\"zone\":\"c\"},\"backup\":false,\
         \"container\":\"c3c3c3c3c3c3c3c3\",\"id\":\"x3\",\"image\":\"web:3\",\"ip\":\"10.9.9.9\",\"key\":\"/app/web/x3\",\
         \"labels\":{\"disk\":\"ssd\",\"weight\":\"7\",\"zone\":\"c\"},\"name\":\"web\",\"node\":\"h1\",\"port\":80,\
         \"tags\":[\"blue\",\"udp\"]}"
    );
}

#[test]
fn a_service_with_its_own_id_is_joined_with_the_node_of_its_container() {
    let owned = r#"{"address":"10.9.9.9:80","container":"c2c2c2c2c2c2c2c2"}"#;
    let all = both(&[("/app/web/mine", owned)]);
    assert_eq!(
        text("{% for b in backends('/app') %}{{ b.node }} {{ b.image }}{% endfor %}", &all),
        "h2 web:1"
    );
    // Two nodes behind one address do not tell whose a service is.
    let twins = view_of(
        "/",
        &["/app", "/_retune/nodes"],
        &[
            ("/_retune/nodes/h1", A),
            ("/_retune/nodes/h9", r#"{"address":"tcp://10.0.0.1:2376"}"#),
            ("/app/y", "10.0.0.1:80"),
        ],
    );
    assert_eq!(text("{% for b in backends('/app') %}[{{ b.node }}]{% endfor %}", &twins), "[]");
}

#[test]
fn dockregs_keys_and_ipv6_are_backends_too() {
    let all = both(&[("/service/10.0.0.1:8000", "running"), ("/service/[fe80::1]:8001", "running")]);
    let line = "{% for b in backends('/service') %}{{ b.name }} {{ b.ip }} \
        {{ b.port + 1 }} {{ b.address }} {{ b.node }};{% endfor %}";
    assert_eq!(
        text(line, &all),
        "service 10.0.0.1 8001 10.0.0.1:8000 h1;service fe80::1 8002 [fe80::1]:8001 ;"
    );
}

#[test]
fn keys_are_relative_to_the_prefix_and_hidden_ones_are_no_backends() {
    let values = [
        ("/prod/app/web/1", "10.0.0.1:80"),
        ("/prod/app/_owners/x", "not an address"),
        ("/prod/app", "a leaf too"),
        ("/prod/apple", "no"),
        ("/_retune/nodes/h1", A),
    ];
    let all = view_of("/prod", &["/app", "/_retune/nodes"], &values);
    let line = "{% for dir in ['/app', 'app/', '/', '/app/web'] %}\
        {% for b in backends(dir) %}{{ b.key }} {{ b.node }};{% endfor %}{% endfor %}";
    let wide = view_of("/prod", &["/app/web", "/_retune/nodes"], &values);
    assert_eq!(text(line, &wide), "/app/web/1 h1;".repeat(4));
    assert_eq!(text("{{ backends('/app')|length }}", &all), "1");
    // A key of the resource that is itself a backend.
    let leaf = view_of("/prod", &["/app/web/1"], &values);
    assert_eq!(text("{{ backends('/app')|length }}{{ backends('/app/web/1')|length }}", &leaf), "10");
}

#[test]
fn an_invalid_backend_key_is_reported() {
    let all = both(&[("/app/web/1", "10.0.0.1:80"), ("/app/web/timeout", "hunter2")]);
    let told = error("{{ backends('/app') }}", &all);
    assert!(told.what.contains("/app/web/timeout is not a backend"), "{told}");
    assert!(!told.to_string().contains("hunter2"), "{told}");
    let broken =
        view_of("/", &["/app", "/_retune/nodes"], &[("/_retune/nodes/h1", "{\"labels\":\"hunter2\"}")]);
    let failure = try_text("{{ nodes() }}", &broken).unwrap_err();
    assert!(failure.error.what.contains("/_retune/nodes/h1 is not a node record"), "{failure}");
    assert!(!failure.to_string().contains("hunter2"), "{failure}");
    assert!(failure.reads.keys.contains("/_retune/nodes/h1"), "mending it renders again");
}

#[test]
fn where_keeps_what_matches_an_expression() {
    let all = web();
    for (expressions, want) in [
        ("'constraint:zone==a'", "h1:web.1:80"),
        ("'zone==a'", "h1:web.1:80"),
        ("'zone!=a'", "h2:web.2:80 x3 y4 z5"),
        ("'zone==/[ab]/'", "h1:web.1:80 h2:web.2:80 y4"),
        ("'zone==*'", "h1:web.1:80 h2:web.2:80 x3 y4"),
        ("'zone==a', 'disk==ssd'", "h1:web.1:80"),
        ("'zone==b', 'disk==ssd'", ""),
        ("'node==h1'", "h1:web.1:80 x3"),
        ("'node==ENG2'", "h2:web.2:80 y4"),
        ("'node==*'", "h1:web.1:80 h2:web.2:80 x3 y4"),
        ("'node!=h1'", "h2:web.2:80 y4 z5"),
        ("'whitelist:node==h2|h3'", "h2:web.2:80 y4"),
        ("'affinity:container==web.1'", "h1:web.1:80"),
        ("'affinity:container==c2c2c2c2c2c2'", "h2:web.2:80"),
        ("'affinity:image==web:2'", "h1:web.1:80"),
        ("'affinity:image==web'", "h1:web.1:80 h2:web.2:80 x3"),
        ("'affinity:image==sha256:1111'", "h1:web.1:80"),
        ("'affinity:tier==front'", "h1:web.1:80"),
        ("'weight==7'", "x3"),
        // Soft: those that match, or all if none does.
        ("'zone==~b'", "h2:web.2:80 y4"),
        ("'zone==~none'", "h1:web.1:80 h2:web.2:80 x3 y4 z5"),
        ("'zone==~b', 'disk==~ssd'", "h2:web.2:80 y4"),
        ("'disk==~ssd', 'zone==~b'", "h1:web.1:80 x3"),
        ("'node!=h1', 'disk==~ssd'", "h2:web.2:80 y4 z5"),
    ] {
        assert_eq!(ids(&format!("backends('/app')|where({expressions})"), &all), want, "{expressions}");
        assert_eq!(ids(&format!("where(backends('/app'), {expressions})"), &all), want, "{expressions}");
    }
    assert_eq!(text("{{ nodes()|where('zone==b')|map(attribute='name')|join }}", &all), "h2");
    assert_eq!(text("{{ []|where('zone==b')|length }}", &all), "0");
}

#[test]
fn prefer_puts_what_matches_first_and_makes_the_others_backups() {
    let all = web();
    let line = |expression: &str| {
        let body = "{{ b.id }}{% if b.backup %}(backup){% endif %} ";
        text(&format!("{{% for b in backends('/app')|prefer({expression}) %}}{body}{{% endfor %}}"), &all)
    };
    let b_first = "h2:web.2:80 y4 h1:web.1:80(backup) x3(backup) z5(backup) ";
    let all_alike = "h1:web.1:80 h2:web.2:80 x3 y4 z5 ";
    assert_eq!(line("'constraint:zone==~b'"), b_first);
    assert_eq!(line("'constraint:zone==b'"), b_first);
    assert_eq!(line("'zone==none'"), all_alike, "without any, nobody is a backup");
    assert_eq!(line("'zone==~none'"), all_alike);
    assert_eq!(line("'zone==~b', 'disk==~none'"), b_first, "the last is given up first");
    assert_eq!(line("'node==h1', 'zone==~b'"), "h1:web.1:80 x3 h2:web.2:80(backup) y4(backup) z5(backup) ");
}

#[test]
fn invalid_expressions_are_reported_with_placements_messages() {
    let all = web();
    for (template, want) in [
        ("{{ backends('/app')|where('a==b') }}", "where: Key 'a' is invalid"),
        ("{{ backends('/app')|where('zone') }}", "where: One of operator ==, != is expected"),
        ("{{ backends('/app')|prefer('zone==') }}", "prefer: Value '' is invalid"),
        ("{{ backends('/app')|where('contraint:zone==a') }}", "Key 'contraint:zone' is invalid"),
        ("{{ backends('/app')|where('zone==/(/') }}", "is not a regular expression"),
        ("{{ backends('/app')|where }}", "it takes an expression"),
        ("{{ []|where('zone') }}", "One of operator"),
        ("{{ ['x']|where('zone==a') }}", "takes a list of backends(…) or nodes()"),
        ("{{ nodes()|prefer('zone==a') }}", "takes a list of backends(…), and"),
        ("{{ gets('/app/*/*')|where('zone==a') }}", "takes a list of backends"),
        ("{{ 'x'|where('zone==a') }}", "not a list"),
    ] {
        let told = error(template, &all);
        assert!(told.what.contains(want), "{template}: {told}");
    }
    assert!(error("{{ backends('/app')|where(x) }}", &all).what.contains("undefined"));
}

#[test]
fn without_the_node_records_in_its_keys_a_resource_fails_with_advice() {
    let values = [("/_retune/nodes/h1", A), ("/app/web/h1:web.1:80", "10.0.0.1:80"), ("/app/web/x3", JSON)];
    // The root does not cover them either: whether etcd lists hidden keys below it depends on the API.
    for keys in [&["/app"][..], &["/"]] {
        let scoped = view_of("/", keys, &values);
        let line = "{% for b in backends('/app') %}{{ b.id }}@{{ b.node }} {{ b.labels }} {% endfor %}";
        assert_eq!(text(line, &scoped), "h1:web.1:80@ {} x3@h1 {\"weight\":\"7\",\"zone\":\"c\"} ");
        for template in [
            "{{ backends('/app')|where('zone==c') }}",
            "{{ backends('/app')|prefer('zone==~c') }}",
            "{{ backends('/app')|where('affinity:tier==front') }}",
            "{{ nodes() }}",
        ] {
            let failure = try_text(template, &scoped).unwrap_err();
            assert!(failure.error.what.contains("add \"/_retune/nodes\" to `keys`"), "{template}: {failure}");
            assert_eq!(sorted(&failure.reads.outside), ["/_retune/nodes"], "{template}");
        }
        assert_eq!(ids("backends('/app')|where('affinity:image==web:3')", &scoped), "x3");
    }
}

#[test]
fn removing_all_records_removes_no_backend() {
    let none = view_of("/", &["/app", "/_retune/nodes"], &[("/app/web/h1:web.1:80", "10.0.0.1:80")]);
    let told = error("{{ backends('/app')|where('zone==a') }}", &none);
    assert!(told.what.contains("no node has a record below /_retune/nodes"), "{told}");
    assert_eq!(ids("backends('/app')|where('zone==~a')", &none), "h1:web.1:80");
    assert_eq!(ids("backends('/app')|prefer('zone==a')", &none), "h1:web.1:80");
    assert_eq!(text("{{ nodes()|length }}{{ backends('/none')|where('zone==a')|length }}", &none), "00");
}

#[test]
fn nodes_have_all_their_fields() {
    let line = "{% for n in nodes() %}{{ n.name }} {{ n.id }} {{ n.address }} {{ n.labels.zone }} {{ n.cpus }} {{ n.memory }} \
        {{ n.health }} {{ n.containers[0].image }} {{ n.images|length }};{% endfor %}";
    assert_eq!(
        text(line, &web()),
        "h1 ENG1 tcp://10.0.0.1:2375 a 4 8589934592 100 web:2 1;h2 ENG2 ssh://10.0.0.2 b 0 0 80 web:1 0;"
    );
}

#[test]
fn a_change_below_the_directory_or_of_a_node_touches_the_render() {
    let reads = try_text("{{ backends('/app')|length }}", &web()).unwrap().reads;
    assert_eq!(sorted(&reads.listings), ["/_retune/nodes", "/app"]);
    let touch = |key: &str, listing| reads.touched_by(&Touched { key: key.into(), listing });
    assert!(touch("/app/web/x3", false) && touch("/app/web/deep/er", true));
    assert!(touch("/_retune/nodes/h1", false) && touch("/_retune/nodes/h3", true));
    assert!(!touch("/service/10.0.0.1:1", true) && !touch("/_retune/owners/h1", true));
    assert!(reads.outside.is_empty() && !reads.volatile);
    let outside = try_text("{{ backends('/none')|length }}", &web()).unwrap();
    assert_eq!((outside.text.as_str(), sorted(&outside.reads.outside)), ("0", vec!["/none"]));
}

#[test]
fn node_records_are_in_no_listing_of_a_parent() {
    let values = [("/_retune/nodes/h1", A), ("/_retune/x", "no"), ("/app", "1"), ("/_other", "2")];
    let line = "{{ ls('/')|join(' ') }}:{{ lsdir('/')|join(' ') }}:{{ gets('/*/*')|length }}{{ gets('/*/*/*')|length }}:\
        {{ exists('/_retune/nodes/h1') }}";
    assert_eq!(text(line, &view_of("/", &["/"], &values)), "_other app::00:false");
    let named = view_of("/", &["/", "/_retune/nodes"], &values);
    assert_eq!(text(line, &named), "_other _retune app:_retune:01:true");
}

#[test]
fn two_thousand_backends_render_quickly() {
    let record = |n: usize| {
        let containers: Vec<String> = (0..20)
            .map(|c| format!(r#"{{"id":"{n:032}{c:032}","names":["/web.{c}"],"image":"web:{c}"}}"#))
            .collect();
        let zone = if n.is_multiple_of(2) { "a" } else { "b" };
        format!(
            r#"{{"name":"h{n}","address":"tcp://10.0.1.{n}:2375","labels":{{"zone":"{zone}"}},"containers":[{}]}}"#,
            containers.join(",")
        )
    };
    let records = (0..100).map(|n| (format!("/_retune/nodes/h{n}"), record(n)));
    let services = (0..2000).map(|n| {
        (format!("/app/web/h{}:web.{}:80", n % 100, n / 100), format!("10.0.1.{}:{}", n % 100, 8000 + n))
    });
    let values: Values =
        records.chain(services).map(|(key, text)| (Arc::from(key), Datum::from(text.as_str()))).collect();
    let scope = Scope::new("/", &["/app".to_owned(), "/_retune/nodes".to_owned()]);
    let all = View { values: Arc::new(values), scope: Arc::new(scope) };
    let body = "{% for b in backends('/app')|where('zone==/[ab]/', 'affinity:image==web:*')|prefer('zone==~a') %}\
        server {{ b.address }} {{ b.labels.zone }}{% if b.backup %} backup{% endif %};\n{% endfor %}";
    let bench = TestEngine::new(&[("t", body)]);
    let start = std::time::Instant::now();
    let rendered = bench.render("t", &all).unwrap().text;
    println!("2,000 backends on 100 nodes: {:?}", start.elapsed());
    assert_eq!(rendered.lines().count(), 2000);
    assert_eq!(rendered.lines().filter(|line| line.ends_with(" b backup;")).count(), 1000);
    assert!(rendered.starts_with("server 10.0.1.0:8000 a;\n"), "{}", &rendered[..80]);
    // A join that scans all nodes for each service would take many seconds here.
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}
