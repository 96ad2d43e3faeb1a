//! The paths and values of keys.

use super::super::super::settings::{Layout, Value};
use super::super::check_templates;
use super::*;

fn web() -> Container {
    container("web.1", "shop/web:2")
        .with("80", "8000")
        .env("SERVICE_TAGS", "blue,green")
        .env("SERVICE_REGION", "eu")
}

fn of(layout: Layout) -> Rules {
    Rules { layout, prefix: "/services".to_owned(), ..Rules::default() }
}

fn templates(key: &str, value: Option<&str>) -> Rules {
    of(Layout::Template { key: key.to_owned(), value: value.map(str::to_owned) })
}

fn json(ip: &str) -> String {
    let id = web().id;
    format!(
        r#"{{"address":"{ip}:8000","ip":"{ip}","port":8000,"name":"web","id":"h1:web.1:80","tags":["blue","green"],"attributes":{{"region":"eu"}},"node":"h1","container":"{id}","container_name":"web.1","image":"shop/web:2","protocol":"tcp"}}"#
    )
}

#[test]
fn registrators_keys_hold_the_address_or_everything() {
    let mut rules = of(Layout::Registrator);
    assert_eq!(pairs(&described(&web(), &rules)), ["/services/web/h1:web.1:80 = 10.0.0.9:8000"]);
    rules.value = Value::Json;
    assert_eq!(described(&web(), &rules).services[0].value, json("10.0.0.9"));
}

#[test]
fn dockregs_keys_are_addresses_in_a_directory() {
    let rules = of(Layout::Dockreg { directory: "service".to_owned() });
    assert_eq!(pairs(&described(&web(), &rules)), ["/services/service/10.0.0.9:8000 = running"]);
    let v6 = Rules { ip: Some("2001:db8::7".to_owned()), prefix: "/".to_owned(), ..rules.clone() };
    assert_eq!(pairs(&described(&web(), &v6)), ["/service/[2001:db8::7]:8000 = running"]);
    let all = Rules { value: Value::Json, ..rules };
    assert_eq!(described(&web(), &all).services[0].value, json("10.0.0.9"));
    let bare = of(Layout::Dockreg { directory: "/".to_owned() });
    assert_eq!(pairs(&described(&web(), &bare)), ["/services/10.0.0.9:8000 = running"]);
}

