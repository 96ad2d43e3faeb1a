//! `export`, `import` and `diff` against a real store.

use crate::support::port::random;
use crate::support::retune::FinishedRun;
use crate::support::{Dir, Etcd, Retune};

fn ctl(dir: &Dir, etcd: &Etcd, words: &[&str]) -> FinishedRun {
    Retune::new(dir, &["ctl", "--endpoints", &etcd.url()]).args(words).run()
}

/// Strings that are awkward in one format or another.
const AWKWARD_STRINGS: [&str; 16] = [
    "plain",
    "1.50",
    "true",
    "null",
    "",
    " lead and trail ",
    "a: b",
    "# no comment",
    "line\nbreak\n",
    "tab\t\"quote\" 'single' \\",
    "\u{1}\u{7f}\u{2028}",
    "é 漢 🦀",
    "$ttl",
    "[not, a, list]",
    "{{ no template }}",
    "- dash",
];

fn name(salt: u64) -> String {
    const NAMES: [&str; 10] = ["a", "b.c", "with space", "é", "$ttl", "$value", "$$", "on", "1", "x:y"];
    NAMES[usize::try_from(random(salt) % NAMES.len() as u64).unwrap()].to_owned()
}

/// Writes a random tree below `folder`.
fn write_random_tree(etcd: &Etcd, folder: &str, depth: u32) {
    for number in 0..3 + random(1) % 4 {
        let key = format!("{folder}/{}", name(number));
        // The same name may be drawn as a file and as a folder; the store rejects the second, which is fine.
        if depth > 0 && random(number).is_multiple_of(3) {
            write_random_tree(etcd, &key, depth - 1);
        } else {
            let value =
                AWKWARD_STRINGS[usize::try_from(random(number) % AWKWARD_STRINGS.len() as u64).unwrap()];
            let body = format!("value={}", crate::support::http::encode(value, false));
            let path = format!("/v2/keys{}", crate::support::http::encode(&key, true));
            let form = ("application/x-www-form-urlencoded", body.as_str());
            crate::support::http::request(&etcd.address(), "PUT", &path, Some(form)).unwrap();
        }
    }
}

#[test]
fn a_random_tree_round_trips_in_every_format() {
    let Some(etcd) = Etcd::start() else { return };
    let dir = Dir::new();
    for round in 0..8 {
        let folder = format!("/from{round}");
        write_random_tree(&etcd, &folder, 3);
        for format in ["json", "toml", "yaml"] {
            let exported = ctl(&dir, &etcd, &["export", "--format", format, &folder]).exits(0).stdout;
            let file = format!("tree.{format}");
            dir.write(&file, &exported);
            let copy = format!("/to{round}/{format}");
            ctl(&dir, &etcd, &["import", &file, &copy]).exits(0);
            let again = ctl(&dir, &etcd, &["export", "--format", format, &copy]).exits(0).stdout;
            // Each document has its own key.
            assert_eq!(again.replacen(&copy, &folder, 1), exported, "{format}");
            ctl(&dir, &etcd, &["diff", &file, &copy]).exits(0);
            let untouched = ctl(&dir, &etcd, &["import", &file, &copy]).exits(0).says("0 changes made");
            assert_eq!(untouched.stdout, "");
        }
    }
}

#[test]
fn an_import_writes_what_differs_and_removes_only_with_prune() {
    let Some(etcd) = Etcd::start() else { return };
    let dir = Dir::new();
    etcd.put("/app/same", "1");
    etcd.put("/app/other", "2");
    etcd.put("/app/left/over", "3");
    dir.write("new.yaml", "same: 1\nother: 20\nfresh: {x: 4}\n");
    let would = "would create /app/fresh/x\nwould update /app/other\n";
    assert_eq!(ctl(&dir, &etcd, &["import", "--dry-run", "new.yaml", "/app"]).exits(0).stdout, would);
    assert_eq!(ctl(&dir, &etcd, &["get", "/app/other"]).exits(0).stdout, "2\n", "a dry run writes nothing");
    let shown = ctl(&dir, &etcd, &["diff", "new.yaml", "/app"]).exits(1).stdout;
    assert!(
        shown.contains("-other: \"2\"\n") && shown.contains("+other: \"20\"\n") && shown.contains("-left:\n"),
        "{shown}"
    );
    let did = "create /app/fresh/x\nupdate /app/other\n";
    assert_eq!(ctl(&dir, &etcd, &["import", "new.yaml", "/app"]).exits(0).stdout, did);
    assert_eq!(ctl(&dir, &etcd, &["get", "/app/left/over"]).exits(0).stdout, "3\n", "nothing was removed");
    let pruned = "remove /app/left/over\nrmdir /app/left\n";
    assert_eq!(ctl(&dir, &etcd, &["import", "--prune", "new.yaml", "/app"]).exits(0).stdout, pruned);
    ctl(&dir, &etcd, &["diff", "new.yaml", "/app"]).exits(0);
}

#[test]
fn pruning_keeps_a_folder_that_holds_hidden_keys() {
    let Some(etcd) = Etcd::start() else { return };
    let dir = Dir::new();
    etcd.put("/app/d/k", "1");
    etcd.put("/app/d/_hidden", "2");
    dir.write("empty.yaml", "{}\n");
    ctl(&dir, &etcd, &["import", "--prune", "empty.yaml", "/app"]).exits(0).says("kept /app/d");
    assert_eq!(ctl(&dir, &etcd, &["get", "/app/d/_hidden"]).exits(0).stdout, "2\n");
}

