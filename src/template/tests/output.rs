//! The output: whitespace, printing, includes.

use super::*;

#[test]
fn text_without_tags_is_unchanged_under_every_name() {
    for name in ["a.html", "a.json", "a.yaml", "a.yaml.tmpl", ".env.tmpl", "a.conf", "a.xml.j2", "a"] {
        for body in
            ["", "\n", "x", "x\n", "x\n\n", "x\r\ny\r\n", "x\r\ny", "\t<a> & \"b\" '\n", "é { % } } {\n"]
        {
            let bench = TestEngine::new(&[(name, body)]);
            assert_eq!(bench.render(name, &view(&[])).unwrap().text, body, "{name} {body:?}");
        }
    }
}

#[test]
fn values_print_as_stored_under_every_name() {
    let all = view(&[("/v", "<a> \"b\" & é\n")]);
    for name in ["a.html", "a.json", "a.yaml", "a.conf"] {
        let bench = TestEngine::new(&[(name, "{{ getv('/v') }}")]);
        assert_eq!(bench.render(name, &all).unwrap().text, "<a> \"b\" & é\n", "{name}");
    }
}

#[test]
fn a_line_with_only_blocks_leaves_no_line() {
    let body = "a\n  {% for n in seq(1, 2) %}\n  n{{ n }}\n  {% endfor %}\nb\n";
    assert_eq!(text(body, &view(&[])), "a\n  n1\n  n2\nb\n");
}

#[test]
fn numbers_booleans_and_null_print_as_they_were_stored() {
    let json = r#"{"a":1000000,"b":3.0,"c":1.50,"d":12345678901234567890,"e":1e400,"f":true,"g":null,
        "h":[1.50,"x",false],"i":1e5,"j":-0,"k":0.1,"l":123456789012345678901234567890}"#;
    let all = view(&[("/j", json)]);
    let want = [
        ("a", "1000000"),
        ("b", "3.0"),
        ("c", "1.50"),
        ("d", "12345678901234567890"),
        ("e", "1e400"),
        ("f", "true"),
        ("g", "null"),
        ("h", r#"[1.50,"x",false]"#),
        ("i", "1e5"),
        ("j", "-0"),
        ("k", "0.1"),
        ("l", "123456789012345678901234567890"),
    ];
    for (field, want) in want {
        assert_eq!(text(&format!("{{{{ json(getv('/j')).{field} }}}}"), &all), want, "{field}");
    }
    assert_eq!(text("{{ json(getv('/j')).c|float * 2 }} {{ '7'|int + 1 }}", &all), "3.0 8");
    assert_eq!(
        text("{{ 1 == 1 }} {{ [true, none]|join(',') }} {{ true|string }}", &all),
        "true true,null true"
    );
}

#[test]
fn templates_include_extend_and_import_each_other() {
    let bench = TestEngine::new(&[
        ("base.tmpl", "<{% block body %}{% endblock %}>{% include 'sub/.part.tmpl' %}>\n"),
        ("sub/.part.tmpl", "{{ getv('/v') }}"),
        ("macros.tmpl", "{% macro m(k) %}[{{ getv(k) }}]{% endmacro %}"),
        (
            "main.tmpl",
            "{% extends 'base.tmpl' %}{% block body %}{% from 'macros.tmpl' import m %}{{ m('/v') }}{% endblock %}",
        ),
        (
            "call.tmpl",
            "{{ include('sub/.part.tmpl')|upper }} {{ include('data.tmpl', {'x': 1}) }} {{ item }}",
        ),
        ("data.tmpl", "{{ data.x }}{{ item }}"),
    ]);
    let all = view(&[("/v", "val")]);
    let rendered = bench.render("main.tmpl", &all).unwrap();
    assert_eq!(rendered.text, "<[val]>val>\n");
    assert_eq!(sorted(&rendered.reads.keys), ["/v"]);
    let vars = BTreeMap::from([("item".to_owned(), minijinja::Value::from("it"))]);
    assert_eq!(bench.engine.render("call.tmpl", &all, &vars).unwrap().text, "VAL 1it it");
    let files = bench.engine.files();
    assert!(files.contains(&bench.dir.path().join("templates/sub/.part.tmpl")), "{files:?}");
    assert_eq!(files.len(), 6);
}

#[test]
fn reads_in_an_included_template_are_recorded() {
    let bench = TestEngine::new(&[
        ("a", "{{ include('b') }}"),
        ("b", "{{ getv('/x', 'd') }}{{ datetime() and '' }}"),
    ]);
    let rendered = bench.render("a", &view(&[])).unwrap();
    assert_eq!(sorted(&rendered.reads.keys), ["/x"]);
    assert!(rendered.reads.volatile);
}

#[test]
fn a_template_is_compiled_once_and_renders_alike_on_many_threads() {
    let bench = TestEngine::new(&[(
        "t",
        "{% for kv in gets('/n/*') %}{{ kv.key }}={{ kv.value }};{% endfor %}{{ getv('/me') }}",
    )]);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let bench = &bench;
            scope.spawn(move || {
                let me = thread.to_string();
                let all = view(&[("/n/a", "1"), ("/n/b", "2"), ("/me", &me)]);
                for _ in 0..200 {
                    assert_eq!(bench.render("t", &all).unwrap().text, format!("/n/a=1;/n/b=2;{me}"));
                }
            });
        }
    });
    std::fs::write(bench.dir.path().join("templates/t"), "changed").unwrap();
    assert!(bench.render("t", &view(&[("/me", "x")])).unwrap().text.ends_with('x'));
}

#[test]
fn dates_are_read_and_printed_with_their_own_offset() {
    let none = view(&[]);
    assert_eq!(text("{{ toDate('2024-02-29T12:00:00+02:00') }}", &none), "2024-02-29T12:00:00+02:00");
    assert_eq!(text("{{ toDate(0).format('%Y') }} {{ unixTime('2024-02-29') }}", &none), "1970 1709164800");
    assert_eq!(text("{{ toDate('29.02.2024', '%d.%m.%Y')|dateFormat('%F') }}", &none), "2024-02-29");
    assert_eq!(error("{{ toDate('soon') }}", &none).kind, TemplateErrorKind::Function);
    assert_eq!(error("{{ datetime().format('%~') }}", &none).kind, TemplateErrorKind::Function);
    assert_eq!(error("{{ datetime().format('%9999999999Y') }}", &none).kind, TemplateErrorKind::Function);
}

#[test]
fn network_lookups_inside_a_runtime_do_not_panic_and_a_default_replaces_failures() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let none = view(&[]);
        let rendered = try_text("{{ lookupIPV4('127.0.0.1')|join }}", &none).unwrap();
        assert_eq!(rendered.text, "127.0.0.1");
        assert!(rendered.reads.volatile);
        assert_eq!(text("{{ lookupSRV('x', 'tcp', 'a..invalid', ['d'])|join }}", &none), "d");
        assert_eq!(text("{{ lookupIP('a..invalid', ['d'])|join }}", &none), "d");
        assert_eq!(error("{{ lookupIP('a..invalid') }}", &none).kind, TemplateErrorKind::Function);
    });
}
