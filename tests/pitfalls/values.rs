//! What templates see: whole segments, exact numbers, and nothing through the log.

use std::time::Duration;

use crate::support::{Dir, Etcd, Retune, WAIT_TIMEOUT, eventually};

/// Lists one level: the entries of `/app` and no more.
const LISTING: &str =
    "{% for name in ls(\"/\") %}{{ name }} {% endfor %}| {% for v in getvs(\"/*\") %}{{ v }} {% endfor %}\n";

const APP: &str = "prefix = \"/app\"\nkeys = [\"/\"]";

#[test]
fn a_prefix_ends_at_a_segment_in_files() {
    let dir = Dir::new();
    dir.write("values.yaml", "app: {x: one}\napple: {y: two}\napp2: three\n");
    dir.resource("a", LISTING, APP);
    Retune::render(&dir).file("values.yaml").run().exits(0);
    dir.assert_has("a.conf", "x | one \n");
}

#[test]
fn a_prefix_ends_at_a_segment_in_the_environment() {
    let dir = Dir::new();
    dir.resource("a", LISTING, APP);
    let env = Retune::render(&dir).args(&["--backend", "env"]).bare_env();
    env.env("APP_X", "one").env("APPLE_Y", "two").env("APP2", "three").run().exits(0);
    dir.assert_has("a.conf", "x | one \n");
}

#[test]
fn a_prefix_ends_at_a_segment_in_etcd_v2() {
    let Some(etcd) = Etcd::start() else { return };
    let dir = Dir::new();
    dir.resource("a", LISTING, APP);
    for (key, value) in [("/app/x", "one"), ("/apple/y", "two"), ("/app2", "three")] {
        etcd.put(key, value);
    }
    Retune::render(&dir).etcd(&etcd).run().exits(0);
    dir.assert_has("a.conf", "x | one \n");
}

#[test]
fn a_prefix_ends_at_a_segment_in_etcd_v3() {
    let Some(etcd) = Etcd::start() else { return };
    let dir = Dir::new();
    dir.resource("a", LISTING, APP);
    for (key, value) in [("/app/x", "one"), ("/apple/y", "two"), ("/app2", "three")] {
        etcd.put3(key, value);
    }
    let daemon = Retune::watch(&dir).etcdv3(&etcd).spawn();
    eventually("the file", WAIT_TIMEOUT, || dir.has("a.conf", "x | one \n"));
    etcd.put3("/apple/z", "four");
    etcd.put3("/app/y", "five");
    eventually("a change inside", WAIT_TIMEOUT, || dir.has("a.conf", "x y | five one \n"));
    daemon.terminate();
}

#[test]
fn the_root_can_be_listed() {
    let dir = Dir::new();
    dir.write("values.yaml", "app: {x: one}\nother: {y: two}\nleaf: three\n");
    dir.resource("a", "{{ ls(\"/\") | join(\" \") }}; {{ lsdir(\"/\") | join(\" \") }}\n", "");
    Retune::render(&dir).file("values.yaml").run().exits(0);
    dir.assert_has("a.conf", "app leaf other; app other\n");
}

#[test]
fn numbers_and_booleans_keep_their_spelling() {
    let dir = Dir::new();
    let yaml = "big: 9007199254740993\nmillion: 1000000\nversion: 1.50\nexp: 1e3\nyes: true\nlong: 18446744073709551616\n";
    dir.write("values.yaml", yaml);
    let json = r#"{"jbig": 9007199254740993, "jversion": 1.50, "jexp": 1e3, "jno": false, "doc": "{\"n\": 1000000, \"f\": 1.50}"}"#;
    dir.write("values.json", json).write("values.toml", "tbig = 9007199254740993\ntyes = true\n");
    let keys = [
        "big", "million", "version", "exp", "yes", "long", "jbig", "jversion", "jexp", "jno", "tbig", "tyes",
    ];
    let lines: String = keys.iter().map(|key| format!("{{{{ getv(\"/{key}\") }}}}\n")).collect();
    dir.resource("a", &format!("{lines}{{{{ json(getv(\"/doc\")).n }}}}\n"), "");
    let (json, toml) = (dir.text_path("values.json"), dir.text_path("values.toml"));
    Retune::render(&dir).file("values.yaml").args(&["--file", &json, "--file", &toml]).run().exits(0);
    dir.assert_has(
        "a.conf",
        "9007199254740993\n1000000\n1.50\n1e3\ntrue\n18446744073709551616\n\
         9007199254740993\n1.50\n1e3\nfalse\n9007199254740993\ntrue\n1000000\n",
    );
}

#[test]
fn an_unresolvable_name_is_an_error_and_not_an_empty_list() {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n").write_bytes("out/a.conf", b"old\n");
    dir.resource("a", "{{ lookupIP(\"no-such-host.invalid\") | join(\" \") }}\n", "");
    Retune::render(&dir).file("values.yaml").run().exits(1).says("no-such-host.invalid");
    dir.assert_has("a.conf", "old\n");
}

#[test]
fn no_log_level_shows_a_value() {
    const CANARY: &str = "canary-7391";
    let Some(etcd) = Etcd::start() else { return };
    let dir = Dir::new();
    etcd.put("/app/password", CANARY);
    etcd.put("/app/doc", &format!("{{\"{CANARY}"));
    dir.resource("good", "{{ getv(\"/app/password\") }}\n", "check_cmd = 'true'\nreload_cmd = 'true'");
    dir.resource("undefined", "{{ getv(\"/app/password\") }}{{ nothing.at.all }}\n", "");
    dir.resource("parse", "{{ json(getv(\"/app/doc\")).x }}\n", "");
    dir.resource("number", "{{ getv(\"/app/password\") | int + 1 }}\n", "");
    dir.resource("refused", "{{ getv(\"/app/password\") }}\n", "check_cmd = 'false'");
    for backend in ["etcd", "etcdv3"] {
        if backend == "etcdv3" {
            etcd.put3("/app/password", CANARY);
            etcd.put3("/app/doc", format!("{{\"{CANARY}"));
        }
        for format in ["text", "json"] {
            let flags = ["--log-level", "debug", "--log-format", format];
            let done = Retune::render(&dir).node(backend, &etcd.url()).args(&flags).run();
            done.exits(1).does_not_say(CANARY);
        }
    }
    dir.assert_has("good.conf", &format!("{CANARY}\n"));
    let daemon = Retune::watch(&dir).etcd(&etcd).args(&["--log-level", "debug"]).spawn();
    etcd.put("/app/password", "canary-7391-new");
    eventually("the new value", WAIT_TIMEOUT, || dir.has("good.conf", "canary-7391-new\n"));
    std::thread::sleep(Duration::from_millis(200));
    assert!(!daemon.log().contains(CANARY), "{}", daemon.log());
    daemon.terminate();
}
