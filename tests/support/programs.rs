//! Programs and rights that a test needs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::skips::{Permitted, missing};

/// Returns whether `program` is installed. Without it a test reports that and is skipped, but in CI that is a failure.
pub fn need_program(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let found = path.split(':').any(|dir| Path::new(dir).join(program).is_file());
    found
        || missing(
            &format!("{program} is not in PATH"),
            "apt-get install etcd-server nginx haproxy openssl strace faketime iproute2 iptables",
        )
}

/// Returns whether the test may create hosts: network namespaces with filters.
pub fn need_hosts() -> bool {
    if Permitted::NoHosts.is_known_missing() {
        return Permitted::NoHosts.skip();
    }
    if !need_program("ip") || !need_program("iptables") {
        return false;
    }
    let probe = Command::new("unshare").args(["--net", "iptables", "-S"]).stdout(Stdio::null()).status();
    if nix::unistd::geteuid().is_root() && probe.is_ok_and(|status| status.success()) {
        return true;
    }
    missing("network namespaces are not allowed", "run the tests as root, in a container with CAP_SYS_ADMIN")
}

/// Returns whether the test may mount file systems.
pub fn need_mounts() -> bool {
    let probe = Command::new("unshare").args(["--mount", "true"]).stderr(Stdio::null()).status();
    if nix::unistd::geteuid().is_root() && probe.is_ok_and(|status| status.success()) {
        return true;
    }
    Permitted::NoMounts
        .skip_or_miss("mounting is not allowed", "run the tests as root, in a container with CAP_SYS_ADMIN")
}

/// Returns whether the test may mount a file as an ext4 file system and simulate errors on it.
pub fn need_ext4() -> bool {
    if !need_mounts() {
        return false;
    }
    if Path::new("/dev/loop-control").exists() && Command::new("mkfs.ext4").arg("-V").output().is_ok() {
        return true;
    }
    Permitted::NoMounts.skip_or_miss(
        "there are no loop devices, or no mkfs.ext4",
        "apt-get install e2fsprogs, in a container with /dev",
    )
}

/// Returns whether the test may become another user.
pub fn need_root() -> bool {
    nix::unistd::geteuid().is_root()
        || Permitted::NoMounts.skip_or_miss("only root can become another user", "run the tests as root")
}

/// Returns the systemd that the test may boot in namespaces, or `None` where it may not.
pub fn need_systemd() -> Option<PathBuf> {
    if Permitted::NoSystemd.is_known_missing() {
        Permitted::NoSystemd.skip();
        return None;
    }
    let places = ["/lib/systemd/systemd", "/usr/lib/systemd/systemd"].map(PathBuf::from);
    let Some(program) = places.into_iter().find(|path| path.is_file()) else {
        missing("systemd is not installed", "apt-get install systemd");
        return None;
    };
    (need_mounts() && need_program("ip") && need_program("nsenter")).then_some(program)
}
