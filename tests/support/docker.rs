//! The real container engine, for tests that a fake engine could fool.
//!
//! Where no engine responds, a test reports that and is skipped, in CI too: no package gives access to one. Tests with
//! the engine run one at a time on a machine, because a registrar sees the containers of all of them. Everything
//! created here has a label, and the next test removes what a killed one left.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::port::random;
use super::python::said;
use super::skips::{Permitted, missing};

/// The label of the tests' containers and images.
const LABEL: &str = "retune.test";
/// The applets in the images.
const APPLETS: [&str; 9] = ["sh", "httpd", "sleep", "kill", "cat", "test", "touch", "rm", "echo"];
/// An application in a container. `LATE`: seconds before it responds; `PORT`: its port. It ends on SIGTERM, which the
/// first process of a container ignores by default, and on its own in case nobody ends it.
const APP: &str = "#!/bin/sh
trap 'kill $! 2> /dev/null; exit 0' TERM
sleep \"${LATE:-0}\" & wait $!
[ \"$PORT\" = none ] || httpd -p \"${PORT:-80}\" -h /www
sleep 600 & wait $!
";

/// The engine, locked for this test.
pub struct Docker {
    _alone: File,
}

/// An image; removed when dropped.
pub struct Image<'d> {
    _engine: &'d Docker,
    name: String,
}

/// A network; removed when dropped, after the containers in it.
pub struct Network<'d> {
    _engine: &'d Docker,
    /// Its name.
    pub name: String,
}

/// A container; removed when dropped.
pub struct Container<'d> {
    _engine: &'d Docker,
    /// The full id, 64 digits.
    pub id: String,
    /// Its name.
    pub name: String,
}

impl Docker {
    /// Returns the engine, once no other test uses it; `None` where there is none, which the test reports.
    pub fn acquire() -> Option<Self> {
        if !answers() {
            Permitted::NoDocker.skip();
            return None;
        }
        let lock = std::env::temp_dir().join("retune-docker-tests.lock");
        let alone = File::options().create(true).append(true).open(lock).unwrap();
        alone.lock().unwrap();
        let docker = Self { _alone: alone };
        docker.sweep();
        Some(docker)
    }

    /// Called only with the lock: no other test owns anything with the label.
    fn sweep(&self) {
        let filter = format!("label={LABEL}");
        let kinds: [(&[&str], [&str; 2]); 3] = [
            (&["ps", "-aq"], ["rm", "-fv"]),
            (&["images", "-q"], ["rmi", "-f"]),
            (&["network", "ls", "-q"], ["network", "rm"]),
        ];
        for (list, remove) in kinds {
            let left = run_docker(&[list, &["--filter", &filter]].concat());
            for id in String::from_utf8_lossy(&left.stdout).split_whitespace() {
                run_docker(&[remove[0], remove[1], id]);
            }
        }
    }

    /// Returns an image that exposes these ports and responds `hello` at port 80, or at `PORT`.
    #[track_caller]
    pub fn image(&self, exposed: &[u16]) -> Option<Image<'_>> {
        self.image_with(exposed, &["/bin/app"], |_| {})
    }

    /// The same with another command, and with the files that `fill` adds.
    #[track_caller]
    pub fn image_with(
        &self,
        exposed: &[u16],
        command: &[&str],
        fill: impl FnOnce(&Path),
    ) -> Option<Image<'_>> {
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| is_static(path));
        let Some(busybox) = busybox else {
            missing("no static /bin/busybox", "apt-get install busybox-static");
            return None;
        };
        let root = tempfile::Builder::new().prefix("retune-image-").tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for folder in ["bin", "www", "tmp", "proc", "etc", "run"] {
            fs::create_dir(at(folder)).unwrap();
        }
        fs::copy(busybox, at("bin/busybox")).unwrap();
        for applet in APPLETS {
            std::os::unix::fs::symlink("busybox", at("bin").join(applet)).unwrap();
        }
        fs::write(at("www/index.html"), "hello\n").unwrap();
        write_program(&at("bin/app"), APP);
        fill(root.path());

        // The last part is the default name of a service.
        let name = format!("retune-test-{:x}/nginx:1", random(1) >> 32);
        let mut changes = vec![format!("LABEL {LABEL}=1"), format!("CMD {command:?}")];
        changes.extend(exposed.iter().map(|port| format!("EXPOSE {port}")));
        import(root.path(), &changes, &name);
        Some(Image { _engine: self, name })
    }

    /// Creates a bridge network with this subnet, such as `10.213.1.0/24`.
    #[track_caller]
    pub fn network(&self, subnet: &str) -> Network<'_> {
        let name = format!("retune-test-{:x}", random(1) >> 32);
        docker(&["network", "create", "--label", &format!("{LABEL}=1"), "--subnet", subnet, &name]);
        Network { _engine: self, name }
    }

    /// Runs a container: `docker run -d` with these arguments before the image.
    #[track_caller]
    pub fn run(&self, image: &Image<'_>, words: &[&str]) -> Container<'_> {
        self.run_with(image, words, &[])
    }

    /// The same with a command instead of the image's.
    #[track_caller]
    pub fn run_with(&self, image: &Image<'_>, words: &[&str], command: &[&str]) -> Container<'_> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("retune-test-{}-{number}", std::process::id());
        // Before it is started, so that it is also removed when its start fails.
        let mut container = Container { _engine: self, id: String::new(), name };
        let label = format!("{LABEL}=1");
        let head = ["run", "-d", "--name", &container.name, "--label", &label];
        container.id = docker(&[&head[..], words, &[&image.name], command].concat());
        container
    }
}

