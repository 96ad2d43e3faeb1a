//! `diff` and `check`: what would change and what is wrong, without changing anything.

use std::fs;

use serde_json::Value;

use crate::support::{Dir, Retune};

const VALUE: &str = "{{ getv(\"/x\") }}\n";

fn site() -> Dir {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n");
    dir.resource("a", "head\nkeep\n{{ getv(\"/x\") }}\nkeep too\n", "");
    dir
}

#[test]
fn diff_reports_what_would_change_and_changes_nothing() {
    let dir = site();
    dir.write_bytes("out/a.conf", b"head\nkeep\nold\nkeep too\n");
    let done = Retune::diff(&dir).file("values.yaml").run().exits(1);
    let done = done
        .prints("--- ")
        .prints("+++ ")
        .prints("@@")
        .prints("\n-old\n")
        .prints("\n+one\n")
        .prints("\n keep\n");
    assert!(done.stdout.contains("a.conf"), "{}", done.stdout);
    dir.assert_has("a.conf", "head\nkeep\nold\nkeep too\n");
    assert_eq!(dir.outputs(), ["a.conf"]);
    assert!(!dir.path("state").exists());

    let done = Retune::diff(&dir).file("values.yaml").args(&["--context", "0"]).run().exits(1);
    assert!(!done.stdout.contains("\n keep\n"), "{}", done.stdout);
}

#[test]
fn diff_without_changes_is_empty_and_exits_0() {
    let dir = site();
    Retune::render(&dir).file("values.yaml").run().exits(0);
    dir.assert_has("a.conf", "head\nkeep\none\nkeep too\n");
    let done = Retune::diff(&dir).file("values.yaml").run().exits(0);
    assert!(!done.stdout.contains("@@"), "{}", done.stdout);
}

#[test]
fn diff_of_a_new_file_is_against_an_empty_one() {
    let dir = site();
    Retune::diff(&dir).file("values.yaml").run().exits(1).prints("/dev/null").prints("+head\n");
    assert!(dir.outputs().is_empty());
}

#[test]
fn diff_of_a_new_empty_file_reports_that_it_would_be_created() {
    let dir = site();
    dir.template("a.tmpl", "");
    let says = format!("# {}: an empty file would be created\n", dir.out("a.conf").display());
    let done = Retune::diff(&dir).file("values.yaml").run().exits(1).prints(&says);
    assert!(!done.stdout.contains("redacted"), "{}", done.stdout);
}

#[test]
fn check_reports_each_cause_once() {
    let dir = site();
    dir.resource("a", "", "keys = [\"/x\"]");
    dir.write("values.yaml", "x: one\ny: two\nd: {e: 1}\n");
    let data = dir.text_path("values.yaml");
    for (template, rule) in [
        ("{{ getv(\"/y\") }}", "outside_keys"),
        ("{{ getv(\"/none\") }}", "outside_keys"),
        ("{% set k = \"/y\" %}{{ getv(k) }}", "outside_keys"),
        ("{% for name in ls(\"/d\") %}{{ name }}{% endfor %}", "outside_keys"),
        ("{{ getvs(\"/d/*\") }}", "outside_keys"),
        ("{{ getv(\"/x\" }}", "template"),
        ("{{ gev(\"/x\") }}", "unknown_name"),
        ("{{ getv(\"/x\") | frob }}", "unknown_name"),
        ("{% include \"none.tmpl\" %}", "template"),
        ("{{ nope }}", "render"),
    ] {
        dir.template("a.tmpl", template);
        let done = Retune::check(&dir).args(&["--data", &data]).run().exits(1).prints("1 errors, 0 warnings");
        assert!(done.stdout.contains(&format!("error[{rule}]")), "{template}\n{}", done.stdout);
    }
}

#[test]
fn check_reads_an_exported_document_as_an_import_does() {
    let dir = site();
    dir.resource("a", "{{ getv(\"/app/x\") }} {{ getv(\"/app/soon\") }}", "");
    let text = "$key: /app\nx: 1\nsoon: {$ttl: 60, $value: gone}\n";
    dir.write("exported.yaml", text);
    Retune::check(&dir).args(&["--data", &dir.text_path("exported.yaml")]).run().exits(0);
}

