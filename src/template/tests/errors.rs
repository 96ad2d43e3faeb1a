//! How mistakes are reported.

use super::*;

#[test]
fn an_undefined_name_is_reported_with_its_line_and_may_be_tested() {
    let none = view(&[]);
    let told = error("ok\n{{ nothing }}\n", &none);
    assert_eq!((told.kind, told.line, &*told.file), (TemplateErrorKind::Undefined, Some(2), "templates/t"));
    let shown = told.to_string();
    assert!(shown.starts_with("templates/t:2: undefined value"), "{shown}");
    assert!(shown.contains("\n  2 | {{ nothing }}"), "{shown}");
    assert_eq!(text("{% if nothing %}a{% else %}b{% endif %}{{ nothing|default('c') }}", &none), "bc");
}

#[test]
fn an_undefined_value_is_never_silently_dropped() {
    for template in [
        "{{ [1, 2]|join(x) }}",
        "{{ [1, x]|join(',') }}",
        "{{ 'a' ~ x }}",
        "{{ x ~ 'a' }}",
        "{{ x|upper }}",
        "{{ x|string }}",
        "{{ x|trim }}",
        "{{ toUpper(x) }}",
        "{{ quote(x) }}",
        "{{ x|replace('a', 'b') }}",
        "{{ 'a'|replace('a', x) }}",
        "{{ {}.a }}",
        "{{ json('{}').a }}",
        "{{ toJson(x) }}",
        "{{ toYaml([x]) }}",
        "{{ getv('/none', x) }}",
        "{{ '%s'|format(x) }}",
        "{{ x + 1 }}",
        "{{ x|int }}",
        "{{ x|indent }}",
        "{{ x|nindent(2) }}",
        "{{ add(x, 1) }}",
        "{{ x|length }}",
        "{{ coalesce(x, y) }}",
        "{{ x|split(',') }}",
    ] {
        let told = error(template, &view(&[]));
        assert!(
            matches!(
                told.kind,
                TemplateErrorKind::Undefined | TemplateErrorKind::MissingKey | TemplateErrorKind::Function
            ),
            "{template}: {told}"
        );
    }
}

#[test]
fn a_missing_key_is_reported_in_full_with_its_neighbours() {
    let all = view_of("/app", &["/db"], &[("/app/db/host", "h"), ("/app/db/port", "1")]);
    let told = error("\n\nx={{ getv('/db/hots') }}", &all);
    assert_eq!((told.kind, told.line), (TemplateErrorKind::MissingKey, Some(3)));
    let shown = told.to_string();
    assert!(
        shown.starts_with(
            "templates/t:3: key does not exist: /app/db/hots (asked for as /db/hots); nearest: /db/host"
        ),
        "{shown}"
    );
    assert!(error("{{ getv('/x') }}", &all).to_string().contains("outside the resource's `keys`"));
}

#[test]
fn a_mistake_in_an_included_file_is_reported_with_that_files_line() {
    let bench = TestEngine::new(&[
        ("a", "1\n{% include 'b' %}"),
        ("b", "\n\n{{ nope }}"),
        ("c", "{{ include('b') }}"),
    ]);
    for name in ["a", "c"] {
        let told = bench.render(name, &view(&[])).unwrap_err().error;
        assert_eq!(
            (told.kind, &*told.file, told.line),
            (TemplateErrorKind::Undefined, "templates/b", Some(3)),
            "{told}"
        );
        assert!(told.to_string().contains(&format!("included by {name}")), "{told}");
    }
}

#[test]
fn a_missing_template_is_reported_with_the_path_that_was_tried() {
    let bench = TestEngine::new(&[
        ("a", "{% include 'gone' %}"),
        ("b", "{{ include('gone') }}"),
        ("c", "x{% include 'gone' ignore missing %}"),
    ]);
    for name in ["gone", "a", "b"] {
        let told = bench.render(name, &view(&[])).unwrap_err().error;
        assert_eq!(told.kind, TemplateErrorKind::MissingTemplate, "{name}: {told}");
        assert!(told.to_string().contains("templates/gone"), "{name}: {told}");
        assert!(told.to_string().contains(&*bench.dir.path().to_string_lossy()), "{name}: {told}");
    }
    assert_eq!(bench.render("c", &view(&[])).unwrap().text, "x");
    assert_eq!(bench.engine.check("gone").unwrap_err().kind, TemplateErrorKind::MissingTemplate);
}

