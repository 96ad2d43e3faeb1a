//! The playbook of the examples creates a working site, and a second run of it changes nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::docker::{Docker, host};
use crate::support::port::Port;
use crate::support::proc::Proc;
use crate::support::programs::need_program;
use crate::support::python::{python, said};
use crate::support::{Backend, Dir, WAIT_TIMEOUT, eventually, http};

/// Older versions do not run on the newest Python, newer ones not on the oldest that a distribution still ships.
const PACKAGES: [&str; 1] = ["ansible-core>=2.14,<3"];

/// A host below a folder: the playbook's files, with the folder prefixed to every path.
struct TestSite<'d> {
    dir: &'d Dir,
    python: PathBuf,
    store: Port,
    proxy: Port,
    _peer: Port,
}

impl<'d> TestSite<'d> {
    /// Returns the requirements of a run, or `None` where they are not available.
    fn new(dir: &'d Dir) -> Option<Self> {
        if !need_program("nginx") {
            return None;
        }
        let python = python("ansible-core", &PACKAGES)?;
        let (store, proxy, peer) = (Port::claim(), Port::claim(), Port::claim());
        dir.write(
            "inventory.ini",
            "[store]\nnode1 ansible_host=127.0.0.1 ansible_connection=local\n[containers]\nnode1\n[proxies]\nnode1\n",
        );
        let values = serde_json::json!({
            "retune_root": dir.text_path("root"),
            "retune_manage_services": false,
            "retune_become": false,
            "retune_binary": env!("CARGO_BIN_EXE_retune"),
            "retune_store_port": store.number(),
            "retune_store_peer_port": peer.number(),
            "retune_watch_listen": proxy.number(),
            "retune_register_engine": engine(),
            "retune_register_flags": ["--health=tcp", "--health-interval=200ms"],
            "ansible_python_interpreter": python,
        });
        dir.write_bytes("values.json", values.to_string().as_bytes());
        Some(Self { dir, python, store, proxy, _peer: peer })
    }

    /// Runs the playbook once with these extra arguments.
    fn run(&self, words: &[&str]) -> Output {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ansible");
        let mut command = Command::new(self.python.with_file_name("ansible-playbook"));
        command.args(["-i", &self.dir.text_path("inventory.ini")]);
        command.args(["-e", &format!("@{}", self.dir.text_path("values.json"))]);
        command.args(words).arg("site.yml");
        // Ansible reads no configuration from a folder that others may write to, so it is named here.
        command.env("ANSIBLE_CONFIG", folder.join("ansible.cfg")).current_dir(folder).stdin(Stdio::null());
        command.env("HOME", self.dir.path("")).env("LC_ALL", "C.UTF-8").env("ANSIBLE_NOCOLOR", "1");
        command.env_remove("PYTHONPATH").output().unwrap()
    }

    /// Runs it, asserts success, and returns how many tasks changed something.
    #[track_caller]
    fn applied(&self) -> u32 {
        let out = self.run(&[]);
        let text = said(&out);
        assert!(out.status.success() && text.contains("failed=0"), "{text}");
        let changed = text.lines().rev().find_map(|line| line.split("changed=").nth(1)).expect("a recap");
        changed.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Returns a path as it is on the host.
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path("root").join(name)
    }

    /// Starts the command of a unit, as the unit spells it.
    #[track_caller]
    fn start(&self, unit: &str) -> Proc {
        let path = self.path(&format!("etc/systemd/system/{unit}.service"));
        let text = fs::read_to_string(&path).unwrap().replace("\\\n", " ");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart="))
            .expect("a unit that starts something");
        let words = shlex::split(line).unwrap();
        let log = fs::File::create(self.dir.path(&format!("log/{unit}"))).unwrap();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(self.dir.path("")).stdin(Stdio::null());
        Proc::spawn(command.stdout(Stdio::null()).stderr(log))
    }

    /// Starts store and watcher, and nginx once there is a configuration for it.
    #[track_caller]
    fn up(&self) -> [Proc; 3] {
        let (store, watch) = (self.start("retune-store"), self.start("retune"));
        let conf = self.path("etc/nginx/nginx.conf");
        eventually("a configuration of nginx", WAIT_TIMEOUT, || {
            assert!(conf.exists() || self.logged("retune").len() < 100_000, "{}", self.logged("retune"));
            conf.exists()
        });
        let mut nginx = Command::new("nginx");
        nginx.arg("-c").arg(&conf).args(["-g", "daemon off; user root;"]);
        let nginx =
            Proc::spawn_master(nginx.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()));
        eventually("nginx answers", WAIT_TIMEOUT, || {
            http::get(&self.proxy.address(), "/retune-generation").is_some()
        });
        [store, watch, nginx]
    }

    fn logged(&self, unit: &str) -> String {
        self.dir.read(&format!("log/{unit}")).unwrap_or_default()
    }

    /// Returns the proxy's response body, when it is a success.
    fn answer(&self) -> Option<String> {
        http::get(&self.proxy.address(), "/")
    }
}

/// Returns the engine's address in the tests.
fn engine() -> String {
    std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned())
}

/// Returns the sandbox options of a unit, except the writable paths, which differ.
fn sandbox(unit: &Path) -> Vec<String> {
    let words = [
        "Capability",
        "Ambient",
        "NoNew",
        "Protect",
        "Private",
        "Restrict",
        "Lock",
        "Memory",
        "SystemCall",
        "UMask",
    ];
    let text = fs::read_to_string(unit).unwrap();
    let lines = text.lines().filter(|line| words.iter().any(|word| line.starts_with(word)));
    lines.map(str::to_owned).collect()
}

