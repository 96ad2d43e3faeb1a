//! A real nginx in a folder of its own.

use std::fs;
use std::process::{Command, Stdio};

use super::front::{Front, old_children};
use super::port::Port;
use super::proc::Proc;
use super::programs::need_program;
use super::{Dir, WAIT_TIMEOUT, eventually, http};

/// One nginx: a master in the foreground and its workers.
pub struct Nginx {
    master: Proc,
    port: Port,
    prefix: String,
}

impl Nginx {
    /// Starts nginx with no server to pass requests to; returns `None` where nginx is not installed.
    pub fn start(dir: &Dir) -> Option<Self> {
        if !need_program("nginx") {
            return None;
        }
        let (port, prefix) = (Port::claim(), dir.text_path("nginx"));
        fs::create_dir_all(&prefix).unwrap();
        let text = config(&prefix, &port, "", "server 127.0.0.1:1 down;", PASS);
        fs::write(format!("{prefix}/nginx.conf"), text).unwrap();
        let mut command = Command::new("nginx");
        command.args(["-p", &prefix, "-e", "error.log", "-c", "nginx.conf"]);
        let master =
            Proc::spawn_master(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()));
        let address = port.address();
        eventually("nginx answers", WAIT_TIMEOUT, || http::get(&address, "/generation").is_some());
        Some(Self { master, port, prefix })
    }

    /// Returns what the program needs to know to configure it. The whole file is rendered, so that `nginx -t` checks
    /// what will be loaded.
    pub fn front(&self, fallback: bool) -> Front {
        let names = "{% for name in ls(\"/app/upstream\") %}{{ name }} {% endfor %}";
        let down = if fallback { "{% else %}server 127.0.0.1:1 down;" } else { "" };
        let servers =
            format!("{{% for v in getvs(\"/app/upstream/*\") %}}server {{{{ v }}}};{down}{{% endfor %}}");
        self.front_with(names, &servers, PASS)
    }

    /// The same with templates of the names and the servers, and the target of requests.
    pub fn front_with(&self, names: &str, servers: &str, pass: &str) -> Front {
        let prefix = &self.prefix;
        Front {
            address: self.port.address(),
            port: self.port.number(),
            conf: format!("{prefix}/nginx.conf"),
            template: config(prefix, &self.port, names, servers, pass),
            check: format!("nginx -p {prefix} -e error.log -t -c {{{{.src}}}}"),
            reload: format!("nginx -p {prefix} -e error.log -c nginx.conf -s reload"),
        }
    }

    /// Returns the number of workers of an earlier configuration that still run. Not counted by their title: a new
    /// worker responds before the master has told the old ones to quit.
    pub fn old_workers(&self) -> usize {
        old_children(self.master.pid(), "").saturating_sub(WORKERS)
    }

    /// Waits until they are gone. Those of the first configuration, which has no server, accept until the last of them is
    /// told to quit.
    #[track_caller]
    pub fn until_old_workers_are_gone(&self) {
        eventually("the old workers are gone", WAIT_TIMEOUT, || self.old_workers() == 0);
    }
}

/// The number of workers that a configuration starts.
const WORKERS: usize = 2;

/// The default target of requests.
const PASS: &str = "http://app";

fn config(prefix: &str, port: &Port, names: &str, servers: &str, pass: &str) -> String {
    let port = port.number();
    let user = if nix::unistd::geteuid().is_root() { "user root;" } else { "" };
    format!(
        "{user}
daemon off;
worker_processes {WORKERS};
pid {prefix}/nginx.pid;
error_log {prefix}/error.log warn;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {prefix}/body;
  proxy_temp_path {prefix}/proxy;
  fastcgi_temp_path {prefix}/fastcgi;
  uwsgi_temp_path {prefix}/uwsgi;
  scgi_temp_path {prefix}/scgi;
  upstream app {{
    {servers}
  }}
  server {{
    listen 127.0.0.1:{port};
    location = /generation {{ return 200 \"{names}\"; }}
    location / {{ proxy_pass {pass}; proxy_connect_timeout 2s; proxy_next_upstream off; }}
  }}
}}
"
    )
}
