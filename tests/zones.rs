//! Zone-aware upstreams: `examples/zones` in two zones, with services and nodes as registrars write them.

use std::fs;
use std::path::Path;

use crate::support::http::{encode, request};
use crate::support::programs::need_program;
use crate::support::{Dir, Etcd, Retune, Store, WAIT_TIMEOUT, eventually};

const NODES: [(&str, &str); 2] = [("h1", "a"), ("h2", "b")];

fn record(name: &str, zone: &str) -> String {
    format!(
        r#"{{"name":"{name}","id":"ENG-{name}","host":"m-{name}","address":"tcp://10.0.0.9:2375","cpus":2,"memory":1024,
            "labels":{{"zone":"{zone}"}},"containers":[],"images":[]}}"#
    )
}

type Put<'p> = Box<dyn Fn(&str, &str) + 'p>;

/// Where values are written, and how.
struct PlaceRun<'p> {
    backend: &'p str,
    url: String,
    put: Put<'p>,
    delete: Box<dyn Fn(&str) + 'p>,
}

impl<'p> PlaceRun<'p> {
    fn v2(etcd: &'p Etcd) -> Self {
        let put = |key: &str, value: &str| etcd.put(key, value);
        Self {
            backend: "etcd",
            url: etcd.url(),
            put: Box::new(put),
            delete: Box::new(|key| etcd.delete(key)),
        }
    }

    fn v3(etcd: &'p Etcd) -> Self {
        let put = |key: &str, value: &str| {
            etcd.put3(key, value);
        };
        let delete = |key: &str| {
            etcd.delete3(key);
        };
        Self { backend: "etcdv3", url: etcd.url(), put: Box::new(put), delete: Box::new(delete) }
    }

    fn ours(store: &'p Store) -> Self {
        let ask = |method: &str, key: &str, body: Option<(&str, &str)>| {
            let path = format!("/v2/keys{}", encode(key, true));
            let answer = request(&store.address(), method, &path, body).unwrap();
            assert!(matches!(answer.status, 200 | 201), "{method} {key}: {answer:?}");
        };
        let put = move |key: &str, value: &str| {
            let body = format!("value={}", encode(value, false));
            ask("PUT", key, Some(("application/x-www-form-urlencoded", &body)));
        };
        let delete = move |key: &str| ask("DELETE", key, None);
        Self { backend: "etcd", url: store.url(), put: Box::new(put), delete: Box::new(delete) }
    }

    fn put(&self, key: &str, value: &str) {
        (self.put)(key, value);
    }

    /// Writes two services on two nodes: one in Registrator's form, one as JSON.
    fn fill(&self) {
        for (name, zone) in NODES {
            self.put(&format!("/_retune/nodes/{name}"), &record(name, zone));
        }
        self.put("/services/web/h1:web.1:80", "10.0.0.1:8001");
        let json = r#"{"address":"10.0.0.2:8002","ip":"10.0.0.2","port":8002,"name":"web","id":"w2","tags":[],
            "attributes":{},"node":"h2","container":"c2","container_name":"web.2","image":"web:1","protocol":"tcp"}"#;
        self.put("/services/web/w2", json);
    }

    fn retune<'d>(&self, retune: Retune<'d>, zone: &str) -> Retune<'d> {
        retune.node(self.backend, &self.url).env("ZONE", zone)
    }
}

/// Sets up the examples with the test's destinations, checked by the real programs where they are installed, and also
/// a resource that sees everything: its root contains that of the nodes.
fn examples(dir: &Dir) {
    let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/zones/templates");
    for (name, file, check) in [
        ("nginx", "nginx.conf.j2", "nginx -t -q -c {{.src}}"),
        ("haproxy", "haproxy.cfg.j2", "haproxy -c -q -f {{.src}}"),
    ] {
        dir.template(file, &fs::read_to_string(templates.join(file)).unwrap());
        let check = if need_program(name) { format!("check_cmd = \"{check}\"\n") } else { String::new() };
        dir.conf(
            name,
            &format!(
                "[template]\nsrc = \"{file}\"\ndest = \"{{out}}/{name}\"\n\
                 keys = [\"/services/web\", \"/_retune/nodes\"]\n{check}"
            ),
        );
    }
    dir.resource("all", "{{ ls('/')|join(' ') }}\n", "");
}

/// Returns the lines that name a backend.
fn servers(dir: &Dir, name: &str) -> Vec<String> {
    let lines = dir.lines(&format!("out/{name}"));
    lines
        .iter()
        .map(|line| line.trim())
        .filter(|line| line.starts_with("server ") && *line != "server {")
        .map(str::to_owned)
        .collect()
}

const NGINX_A: [&str; 2] = ["server 10.0.0.1:8001;", "server 10.0.0.2:8002 backup;"];
const NGINX_B: [&str; 2] = ["server 10.0.0.2:8002;", "server 10.0.0.1:8001 backup;"];

/// Asserts that without a zone no server is preferred, and that each has one line.
fn no_zone(place: &PlaceRun<'_>) {
    place.fill();
    let dir = Dir::new();
    examples(&dir);
    Retune::render(&dir).node(place.backend, &place.url).run().exits(0);
    assert_eq!(servers(&dir, "nginx"), ["server 10.0.0.1:8001;", "server 10.0.0.2:8002;"]);
    assert_eq!(
        servers(&dir, "haproxy"),
        ["server h1:web.1:80 10.0.0.1:8001 check", "server w2 10.0.0.2:8002 check"]
    );
}

