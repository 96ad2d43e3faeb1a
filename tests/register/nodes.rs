//! The node records of two registrars, and choices based on them: a node for the next container, and the backends of a
//! zone.

use crate::support::fake_engine::{Container, FakeEngine};
use crate::support::{Daemon, Dir, Retune, Store, WAIT_TIMEOUT, eventually};

/// Two nodes: `n1` in zone `a` runs a web server and has redis, `n2` in zone `b` runs another web server on another
/// port.
struct TestSite<'d> {
    dir: &'d Dir,
    store: Store,
    engines: [FakeEngine; 2],
    daemons: Vec<Daemon<'d>>,
}

const NODES: [(&str, &str, &str); 2] = [("n1", "a", "198.51.100.1"), ("n2", "b", "198.51.100.2")];

impl<'d> TestSite<'d> {
    fn start(dir: &'d Dir) -> Self {
        let (store, engines) = (Store::start(), [FakeEngine::start(), FakeEngine::start()]);
        let web = |name: &str, port: u16| {
            Container::new(name).env("SERVICE_NAME", "web").publish("80/tcp", Some(port))
        };
        engines[0].run(web("front", 80).image("nginx:1").label("tier", "edge"));
        engines[0].create(Container::new("cache").image("redis:7"));
        engines[1].run(web("other", 8080).image("httpd:2"));
        let daemons = NODES
            .iter()
            .zip(&engines)
            .map(|((node, zone, ip), engine)| {
                let (zone, engine, url) = (format!("zone={zone}"), engine.url(), store.url());
                let words = ["register", "--engine", &engine, "--etcd", &url, "--node-name", node];
                Retune::new(dir, &words).args(&["--label", &zone, "--ip", ip, "--listen", "none"]).spawn()
            })
            .collect();
        let site = Self { dir, store, engines, daemons };
        eventually("both nodes are known", WAIT_TIMEOUT, || site.place("--all").1.lines().count() == 2);
        eventually("with their images", WAIT_TIMEOUT, || site.place("-e affinity:image==redis").0 == 0);
        site
    }

    /// Runs `retune place` with these words; returns its status and its output.
    fn place(&self, words: &str) -> (i32, String) {
        let url = self.store.url();
        let words: Vec<&str> = words.split(' ').collect();
        let done = Retune::new(self.dir, &["place", "--etcd", &url]).args(&words).run();
        (done.code, if done.code == 0 { done.stdout } else { done.stderr })
    }
}

#[test]
fn a_node_is_chosen_from_the_records_of_two_registrars() {
    let dir = Dir::new();
    let site = TestSite::start(&dir);
    for (words, wanted) in [
        ("-e constraint:zone==b", "n2\n"),
        ("-e constraint:zone!=b", "n1\n"),
        ("-e constraint:storage==ssd -e constraint:node==n2", "n2\n"),
        ("-e affinity:container==front", "n1\n"),
        ("-e affinity:container!=front", "n2\n"),
        ("-e affinity:image==redis", "n1\n"),
        ("-e affinity:tier==edge", "n1\n"),
        ("-p 80:80", "n2\n"),
        ("-p 8080:80", "n1\n"),
        ("--address -e constraint:zone==b", "ssh://198.51.100.2\n"),
    ] {
        assert_eq!(site.place(words), (0, wanted.to_owned()), "{words}");
    }
    let (code, said) = site.place("-e constraint:label_name==0");
    assert_eq!(code, 1);
    assert!(said.contains("unable to find a node that satisfies label_name==0"), "{said}");
    assert_eq!(site.place("-p 80:80 -p 8080:80").0, 1, "each has one of the two taken");

    // The next request sees a change on a node.
    site.engines[1].run(Container::new("more").publish("80/tcp", Some(80)));
    eventually("the port is taken", WAIT_TIMEOUT, || site.place("-p 80:80").0 == 1);
    site.engines[0].remove("front");
    eventually("and free where it was", WAIT_TIMEOUT, || site.place("-p 80:80") == (0, "n1\n".to_owned()));
    site.daemons.into_iter().for_each(Daemon::terminate);
}

#[test]
fn each_zone_renders_its_own_backends_first() {
    let dir = Dir::new();
    let site = TestSite::start(&dir);
    for (_, zone, _) in NODES {
        let template = format!(
            "{{% for b in backends(\"/web\") | prefer(\"zone==~{zone}\") %}}{{{{ b.node }}}} {{{{ b.address }}}}\
             {{{{ \" backup\" if b.backup else \"\" }}}}\n{{% endfor %}}"
        );
        dir.template(&format!("{zone}.tmpl"), &template);
        let dest = dir.out(&format!("{zone}.conf")).display().to_string();
        let keys = "keys = [\"/web\", \"/_retune/nodes\"]";
        dir.conf(zone, &format!("[template]\nsrc = \"{zone}.tmpl\"\ndest = \"{dest}\"\n{keys}\n"));
    }
    let watch = Retune::watch(&dir).node("store", &site.store.url()).spawn();
    let both = ["n1 198.51.100.1:80", "n2 198.51.100.2:8080"];
    for (zone, [first, second]) in [("a", both), ("b", [both[1], both[0]])] {
        let text = format!("{first}\n{second} backup\n");
        eventually("both zones are rendered", WAIT_TIMEOUT, || dir.has(&format!("{zone}.conf"), &text));
    }
    site.engines[0].remove("front");
    for zone in ["a", "b"] {
        // The only server must not be a backup: no proxy would start with that.
        let text = format!("{}\n", both[1]);
        eventually("one is left", WAIT_TIMEOUT, || dir.has(&format!("{zone}.conf"), &text));
    }
    watch.terminate();
    site.daemons.into_iter().for_each(Daemon::terminate);
}
