//! Tests that do not run here: the reasons that CI accepts, and the record that `.ci/checks` prints.
//!
//! This is the one list. A test that lacks anything else reports it with `missing`, which fails in CI: `.ci/run` installs
//! every program that a test needs.

use std::fs::File;
use std::io::Write as _;

/// Why a test may be skipped, in CI too.
#[derive(Clone, Copy)]
pub(crate) enum Permitted {
    /// Containers often lack the right to mount, and to become another user; no package gives it.
    NoMounts,
    /// The right to create network namespaces, likewise.
    NoHosts,
    /// The right to create control groups, likewise.
    NoSystemd,
    /// No package gives access to an engine.
    NoDocker,
    /// Whether an engine accepts connections at IPv6 addresses depends on the host's network.
    NoDockerIpv6,
    /// With `RETUNE_TEST_STORE=etcd` etcd is under test, which makes fewer promises.
    Control,
    /// A round for every release, not for every change.
    Slow,
}

impl Permitted {
    /// Returns the variable by which `.ci/run` states that this machine lacks a right, and the reason to report.
    const fn told(self) -> (Option<&'static str>, &'static str) {
        match self {
            Self::NoMounts => {
                (Some("RETUNE_TEST_NO_MOUNTS"), "no right to mount or to become another user here")
            }
            Self::NoHosts => (Some("RETUNE_TEST_NO_HOSTS"), "no right to create network namespaces here"),
            Self::NoSystemd => (Some("RETUNE_TEST_NO_SYSTEMD"), "no right to create control groups here"),
            Self::NoDocker => (None, "no Docker engine"),
            Self::NoDockerIpv6 => (None, "no engine's proxy accepts at an IPv6 address here"),
            Self::Control => (None, "etcd, here as a control, makes no such promise"),
            Self::Slow => (None, "it takes half a minute; RETUNE_TEST_SLOW=1 runs it"),
        }
    }

    /// Returns whether the machine is known to lack it.
    pub(crate) fn is_known_missing(self) -> bool {
        self.told().0.is_some_and(|variable| std::env::var_os(variable).is_some())
    }

    /// Skips the test; always returns `false`.
    pub(crate) fn skip(self) -> bool {
        report(self.told().1)
    }

    /// Skips the test where the machine is known to lack a right; elsewhere `what` is missing. Always returns `false`.
    pub(crate) fn skip_or_miss(self, what: &str, remedy: &str) -> bool {
        if self.is_known_missing() { self.skip() } else { missing(what, remedy) }
    }
}

/// Skips the test for something that could be there; a failure in CI. Always returns `false`.
pub(crate) fn missing(what: &str, remedy: &str) -> bool {
    assert!(std::env::var_os("CI").is_none(), "{what}, and CI does not permit that: {remedy}");
    report(&format!("{what} ({remedy})"))
}

/// Reports a skip to the terminal, and to the file that `RETUNE_TEST_SKIPS` names, because a test runner may hide what a
/// successful test prints.
fn report(why: &str) -> bool {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    writeln!(std::io::stderr().lock(), "SKIPPED: {test}: {why}").unwrap();
    if let Some(path) = std::env::var_os("RETUNE_TEST_SKIPS") {
        let mut file = File::options().create(true).append(true).open(path).unwrap();
        file.write_all(format!("{test}: {why}\n").as_bytes()).unwrap();
    }
    false
}
