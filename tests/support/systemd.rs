//! A real systemd in namespaces: units run with the rights, the order and the sandbox that they request.
//!
//! The machine's files are visible and writable without lasting effect: writes go to memory. The network has only
//! loopback, and ports below 1024 need privileges.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use super::port::random;
use super::proc::Proc;
use super::programs::need_systemd;
use super::{Dir, WAIT_TIMEOUT, eventually};

/// The targets that every unit may expect, instead of those of this machine.
const TARGETS: [&str; 5] =
    ["sysinit.target", "basic.target", "network-online.target", "shutdown.target", "sockets.target"];

const BOOT: &str = r#"
set -e
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs none /run
mkdir /run/lock
if [ -e /sys/fs/cgroup/cgroup.procs ]; then
  mount -t cgroup2 none /sys/fs/cgroup
else
  umount -l /sys/fs/cgroup
  mount -t tmpfs none /sys/fs/cgroup
  mkdir /sys/fs/cgroup/systemd
  mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
fi
mkdir "$DIR/over"
mount -t tmpfs none "$DIR/over"
for folder in etc var usr/local; do
  mkdir -p "$DIR/over/$folder" "$DIR/over/work/$folder"
  mount -t overlay none -o "lowerdir=/$folder,upperdir=$DIR/over/$folder,workdir=$DIR/over/work/$folder" "/$folder"
done
cp -a "$DIR/root/." /
touch /usr/local/bin/retune
mount --bind "$PROGRAM" /usr/local/bin/retune
if [ -n "$ENGINE" ]; then
  touch /run/docker.sock
  mount --bind "$ENGINE" /run/docker.sock
fi
ip link set lo up
echo 1024 > /proc/sys/net/ipv4/ip_unprivileged_port_start
export container=docker SYSTEMD_UNIT_PATH="$DIR/units"
exec "$SYSTEMD" --unit=multi-user.target --log-level=info --show-status=false
"#;

/// A booted machine; it ends with its handle.
pub struct Machine<'d> {
    dir: &'d Dir,
    proc: Proc,
    _cgroup: Cgroup,
}

struct Cgroup(PathBuf);

impl<'d> Machine<'d> {
    /// Boots with these units, with the files below `root` in the test's folder copied over the machine's own. Returns
    /// `None` where that is not possible.
    pub fn boot(dir: &'d Dir, units: &[(&str, &str)]) -> Option<Self> {
        Self::boot_with(dir, units, Path::new(""))
    }

    /// The same with a container engine, whose socket is at its usual place.
    pub fn boot_with(dir: &'d Dir, units: &[(&str, &str)], engine: &Path) -> Option<Self> {
        let systemd = need_systemd()?;
        for target in TARGETS {
            dir.write(&format!("units/{target}"), "[Unit]\nDefaultDependencies=no\n");
        }
        let mut wants = "[Unit]\nRequires=basic.target\n".to_owned();
        for (name, text) in units {
            writeln!(wants, "Wants={name}\nAfter={name}").unwrap();
            dir.write_bytes(&format!("units/{name}"), text.as_bytes());
            let log =
                "[Service]\nStandardOutput=append:{dir}/log/NAME\nStandardError=append:{dir}/log/NAME\n";
            dir.write(&format!("units/{name}.d/log.conf"), &log.replace("NAME", name));
        }
        dir.write("units/multi-user.target", &wants);
        fs::create_dir_all(dir.path("root")).unwrap();
        let cgroup = Cgroup::new();
        let enter = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", cgroup.0.display());
        let mut command = Command::new("sh");
        command.args([
            "-c",
            &enter,
            "sh",
            "unshare",
            "--cgroup",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
        ]);
        command.args(["--net", "--uts", "--ipc", "sh", "-c", BOOT]);
        command.env("DIR", dir.path("").to_str().unwrap().trim_end_matches('/')).env("SYSTEMD", systemd);
        command
            .env("PROGRAM", env!("CARGO_BIN_EXE_retune"))
            .env("ENGINE", engine)
            .env_remove("NOTIFY_SOCKET");
        let log = fs::File::create(dir.path("log/boot")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let machine = Self { dir, proc: Proc::spawn(&mut command), _cgroup: cgroup };
        eventually("systemd runs", WAIT_TIMEOUT, || {
            let (_, text) = machine.run("systemctl show -p Version");
            assert!(machine.first().is_some() || machine.log("boot").is_empty(), "{}", machine.log("boot"));
            text.contains("Version=")
        });
        Some(machine)
    }

    /// Returns the first process inside.
    fn first(&self) -> Option<String> {
        let pid = self.proc.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        children.split_whitespace().next().map(str::to_owned)
    }

    /// Runs a shell line inside; returns whether it succeeded, and its output.
    pub fn run(&self, line: &str) -> (bool, String) {
        let Some(first) = self.first() else { return (false, String::new()) };
        let mut command = Command::new("nsenter");
        command.args(["-t", &first, "--mount", "--net", "--pid", "--ipc", "--uts", "sh", "-c", line]);
        let out = command.stdin(Stdio::null()).output().unwrap();
        let text = [out.stdout, out.stderr].concat();
        (out.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Returns the log of a unit's processes.
    pub fn log(&self, unit: &str) -> String {
        self.dir.read(&format!("log/{unit}")).unwrap_or_default()
    }

    /// Returns a unit's state: `active`, `activating`, `inactive`, `failed`.
    pub fn state(&self, unit: &str) -> String {
        self.run(&format!("systemctl is-active {unit}")).1.trim().to_owned()
    }

    /// Waits for this state of a unit; a failure shows all logs.
    #[track_caller]
    pub fn eventually_is(&self, unit: &str, state: &str) {
        self.eventually(&format!("{unit} is {state}"), || self.state(unit) == state);
    }

    /// Waits for a condition; a failure shows all logs.
    #[track_caller]
    pub fn eventually(&self, what: &str, probe: impl Fn() -> bool) {
        let start = std::time::Instant::now();
        let limit = super::scaled(WAIT_TIMEOUT * 2);
        while !probe() {
            assert!(start.elapsed() < limit, "waited {limit:?} in vain: {what}\n{}", self.describe());
            sleep(Duration::from_millis(50));
        }
    }

    fn describe(&self) -> String {
        let mut report = self.run("systemctl list-jobs; systemctl status --no-pager --lines=0 '*.service'").1;
        for entry in fs::read_dir(self.dir.path("log")).unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            write!(report, "\n--- {name}\n{}", self.log(&name)).unwrap();
        }
        report
    }
}

impl Cgroup {
    fn new() -> Self {
        let v2 = Path::new("/sys/fs/cgroup/cgroup.procs").exists();
        let above = if v2 { "/sys/fs/cgroup" } else { "/sys/fs/cgroup/systemd" };
        let path = Path::new(above).join(format!("retune-test-{:016x}", random(1)));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The processes inside end at their own pace.
        for _ in 0..500 {
            remove(&self.0);
            if !self.0.exists() {
                return;
            }
            sleep(Duration::from_millis(10));
        }
        eprintln!("{} is left behind", self.0.display());
    }
}

/// Removes a cgroup and those below it; one with processes in it stays.
fn remove(path: &Path) {
    let entries = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|below| below.is_dir()).for_each(|below| remove(&below));
    fs::remove_dir(path).ok();
}