#[test]
fn a_duplicate_key_is_reported_with_its_line() {
    let dir = site();
    for (name, text) in [("twice.toml", "x = 1\ny = 2\nx = 3\n"), ("twice.yaml", "x: 1\ny: 2\nx: 3\n")] {
        dir.write(name, text);
        let done = Retune::check(&dir).args(&["--data", &dir.text_path(name)]).run().exits(2);
        done.says(&format!("{name}:3: the key `x` occurs twice"));
    }
    dir.conf("b", "[template]\nsrc = \"a\"\ndest = \"/x\"\nsrc = \"b\"\n");
    Retune::check(&dir).run().exits(1).prints("b.toml:4: error[resource]: the key `src` occurs twice");
}

#[test]
fn diff_without_its_source_exits_2() {
    let dir = site();
    Retune::diff(&dir).file("missing.yaml").run().exits(2).says("missing.yaml");
}

#[test]
fn diff_with_a_broken_resource_exits_3_and_still_shows_the_others() {
    let dir = site();
    dir.resource("b", "{{ nothing }}\n", "");
    Retune::diff(&dir).file("values.yaml").run().exits(3).prints("+one\n").says("nothing");
}

#[test]
fn diff_shows_a_mode_change_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n").resource("a", VALUE, "mode = \"0600\"");
    dir.write_bytes("out/a.conf", b"one\n");
    fs::set_permissions(dir.out("a.conf"), fs::Permissions::from_mode(0o644)).unwrap();
    Retune::diff(&dir).file("values.yaml").run().exits(1).prints("644").prints("600");
}

#[test]
fn redacted_values_are_never_shown() {
    let dir = Dir::new();
    dir.write("values.yaml", "app: {password: canary-new, user: visible-new}\n");
    dir.resource("a", "user {{ getv(\"/app/user\") }}\npass {{ getv(\"/app/password\") }}\n", "");
    dir.write_bytes("out/a.conf", b"user visible-old\npass same\n");
    for output in ["text", "json"] {
        let flags = ["--redact", "/app/password", "--output", output];
        let done = Retune::diff(&dir).file("values.yaml").args(&flags).run().exits(1);
        assert!(!done.stdout.contains("canary"), "{}", done.stdout);
        done.prints("visible-new").does_not_say("canary");
    }
    // Without the flag it is shown: otherwise the lines above would prove nothing.
    Retune::diff(&dir).file("values.yaml").run().exits(1).prints("canary-new");
}

#[test]
fn replacing_a_redacted_value_shows_neither_old_nor_new() {
    let dir = Dir::new();
    dir.write("values.yaml", "app: {password: canary-old}\n");
    dir.resource("a", "pass {{ getv(\"/app/password\") }}\n", "");
    Retune::render(&dir).file("values.yaml").run().exits(0);
    dir.write("values.yaml", "app: {password: canary-new}\n");
    let done = Retune::diff(&dir).file("values.yaml").args(&["--redact", "/app/*"]).run().exits(1);
    assert!(!done.stdout.contains("canary"), "the line it stood on is masked whole\n{}", done.stdout);
}

#[test]
fn the_plan_is_machine_readable_json() {
    let dir = site();
    dir.resource("b", VALUE, "reload_cmd = 'true'");
    let done = Retune::diff(&dir).file("values.yaml").args(&["--output", "json"]).run().exits(1);
    let plan: Value = serde_json::from_str(&done.stdout).unwrap();
    let text = plan.to_string();
    assert!(text.contains("/out/a.conf") && text.contains("/out/b.conf"), "{text}");
}

#[test]
fn check_of_valid_resources_exits_0_without_a_store() {
    let dir = site();
    Retune::check(&dir).run().exits(0);
    let data = dir.text_path("values.yaml");
    Retune::check(&dir).args(&["--data", &data]).run().exits(0);
    assert!(dir.outputs().is_empty(), "check writes nothing");
    dir.template("a.tmpl", "{{ unsound");
    Retune::check(&dir).run().exits(1).prints("a.tmpl");
}