/// Returns the address of the host's default route: not loopback, and containers reach it too.
pub fn host() -> String {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    // It sends nothing; the kernel only chooses the route.
    socket.connect("198.51.100.1:9").expect("a machine with an engine has a default route");
    socket.local_addr().unwrap().ip().to_string()
}

impl Image<'_> {
    /// Returns its name and tag.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Container<'_> {
    /// Returns the twelve digits that docker shows.
    pub fn short(&self) -> &str {
        &self.id[..12]
    }

    /// Runs `docker WORDS… NAME`.
    #[track_caller]
    pub fn docker_command(&self, words: &[&str]) -> String {
        docker(&[words, &[&self.name]].concat())
    }

    /// Runs a shell line with `docker exec`.
    #[track_caller]
    pub fn exec(&self, line: &str) -> String {
        docker(&["exec", &self.name, "/bin/sh", "-c", line])
    }

    /// Returns the host's port that is mapped to this container port, if there is one.
    pub fn mapped(&self, port: u16) -> Option<u16> {
        let out = said(&run_docker(&["port", &self.name, &format!("{port}/tcp")]));
        out.lines().next()?.rsplit_once(':')?.1.trim().parse().ok()
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- {}'s log\n{}",
                self.name,
                said(&run_docker(&["logs", "--tail", "60", &self.name]))
            );
        }
        run_docker(&["rm", "-fv", &self.name]);
    }
}

impl Container<'_> {
    /// `docker rename`.
    #[track_caller]
    pub fn rename(&mut self, name: &str) {
        docker(&["rename", &self.id, name]);
        name.clone_into(&mut self.name);
    }

    /// `docker network connect --ip`.
    #[track_caller]
    pub fn connect(&self, network: &Network<'_>, ip: &str) {
        docker(&["network", "connect", "--ip", ip, &network.name, &self.id]);
    }

    /// `docker network disconnect`.
    #[track_caller]
    pub fn disconnect(&self, network: &Network<'_>) {
        docker(&["network", "disconnect", &network.name, &self.id]);
    }
}

impl Drop for Network<'_> {
    fn drop(&mut self) {
        run_docker(&["network", "rm", &self.name]);
    }
}

impl Drop for Image<'_> {
    fn drop(&mut self) {
        run_docker(&["rmi", "-f", &self.name]);
    }
}

/// Writes an executable file.
pub fn write_program(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Returns whether an engine on this machine responds: the tests use ports that it publishes.
fn answers() -> bool {
    if std::env::var("DOCKER_HOST").is_ok_and(|url| !url.starts_with("unix://")) {
        return false;
    }
    let mut command = Command::new("docker");
    command.args(["version", "--format", "{{.Server.Version}}"]).stdin(Stdio::null());
    command.output().is_ok_and(|out| out.status.success())
}

fn is_static(path: &str) -> bool {
    let interpreter = b"/ld-linux";
    fs::read(path).is_ok_and(|bytes| !bytes.windows(interpreter.len()).any(|window| window == interpreter))
}

#[track_caller]
fn import(root: &Path, changes: &[String], name: &str) {
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(root).args(["--owner=0", "--group=0", "-c", "."]).stdout(Stdio::piped());
    let mut tar = tar.spawn().unwrap();
    let mut docker = Command::new("docker");
    docker.arg("import").args(changes.iter().flat_map(|change| ["-c", change])).args(["-", name]);
    docker.stdin(tar.stdout.take().unwrap());
    let out = docker.output().unwrap();
    assert!(tar.wait().unwrap().success(), "tar of {}", root.display());
    assert!(out.status.success(), "{docker:?}: {}", said(&out));
}

/// Runs `docker WORDS…`, which must succeed, and returns its output.
#[track_caller]
fn docker(words: &[&str]) -> String {
    let out = run_docker(words);
    assert!(out.status.success(), "docker {}: {}", words.join(" "), said(&out));
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

fn run_docker(words: &[&str]) -> Output {
    Command::new("docker").args(words).stdin(Stdio::null()).output().unwrap()
}
