//! The measured setup: a confdir of equal resources, its store, the program's command line.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use crate::support::Etcd;
use crate::support::http::request;

/// The number of puts that etcd accepts in one transaction by default.
const PUTS_PER_TRANSACTION: usize = 128;
/// Connections that fill the store through the v2 API, which has no transactions.
const LANES: usize = 8;

/// The API of etcd that the program uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    V2,
    V3,
}

impl Api {
    /// Returns its name as a backend.
    pub fn backend(self) -> &'static str {
        match self {
            Self::V2 => "etcd",
            Self::V3 => "etcdv3",
        }
    }

    /// Sets one key.
    pub fn put(self, etcd: &Etcd, key: &str, value: &str) {
        match self {
            Self::V2 => etcd.put(key, value),
            Self::V3 => drop(etcd.put3(key, value)),
        }
    }

    /// Sets many keys, as fast as the API allows.
    pub fn fill(self, etcd: &Etcd, keys: &[(String, String)]) {
        match self {
            Self::V2 => thread::scope(|scope| {
                for part in keys.chunks(keys.len().div_ceil(LANES).max(1)) {
                    scope.spawn(move || part.iter().for_each(|(key, value)| etcd.put(key, value)));
                }
            }),
            Self::V3 => keys.chunks(PUTS_PER_TRANSACTION).for_each(|part| transaction(etcd, part)),
        }
    }
}

fn transaction(etcd: &Etcd, keys: &[(String, String)]) {
    let puts: Vec<String> = keys
        .iter()
        .map(|(key, value)| {
            let (key, value) = (STANDARD.encode(key), STANDARD.encode(value));
            format!("{{\"requestPut\":{{\"key\":\"{key}\",\"value\":\"{value}\"}}}}")
        })
        .collect();
    let body = format!("{{\"success\":[{}]}}", puts.join(","));
    let answer = request(&etcd.address(), "POST", "/v3/kv/txn", Some(("application/json", &body))).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// A folder with a confdir of `resources` equal resources; removed with its handle.
pub struct Tree {
    root: TempDir,
    resources: usize,
}

impl Tree {
    /// Creates it inside `parent`. `extra` is added to every resource; `{root}` in it becomes the folder.
    pub fn new(parent: &Path, resources: usize, extra: &str) -> Self {
        let root = tempfile::Builder::new().prefix("retune-bench-").tempdir_in(parent).unwrap();
        for dir in ["conf.d", "templates", "state"] {
            fs::create_dir(root.path().join(dir)).unwrap();
        }
        let extra = extra.replace("{root}", root.path().to_str().unwrap());
        let tree = Self { root, resources };
        tree.empty_out();
        for number in 0..resources {
            let mut toml = String::from("[template]\n");
            writeln!(toml, "src = \"r{number}.j2\"\ndest = {:?}", tree.out(number)).unwrap();
            writeln!(toml, "keys = [\"/app/{number}\"]\n{extra}").unwrap();
            fs::write(tree.path(&format!("conf.d/r{number}.toml")), toml).unwrap();
            let template = format!(
                "upstream app{number} {{\n{{% for kv in gets(\"/app/{number}/*\") %}}server {{{{ kv.value }}}};\n{{% endfor %}}}}\n"
            );
            fs::write(tree.path(&format!("templates/r{number}.j2")), template).unwrap();
        }
        tree
    }

    /// Returns a path inside the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Returns the file of one resource.
    pub fn out(&self, number: usize) -> PathBuf {
        self.path(&format!("out/r{number}.conf"))
    }

    /// Returns whether every resource has its file.
    pub fn is_complete(&self) -> bool {
        (0..self.resources).all(|number| self.out(number).exists())
    }

    /// Removes every rendered file.
    pub fn empty_out(&self) {
        if self.path("out").exists() {
            fs::remove_dir_all(self.path("out")).unwrap();
        }
        fs::create_dir(self.path("out")).unwrap();
    }

    /// Writes `keys` keys to the store for every resource.
    pub fn fill(&self, etcd: &Etcd, api: Api, keys: usize) {
        let all: Vec<_> = (0..self.resources)
            .flat_map(|number| (0..keys).map(move |key| (number, key)))
            .map(|(number, key)| {
                (format!("/app/{number}/k{key}"), format!("10.0.{}.{}:80", key / 250, key % 250))
            })
            .collect();
        api.fill(etcd, &all);
    }

    /// Returns the program with the command `word`, on this confdir and store.
    pub fn program(&self, word: &str, etcd: &Etcd, api: Api) -> Command {
        let program =
            std::env::var_os("RETUNE_BENCH_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_retune").into());
        let mut command = Command::new(program);
        // Variables of a developer's shell must not affect a measurement.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["RETUNE_", "CONFD_", "ETCD", "NOTIFY_SOCKET"].iter().any(|mine| text.starts_with(mine)) {
                command.env_remove(&name);
            }
        }
        command
            .args([word, "--backend", api.backend(), "--node", &etcd.url(), "--log-level", "error"])
            .arg("--confdir")
            .arg(self.root.path())
            .arg("--state-dir")
            .arg(self.path("state"))
            .current_dir(self.root.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::options().create(true).append(true).open(self.path("log")).unwrap());
        command
    }

    /// Returns the program's log, for a failed measurement.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}
