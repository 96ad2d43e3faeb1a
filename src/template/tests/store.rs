//! confd's functions on a view, and the reads they record.

use super::*;

fn tree() -> View {
    view_of(
        "/app",
        &["/"],
        &[
            ("/app/db/host", "h"),
            ("/app/db/port", "5432"),
            ("/app/db", "leaf too"),
            ("/app/empty", ""),
            ("/app/n/1", "b"),
            ("/app/n/2", "a"),
            ("/app/n/2/deep", "z"),
            ("/app/n-x", "!"),
            ("/apple", "no"),
            ("/other", "no"),
        ],
    )
}

#[test]
fn getv_takes_the_value_then_the_default_and_an_empty_value_is_a_value() {
    for (template, want) in [
        ("{{ getv('/db/host') }}", "h"),
        ("{{ getv('db/host') }}", "h"),
        ("{{ getv('/empty', 'd') }}", ""),
        ("{{ getv('/none', 'd') }}", "d"),
        ("{{ getv('/none', '') }}", ""),
        ("{{ getv('/none', 5) }}", "5"),
        ("{{ exists('/db/host') }} {{ exists('/none') }} {{ exists('/n') }}", "true false false"),
        ("{{ get('/db/host').key }}={{ get('/db/host').Value }}", "/db/host=h"),
    ] {
        assert_eq!(text(template, &tree()), want, "{template}");
    }
}

#[test]
fn globs_stop_at_a_slash_and_sort_as_confd_does() {
    for (template, want) in [
        ("{% for kv in gets('/n/*') %}{{ kv.Key }}={{ kv.Value }} {% endfor %}", "/n/1=b /n/2=a "),
        ("{{ getvs('/n/*')|join(',') }}", "a,b"),
        ("{{ gets('/none/*')|length }}", "0"),
        ("{{ getvs('/*')|join(',') }}", ",!,leaf too"),
        ("{{ getvs('/*/*/*')|join(',') }}", "z"),
        ("{{ getvs('/d[a-c]/h?st')|join(',') }}", "h"),
        ("{{ getvs('/db/host')|join(',') }}", "h"),
        ("{{ getvs('/n[+-.]x')|join(',') }}", "!"),
        ("{{ getvs('/db[^a]host')|join(',') }}", "h"),
    ] {
        assert_eq!(text(template, &tree()), want, "{template}");
    }
    assert!(error("{{ gets('/a[') }}", &tree()).what.contains("syntax error in pattern"));
}

#[test]
fn listings_name_children_and_a_leaf_lists_itself() {
    for (template, want) in [
        ("{{ ls('/')|join(',') }}", "db,empty,n,n-x"),
        ("{{ ls('/db')|join(',') }}", "db,host,port"),
        ("{{ ls('/db/')|join(',') }}", "db,host,port"),
        ("{{ ls('/empty')|join(',') }}", "empty"),
        ("{{ ls('/n')|join(',') }}", "1,2"),
        ("{{ lsdir('/')|join(',') }}", "db,n"),
        ("{{ lsdir('/n')|join(',') }}", "2"),
        ("{{ ls('/none')|length }}{{ lsdir('/db')|length }}", "00"),
    ] {
        assert_eq!(text(template, &tree()), want, "{template}");
    }
}

#[test]
fn a_scope_hides_what_lies_outside_its_keys_and_records_the_attempt() {
    let scoped = view_of(
        "/",
        &["/app/a", "/app/b/x"],
        &[("/app/a/1", "1"), ("/app/b/x/2", "2"), ("/app/b/y", "3"), ("/app/c", "4")],
    );
    let template = "{{ ls('/app')|join(',') }} {{ lsdir('/app')|join(',') }} {{ ls('/app/b')|join(',') }} \
        {{ getvs('/app/*/*')|join(',') }} {{ exists('/app/c') }} {{ getvs('/app/*/*/*')|join }}";
    let rendered = try_text(template, &scoped).unwrap();
    assert_eq!(rendered.text, "a,b a,b x 1 false 2");
    assert_eq!(sorted(&rendered.reads.outside), ["/app/c"]);
    assert_eq!(sorted(&rendered.reads.keys), ["/app/c"]);
    let failure = try_text("{{ getv('/app/c') }}", &scoped).unwrap_err();
    assert!(failure.to_string().contains("it lies outside the resource's `keys`"), "{failure}");
}

#[test]
fn hits_and_misses_are_recorded_in_absolute_keys() {
    let template =
        "{{ getv('/db/host') }}{{ exists('/none') }}{{ ls('/n')|length }}{{ gets('/n/*')|length }}";
    let reads = try_text(template, &tree()).unwrap().reads;
    assert_eq!(sorted(&reads.keys), ["/app/db/host", "/app/none"]);
    assert_eq!(sorted(&reads.listings), ["/app/n"]);
    assert_eq!(sorted(&reads.globs), ["/app/n/*"]);
    assert!(reads.outside.is_empty() && !reads.volatile);
    let failure = try_text("{{ getv('/none') }}{{ getv('/later') }}", &tree()).unwrap_err();
    assert_eq!(sorted(&failure.reads.keys), ["/app/none"]);
}

#[test]
fn a_prefix_with_pattern_characters_is_taken_literally() {
    let odd = view_of("/a*[x", &["/"], &[("/a*[x/k", "in"), ("/ab[x/k", "out")]);
    let rendered = try_text("{{ getvs('/*')|join(',') }}", &odd).unwrap();
    assert_eq!(rendered.text, "in");
    assert!(rendered.reads.touched_by(&Touched { key: "/a*[x/new".into(), listing: true }));
}

#[test]
fn a_binary_value_is_an_error_only_where_it_is_printed() {
    let bytes: Values = [(Arc::from("/b/k"), Datum::from_bytes(vec![b'a', 0xff]))].into_iter().collect();
    let binary = View { values: Arc::new(bytes), scope: Arc::new(Scope::new("/", &["/".to_owned()])) };
    let told = error("{{ getv('/b/k') }}", &binary);
    assert!(told.what.contains("/b/k is not UTF-8 (byte 1)"), "{told}");
    let told = error("{% for kv in gets('/b/*') %}{{ kv.value }}{% endfor %}", &binary);
    assert!(told.what.contains("/b/k is not UTF-8 (byte 1)"), "{told}");
    assert_eq!(text("{% for kv in gets('/b/*') %}{{ kv.key }}{% endfor %}", &binary), "/b/k");
    assert_eq!(text("{{ exists('/b/k') }} {{ getb64('/b/k') }}", &binary), "true Yf8=");
}

#[test]
fn a_listing_skips_what_lies_below_its_children() {
    let keys: Vec<String> = (0..100_000).map(|n| format!("/big/{n:06}")).chain(["/z".to_owned()]).collect();
    let values: Values = keys.iter().map(|key| (Arc::from(key.as_str()), Datum::from("v"))).collect();
    let all = View { values: Arc::new(values), scope: Arc::new(Scope::new("/", &["/".to_owned()])) };
    let bench = TestEngine::new(&[(
        "t",
        "{% for n in seq(1, 2000) %}{{ ls('/')|length }}{{ gets('/*')|length }}{% endfor %}",
    )]);
    let start = std::time::Instant::now();
    assert_eq!(bench.render("t", &all).unwrap().text, "21".repeat(2000));
    // Walking the subtree each time would visit 400 million keys.
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}
