//! Bad input of every kind: a clear error, the old file unchanged, and everything else still done.

use std::fs;
use std::time::Duration;

use crate::support::programs::need_mounts;
use crate::support::{Dir, Etcd, Mount, Retune, WAIT_TIMEOUT, eventually};

const VALUE: &str = "{{ getv(\"/x\") }}\n";

/// Returns a folder with one good resource, and an old file that the bad one must leave alone.
fn site() -> Dir {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n");
    dir.resource("good", "good {{ getv(\"/x\") }}\n", "").write_bytes("out/bad.conf", b"old\n");
    dir
}

/// Renders: exit code 1, the error contains each of `words`, the old file is intact, the good one rendered.
#[track_caller]
fn fails_alone(dir: &Dir, words: &[&str]) {
    let mut done = Retune::render(dir).file("values.yaml").run().exits(1);
    for word in words {
        done = done.says(word);
    }
    dir.assert_has("bad.conf", "old\n");
    dir.assert_has("good.conf", "good one\n");
    assert_eq!(dir.outputs(), ["bad.conf", "good.conf"], "nothing staged is left");
}

#[test]
fn broken_toml_beside_good() {
    let dir = site();
    dir.conf("bad", "[template]\nsrc = \"a.tmpl\ndest = 7\n");
    fails_alone(&dir, &["bad.toml", "2"]);
}

#[test]
fn a_resource_without_its_required_fields() {
    let dir = site();
    dir.conf("bad", "[template]\nkeys = ['/']\ndest = '{out}/bad.conf'\n");
    fails_alone(&dir, &["bad.toml", "src"]);
    dir.template("bad.tmpl", VALUE).conf("bad", "[template]\nsrc = 'bad.tmpl'\n");
    fails_alone(&dir, &["bad.toml", "dest"]);
}

#[test]
fn an_unknown_field_names_the_nearest_known_one() {
    let dir = site();
    dir.resource("bad", VALUE, "reload_cmmd = 'true'");
    fails_alone(&dir, &["bad.toml", "reload_cmmd", "reload_cmd"]);
}

#[test]
fn an_unknown_owner() {
    let dir = site();
    dir.resource("bad", VALUE, "owner = 'no-such-user'");
    fails_alone(&dir, &["bad.toml", "no-such-user"]);
}

#[test]
fn a_missing_template() {
    let dir = site();
    dir.conf("bad", "[template]\nsrc = 'missing.tmpl'\ndest = '{out}/bad.conf'\nkeys = ['/']\n");
    fails_alone(&dir, &["missing.tmpl"]);
}

#[test]
fn a_template_that_does_not_parse_shows_file_and_line() {
    let dir = site();
    dir.resource("bad", "fine\nfine\n{% if %}\n", "");
    fails_alone(&dir, &["bad.tmpl", "3"]);
}

#[test]
fn an_undefined_value_shows_file_line_and_name() {
    let dir = site();
    dir.resource("bad", "fine\n{{ upstrem }}\n", "");
    fails_alone(&dir, &["bad.tmpl", "2", "upstrem"]);
}

#[test]
fn a_missing_key_is_reported_with_the_nearest() {
    let dir = site();
    dir.write("values.yaml", "x: one\napp: {database: {host: h, port: 5}}\n");
    dir.resource("bad", "{{ getv(\"/app/database/hots\") }}\n", "");
    fails_alone(&dir, &["/app/database/hots", "/app/database/host"]);
}

#[test]
fn an_include_cycle() {
    let dir = site();
    dir.resource("bad", "{% include 'bad.tmpl' %}\n", "");
    fails_alone(&dir, &["bad.tmpl"]);
}

#[test]
fn a_template_path_outside_its_folder() {
    let dir = site();
    dir.write("secret", "outside\n");
    dir.resource("bad", "{% include '../../secret' %}\n", "");
    fails_alone(&dir, &["bad.tmpl"]);
}

#[test]
fn an_endless_template() {
    let dir = site();
    let loops = "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}";
    dir.resource("bad", &format!("{loops}{{% endfor %}}{{% endfor %}}{{% endfor %}}\n"), "");
    let done =
        Retune::render(&dir).file("values.yaml").args(&["--timeout", "100s"]).limit(Duration::from_secs(90));
    done.run().exits(1).says("bad.tmpl");
    dir.assert_has("bad.conf", "old\n");
    dir.assert_has("good.conf", "good one\n");
}

