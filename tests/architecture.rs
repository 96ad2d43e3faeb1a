//! The project's rules that the compiler does not check.
//!
//! Each rule is a function of plain text, so that the tests at the end can show that it fails when it should. The
//! rooms and their ranks are read from the table in `src/lib.rs`: there is no second list to maintain.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "architecture/cycles.rs"]
mod cycles;
#[path = "architecture/reading.rs"]
mod reading;

use reading::{read, segments, tokens};

const MAX_LINES: usize = 500;
const TOP_LEVEL: [&str; 10] = [
    "Cargo.toml",
    "Cargo.lock",
    "src",
    "templates",
    "conf.d",
    "examples",
    "tests",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
];

/// Room name to rank.
type Ranks = BTreeMap<String, u32>;

/// Returns the rooms in the table of `lib.rs`: lines such as ``//! | 0 | [`key`] | what a key is |``.
fn ranks(lib: &str) -> Ranks {
    lib.lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("//! |")?.split('|').map(str::trim);
            let rank = cells.next()?.parse().ok()?;
            let room = cells.next()?.trim_matches(['[', ']', '`']);
            Some((room.to_owned(), rank))
        })
        .collect()
}

/// Returns `text` with comments and the contents of string and character literals blanked out.
fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = raw_string(rest) {
            length
        } else if rest.starts_with('"') {
            quoted(rest)
        } else if rest.starts_with("'\"'") {
            3
        } else if rest.starts_with("'\\\"'") {
            4
        } else {
            let next = rest.chars().next().expect("`at` is inside the text");
            out.push(next);
            at += next.len_utf8();
            continue;
        };
        out.push(' ');
        at += skipped;
    }
    out
}

/// Returns the length of the ordinary string literal that `text` begins with.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Returns the length of the raw string literal that `text` begins with, if it does.
fn raw_string(text: &str) -> Option<usize> {
    let hashes = text.strip_prefix('r')?;
    let count = hashes.len() - hashes.trim_start_matches('#').len();
    let body = hashes[count..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(count));
    Some(body.find(&close).map_or(text.len(), |end| 1 + count + 1 + end + close.len()))
}

/// Returns the rooms that the file at `path` names, each once: by `crate::`, by `super::` past its own room, in groups, by
/// another name of the root, by all names of the root (`*`).
fn rooms_named(path: &Path, text: &str) -> BTreeSet<String> {
    let module = read(path, &segments(path), &tokens(text));
    let is_root = |name: &String| {
        name == "crate" || module.uses.get(name).is_some_and(|import| import.path == ["crate"])
    };
    let named = module.imports.iter().chain(&module.paths);
    named.filter_map(|path| path.get(1).filter(|_| is_root(&path[0])).cloned()).collect()
}

fn identifier(text: &str) -> String {
    let text = text.strip_prefix("r#").unwrap_or(text);
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Returns the room that a path relative to `src` belongs to; `None` for `lib.rs` and `main.rs`.
fn room_of(path: &Path) -> Option<String> {
    let first = Path::new(path.components().next()?.as_os_str());
    let name = first.file_stem()?.to_str()?.to_owned();
    (name != "lib" && name != "main").then_some(name)
}

/// Returns what is wrong with the imports of one file of `room`.
fn bad_imports(room: &str, path: &Path, text: &str, ranks: &Ranks) -> Vec<String> {
    let Some(own) = ranks.get(room) else { return vec![] };
    rooms_named(path, text)
        .into_iter()
        .filter(|other| other != room)
        .filter_map(|other| match ranks.get(&other) {
            Some(rank) if rank < own => None,
            Some(rank) => Some(format!(
                "{}: {room} (rank {own}) imports {other} (rank {rank}); only lower ranks may be imported",
                path.display()
            )),
            None => Some(format!("{}: crate::{other} is not a room", path.display())),
        })
        .collect()
}

fn too_long(path: &Path, text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > MAX_LINES).then(|| format!("{}: {lines} lines, more than {MAX_LINES}", path.display()))
}

