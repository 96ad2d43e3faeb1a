//! Templates that would never end, or grow too large.

use std::time::{Duration, Instant};

use super::*;

fn small() -> Limits {
    Limits { fuel: 300_000, output: 1 << 20, depth: 50 }
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
    ] {
        let bench = TestEngine::with(&[("t", template)], small());
        let start = Instant::now();
        let told = bench.render("t", &view(&[])).expect_err(template).error;
        assert_eq!(told.kind, TemplateErrorKind::Limit, "{template}: {told}");
        assert!(start.elapsed() < Duration::from_secs(10), "{template}: {:?}", start.elapsed());
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