#[test]
fn a_template_that_would_print_gigabytes() {
    let dir = site();
    dir.write("values.yaml", &format!("x: one\nbig: {}\n", "x".repeat(1 << 20)));
    dir.resource("bad", "{% for a in range(9999) %}{{ getv(\"/big\") }}{% endfor %}\n", "");
    fails_alone(&dir, &["bad.tmpl"]);
}

#[test]
fn values_with_newlines_nul_and_a_megabyte_arrive_as_they_are() {
    let big = "0123456789abcdef".repeat(1 << 16);
    let dir = Dir::new();
    let json = serde_json::json!({ "lines": "a\nb\r\n\tc", "nul": "a\0b", "big": big, "empty": "" });
    dir.write_bytes("values.json", json.to_string().as_bytes());
    let keys = ["lines", "nul", "big", "empty"];
    dir.resource("a", &keys.map(|key| format!("{{{{ getv(\"/{key}\") }}}}|")).concat(), "");
    Retune::render(&dir).file("values.json").run().exits(0);
    let expected = format!("a\nb\r\n\tc|a\0b|{big}||");
    assert!(dir.has("a.conf", &expected), "{}", dir.listing());

    let Some(etcd) = Etcd::start() else { return };
    etcd.put("/lines", "a\nb\r\n\tc");
    etcd.put("/nul", "a\0b");
    etcd.put("/big", &big);
    etcd.put("/empty", "");
    dir.write_bytes("out/a.conf", b"old");
    Retune::render(&dir).etcd(&etcd).run().exits(0);
    assert!(dir.has("a.conf", &expected), "{}", dir.listing());
}

#[test]
fn a_value_that_is_not_utf_8_is_reported_by_its_key() {
    let Some(etcd) = Etcd::start() else { return };
    let dir = site();
    etcd.put3("/x", "one");
    etcd.put3("/binary", [0xff, 0xfe, 0x00]);
    dir.resource("bad", "{{ getv(\"/binary\") }}\n", "");
    Retune::render(&dir).etcdv3(&etcd).run().exits(1).says("/binary").says("UTF-8");
    dir.assert_has("bad.conf", "old\n");
    dir.assert_has("good.conf", "good one\n");
}

#[test]
fn keys_with_spaces_and_unicode_are_ordinary_keys() {
    let dir = Dir::new();
    let template = "{{ getv(\"/a key/größe 100%\") }} {{ ls(\"/a key\") | join(\",\") }}\n";
    let expected = "one größe 100%,日本\n";
    dir.write("values.yaml", "\"a key\": {\"größe 100%\": one, \"日本\": two}\n");
    dir.resource("a", template, "keys = [\"/a key\"]");
    Retune::render(&dir).file("values.yaml").run().exits(0);
    dir.assert_has("a.conf", expected);

    let Some(etcd) = Etcd::start() else { return };
    for (key, value) in [("/a key/größe 100%", "one"), ("/a key/日本", "two")] {
        etcd.put(key, value);
        etcd.put3(key, value);
    }
    for backend in ["etcd", "etcdv3"] {
        dir.write_bytes("out/a.conf", b"old\n");
        Retune::render(&dir).node(backend, &etcd.url()).run().exits(0);
        dir.assert_has("a.conf", expected);
    }
    let daemon = Retune::watch(&dir).etcd(&etcd).args(&["--log-level", "debug"]).spawn();
    eventually("the daemon is up", WAIT_TIMEOUT, || daemon.log().contains("in sync"));
    etcd.put("/a key/größe 100%", "three");
    eventually("its change", WAIT_TIMEOUT, || dir.has("a.conf", "three größe 100%,日本\n"));
    daemon.terminate();
}

#[test]
fn a_destination_that_cannot_be_written() {
    let dir = site();
    dir.write("plain", "a file, not a folder\n").template("bad.tmpl", VALUE);
    dir.conf("bad", "[template]\nsrc = 'bad.tmpl'\ndest = '{dir}/plain/bad.conf'\nkeys = ['/']\n");
    fails_alone(&dir, &["plain/bad.conf"]);
    fs::create_dir(dir.path("folder")).unwrap();
    dir.conf("bad", "[template]\nsrc = 'bad.tmpl'\ndest = '{dir}/folder'\nkeys = ['/']\n");
    fails_alone(&dir, &["folder"]);
}

