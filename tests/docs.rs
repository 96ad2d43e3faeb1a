//! The pages name what exists: flags of `register` and `place`, links and their headings, source files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Dir, Retune};

/// Second names of our flags, and flags of docker, curl, pip and others that the pages quote.
const OTHERS: [&str; 8] =
    ["docker", "etcd", "name", "no-cache-dir", "restart", "sort", "unix-socket", "volumes-from"];
/// Flags of every command, or of every client of a store; the pages mention them where it matters.
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

/// Returns every `--flag` in a text.
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

/// Returns the flags at the start of a help line, not those that its sentences name.
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
fn the_pages_on_registering_and_placing_name_all_existing_flags_and_no_others() {
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

/// Returns every page, by its path from the root.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = vec![PathBuf::from("README.md"), PathBuf::from("CHANGELOG.md")];
    found.extend(
        fs::read_dir(root.join("docs"))
            .unwrap()
            .map(|entry| Path::new("docs").join(entry.unwrap().file_name())),
    );
    for entry in fs::read_dir(root.join("examples")).unwrap() {
        let page = Path::new("examples").join(entry.unwrap().file_name()).join("README.md");
        found.extend(root.join(&page).is_file().then_some(page));
    }
    found
}

/// Returns the text outside fenced blocks.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let mut kept = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// Returns the anchors of a page's headings, in GitHub's form.
fn anchors(text: &str) -> BTreeSet<String> {
    let prose = prose(text);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let kept = line.trim_start_matches('#').trim().to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

/// Returns the broken links of a page; `read` returns another page's text, and `exists` knows all files.
fn broken(
    page: &Path,
    text: &str,
    exists: &dyn Fn(&Path) -> bool,
    read: &dyn Fn(&Path) -> String,
) -> Vec<String> {
    let prose = prose(text);
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let mut wrong = Vec::new();
    for target in targets.filter(|target| !target.contains("://")) {
        let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
        let beside = page.parent().unwrap_or(Path::new(""));
        let other = if file.is_empty() { page.to_owned() } else { beside.join(file) };
        let heading = || anchor.is_empty() || anchors(&read(&other)).contains(anchor);
        if !exists(&other) || !heading() {
            wrong.push(format!("{}: ({target}) leads nowhere", page.display()));
        }
    }
    wrong
}

#[test]
fn every_link_in_the_docs_leads_to_a_file_and_a_heading() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &Path| fs::read_to_string(root.join(path)).unwrap();
    let exists = |path: &Path| root.join(path).exists();
    let wrong: Vec<String> =
        pages().iter().flat_map(|page| broken(page, &read(page), &exists, &read)).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    // The check finds what it should.
    let other = |_: &Path| "# Two words\n```\n# no heading\n```\n".to_owned();
    let found =
        |text: &str| broken(Path::new("docs/a.md"), text, &|path| path.ends_with("b.md"), &other).len();
    assert_eq!(found("[x](b.md) [x](b.md#two-words) [x](https://example.org/#y)\n```\n[x](c.md)\n```\n"), 0);
    assert_eq!(found("[x](c.md) [x](b.md#three) [x](b.md#no-heading)"), 3);
}

#[test]
fn every_source_file_named_in_the_docs_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut named = 0;
    for page in ["docs/architecture.md", "docs/contributing.md"] {
        let text = prose(&fs::read_to_string(root.join(page)).unwrap());
        // Every second part stands between two backticks.
        for name in text.split('`').skip(1).step_by(2) {
            let is_file = name.contains('/') && name.ends_with(".rs");
            if is_file || name.starts_with("src/") || name.starts_with("tests/") {
                named += 1;
                let exists = root.join(name).exists() || root.join("src").join(name).exists();
                assert!(exists, "{page} names {name}, which does not exist");
            }
        }
    }
    assert!(named > 20, "{named}: is it still read rightly?");
}

/// Returns the text of all Rust files below a folder.
fn code(folder: &Path, out: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            code(&path, out);
        } else if path.extension().is_some_and(|end| end == "rs") {
            out.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// A limit without its test is a promise that nobody holds.
#[test]
fn every_limit_in_the_page_on_security_names_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = String::new();
    for folder in ["src", "tests"] {
        code(&root.join(folder), &mut all);
    }
    let page = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| may cost"));
    let mut limits = 0;
    for row in rows {
        let tests = row.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap();
        let tests: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "no test: {row}");
        for test in tests {
            assert!(all.contains(&format!("fn {test}(")), "there is no test {test}: {row}");
        }
        limits += 1;
    }
    assert!(limits > 30, "{limits}: is it still read rightly?");
}
