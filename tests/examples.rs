//! The examples under failure: nginx or HAProxy keeps its old configuration, and the example reports it.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::port::Port;
use crate::support::proc::Proc;
use crate::support::programs::need_program;
use crate::support::{Backend, Dir, Retune, WAIT_TIMEOUT, eventually, http};

/// The values with which an example has this server.
type Values = fn(&str) -> String;

/// An example with the test's paths and port, and its real service.
struct Example<'d> {
    dir: &'d Dir,
    /// The resource and its template, below the confdir.
    resource: String,
    template: String,
    /// The reload lines of the resource.
    reload: String,
    values: Values,
    port: Port,
    _service: Proc,
}

fn app(server: &str) -> String {
    format!("app: {{upstream: {{one: '{server}'}}}}\n")
}

fn services(server: &str) -> String {
    format!("services: {{web: {{'h1:web.1:80': '{server}'}}}}\n")
}

/// The examples with a verification, by folder and resource.
const EXAMPLES: [(&str, &str, Values); 4] = [
    ("nginx", "app", app),
    ("zones", "nginx", services),
    ("haproxy", "app", app),
    ("zones", "haproxy", services),
];

impl<'d> Example<'d> {
    fn start(dir: &'d Dir, folder: &str, name: &str, values: Values) -> Option<Self> {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(folder);
        let resource = fs::read_to_string(from.join(format!("conf.d/{name}.toml"))).unwrap();
        let is_nginx = resource.contains("nginx.conf.j2");
        let file = if is_nginx { "nginx.conf.j2" } else { "haproxy.cfg.j2" };
        let template = fs::read_to_string(from.join("templates").join(file)).unwrap();
        if !need_program(if is_nginx { "nginx" } else { "haproxy" }) {
            return None;
        }
        let port = Port::claim();
        let own = |text: &str| {
            let (out, run) = (dir.text_path("out"), dir.text_path("log"));
            let text =
                text.replace("/etc/nginx/", &format!("{out}/")).replace("/etc/haproxy/", &format!("{out}/"));
            let text = text.replace("nginx -s reload", &format!("nginx -s reload -c {out}/nginx.conf"));
            text.replace("/run/haproxy/", &format!("{run}/"))
                .replace("/run/", &format!("{run}/"))
                .replace("8080", &port.number().to_string())
        };
        let (resource, template) = (own(&resource), own(&template));
        let reload = resource.lines().find(|line| line.starts_with("reload_")).unwrap().to_owned();
        dir.write_bytes("confdir/conf.d/x.toml", resource.as_bytes());
        dir.write_bytes(&format!("confdir/templates/{file}"), template.as_bytes());
        dir.write("values.yaml", &values("127.0.0.1:9"));
        // The service does not run yet: its file is placed without it.
        Retune::render(dir).file("values.yaml").args(&["--sync-only"]).run().exits(0);
        let service = if is_nginx { nginx(dir) } else { haproxy(dir) };
        let template = format!("confdir/templates/{file}");
        let example = Self { dir, resource, template, reload, values, port, _service: service };
        eventually("the service answers", WAIT_TIMEOUT, || example.generation().is_some());
        Some(example)
    }

    /// Returns the generation that the service runs.
    fn generation(&self) -> Option<String> {
        http::get(&self.port.address(), "/retune-generation")
    }

    /// Returns the name of the server that responds through the service.
    fn answer(&self) -> Option<String> {
        http::get(&self.port.address(), "/")
    }

    fn conf(&self) -> String {
        let name = if self.template.contains("nginx") { "out/nginx.conf" } else { "out/haproxy.cfg" };
        self.dir.read(name).unwrap()
    }

    /// Rewrites the resource, with a shorter timeout so that a failing test does not take ten seconds.
    fn rewrite(&self, reload: &str) {
        let text =
            self.resource.replace(&self.reload, reload).replace("timeout = \"10s\"", "timeout = \"2s\"");
        self.dir.write_bytes("confdir/conf.d/x.toml", text.as_bytes());
    }