#[test]
fn ttls_are_exported_on_demand_and_imported_when_present() {
    let Some(etcd) = Etcd::start() else { return };
    let dir = Dir::new();
    etcd.put_ttl("/app/dies", "x", 500);
    etcd.put("/app/stays", "y");
    assert_eq!(
        ctl(&dir, &etcd, &["export", "--format", "yaml", "/app"]).exits(0).stdout,
        "\"$key\": /app\ndies: x\nstays: \"y\"\n"
    );
    let with = ctl(&dir, &etcd, &["export", "--ttl", "--format", "json", "/app"]).exits(0).stdout;
    assert!(with.contains("\"$ttl\": ") && with.contains("\"$value\": \"x\""), "{with}");
    dir.write("tree.json", &with);
    ctl(&dir, &etcd, &["import", "tree.json", "/copy"]).exits(0);
    let ttl = ctl(&dir, &etcd, &["-o", "json", "get", "/copy/dies"]).exits(0).stdout;
    assert!(ttl.contains("\"ttl\":"), "{ttl}");
    ctl(&dir, &etcd, &["diff", "tree.json", "/copy"]).exits(0);
}

#[test]
fn an_unusable_document_changes_nothing() {
    let Some(etcd) = Etcd::start() else { return };
    let dir = Dir::new();
    etcd.put("/app/dir/x", "1");
    dir.write("broken.json", "{\"a\": ")
        .write("list.yaml", "a: [1, 2]\n")
        .write("blocked.yaml", "b: 1\ndir: 2\n");
    let before = ctl(&dir, &etcd, &["export"]).exits(0).stdout;
    ctl(&dir, &etcd, &["import", "broken.json", "/app"]).exits(1).says("broken.json: ");
    ctl(&dir, &etcd, &["import", "list.yaml", "/app"]).exits(1).says("/a is a list");
    ctl(&dir, &etcd, &["import", "blocked.yaml", "/app"])
        .exits(1)
        .says("/app/dir is a directory in the store");
    ctl(&dir, &etcd, &["import", "none.yaml"]).exits(1).says("none.yaml: ");
    ctl(&dir, &etcd, &["import", "--format", "xml", "list.yaml"]).exits(1).says("json, toml or yaml");
    ctl(&dir, &etcd, &["diff", "broken.json", "/app"]).exits(2);
    ctl(&dir, &etcd, &["diff", "none.yaml"]).exits(2);
    assert_eq!(ctl(&dir, &etcd, &["export"]).exits(0).stdout, before);
}

#[test]
fn a_binary_value_is_refused_by_its_key() {
    let Some(etcd) = Etcd::start() else { return };
    let dir = Dir::new();
    let form = ("application/x-www-form-urlencoded", "value=%FF%FE");
    crate::support::http::request(&etcd.address(), "PUT", "/v2/keys/app/raw", Some(form)).unwrap();
    for format in ["json", "toml", "yaml"] {
        ctl(&dir, &etcd, &["export", "--format", format, "/app"])
            .exits(1)
            .says("/app/raw: the value contains bytes");
    }
}

#[test]
fn a_document_is_imported_to_the_key_it_was_exported_from() {
    let Some(etcd) = Etcd::start() else { return };
    let dir = Dir::new();
    etcd.put("/app/db/host", "a");
    etcd.put("/app/port", "80");
    for format in ["json", "toml", "yaml"] {
        let file = format!("b.{format}");
        dir.write(&file, &ctl(&dir, &etcd, &["export", "--format", format, "/app"]).exits(0).stdout);
        ctl(&dir, &etcd, &["set", "/app/port", "81"]).exits(0);
        let done = ctl(&dir, &etcd, &["import", &file]).exits(0);
        assert_eq!(done.stdout, "update /app/port\n", "{format}");
        ctl(&dir, &etcd, &["diff", &file]).exits(0);
        ctl(&dir, &etcd, &["import", &file, "/copy"]).exits(0);
        assert_eq!(
            ctl(&dir, &etcd, &["get", "/copy/db/host"]).exits(0).stdout,
            "a\n",
            "a key that is given counts"
        );
    }
    dir.write("one.json", &ctl(&dir, &etcd, &["export", "/app/port"]).exits(0).stdout);
    ctl(&dir, &etcd, &["set", "/app/port", "82"]).exits(0);
    assert_eq!(ctl(&dir, &etcd, &["import", "one.json"]).exits(0).stdout, "update /app/port\n");
}

#[test]
fn the_key_may_stand_before_the_document() {
    let Some(etcd) = Etcd::start() else { return };
    let dir = Dir::new();
    etcd.put("/app/x", "1");
    dir.write("b.yaml", "x: 2\n");
    for words in [["/app", "b.yaml"], ["b.yaml", "/app"]] {
        let shown = ctl(&dir, &etcd, &[&["diff"], &words[..]].concat()).exits(1).stdout;
        assert!(
            shown.contains("store:/app") && shown.contains("b.yaml") && shown.contains("+x: \"2\""),
            "{shown}"
        );
    }
    ctl(&dir, &etcd, &["import", "/app", "b.yaml"]).exits(0).says("1 changes made");
    assert_eq!(ctl(&dir, &etcd, &["get", "/app/x"]).exits(0).stdout, "2\n");
    ctl(&dir, &etcd, &["diff", "/app", "none.yaml"]).exits(2).says("none.yaml: ");
}

#[test]
fn an_address_without_a_scheme_is_http_under_our_own_name() {
    let Some(etcd) = Etcd::start() else { return };
    let dir = Dir::new();
    etcd.put("/app/x", "1");
    let own = Retune::new(&dir, &["ctl", "--endpoints", &etcd.address(), "get", "/app/x"]).run();
    assert_eq!(own.exits(0).stdout, "1\n");
    let theirs = Retune::called(&dir, "etcdctl", &["--endpoints", &etcd.address(), "get", "/app/x"]).run();
    assert_ne!(theirs.code, 0, "etcdctl takes none");
}