#[test]
fn a_destination_on_a_read_only_file_system() {
    if !need_mounts() {
        return;
    }
    let dir = site();
    fs::create_dir(dir.path("ro")).unwrap();
    let mount = Mount::tmpfs("64k", &dir.path("ro"));
    dir.write_bytes("ro/bad.conf", b"old\n").template("bad.tmpl", VALUE);
    mount.read_only();
    dir.conf("bad", "[template]\nsrc = 'bad.tmpl'\ndest = '{dir}/ro/bad.conf'\nkeys = ['/']\n");
    fails_alone(&dir, &["ro/bad.conf"]);
    assert_eq!(dir.read("ro/bad.conf").as_deref(), Some("old\n"));
}

#[test]
fn a_full_disk_keeps_the_old_file_and_leaves_nothing_behind() {
    if !need_mounts() {
        return;
    }
    let dir = site();
    fs::create_dir(dir.path("full")).unwrap();
    let _mount = Mount::tmpfs("64k", &dir.path("full"));
    dir.write_bytes("full/bad.conf", b"old\n");
    dir.template("bad.tmpl", "{% for i in range(9999) %}{{ getv(\"/x\") }} and much more text\n{% endfor %}");
    dir.conf("bad", "[template]\nsrc = 'bad.tmpl'\ndest = '{dir}/full/bad.conf'\nkeys = ['/']\n");
    fails_alone(&dir, &["full/bad.conf", "no space left"]);
    assert_eq!(dir.read("full/bad.conf").as_deref(), Some("old\n"));
    assert_eq!(fs::read_dir(dir.path("full")).unwrap().count(), 1, "the staged file is gone");
}

#[test]
fn five_thousand_resources() {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n").template("t.tmpl", VALUE);
    for number in 0..5000 {
        let name = format!("r{number:04}");
        dir.conf(&name, &format!("[template]\nsrc = 't.tmpl'\ndest = '{{out}}/{name}'\nkeys = ['/x']\n"));
    }
    let limit = Duration::from_secs(60);
    Retune::render(&dir).file("values.yaml").args(&["--timeout", "60s"]).limit(limit).run().exits(0);
    assert_eq!(dir.outputs().len(), 5000);
    assert!((0..5000).all(|number| dir.has(&format!("r{number:04}"), "one\n")));
}

#[test]
fn missing_conf_d_missing_source_and_bad_usage_exit_2() {
    let dir = Dir::new();
    fs::remove_dir_all(dir.path("confdir")).unwrap();
    dir.write("values.yaml", "x: one\n");
    Retune::render(&dir).file("values.yaml").run().exits(2).says("confdir");
    let dir = site();
    Retune::render(&dir).file("missing.yaml").run().exits(2).says("missing.yaml");
    Retune::render(&dir).args(&["--backend", "file"]).run().exits(2).says("--file");
    Retune::render(&dir).file("values.yaml").args(&["--interval", "soon"]).run().exits(2).says("interval");
    Retune::render(&dir).file("values.yaml").args(&["--no-such-flag"]).run().exits(2).says("no-such-flag");
    dir.assert_has("bad.conf", "old\n");
}

#[test]
fn a_source_file_that_does_not_parse_changes_nothing() {
    for (name, text) in [("v.yaml", "x: [one\n"), ("v.json", "{\"x\": "), ("v.toml", "x = = 1\n")] {
        let dir = site();
        dir.write(name, text);
        Retune::render(&dir).file(name).run().exits(2).says(name);
        assert_eq!(dir.outputs(), ["bad.conf"], "{name}");
    }
}

#[test]
fn a_deeply_nested_value_file_is_refused_or_read_but_never_a_crash() {
    let dir = site();
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    for name in ["deep.json", "deep.yaml"] {
        dir.write_bytes(name, deep.as_bytes());
        let done = Retune::render(&dir).file(name).run();
        assert!([1, 2].contains(&done.code), "{name}: {} {}", done.code, done.stderr);
    }
}
