//! Edits of the parts of a template, and of the folder of resources itself.

use std::fs;
use std::time::Duration;

use crate::support::{Dir, Retune, WAIT_TIMEOUT, eventually, stays};

/// A template made of a part, the valid part, and the corrected part, both around a value.
const KINDS: [(&str, &str, &str, &str); 3] = [
    ("include", "{% include \"part.inc\" %} {{ getv(\"/x\") }}\n", "old", "new"),
    (
        "import",
        "{% import \"part.inc\" as part %}{{ part.word() }} {{ getv(\"/x\") }}\n",
        "{% macro word() %}old{% endmacro %}",
        "{% macro word() %}new{% endmacro %}",
    ),
    (
        "extend",
        "{% extends \"part.inc\" %}{% block x %}{{ getv(\"/x\") }}{% endblock %}",
        "old {% block x %}{% endblock %}\n",
        "new {% block x %}{% endblock %}\n",
    ),
];

#[test]
fn a_bad_edit_of_one_file_keeps_the_old_set_and_fixing_it_loads_the_new() {
    for (kind, template, old, new) in KINDS {
        let dir = Dir::new();
        dir.write("values.yaml", "x: one\n").template("part.inc", old).resource("a", template, "");
        let has = |text: &str| {
            let found = dir.read("out/a.conf").unwrap_or_default();
            found.trim_end() == text
        };
        let mut daemon = Retune::watch(&dir).file("values.yaml").spawn();
        eventually(kind, WAIT_TIMEOUT, || has("old one"));
        dir.template("part.inc", "broken {% for %}");
        daemon.eventually_says("part.inc");
        dir.write("values.yaml", "x: two\n");
        eventually("a value with the old part", WAIT_TIMEOUT, || has("old two"));
        stays("the old part", Duration::from_millis(300), || has("old two"));
        dir.template("part.inc", new);
        eventually("the mended part", WAIT_TIMEOUT, || has("new two"));
        assert!(daemon.is_running());
        daemon.terminate();
    }
}

#[test]
fn watch_without_a_resource_folder_exits_2_and_names_it() {
    let dir = Dir::new();
    fs::remove_dir(dir.path("confdir/conf.d")).unwrap();
    dir.write("values.yaml", "x: one\n");
    let done = Retune::watch(&dir).file("values.yaml").run().exits(2);
    done.says("conf.d").within(Duration::from_secs(5));
}

#[test]
fn renaming_the_file_of_a_for_each_resource_keeps_its_generated_files() {
    let dir = Dir::new();
    dir.write("values.yaml", "sites: {a: 1, b: 2, c: 3}\n").template("site.tmpl", "{{ item }}\n");
    let fields =
        "src = 'site.tmpl'\ndest = '{out}/{{ item }}.conf'\nfor_each = '/sites'\nkeys = ['/sites']\n";
    dir.conf("sites", &format!("[template]\n{fields}"));
    let render = || Retune::render(&dir).file("values.yaml").run();
    render().exits(0);
    assert_eq!(dir.outputs(), ["a.conf", "b.conf", "c.conf"]);
    fs::rename(dir.path("confdir/conf.d/sites.toml"), dir.path("confdir/conf.d/places.toml")).unwrap();
    render().exits(0);
    assert_eq!(dir.outputs(), ["a.conf", "b.conf", "c.conf"]);
    dir.write("values.yaml", "sites: {b: 2, c: 3}\n");
    render().exits(0);
    assert_eq!(dir.outputs(), ["b.conf", "c.conf"]);
}