#[test]
fn skydns_keys_are_the_domain_reversed_whatever_the_prefix() {
    let rules = of(Layout::Skydns { domain: "cluster.local".to_owned() });
    assert_eq!(
        pairs(&described(&web(), &rules)),
        [r#"/skydns/local/cluster/web/h1:web.1:80 = {"host":"10.0.0.9","port":8000}"#]
    );
}

#[test]
fn a_template_gets_all_attributes_and_its_key_is_below_the_prefix() {
    let names = "name id ip port address private_port protocol node container container_name image prefix";
    let each: Vec<String> = names.split(' ').map(|name| format!("{name}={{{{ {name} }}}}")).collect();
    let value = format!("{} {{{{ tags|join('+') }}}} {{{{ attrs.region }}}}", each.join(" "));
    let rules = templates("/{{ node }}/{{ name }}/{{ port }}", Some(&value));
    let id = web().id;
    let want = format!(
        "/services/h1/web/8000 = name=web id=h1:web.1:80 ip=10.0.0.9 port=8000 address=10.0.0.9:8000 private_port=80 \
         protocol=tcp node=h1 container={id} container_name=web.1 image=shop/web:2 prefix=/services blue+green eu"
    );
    assert_eq!(pairs(&described(&web(), &rules)), [want]);
    assert_eq!(check_templates(&rules), Ok(()));
}

#[test]
fn a_layout_without_a_value_template_uses_the_value_of_the_rules() {
    let mut rules = templates("{{ name }}/{{ id }}", None);
    assert_eq!(pairs(&described(&web(), &rules)), ["/services/web/h1:web.1:80 = 10.0.0.9:8000"]);
    rules.value = Value::Json;
    assert_eq!(described(&web(), &rules).services[0].value, json("10.0.0.9"));
}

#[test]
fn an_attribute_missing_from_one_container_refuses_only_that_one_with_the_position() {
    let rules = templates("{{ attrs.zone }}/{{ id }}", None);
    assert_eq!(check_templates(&rules), Ok(()));
    let why = refusal(&described(&web(), &rules)).to_owned();
    assert!(why.starts_with("port 80/tcp: the key's template, line 1: undefined value"), "{why}");
    assert_eq!(
        pairs(&described(&web().env("SERVICE_ZONE", "a"), &rules)),
        ["/services/a/h1:web.1:80 = 10.0.0.9:8000"]
    );
    let lenient = templates("{{ attrs.zone|default('none') }}/{{ id }}", None);
    assert_eq!(described(&web(), &lenient).services[0].key, "/services/none/h1:web.1:80");
}

#[test]
fn an_endless_template_is_stopped() {
    let range = "{% for a in range(999) %}{% for b in range(999) %}{% set c = a * b %}{% endfor %}{% endfor %}{{ id }}";
    let rules = templates(range, None);
    assert!(check_templates(&rules).unwrap_err().contains("engine ran out of fuel"));
    assert!(refusal(&described(&web(), &rules)).contains("engine ran out of fuel"));
    let wide = templates("{{ id * 1000 }}", None);
    assert!(check_templates(&wide).unwrap_err().contains("writes more than 4096 bytes"));
    let big = templates("{{ id }}", Some("{{ 'x' * 70000 }}"));
    assert!(check_templates(&big).unwrap_err().contains("writes more than 65536 bytes"));
    let doubling =
        "{% set n = namespace(s=id) %}{% for i in range(99) %}{% set n.s = n.s ~ n.s %}{% endfor %}{{ n.s }}";
    assert!(check_templates(&templates(doubling, None)).unwrap_err().contains("uses namespace"));
    assert!(refusal(&described(&web(), &templates(doubling, None))).contains("unknown function"));
    let deep = "{% macro f(s) %}{{ f(s ~ s) }}{% endmacro %}{{ f(id) }}";
    assert!(refusal(&described(&web(), &templates(deep, None))).contains("recursion limit"));
}

#[test]
fn a_bad_template_directory_or_domain_is_reported_before_any_container() {
    for (key, value, want) in [
        ("{{ name", None, "the key's template, line 1: syntax error"),
        ("{{ id }}", Some("{% if %}"), "the value's template, line 1: syntax error"),
        (
            "{{ nmae }}/{{ id }}",
            None,
            "the key's template uses nmae, which does not exist; it can use name, id",
        ),
        ("{{ id }}", Some("{% if false %}{{ ipp }}{% endif %}"), "the value's template uses ipp"),
        ("{{ id|nope }}", None, "the key's template, line 1: unknown filter"),
        ("{{ ip.x }}{{ id }}", None, "the key's template, line 1: undefined value"),
        ("fixed", None, "every service would have the key /services/fixed"),
        ("a//{{ id }}", None, "has an empty part"),
        ("../{{ id }}", None, "leaves its directory"),
        ("{{ id }}\n\n", None, "has a control character"),
        ("", None, "has an empty part"),
    ] {
        let why = check_templates(&templates(key, value)).unwrap_err();
        assert!(why.contains(want), "{key}: {why}");
    }
    let bad_directory = of(Layout::Dockreg { directory: "a//b".to_owned() });
    assert!(check_templates(&bad_directory).unwrap_err().contains("has an empty part"));
    let bad_domain = of(Layout::Skydns { domain: "cluster..local".to_owned() });
    assert!(check_templates(&bad_domain).unwrap_err().contains("has an empty part"));
    let hidden = Rules { prefix: "/_retune/x".to_owned(), ..Rules::default() };
    assert!(check_templates(&hidden).unwrap_err().contains("lies below /_retune"));
    for layout in [
        Layout::Registrator,
        Layout::Dockreg { directory: "service".to_owned() },
        Layout::Skydns { domain: "cluster.local.".to_owned() },
    ] {
        assert_eq!(check_templates(&of(layout)), Ok(()));
    }
}

#[test]
fn a_name_may_be_a_path_but_may_not_leave_the_prefix_be_hidden_or_be_endless() {
    let named = |name: &str, id: &str| {
        container("c", "i").with("80", "1").env("SERVICE_NAME", name).env("SERVICE_ID", id)
    };
    let rules = Rules::default();
    assert_eq!(described(&named("shop/web", "a/b"), &rules).services[0].key, "/shop/web/a/b");
    let long = "a".repeat(511);
    for (name, id, want) in [
        ("a//b", "x", "has an empty part"),
        ("/a", "x", "has an empty part"),
        ("a/", "x", "has an empty part"),
        ("a", "x/", "has an empty part"),
        ("..", "x", "leaves its directory"),
        ("a/../../b", "x", "leaves its directory"),
        ("a", ".", "leaves its directory"),
        ("a\nb", "x", "has a control character"),
        ("a", "x\0", "has a control character"),
        ("a", "\u{85}", "has a control character"),
        (long.as_str(), "x", "makes a key of more than 512 bytes"),
        ("_retune", "x", "begins with _"),
        ("web", "_x", "begins with _"),
        ("web/_b", "x", "begins with _"),
    ] {
        let described = described(&named(name, id), &rules);
        let why = refusal(&described);
        assert!(why.contains(want) && why.contains("change its name or id"), "{why}");
        assert!(why.len() < 400 && !why.contains(char::is_control), "{why}");
    }
    assert_eq!(described(&named("a_b", "x_"), &rules).services.len(), 1);
    assert_eq!(described(&named(&"a".repeat(509), "x"), &rules).services.len(), 1, "/…/x are 512 bytes");
}

#[test]
fn an_oversized_value_is_refused() {
    let rules = Rules { value: Value::Json, ..Rules::default() };
    let big = web().env("SERVICE_NOTE", &"x".repeat(70_000));
    assert!(refusal(&described(&big, &rules)).contains("is larger than 64 KiB"));
}
