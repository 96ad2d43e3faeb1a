//! Programs and rights that a test needs.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Returns whether `program` is installed. Without it a test reports that and is skipped, but in CI that is a failure.
pub fn need(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let found = path.split(':').any(|dir| Path::new(dir).join(program).is_file());
    found
        || missing(
            &format!("{program} is not in PATH"),
            "apt-get install etcd-server nginx haproxy openssl strace faketime iproute2 iptables",
        )
}

/// Returns whether the test may create hosts: network namespaces with filters. As with mounts, no package gives that
/// right, and `.ci/run` reports when it is missing.
pub fn need_hosts() -> bool {
    if std::env::var_os("RETUNE_TEST_NO_HOSTS").is_some() {
        return skipped("no right to create network namespaces here");
    }
    if !need("ip") || !need("iptables") {
        return false;
    }
    let probe = Command::new("unshare").args(["--net", "iptables", "-S"]).stdout(Stdio::null()).status();
    if nix::unistd::geteuid().is_root() && probe.is_ok_and(|status| status.success()) {
        return true;
    }
    missing("network namespaces are not allowed", "run the tests as root, in a container with CAP_SYS_ADMIN")
}

/// Returns whether the test may mount file systems. No package gives that right, so `.ci/run` may report that it is
/// missing on this machine; then even CI skips the test, and reports that.
pub fn need_mounts() -> bool {
    let probe = Command::new("unshare").args(["--mount", "true"]).stderr(Stdio::null()).status();
    if nix::unistd::geteuid().is_root() && probe.is_ok_and(|status| status.success()) {
        return true;
    }
    if std::env::var_os("RETUNE_TEST_NO_MOUNTS").is_some() {
        return skipped("no right to mount here");
    }
    missing("mounting is not allowed", "run the tests as root, in a container with CAP_SYS_ADMIN")
}

/// Returns whether the test may mount a file as an ext4 file system and simulate errors on it.
pub fn need_ext4() -> bool {
    if !need_mounts() {
        return false;
    }
    if Path::new("/dev/loop-control").exists() && Path::new("/usr/sbin/mkfs.ext4").exists() {
        return true;
    }
    if std::env::var_os("RETUNE_TEST_NO_MOUNTS").is_some() {
        return skipped("no loop devices here");
    }
    missing(
        "there are no loop devices, or no mkfs.ext4",
        "apt-get install e2fsprogs, in a container with /dev",
    )
}

/// Returns the systemd that the test may boot in namespaces, or `None` where it may not. As with mounts, no package
/// gives that right, and `.ci/run` reports when it is missing.
pub fn need_systemd() -> Option<PathBuf> {
    if std::env::var_os("RETUNE_TEST_NO_SYSTEMD").is_some() {
        skipped("no right to create control groups here");
        return None;
    }
    let places = ["/lib/systemd/systemd", "/usr/lib/systemd/systemd"].map(PathBuf::from);
    let Some(program) = places.into_iter().find(|path| path.is_file()) else {
        missing("systemd is not installed", "apt-get install systemd");
        return None;
    };
    (need_mounts() && need("ip") && need("nsenter")).then_some(program)
}

fn missing(what: &str, remedy: &str) -> bool {
    assert!(std::env::var_os("CI").is_none(), "{what}, and CI skips nothing: {remedy}");
    skipped(&format!("{what} ({remedy})"))
}

/// Reports that a test is skipped, and why; always returns `false`.
pub fn skipped(why: &str) -> bool {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // Not `eprintln`: the test runner would hide it, because a skipped test passes.
    writeln!(std::io::stderr().lock(), "SKIPPED: {test}: {why}").unwrap();
    false
}