/// Returns what is wrong with the head comment of a room's first file.
fn missing_description(room: &str, text: &str) -> Option<String> {
    let lines = text.lines().take_while(|line| line.starts_with("//!")).filter(|line| line.len() > 4).count();
    (lines < 3).then(|| {
        format!(
            "{room}: {lines} lines of head comment; it must say what the room owns, guarantees and leaves out"
        )
    })
}

/// Returns the module names that `text` declares, and the files that it names with `#[path]`.
fn declared(text: &str) -> BTreeSet<String> {
    let modules = code_only(text).lines().filter_map(module_name).collect::<BTreeSet<_>>();
    let paths = text.lines().filter_map(|line| line.trim().strip_prefix("#[path = \"")?.strip_suffix("\"]"));
    paths.map(str::to_owned).chain(modules).collect()
}

fn module_name(line: &str) -> Option<String> {
    let line = line.trim();
    let (_, name) =
        line.split_once("mod ").filter(|(before, _)| before.is_empty() || before.starts_with("pub"))?;
    name.ends_with(';').then(|| identifier(name))
}

/// Returns the files, by their path below their crate's folder, that no parent module declares: they are never
/// compiled. `roots` are the files that Cargo.toml names; the caller leaves out folders that are targets of their own.
fn undeclared(roots: &[&str], files: &[(PathBuf, String)]) -> Vec<String> {
    let declared: BTreeMap<&Path, _> =
        files.iter().map(|(path, text)| (path.as_path(), declared(text))).collect();
    let has = |parent: &Path, name: &str| declared.get(parent).is_some_and(|names| names.contains(name));
    files
        .iter()
        .map(|(path, _)| path)
        .filter(|path| !roots.iter().any(|root| path.as_path() == Path::new(root)))
        .filter(|path| {
            let module = if path.ends_with("mod.rs") { path.parent().unwrap_or(path) } else { path };
            let name = module.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            let folder = module.parent().unwrap_or(Path::new(""));
            let by_folder = [folder.join("mod.rs"), folder.with_extension("rs")];
            let by_root = roots.iter().map(PathBuf::from).filter(|_| folder == Path::new(""));
            !by_folder
                .into_iter()
                .filter(|_| folder != Path::new(""))
                .chain(by_root)
                .any(|parent| has(&parent, name))
                && !declared.keys().any(|parent| {
                    let beside = parent.parent().unwrap_or(Path::new(""));
                    path.strip_prefix(beside).is_ok_and(|file| has(parent, &file.to_string_lossy()))
                })
        })
        .map(|path| format!("{} is declared in no parent module, so it is never compiled", path.display()))
        .collect()
}

/// Returns whether a test skips itself, or decides by itself what CI permits.
fn skips_by_itself(path: &Path, text: &str) -> Option<String> {
    let marks = [concat!("SKIP", "PED"), concat!("var_os(\"C", "I\")"), concat!("var(\"C", "I\")")];
    let found = marks.iter().find(|mark| text.contains(**mark))?;
    Some(format!("{}: {found}: tests/support/skips.rs is where tests are skipped", path.display()))
}

fn different_sets(table: &Ranks, rooms: &BTreeSet<String>) -> Vec<String> {
    let listed: BTreeSet<String> = table.keys().cloned().collect();
    let extra = rooms.difference(&listed).map(|room| format!("src/{room} is not in the table of src/lib.rs"));
    let gone =
        listed.difference(rooms).map(|room| format!("the table of src/lib.rs lists {room}, src does not"));
    extra.chain(gone).collect()
}

fn unexpected_files(entries: &BTreeSet<String>) -> Vec<String> {
    let allowed = |name: &str| name.starts_with('.') || name == "docs" || TOP_LEVEL.contains(&name);
    entries
        .iter()
        .filter(|name| !allowed(name))
        .map(|name| format!("{name} does not belong at the top"))
        .collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns all `.rs` files under `folder`, by their path inside it, with their text.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).expect("a readable file");
                found.push((path.strip_prefix(folder).expect("below the folder").to_owned(), text));
            }
        }
    }
    found.sort();
    found
}