#[test]
fn check_with_data_finds_rendering_errors() {
    let dir = site();
    let data = dir.text_path("values.yaml");
    dir.resource("b", "{{ getv(\"/nowhere\") }}\n", "");
    let done = Retune::check(&dir).args(&["--data", &data]).run().exits(1);
    done.prints("b.toml").prints("/nowhere");
}

#[test]
fn check_compares_with_golden_files() {
    let dir = site();
    let (data, golden) = (dir.text_path("values.yaml"), dir.text_path("golden"));
    dir.write_bytes("golden/a.conf", b"head\nkeep\none\nkeep too\n");
    let check = || Retune::check(&dir).args(&["--data", &data, "--expect", &golden]);
    check().run().exits(0);
    dir.write_bytes("golden/a.conf", b"head\nkeep\ntwo\nkeep too\n");
    check().run().exits(1).prints("-two").prints("+one");
    fs::remove_file(dir.path("golden/a.conf")).unwrap();
    check().run().exits(1).prints("a.conf");
}

#[test]
fn check_reports_each_fault_in_one_run() {
    let dir = site();
    dir.resource("unknown", VALUE, "reload_cmmd = 'true'");
    dir.resource("shell", VALUE, "reload_cmd = \"echo 'never closed\"");
    dir.resource("syntax", "{% if %}\n", "");
    dir.conf("missing", "[template]\nsrc = 'nope.tmpl'\ndest = '{out}/m.conf'\nkeys = ['/']\n");
    dir.resource("include", "{% include 'gone.tmpl' %}\n", "");
    dir.conf("toml", "[template\n");
    let done = Retune::check(&dir).run().exits(1);
    let done = done.prints("unknown.toml").prints("reload_cmmd").prints("`reload_cmd`");
    let done = done.prints("shell.toml").prints("syntax.tmpl").prints("nope.tmpl").prints("gone.tmpl");
    done.prints("toml.toml");
}

#[test]
fn check_reports_keys_read_outside_keys() {
    let dir = Dir::new();
    dir.write("values.yaml", "app: {x: one}\nother: {y: two}\n");
    dir.resource("a", "{{ getv(\"/app/x\") }} {{ getv(\"/other/y\") }}\n", "keys = [\"/app\"]");
    let data = dir.text_path("values.yaml");
    Retune::check(&dir).args(&["--data", &data]).run().exits(1).prints("/other/y").prints("keys");
}

#[test]
fn check_writes_json_and_junit() {
    let dir = site();
    dir.resource("b", "{{ \"<&>\" + undefined_thing }}\n", "");
    let data = dir.text_path("values.yaml");
    let check = |format: &str| Retune::check(&dir).args(&["--data", &data, "--format", format]).run();
    let json: Value = serde_json::from_str(&check("json").exits(1).stdout).unwrap();
    assert!(json.to_string().contains("b.toml"), "{json}");

    let junit = check("junit").exits(1).prints("<testsuite").prints("<testcase").prints("<failure").stdout;
    assert_eq!(well_formed(&junit), Ok(()), "{junit}");
    assert!(junit.contains("tests=\"2\"") && junit.contains("failures=\"1\""), "{junit}");
}

#[test]
fn the_xml_check_can_fail() {
    assert_eq!(well_formed("<?xml version=\"1.0\"?><a b=\"c &lt;\"><d/>t &amp; t</a>\n"), Ok(()));
    for bad in ["<a>", "<a></b>", "<a b=\"<\"/>", "<a>&</a>", "<a b=c/>", "text", "<a/><b/>", "<a>\u{1}</a>"]
    {
        assert!(well_formed(bad).is_err(), "{bad}");
    }
}