#[test]
fn a_template_that_does_not_parse_is_reported_with_its_position() {
    let bench =
        TestEngine::new(&[("a", "x\n{% if %}\n"), ("f", "\n{{ 1|nofilter }}"), ("n", "{{ nofunction() }}")]);
    let told = bench.engine.check("a").unwrap_err();
    assert_eq!((told.kind, told.line), (TemplateErrorKind::Syntax, Some(2)));
    assert!(told.to_string().contains("2 | {% if %}"), "{told}");
    assert_eq!(bench.render("f", &view(&[])).unwrap_err().error.line, Some(2));
    let told = bench.render("n", &view(&[])).unwrap_err().error;
    assert!(told.to_string().contains("nofunction"), "{told}");
}

#[test]
fn paths_out_of_the_folder_are_refused() {
    let bench = TestEngine::new(&[("a", "{% include '../secret' %}"), ("abs", "in")]);
    std::fs::write(bench.dir.path().join("secret"), "s").unwrap();
    for name in ["a", "../secret"] {
        assert!(bench.render(name, &view(&[])).unwrap_err().to_string().contains("outside"), "{name}");
    }
    assert_eq!(bench.render("/abs", &view(&[])).unwrap().text, "in");
}

#[test]
fn no_error_contains_a_value() {
    let all = view(&[("/secret", "hunter2")]);
    for function in [
        "atoi",
        "parseFloat",
        "parseBool",
        "toInt",
        "toDate",
        "cidrNetmask",
        "json",
        "fromJson",
        "fromToml",
        "seq",
        "base64Decode",
        "keys",
        "sortAlpha",
        "unixTime",
        "jsonArray",
    ] {
        let told = error(&format!("{{{{ {function}(getv('/secret')) }}}}"), &all);
        assert!(!told.to_string().contains("hunter2"), "{told}");
    }
}

#[test]
fn functions_report_what_they_refuse() {
    let none = view(&[]);
    for (template, want) in [
        ("{{ cgetv('/x') }}", "use getv"),
        ("{{ json('') }}", "unexpected end of JSON input"),
        ("{{ json('[1]') }}", "not an object"),
        ("{{ atoi('x') }}", "atoi: a text of 1 characters"),
        ("{{ div(1, 0) }}", "division by zero"),
        ("{{ mod(1, 0) }}", "modulo by zero"),
        ("{{ add(9223372036854775807, 1) }}", "64 bits"),
        ("{{ div(-9223372036854775808, -1) }}", "64 bits"),
        ("{{ map('a') }}", "invalid map call"),
        ("{{ map(1, 2) }}", "map keys must be strings"),
        ("{{ required('need it', '') }}", "need it"),
        ("{{ none|required('need it') }}", "need it"),
        ("{{ fail('stop here') }}", "stop here"),
        ("{{ regexMatch('(', 'x') }}", "bad regular expression"),
        ("{{ regexMatch('(a{1000}){1000}', 'x') }}", "bad regular expression"),
        ("{{ base64Decode('!') }}", "base64Decode"),
        ("{{ parseBool('yes') }}", "neither true nor false"),
        ("{{ toToml([1]) }}", "only a map"),
        ("{{ ternary(1, 2, 'x') }}", "not true or false"),
        ("{{ cidrHost('x', 1) }}", "not a network"),
        ("{{ getv }}", "without `()`"),
        ("{{ 'abc'|join(',') }}", "not a list"),
        ("{{ file('/proc') }}", "not a regular file"),
    ] {
        let told = error(template, &none);
        assert!(told.what.contains(want), "{template}: {told}");
        assert_eq!(told.line, Some(1), "{template}");
    }
}