    /// Asserts that a run succeeds, and that the service runs the rendered file.
    #[track_caller]
    fn assert_serves(&self, server: &Backend, name: &str) {
        self.dir.write("values.yaml", &(self.values)(&server.address()));
        Retune::render(self.dir).file("values.yaml").run().exits(0).says("has been updated");
        eventually(name, WAIT_TIMEOUT, || self.answer().is_some_and(|text| text.contains(name)));
        assert!(self.conf().contains(self.generation().unwrap().trim()));
    }

    /// Asserts that a run's verification fails, and that the previous file is in place and served.
    #[track_caller]
    fn assert_detects(&self, what: &str) {
        let (before, generation) = (self.conf(), self.generation());
        let done = Retune::render(self.dir).file("values.yaml").run().exits(1);
        let done = done.says("verification failed, rolling back").does_not_say("has been updated");
        done.says("the previous file is back in service");
        assert_eq!(self.conf(), before, "{what}");
        // HAProxy may not accept connections between a failed reload and the next one.
        eventually(&format!("{what}: the file of before is served"), WAIT_TIMEOUT, || {
            self.generation() == generation
        });
    }
}

fn quiet(command: &mut Command) -> Proc {
    Proc::spawn_master(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))
}

fn nginx(dir: &Dir) -> Proc {
    quiet(Command::new("nginx").args(["-c", &dir.text_path("out/nginx.conf"), "-g", "daemon off;"]))
}

fn haproxy(dir: &Dir) -> Proc {
    let (conf, pid) = (dir.text_path("out/haproxy.cfg"), dir.text_path("log/haproxy.pid"));
    quiet(Command::new("haproxy").args(["-W", "-f", &conf, "-p", &pid]))
}

fn each(test: impl Fn(&Example<'_>)) {
    for (folder, name, values) in EXAMPLES {
        let dir = Dir::new();
        let Some(example) = Example::start(&dir, folder, name, values) else { continue };
        let one = Backend::start("one");
        example.assert_serves(&one, "one");
        test(&example);
    }
}

#[test]
fn every_example_detects_a_reload_that_does_nothing() {
    each(|example| {
        let two = Backend::start("two");
        // SIGCONT has no effect on a running process.
        let nothing = if example.reload.contains("reload_cmd") {
            "reload_cmd = \"true\""
        } else {
            "reload_signal = \"CONT\""
        };
        example.rewrite(nothing);
        example.dir.write("values.yaml", &(example.values)(&two.address()));
        example.assert_detects("a new server");
        assert!(example.answer().unwrap().contains("one"));
        // An edit of the template changes no server, and is still detected.
        example.dir.write("values.yaml", &(example.values)("127.0.0.1:9"));
        let template = example.dir.read(&example.template).unwrap();
        example.dir.write_bytes(&example.template, format!("# edited\n{template}").as_bytes());
        example.assert_detects("an edit");
        // The negative: without the generation in the probe, this passes as a success.
        let conf = example.dir.read("confdir/conf.d/x.toml").unwrap();
        let blind = conf.replace("contains = \"{{ generation() }}\"\n", "");
        assert_ne!(blind, conf);
        example.dir.write_bytes("confdir/conf.d/x.toml", blind.as_bytes());
        Retune::render(example.dir).file("values.yaml").run().exits(0).says("has been updated");
        assert!(!example.conf().contains(example.generation().unwrap().trim()), "it serves another file");
    });
}

#[test]
fn every_example_detects_a_port_taken_during_the_reload() {
    each(|example| {
        let taken = TcpListener::bind("0.0.0.0:0").unwrap();
        let number = taken.local_addr().unwrap().port();
        let template = example.dir.read(&example.template).unwrap();
        let (here, more) = (example.port.number(), number.to_string());
        let edited = template
            .replace(&format!("listen {here};"), &format!("listen {here};\n        listen {more};"))
            .replace(&format!("bind :{here}\n"), &format!("bind :{here}\n    bind :{more}\n"));
        assert_ne!(edited, template);
        example.rewrite(&example.reload);
        example.dir.write_bytes(&example.template, edited.as_bytes());
        example.assert_detects("a port that is taken");
        // Once the port is free, the same edit is accepted.
        drop(taken);
        example.dir.write_bytes("confdir/conf.d/x.toml", example.resource.as_bytes());
        let two = Backend::start("two");
        example.assert_serves(&two, "two");
        assert!(example.conf().contains(&more));
    });
}