fn source_tree() -> (Ranks, Vec<(PathBuf, String)>) {
    let files = sources(&root().join("src"));
    let (_, lib) = files.iter().find(|(path, _)| path == Path::new("lib.rs")).expect("src/lib.rs");
    let ranks = ranks(lib);
    assert!(ranks.len() > 5, "only {} rooms in the table: is it still read rightly?", ranks.len());
    (ranks, files)
}

fn top_level() -> BTreeSet<String> {
    let listed = Command::new("git").args(["ls-files"]).current_dir(root()).output();
    if let Ok(output) = listed
        && output.status.success()
        && !output.stdout.is_empty()
    {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        return text.lines().map(|line| line.split('/').next().unwrap_or(line).to_owned()).collect();
    }
    let entries = fs::read_dir(root()).expect("a readable root");
    let names =
        entries.map(|entry| entry.expect("a readable entry").file_name().to_string_lossy().into_owned());
    names.filter(|name| name != "target").collect()
}

fn assert_no_errors(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn no_import_leads_to_a_higher_rank() {
    let (ranks, files) = source_tree();
    let seen: usize = files.iter().map(|(path, text)| rooms_named(path, text).len()).sum();
    assert!(seen > 0, "no import found in {} files: are they still read rightly?", files.len());
    let wrong =
        files.iter().filter_map(|(path, text)| Some(bad_imports(&room_of(path)?, path, text, &ranks)));
    assert_no_errors(&wrong.flatten().collect::<Vec<_>>());
}

#[test]
fn no_file_is_too_long() {
    let (_, files) = source_tree();
    assert_no_errors(&files.iter().filter_map(|(path, text)| too_long(path, text)).collect::<Vec<_>>());
}

#[test]
fn every_room_begins_with_a_description() {
    let (ranks, files) = source_tree();
    let wrong = ranks.keys().filter_map(|room| {
        let first = [PathBuf::from(format!("{room}.rs")), Path::new(room).join("mod.rs")];
        let text = files.iter().find(|(path, _)| first.contains(path)).map_or("", |(_, text)| text);
        missing_description(room, text)
    });
    assert_no_errors(&wrong.collect::<Vec<_>>());
}

#[test]
fn the_table_lists_all_rooms() {
    let (ranks, files) = source_tree();
    let rooms = files.iter().filter_map(|(path, _)| room_of(path)).collect();
    assert_no_errors(&different_sets(&ranks, &rooms));
}

#[test]
fn every_file_is_part_of_a_target() {
    assert_no_errors(&undeclared(&["lib.rs", "main.rs"], &sources(&root().join("src"))));
    // Cargo.toml makes `bench` and `bench/store` targets of their own.
    for (folder, inner, targets) in [
        ("tests", "bench", &["it.rs", "architecture.rs", "fuzz/target.rs"][..]),
        ("tests/bench", "store", &["main.rs"]),
        ("tests/bench/store", "-", &["main.rs"]),
    ] {
        let files = sources(&root().join(folder)).into_iter().filter(|(path, _)| !path.starts_with(inner));
        assert_no_errors(&undeclared(targets, &files.collect::<Vec<_>>()));
    }
}

#[test]
fn tests_are_skipped_in_one_place() {
    // Scripts are not rewritten in CI; a benchmark is no test.
    let known = ["tests/support/skips.rs", "src/keyspace/tests/golden.rs", "tests/bench/main.rs"];
    let known = known.map(|path| root().join(path));
    let files = ["src", "tests"]
        .map(|folder| root().join(folder))
        .into_iter()
        .flat_map(|folder| sources(&folder).into_iter().map(move |(path, text)| (folder.join(path), text)));
    let others = files.filter(|(path, _)| !known.contains(path));
    assert_no_errors(&others.filter_map(|(path, text)| skips_by_itself(&path, &text)).collect::<Vec<_>>());
}

/// Returns the crates of a lock file with several versions, all but the newest of each: `name@1`, `name@0.8`.
fn older_versions(lock: &str) -> BTreeSet<String> {
    let field = |line: &str, name: &str| {
        line.strip_prefix(name)?.strip_prefix(" = \"")?.strip_suffix('"').map(str::to_owned)
    };
    let mut versions: BTreeMap<String, Vec<Vec<u64>>> = BTreeMap::new();
    let mut last = String::new();
    for line in lock.lines() {
        if let Some(name) = field(line, "name") {
            last = name;
        } else if let Some(version) = field(line, "version").filter(|version| version.contains('.')) {
            let parts = version.split(['.', '+', '-']).map_while(|part| part.parse().ok()).collect();
            versions.entry(last.clone()).or_default().push(parts);
        }
    }
    let mut older = BTreeSet::new();
    for (name, mut list) in versions {
        list.sort();
        list.pop();
        older.extend(list.iter().map(|parts| match parts[..] {
            [0, minor, ..] => format!("{name}@0.{minor}"),
            _ => format!("{name}@{}", parts[0]),
        }));
    }
    older
}

#[test]
fn two_versions_of_a_crate_have_a_reason() {
    // On other systems only.
    const ELSEWHERE: [&str; 3] = ["core-foundation@0.9", "redox_syscall@0.2", "windows-sys@0.52"];
    let read = |name: &str| fs::read_to_string(root().join(name)).unwrap();
    let deny = read(".deny.toml");
    let skipped: BTreeSet<String> = deny
        .lines()
        .filter_map(|line| Some(line.trim().strip_prefix("{ crate = \"")?.split('"').next()?.to_owned()))
        .filter(|name| name.contains('@'))
        .collect();
    let found: BTreeSet<String> = older_versions(&read("Cargo.lock"))
        .into_iter()
        .filter(|name| !ELSEWHERE.contains(&&**name))
        .collect();
    assert_eq!(found, skipped, "left: in Cargo.lock, right: with a reason in .deny.toml");
}

#[test]
fn the_top_level_has_only_expected_files() {
    let entries = top_level();
    assert!(entries.contains("Cargo.toml"), "{entries:?}");
    assert_no_errors(&unexpected_files(&entries));
}

/// Tests the rules on small bad trees.
mod rules {
    use super::*;

    const TABLE: &str = "//! | rank | room | owns |\n//! |---|---|---|\n//! | 0 | [`low`] | x |\n\
                         //! | 0 | [`near`] | x |\n//! | 1 | [`mid`] | x |\n//! | 2 | [`high`] | x |\n";

    fn errors_of(room: &str, text: &str) -> Vec<String> {
        bad_imports(room, Path::new("src/x.rs"), text, &ranks(TABLE))
    }

    #[test]
    fn ranks_come_from_the_table() {
        assert_eq!(ranks(TABLE).into_values().collect::<Vec<_>>(), [2, 0, 1, 0]);
    }

    #[test]
    fn imports_of_higher_and_equal_ranks_are_found_in_every_spelling() {
        for bad in [
            "use crate::high::Thing;",
            "use crate::{low, high::Thing};",
            "use crate::{\n    low::{A, B},\n    high,\n};",
            "pub(crate) use crate::high as other;",
            "fn f() { let x = crate::high::f(); }",
            "fn f(x: &'a str) -> crate :: high::T {}",
            "let q = '\"'; crate::high::f(); let r = '\"';",
            "use crate::{self as root}; fn f() { root::high::f() }",
            "use crate as root; use root::high::X;",
            "use crate::*;",
            "mod a { use crate::high::X; } mod b { use crate::low::X; }",
        ] {
            assert_eq!(errors_of("mid", bad).len(), 1, "{bad}");
        }
        assert_eq!(errors_of("low", "use crate::near::X;").len(), 1, "the own rank");
        assert_eq!(errors_of("mid", "use crate::nowhere;").len(), 1, "no room");
    }

    #[test]
    fn imports_of_lower_ranks_and_of_the_own_room_pass_and_text_is_ignored() {
        let good = "use crate::{low::{X, high}, near};\nuse crate::mid::y;\n// crate::high\n/* crate::high */\n\
                    let a = \"crate::high \\\" crate::high\"; let b = r#\"crate::high\"#; mycrate::high();";
        assert_eq!(errors_of("mid", good), Vec::<String>::new());
        let named = rooms_named(Path::new("mid/x.rs"), good);
        assert_eq!(named.into_iter().collect::<Vec<_>>(), ["low", "mid", "near"]);
    }

    #[test]
    fn a_long_file_and_an_undescribed_room_are_found() {
        assert!(too_long(Path::new("x"), &"x\n".repeat(501)).is_some());
        assert!(too_long(Path::new("x"), &"x\n".repeat(500)).is_none());
        assert!(missing_description("x", "//! one\n//!\n//! two\nmod a;\n//! three").is_some());
        assert!(missing_description("x", "//! one\n//! two\n//! three\n").is_none());
    }

    #[test]
    fn imports_of_higher_ranks_by_super_and_in_inline_modules_are_found() {
        let errors_of =
            |path: &str, text: &str| bad_imports("mid", Path::new(path), text, &ranks(TABLE)).len();
        assert_eq!(errors_of("mid/a.rs", "use super::super::high::Thing;"), 1);
        assert_eq!(errors_of("mid/mod.rs", "use super::{low, high::Thing};"), 1);
        assert_eq!(errors_of("mid/a/b.rs", "fn f() { super::super::super::high::f() }"), 1);
        assert_eq!(errors_of("mid.rs", "mod tests { use super::super::high; }"), 1);
        assert_eq!(errors_of("mid/a.rs", "use super::{low, super::high::Thing};"), 1);
        assert_eq!(errors_of("mid/a.rs", "use super::{self, super::{low, high}};"), 1);
        assert_eq!(errors_of("mid/mod.rs", "mod tests { use super::super::*; }"), 1);
        assert_eq!(errors_of("mid.rs", "mod tests { const END: char = '}'; use super::super::high; }"), 1);
        assert_eq!(
            errors_of("mid.rs", "mod tests { use super::high; } use super::low;"),
            0,
            "the room's own item"
        );
        assert_eq!(errors_of("mid/a.rs", "use super::high::Thing; use super::super::low;"), 0);
    }

    #[test]
    fn an_undeclared_file_is_found_at_any_depth() {
        let file = |path: &str, text: &str| (PathBuf::from(path), text.to_owned());
        let files = [
            file("it.rs", "mod a;\npub(crate) mod b;\n// mod d;\n#[path = \"e.rs\"]\nmod other;\nmod g;\n"),
            file("a.rs", ""),
            file("b/mod.rs", "mod c;"),
            file("b/c.rs", ""),
            file("b/lost.rs", ""),
            file("d.rs", ""),
            file("e.rs", ""),
            file("g.rs", "mod h;"),
            file("g/h.rs", ""),
        ];
        let wrong = undeclared(&["it.rs"], &files);
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(wrong[0].starts_with("b/lost.rs ") && wrong[1].starts_with("d.rs "), "{wrong:?}");
    }

    #[test]
    fn a_room_missing_from_the_table_and_a_row_without_a_room_are_found() {
        let rooms = ["low", "near", "mid", "new"].map(String::from).into();
        assert_eq!(different_sets(&ranks(TABLE), &rooms).len(), 2);
    }

    #[test]
    fn a_test_that_skips_itself_is_found() {
        let errors_of = |text: &str| skips_by_itself(Path::new("x.rs"), text).is_some();
        assert!(errors_of(concat!("eprintln!(\"SKIP", "PED: no etcd\");")));
        assert!(errors_of(concat!("if std::env::var_os(\"C", "I\").is_none() { return; }")));
        assert!(!errors_of("let skipped = Skipped::Odd(why);"));
    }

    #[test]
    fn an_unexpected_file_at_the_top_level_is_found() {
        let entries = ["Cargo.toml", ".gitignore", "docs", "notes.txt"].map(String::from).into();
        assert_eq!(unexpected_files(&entries), ["notes.txt does not belong at the top"]);
    }
}