/// Asserts that systemd accepts the unit, where systemd is available, and that it gives up what it does not need.
#[track_caller]
fn assert_is_a_unit(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    for word in ["NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet="] {
        assert!(text.contains(word), "{} lacks {word}", path.display());
    }
    if need_program("systemd-analyze") {
        let out = Command::new("systemd-analyze").arg("verify").arg(path).output().unwrap();
        assert!(out.status.success(), "{}: {}", path.display(), said(&out));
    }
}

#[test]
fn what_the_playbook_installs_works_and_a_second_run_changes_nothing() {
    let dir = Dir::new();
    let Some(site) = TestSite::new(&dir) else { return };
    assert!(site.applied() > 0, "the first run makes everything");
    assert_eq!(site.applied(), 0, "the second run finds it");
    for unit in ["retune-store", "retune-register", "retune"] {
        let path = site.path(&format!("etc/systemd/system/{unit}.service"));
        assert_is_a_unit(&path);
        let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/systemd/{unit}.service"));
        assert_eq!(sandbox(&path), sandbox(&ours), "one unit of {unit} has other rights than the other");
    }

    let up = site.up();
    let backend = Backend::start("one");
    let put = |value: &str| {
        let form = ("application/x-www-form-urlencoded", format!("value={value}"));
        http::request(&site.store.address(), "PUT", "/v2/keys/services/web/one", Some((form.0, &form.1)))
            .unwrap()
    };
    assert_eq!(put(&backend.address()).status, 201);
    eventually("the proxy has the server", WAIT_TIMEOUT, || {
        site.answer().is_some_and(|text| text.contains("one"))
    });

    // A mistake is found in the staged file, and the running configuration never sees it.
    let (before, conf) =
        (fs::read(site.path("etc/retune/conf.d/web.toml")).unwrap(), "etc/retune/conf.d/web.toml");
    let wrong = "{\"retune_watch_keys\": \"/services/\\\"web\"}";
    let from = ["--start-at-task", "Resources and templates, beside those in use"];
    let broken = site.run(&[&from[..], &["-e", wrong]].concat());
    assert!(!broken.status.success() && said(&broken).contains("They hold"), "{}", said(&broken));
    assert_eq!(fs::read(site.path(conf)).unwrap(), before);
    assert!(site.answer().is_some_and(|text| text.contains("one")));

    // A reload that does nothing is detected, and the previous file is restored.
    let resource = fs::read_to_string(site.path(conf)).unwrap();
    let reload = resource.lines().find(|line| line.starts_with("reload_cmd")).unwrap();
    let idle =
        resource.replace(reload, "reload_cmd = \"true\"").replace("timeout = \"10s\"", "timeout = \"2s\"");
    let before = fs::read(site.path("etc/nginx/nginx.conf")).unwrap();
    fs::write(site.path(conf), idle).unwrap();
    assert_eq!(put("127.0.0.1:9").status, 200);
    eventually("it is found out", WAIT_TIMEOUT, || {
        site.logged("retune").contains("verification failed, rolling back")
    });
    eventually("and put back", WAIT_TIMEOUT, || {
        fs::read(site.path("etc/nginx/nginx.conf")).unwrap() == before
    });
    assert!(site.answer().is_some_and(|text| text.contains("one")));
    drop(up);
}

/// The first command in the README.
#[test]
fn on_a_fresh_host_check_shows_what_would_be_there_and_writes_nothing() {
    let dir = Dir::new();
    let Some(site) = TestSite::new(&dir) else { return };
    for more in ["{}", "{\"retune_manage_services\": true}"] {
        let out = site.run(&["--check", "--diff", "-e", more]);
        let text = said(&out);
        assert!(out.status.success() && text.contains("failed=0") && !text.contains("changed=0"), "{text}");
        for line in ["+ExecStart=", "+[template]", "+    upstream web {", "+[Install]"] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!site.path("").exists(), "{}", dir.listing());
    }
    assert!(site.applied() > 0);
    let text = said(&site.run(&["--check", "--diff"]));
    assert!(text.contains("failed=0") && text.contains("changed=0"), "{text}");
}

#[test]
fn a_container_on_the_site_is_served_by_its_proxy_until_it_stops() {
    let Some(docker) = Docker::acquire() else { return };
    let dir = Dir::new();
    let Some(site) = TestSite::new(&dir) else { return };
    let Some(image) = docker.image(&[80]) else { return };
    site.applied();
    let up = site.up();
    fs::create_dir_all(site.path("run/retune")).unwrap();
    let registrar = site.start("retune-register");
    let container = docker.run(&image, &["-p", "80", "-e", "SERVICE_NAME=web"]);
    eventually("the proxy has the container", WAIT_TIMEOUT, || {
        let answer = site.answer();
        answer.as_deref() == Some("hello\n")
    });
    let conf = fs::read_to_string(site.path("etc/nginx/nginx.conf")).unwrap();
    assert!(conf.contains(&format!("server {}:{};", host(), container.mapped(80).unwrap())), "{conf}");
    container.docker_command(&["stop"]);
    eventually("the proxy has it no more", WAIT_TIMEOUT, || {
        let conf = fs::read_to_string(site.path("etc/nginx/nginx.conf")).unwrap();
        conf.contains("server 127.0.0.1:9 down;")
    });
    drop((registrar, up));
}