/// Checks as much of XML's rules as can break a report: matching tags, one root, quoted attributes, `&` and `<`
/// escaped.
fn well_formed(xml: &str) -> Result<(), String> {
    if let Some(control) = xml.chars().find(|letter| letter.is_control() && !"\n\r\t".contains(*letter)) {
        return Err(format!("control character {control:?}"));
    }
    let (mut open, mut roots, mut rest) = (Vec::new(), 0, xml);
    while let Some(from) = rest.find('<') {
        let (text, tag) = rest.split_at(from);
        characters(text)?;
        if open.is_empty() && !text.trim().is_empty() {
            return Err(format!("text outside the root: {text:?}"));
        }
        let end = tag.find('>').ok_or("a tag without end")?;
        let inner = &tag[1..end];
        rest = &tag[end + 1..];
        if inner.starts_with('?') {
            continue;
        }
        if let Some(name) = inner.strip_prefix('/') {
            let expected: Option<String> = open.pop();
            if expected.as_deref() != Some(name.trim()) {
                return Err(format!("</{name}> closes {expected:?}"));
            }
            continue;
        }
        let body = inner.trim_end_matches('/');
        attributes(body)?;
        roots += usize::from(open.is_empty());
        if !inner.ends_with('/') {
            open.push(body.split_whitespace().next().unwrap_or_default().to_owned());
        }
    }
    match (open.is_empty(), roots, rest.trim().is_empty()) {
        (true, 1, true) => Ok(()),
        _ => Err(format!("open {open:?}, {roots} roots, rest {rest:?}")),
    }
}

fn attributes(tag: &str) -> Result<(), String> {
    let pieces: Vec<&str> = tag.split('"').collect();
    if pieces.len().is_multiple_of(2) {
        return Err(format!("a quote is missing: <{tag}>"));
    }
    for (index, piece) in pieces.iter().enumerate() {
        let names = index % 2 == 0;
        let last = index + 1 == pieces.len();
        let unquoted = if last { piece.contains('=') } else { !piece.ends_with('=') };
        if names && unquoted {
            return Err(format!("an attribute without quotes: <{tag}>"));
        }
        if !names {
            characters(piece)?;
        }
    }
    Ok(())
}

fn characters(text: &str) -> Result<(), String> {
    for (at, _) in text.match_indices('&') {
        let entity = text[at + 1..].split(';').next().unwrap_or_default();
        if !matches!(entity, "lt" | "gt" | "amp" | "quot" | "apos") && !entity.starts_with('#') {
            return Err(format!("a bare & in {text:?}"));
        }
    }
    if text.contains('<') { Err(format!("a bare < in {text:?}")) } else { Ok(()) }
}

#[test]
fn diff_distinguishes_a_pending_reload_and_a_failed_resource_from_a_difference() {
    let dir = site();
    dir.resource("a", VALUE, "reload_cmd = 'test -f {dir}/allow'");
    let state = dir.text_path("state");
    let diff = || Retune::diff(&dir).args(&["--state-dir", &state]).file("values.yaml");
    Retune::render(&dir).file("values.yaml").run().exits(1);
    let done = diff().run().exits(1).prints("reload pending: test -f ").prints("a.conf");
    assert!(!done.stdout.contains("@@"), "{}", done.stdout);
    let json: Value =
        serde_json::from_str(&diff().args(&["--output", "json"]).run().exits(1).stdout).unwrap();
    assert_eq!(json["pending"][0]["dests"][0], dir.out("a.conf").display().to_string());

    dir.write("allow", "");
    Retune::render(&dir).file("values.yaml").run().exits(0);
    diff().run().exits(0);

    dir.resource("b", "{{ getv(\"/missing\") }}\n", "");
    diff().run().exits(3).prints("cannot be rendered");
    dir.write("values.yaml", "x: two\n");
    diff().run().exits(3).prints("+two");
}

#[test]
fn diff_of_a_file_without_its_folder_shows_it_and_the_obstacle() {
    let dir = site();
    let dest = dir.text_path("nowhere/a.conf");
    dir.conf("a", &format!("[template]\nsrc = 'a.tmpl'\ndest = '{dest}'\nkeys = ['/']\n"));
    let done = Retune::diff(&dir).file("values.yaml").run().exits(1).prints("+head\n");
    done.prints("a render would fail: the folder ").prints("nowhere is missing; create it");
    let noop = Retune::render(&dir).args(&["--noop"]).file("values.yaml").run().exits(1);
    noop.says("nowhere is missing; create it");
}