fn two_zones(place: &PlaceRun<'_>) {
    place.fill();
    for (zone, nginx, haproxy) in [
        ("a", NGINX_A, ["server h1:web.1:80 10.0.0.1:8001 check", "server w2 10.0.0.2:8002 check backup"]),
        ("b", NGINX_B, ["server w2 10.0.0.2:8002 check", "server h1:web.1:80 10.0.0.1:8001 check backup"]),
    ] {
        let dir = Dir::new();
        examples(&dir);
        place.retune(Retune::render(&dir), zone).run().exits(0);
        assert_eq!(servers(&dir, "nginx"), nginx, "zone {zone} from {}", place.backend);
        assert_eq!(servers(&dir, "haproxy"), haproxy, "zone {zone} from {}", place.backend);
        dir.assert_has("all.conf", "services\n");
    }
}

fn follows(place: &PlaceRun<'_>) {
    place.fill();
    let dir = Dir::new();
    examples(&dir);
    let daemon = place.retune(Retune::watch(&dir), "b").spawn();
    let serves = |what: &str, want: &[&str]| {
        let what = format!("{what} from {}", place.backend);
        eventually(&what, WAIT_TIMEOUT, || servers(&dir, "nginx") == want);
    };
    serves("two zones", &NGINX_B);
    // Only the record of a node changes, never the service.
    place.put("/_retune/nodes/h1", &record("h1", "b"));
    serves("both in one zone", &["server 10.0.0.1:8001;", "server 10.0.0.2:8002;"]);
    place.put("/_retune/nodes/h1", &record("h1", "a"));
    serves("two zones again", &NGINX_B);
    place.put("/services/web/h2:web.3:80", "10.0.0.2:8003");
    serves("one more", &["server 10.0.0.2:8003;", "server 10.0.0.2:8002;", "server 10.0.0.1:8001 backup;"]);
    (place.delete)("/services/web/h2:web.3:80");
    serves("one less", &NGINX_B);
    let drained = record("h2", "b").replace("\"zone\"", "\"drain\":\"true\",\"zone\"");
    place.put("/_retune/nodes/h2", &drained);
    serves("a node taken out", &["server 10.0.0.1:8001;"]);
    (place.delete)("/_retune/nodes/h1");
    place.put("/_retune/nodes/h3", &record("h3", "b"));
    place.put("/services/web/h3:web.4:80", "10.0.0.3:8004");
    serves("a node lost and one found", &["server 10.0.0.3:8004;", "server 10.0.0.1:8001 backup;"]);
    daemon.terminate();
}

#[test]
fn without_a_zone_all_backends_are_equal() {
    no_zone(&PlaceRun::ours(&Store::start()));
}

#[test]
fn each_zone_prefers_its_own_backends_with_every_api() {
    two_zones(&PlaceRun::ours(&Store::start()));
    let (Some(second), Some(third)) = (Etcd::start(), Etcd::start()) else { return };
    two_zones(&PlaceRun::v2(&second));
    two_zones(&PlaceRun::v3(&third));
}

#[test]
fn a_changed_record_renders_again_from_our_own_store() {
    follows(&PlaceRun::ours(&Store::start()));
}

#[test]
fn a_changed_record_renders_again_from_etcd_v2() {
    let Some(etcd) = Etcd::start() else { return };
    follows(&PlaceRun::v2(&etcd));
}

#[test]
fn a_changed_record_renders_again_from_etcd_v3() {
    let Some(etcd) = Etcd::start() else { return };
    follows(&PlaceRun::v3(&etcd));
}

#[test]
fn one_file_for_each_service_joins_nodes_across_a_prefix() {
    let store = Store::start();
    let place = PlaceRun::ours(&store);
    for (name, zone) in NODES {
        place.put(&format!("/_retune/nodes/{name}"), &record(name, zone));
    }
    place.put("/prod/services/web/h1:web.1:80", "10.0.0.1:8001");
    place.put("/prod/services/db/h2:db.1:5432", "10.0.0.2:5432");
    let dir = Dir::new();
    dir.template(
        "one.tmpl",
        "{% for b in backends(item.key) %}{{ b.name }} {{ b.key }} {{ b.labels.zone }}\n{% endfor %}",
    );
    dir.conf(
        "one",
        "[template]\nsrc = 'one.tmpl'\ndest = '{out}/{{ item.name }}'\nprefix = '/prod'\nfor_each = '/services/*'\n\
         keys = ['/services', '/_retune/nodes']\n",
    );
    let daemon = place.retune(Retune::watch(&dir), "a").spawn();
    eventually("one file each", WAIT_TIMEOUT, || {
        dir.has("web", "web /services/web/h1:web.1:80 a\n")
            && dir.has("db", "db /services/db/h2:db.1:5432 b\n")
    });
    place.put("/_retune/nodes/h2", &record("h2", "c"));
    eventually("the one that the node runs", WAIT_TIMEOUT, || {
        dir.has("db", "db /services/db/h2:db.1:5432 c\n")
    });
    daemon.terminate();
}

#[test]
fn a_resource_without_the_node_records_among_its_keys_fails_with_a_remedy() {
    let store = Store::start();
    let place = PlaceRun::ours(&store);
    place.fill();
    let dir = Dir::new();
    dir.resource("a", "{{ backends('/services')|where('zone==a')|length }}\n", "");
    place.retune(Retune::render(&dir), "a").run().exits(1).says("add \"/_retune/nodes\" to `keys`");
    assert!(!dir.out("a.conf").exists());
    dir.resource(
        "a",
        "{{ backends('/services')|where('zone==a')|length }}\n",
        "keys = ['/', '/_retune/nodes']",
    );
    place.retune(Retune::render(&dir), "a").run().exits(0);
    dir.assert_has("a.conf", "1\n");
}
