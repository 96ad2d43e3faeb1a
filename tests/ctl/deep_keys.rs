//! A key of thousands of levels beside ordinary ones: every reader takes what the store takes.

use crate::support::http::request;
use crate::support::retune::FinishedRun;
use crate::support::{Dir, Retune, Store, WAIT_TIMEOUT, eventually};

/// About as many as the store takes.
const LEVELS: usize = 2_800;

fn ctl(dir: &Dir, store: &Store, words: &[&str]) -> FinishedRun {
    Retune::new(dir, &["ctl", "--no-sync", "--endpoints", &store.url()]).args(words).run()
}

fn put(store: &Store, key: &str, value: &str) {
    let form = ("application/x-www-form-urlencoded", &*format!("value={value}"));
    let answer = request(&store.address(), "PUT", &format!("/v2/keys{key}"), Some(form)).expect("an answer");
    assert_eq!(answer.status, 201, "{key:.40}: {answer:?}");
}

#[test]
fn a_key_of_thousands_of_levels_stops_no_reader() {
    let (dir, store, other) = (Dir::new(), Store::start(), Store::start());
    let deep = format!("/app{}", "/d".repeat(LEVELS));
    put(&store, "/app/a", "1");
    put(&store, &deep, "deep");
    put(&store, "/app/z", "3");
    dir.resource(
        "r",
        "{% for kv in gets('/app/*') %}{{ kv.key }}={{ kv.value }}\n{% endfor %}",
        "keys = ['/app']",
    );
    Retune::render(&dir).node("etcd", &store.url()).run().exits(0);
    dir.assert_has("r.conf", "/app/a=1\n/app/z=3\n");
    let listed = ctl(&dir, &store, &["ls", "-r", "/app"]).exits(0);
    assert_eq!(listed.stdout.lines().count(), LEVELS + 2);
    assert!(listed.stdout.ends_with("/app/z\n") && listed.stdout.contains(&deep));
    let listed = ctl(&dir, &store, &["-o", "json", "ls", "-r", "/app"]).exits(0);
    assert_eq!(listed.stdout.matches("\"nodes\":[").count(), LEVELS);
    for format in ["json", "yaml"] {
        let text = ctl(&dir, &store, &["export", "--format", format, "/app"]).exits(0).stdout;
        dir.write("saved", &text);
        ctl(&dir, &store, &["diff", "--format", format, "saved", "/app"]).exits(0);
        ctl(&dir, &other, &["import", "--format", format, "saved", &format!("/{format}")]).exits(0);
        let copied = deep.replacen("/app", &format!("/{format}"), 1);
        ctl(&dir, &other, &["get", &copied]).exits(0).prints("deep");
    }
    let text = ctl(&dir, &store, &["export", "--format", "toml", "/app"]).exits(1);
    text.says("use json or yaml");
    ctl(&dir, &other, &["import", "--from", &store.url(), "/app"]).exits(0);
    ctl(&dir, &other, &["get", &deep]).exits(0).prints("deep");
    let daemon = Retune::watch(&dir).node("etcd", &store.url()).spawn();
    eventually("it follows", WAIT_TIMEOUT, || {
        put_again(&store, "/app/a", "2");
        dir.has("r.conf", "/app/a=2\n/app/z=3\n")
    });
    daemon.terminate();
}

fn put_again(store: &Store, key: &str, value: &str) {
    let form = ("application/x-www-form-urlencoded", &*format!("value={value}"));
    request(&store.address(), "PUT", &format!("/v2/keys{key}"), Some(form)).expect("an answer");
}