#[test]
fn check_reports_unknown_functions_filters_and_tests_without_data() {
    let dir = site();
    dir.resource(
        "b",
        "head\n{{ getvv(\"/x\") }}\n{{ getv(\"/x\") | uper }}\n{% if 1 is od %}{% endif %}\n",
        "",
    );
    let done = Retune::check(&dir).run().exits(1);
    let done = done.prints("b.tmpl:2: error[unknown_name]: there is no function getvv; did you mean getv?");
    let done = done.prints("b.tmpl:3: error[unknown_name]: there is no filter uper; did you mean upper?");
    done.prints("b.tmpl:4: error[unknown_name]: there is no test od; did you mean odd?");
    dir.resource("b", "{% macro row(x) %}{{ x }}{% endmacro %}{% include 'part.j2' %}\n", "");
    dir.template("part.j2", "{{ row(1) }}\n");
    Retune::check(&dir).run().exits(0);
}

#[test]
fn check_with_data_reports_a_pattern_that_matches_nothing_with_the_nearest_one() {
    let dir = site();
    dir.write("values.yaml", "x: one\na: {upstream: {one: '1', two: '2'}}\n");
    dir.resource("b", "{% for v in getvs(\"/a/upsteam/*\") %}{{ v }}{% endfor %}\n", "");
    let data = dir.text_path("values.yaml");
    let check = || Retune::check(&dir).args(&["--data", &data]).run().exits(0);
    check()
        .prints("b.tmpl:1: warning[no_match]: /a/upsteam/* matches nothing")
        .prints("did you mean /a/upstream/*?");
    dir.resource("b", "{% for v in getvs(\"/a/upstream/*\") %}{{ v }}{% endfor %}\n", "");
    let done = check();
    assert!(!done.stdout.contains("no_match"), "{}", done.stdout);
}

#[test]
fn check_accepts_golden_files_that_it_wrote() {
    let dir = site();
    let (data, golden) = (dir.text_path("values.yaml"), dir.text_path("golden"));
    let check = || Retune::check(&dir).args(&["--data", &data, "--expect", &golden]);
    check().run().exits(1).prints("--update writes it");
    let below = format!("golden{}", dir.out("a.conf").display());
    check().args(&["--update"]).run().exits(0).prints(&format!("wrote {}", dir.text_path(&below)));
    assert_eq!(dir.read(&below).as_deref(), Some("head\nkeep\none\nkeep too\n"));
    check().run().exits(0);
    dir.write("values.yaml", "x: two\n");
    check().run().exits(1).prints("+two");
    let again = check().args(&["--update"]).run().exits(0);
    assert_eq!(again.stdout.matches("wrote ").count(), 1);
    assert!(!check().args(&["--update"]).run().exits(0).stdout.contains("wrote"), "nothing is written twice");
    Retune::check(&dir).args(&["--update"]).run().exits(2).says("add --expect DIR");
}

#[test]
fn render_below_another_root_creates_its_folders_and_changes_nothing_on_this_host() {
    let dir = site();
    dir.resource("a", VALUE, "check_cmd = 'touch {dir}/checked'\nreload_cmd = 'touch {dir}/reloaded'");
    dir.template("item.tmpl", "{{ item }}\n").write("values.yaml", "x: one\nsites: {s: 1}\n");
    let each = "[template]\nsrc = 'item.tmpl'\ndest = '{out}/{{ item.name }}.site'\nfor_each = '/sites'\nkeys = ['/sites']\n";
    dir.conf("each", each);
    let (confdir, root) = (dir.confdir(), dir.text_path("image"));
    let words =
        |command| Retune::new(&dir, &[command, "--confdir", &confdir, "--root", &root]).file("values.yaml");
    words("diff").run().exits(1).prints("+one");
    assert!(!dir.path("image").exists());
    words("render").run().exits(0);
    let below = |name: &str| dir.read(&format!("image{}", dir.out(name).display()));
    assert_eq!(below("a.conf").as_deref(), Some("one\n"));
    assert!(below("s.site").is_some());
    assert!(dir.outputs().is_empty(), "{:?}", dir.outputs());
    assert!(!dir.path("checked").exists() && !dir.path("reloaded").exists());
    words("diff").run().exits(0);
    words("render").args(&["--state-dir", &root]).run().exits(2).says("another root has no state");
}
