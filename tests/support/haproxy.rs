//! A real HAProxy in master-worker mode, in a folder of its own.

use std::fs;
use std::process::{Command, Stdio};

use super::front::{Front, old_children};
use super::port::Port;
use super::proc::Proc;
use super::programs::need_program;
use super::{Dir, WAIT_TIMEOUT, eventually, http};

/// One HAProxy: a master in the foreground and its workers.
pub struct Haproxy {
    master: Proc,
    port: Port,
    conf: String,
}

impl Haproxy {
    /// Starts HAProxy with no server to pass requests to; returns `None` where HAProxy is not installed.
    pub fn start(dir: &Dir) -> Option<Self> {
        if !need_program("haproxy") {
            return None;
        }
        let (port, folder) = (Port::claim(), dir.text_path("haproxy"));
        fs::create_dir_all(&folder).unwrap();
        let conf = format!("{folder}/haproxy.cfg");
        fs::write(&conf, config(&port, "none", "")).unwrap();
        let log = fs::File::create(format!("{folder}/log")).unwrap();
        let mut command = Command::new("haproxy");
        command.args(["-W", "-S", &format!("unix@{folder}/master.sock"), "-f", &conf]);
        let master = Proc::spawn_master(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log));
        let address = port.address();
        eventually("HAProxy answers", WAIT_TIMEOUT, || http::get(&address, "/generation").is_some());
        Some(Self { master, port, conf })
    }

    /// Returns what the program needs to know to configure it.
    pub fn front(&self) -> Front {
        let names = "{% for name in ls(\"/app/upstream\") %}{{ name }} {% endfor %}";
        let servers = "{% for name in ls(\"/app/upstream\") %}\n  server {{ name }} \
                       {{ getv(\"/app/upstream/\" ~ name) }}\n{% endfor %}";
        Front {
            address: self.port.address(),
            port: self.port.number(),
            conf: self.conf.clone(),
            template: config(&self.port, names, servers),
            check: "haproxy -c -f {{.src}}".to_owned(),
            reload: format!("kill -USR2 {}", self.master.pid()),
        }
    }

    /// Returns the number of workers of an earlier configuration that still finish their requests.
    pub fn old_workers(&self) -> usize {
        old_children(self.master.pid(), "").saturating_sub(1)
    }

    /// Waits until they are gone. Those of the first configuration, which has no server, accept until the last of them is
    /// told to quit.
    #[track_caller]
    pub fn until_old_workers_are_gone(&self) {
        eventually("the old workers are gone", WAIT_TIMEOUT, || self.old_workers() == 0);
    }
}

fn config(port: &Port, names: &str, servers: &str) -> String {
    let port = port.number();
    format!(
        "defaults
  mode http
  option idle-close-on-response
  timeout connect 2s
  timeout client 10s
  timeout server 10s
frontend front
  bind 127.0.0.1:{port}
  http-request return status 200 content-type text/plain string \"{names}\" if {{ path /generation }}
  default_backend app
backend app
{servers}
"
    )
}
