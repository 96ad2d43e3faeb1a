//! The documentation of `register` and `place` and the command lines themselves name the same flags.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support::{Dir, Retune};

/// Second names of ours, and flags of docker, curl, pip and others that the pages quote.
const OTHERS: [&str; 8] =
    ["docker", "etcd", "name", "no-cache-dir", "restart", "sort", "unix-socket", "volumes-from"];
/// What every command has, or every client of a store; the pages tell of it where it matters.
const COMMON: [&str; 17] = [
    "backend-timeout",
    "basic-auth",
    "client-ca-keys",
    "client-cert",
    "client-insecure",
    "client-key",
    "color",
    "config-file",
    "endpoints",
    "help",
    "log-format",
    "log-level",
    "no-sync",
    "output",
    "password",
    "password-file",
    "username",
];

/// Every `--flag` in a text.
fn flags(text: &str) -> BTreeSet<String> {
    let parts = text.split("--").skip(1);
    let flag = |part: &str| {
        let end = part.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(part.len());
        part[..end].trim_end_matches('-').to_owned()
    };
    parts.map(flag).filter(|flag| flag.len() > 1).collect()
}

fn page(name: &str) -> BTreeSet<String> {
    flags(&fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap())
}

/// The flags at the beginning of a line of help, not those that its sentences name.
fn offered(commands: &[&[&str]]) -> BTreeSet<String> {
    let dir = Dir::new();
    let mut all = BTreeSet::new();
    for words in commands {
        let done = Retune::new(&dir, words).args(&["--help"]).run().exits(0);
        for line in done.stdout.lines().map(str::trim_start) {
            let long = line.split(", ").find(|part| part.starts_with("--"));
            if line.starts_with('-')
                && let Some(long) = long
            {
                all.extend(flags(long).into_iter().take(1));
            }
        }
    }
    assert!(all.len() > 10, "{all:?}: is the help still read rightly?");
    all
}

#[test]
fn the_pages_on_registering_and_placing_name_flags_that_there_are_and_all_of_them() {
    let offered = offered(&[&["register"], &["register", "status"], &["register", "stop"], &["place"]]);
    let pages = ["docs/register.md", "docs/place.md"];
    let more = ["examples/systemd/retune-register.service", "examples/supervisord/README.md"];
    for name in pages.iter().chain(&more) {
        let named = page(name);
        assert!(!named.is_empty(), "{name}: is it still read rightly?");
        let known = |flag: &String| offered.contains(flag) || OTHERS.contains(&&**flag);
        let unknown: Vec<_> = named.iter().filter(|flag| !known(flag)).collect();
        assert!(unknown.is_empty(), "{name} names flags that there are not: {unknown:?}");
    }
    let told: BTreeSet<String> = pages.into_iter().flat_map(page).collect();
    let untold: Vec<_> =
        offered.iter().filter(|flag| !told.contains(*flag) && !COMMON.contains(&&***flag)).collect();
    assert!(untold.is_empty(), "neither {} tells of {untold:?}", pages.join(" nor "));
}
