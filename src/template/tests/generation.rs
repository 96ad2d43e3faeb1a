//! `generation()`: what it covers, and that equal outputs have equal generations.

use super::*;

fn rendered(template: &str, values: &[(&str, &str)]) -> Rendered {
    try_text(template, &view(values)).unwrap()
}

#[test]
fn it_is_the_hash_of_the_whole_output_with_zeros_in_its_place() {
    let got = rendered("x {{ getv('/a') }}\nid {{ generation() }}\n", &[("/a", "1")]);
    let generation = got.generation.unwrap();
    assert_eq!(got.text, format!("x 1\nid {generation}\n"));
    assert_eq!(generation, generation_of(got.text.replace(&generation, "0000000000000000").as_bytes()));
    assert_eq!(generation.len(), 16);
}

#[test]
fn it_changes_with_any_value_or_text_and_with_nothing_else() {
    let template = "x {{ getv('/a') }} {{ generation() }}\n";
    let of = |template: &str, value: &str| rendered(template, &[("/a", value)]).generation.unwrap();
    assert_eq!(of(template, "1"), of(template, "1"));
    assert_ne!(of(template, "1"), of(template, "2"));
    assert_ne!(of(template, "1"), of(&template.replace('x', "y"), "1"));
}

#[test]
fn it_passes_through_filters_and_includes_and_ignores_a_value_that_looks_like_it() {
    let bench = TestEngine::new(&[
        ("t", "{{ include('part') }} {{ generation()|upper }} {{ generation()[:4] }} {{ getv('/a') }}\n"),
        ("part", "{{ generation() }}"),
    ]);
    let got = bench.render("t", &view(&[("/a", "0000000000000000")])).unwrap();
    let generation = got.generation.unwrap();
    let want = format!("{generation} {} {} 0000000000000000\n", generation.to_uppercase(), &generation[..4]);
    assert_eq!(got.text, want);
}

#[test]
fn a_template_without_it_is_rendered_once_and_has_none() {
    assert_eq!(rendered("x\n", &[]).generation, None);
}

#[test]
fn both_renderings_count_as_reads() {
    let template = "{% if generation() != '0000000000000000' %}{{ getv('/late', '') }}{% else %}{{ getv('/early', '') }}{% endif %}";
    let reads = rendered(template, &[]).reads;
    assert_eq!(sorted(&reads.keys), ["/early", "/late"]);
}

#[test]
fn a_text_of_a_resource_file_sees_values_and_the_generation() {
    let bench = TestEngine::new(&[]);
    let vars = BTreeMap::from([("item".to_owned(), minijinja::Value::from("i"))]);
    let source = "{{ item }} {{ getv('/a') }} {{ generation() }}";
    let got =
        bench.engine.render_text(("verify.contains", source), &view(&[("/a", "1")]), &vars, "abc").unwrap();
    assert_eq!(got.text, "i 1 abc");
    let missing =
        bench.engine.render_text(("verify.contains", source), &view(&[]), &vars, "abc").unwrap_err();
    assert!(missing.error.what.contains("key does not exist: /a"), "{}", missing.error.what);
    assert!(check_text(source).is_ok() && check_text("{{ generation( }}").is_err());
}
