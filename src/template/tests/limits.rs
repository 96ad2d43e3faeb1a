//! Templates that would never end, or grow too large.

use std::time::{Duration, Instant};

use super::*;

fn small() -> Limits {
    Limits { fuel: 300_000, output: 1 << 20, depth: 50, ..Limits::default() }
}

#[test]
fn endless_loops_and_output_are_stopped_soon() {
    for template in [
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% for a in range(100000) %}0123456789012345{% endfor %}",
        "{% for a in range(1000) %}{% for b in range(1000) %}{{ 'xxxxxxxxxx' }}{% endfor %}{% endfor %}",
        "{{ 'x' * 1000000000 }}",
        "{{ 'x' * 99999999 }}",
        "{{ range(1000000000000) }}",
        "{{ seq(1, 1000000000000) }}",
        "{{ seq(-9223372036854775808, 9223372036854775807) }}",
        "{{ repeat(1000000000000, 'abc') }}",
        "{{ 'abc'|repeat(1000000000000) }}",
        "{{ 'a\nb'|indent(1000000000000) }}",
        "{{ indent(1000000000000, 'a') }}",
        "{{ nindent(1000000000000, 'a') }}",
        "{{ ('a' * 100000)|replace('a', 'b' * 100000) }}",
        "{{ replace('a' * 100000, '', 'b' * 100000, -1) }}",
        "{{ regexReplaceAll('a', 'a' * 100000, 'b' * 100000) }}",
        "{{ range(100000)|join('x' * 1000) }}",
        "{{ '%999999999999d'|format(1) }}",
        "{{ [1]|batch(1000000000000, 0) }}",
        "{{ [1]|slice(1000000000000) }}",
        "{{ {'a': [1]}|tojson(indent=1000000000000) }}",
        "{{ ([0] * 100000000)|list|length }}{{ getvs('/x') }}{{ [0] * 100000000 }}",
        "{{ cidrHosts('0.0.0.0/0') }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{% include 't' %}",
        "{{ include('t') }}",
        "{{ include('t', 1) }}",
        "{% set x %}{% for a in range(100000) %}{{ 'x' * 100 }}{% endfor %}{% endset %}",
        "{% set ns = namespace(x='x') %}{% for a in [1] * 40 %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% set ns = namespace(x='x') %}{% for a in [1] * 40 %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% set ns = namespace(x='x') %}{% for a in [1] * 40 %}{% set ns.x = ns.x * 3 %}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for a in [1] * 40 %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% macro m(x) %}{{ m(x ~ x ~ x)|length }}{% endmacro %}{{ m('x') }}",
        "{% set ns = namespace(x='\\\\') %}{% for a in [1] * 40 %}{% set ns.x = quote(ns.x) %}{% endfor %}",
        "{% set ns = namespace(x='\"') %}{% for a in [1] * 40 %}{% set ns.x = ns.x|tojson %}{% endfor %}",
    ] {
        let bench = TestEngine::with(&[("t", template)], small());
        let start = Instant::now();
        let told = bench.render("t", &view(&[])).expect_err(template).error;
        assert_eq!(told.kind, TemplateErrorKind::Limit, "{template}: {told}");
        assert!(start.elapsed() < Duration::from_secs(10), "{template}: {:?}", start.elapsed());
    }
}

#[test]
fn many_texts_that_are_each_small_enough_are_stopped_by_the_memory_they_take() {
    let limits = Limits { memory: 64 << 20, ..Limits::default() };
    for make in ["x * 2", "x ~ x", "repeat(2000000, 'x')", "seq(1, 100000)", "x[1:]", "x|upper"] {
        let each = format!("{{% set ns.kept = [ns.kept, {make}] %}}");
        let text = format!(
            "{{% set x = repeat(1000000, 'x') %}}{{% set ns = namespace(kept=0) %}}{{% for a in [1] * 400 %}}{each}{{% endfor %}}"
        );
        let bench = TestEngine::with(&[("t", &text)], limits);
        let told = bench.render("t", &view(&[])).expect_err(make).error;
        assert_eq!(told.kind, TemplateErrorKind::Limit, "{make}: {told}");
        assert!(told.to_string().contains("more than 64 MiB of memory"), "{make}: {told}");
    }
    // What is dropped again does not count.
    let text = "{% set ns = namespace(x='') %}{% for a in range(2000) %}{% set ns.x = ns.x ~ 'ab' * 50 %}{% endfor %}{{ ns.x|length }}";
    let bench = TestEngine::with(&[("t", text)], limits);
    assert_eq!(bench.render("t", &view(&[])).unwrap().text, "200000");
}

#[test]
fn an_error_shows_the_line_as_it_was_written() {
    let long = "x".repeat(5000);
    for start in ["", long.as_str()] {
        let text = format!("{start}\n{{{{ 'a' ~ nothing.here }}}}\n");
        let told = error(&text, &view(&[])).to_string();
        assert!(told.contains("2 | {{ 'a' ~ nothing.here }}"), "{told}");
    }
}

#[test]
fn an_include_cycle_names_its_members() {
    let bench = TestEngine::new(&[
        ("a", "{% include 'b' %}"),
        ("b", "{% include 'a' %}"),
        ("c", "{{ include('d') }}"),
        ("d", "{{ include('c') }}"),
    ]);
    for (name, want) in [("a", "a -> b -> a"), ("c", "c -> d -> c")] {
        let told = bench.render(name, &view(&[])).unwrap_err().error;
        assert_eq!(told.kind, TemplateErrorKind::Limit, "{told}");
        assert!(told.to_string().contains(want), "{told}");
    }
}

#[test]
fn the_deepest_nesting_allowed_fits_a_thread_of_two_megabytes() {
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(|| {
        for template in
            ["{% include 't' %}", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "{{ include('t', 1) }}"]
        {
            assert_eq!(error(template, &view(&[])).kind, TemplateErrorKind::Limit);
        }
        let deep = format!("{{{{ {}1{} }}}}", "(".repeat(10_000), ")".repeat(10_000));
        assert_eq!(error(&deep, &view(&[])).kind, TemplateErrorKind::Syntax);
        let deep = format!("{{{{ fromJson('{}') }}}}", "[".repeat(100_000));
        assert_eq!(error(&deep, &view(&[])).kind, TemplateErrorKind::Function);
    });
    thread.unwrap().join().unwrap();
}

#[test]
fn output_up_to_the_limit_passes_and_beyond_it_the_limit_is_reported() {
    let limits = Limits { output: 1000, ..Limits::default() };
    let bench =
        TestEngine::with(&[("ok", "{{ repeat(1000, 'x') }}"), ("no", "x{{ repeat(1000, 'x') }}")], limits);
    assert_eq!(bench.render("ok", &view(&[])).unwrap().text.len(), 1000);
    let told = bench.render("no", &view(&[])).unwrap_err().error;
    assert!(told.to_string().starts_with("templates/no: the output is larger than the 1000 bytes"), "{told}");
}

#[test]
fn ten_thousand_pairs_render_well_within_the_limits() {
    let keys: Vec<String> = (0..10_000).map(|n| format!("/app/0/{n:05}")).collect();
    let values: Values =
        keys.iter().map(|key| (Arc::from(key.as_str()), Datum::from("10.0.0.1:80"))).collect();
    let all = View { values: Arc::new(values), scope: Arc::new(Scope::new("/", &["/".to_owned()])) };
    let body = "{% for kv in gets('/app/0/*') %}server {{ kv.value }};\n{% endfor %}";
    let bench = TestEngine::with(&[("t", body)], small());
    assert_eq!(bench.render("t", &all).unwrap().text.lines().count(), 10_000);
}
