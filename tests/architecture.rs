//! The project's rules that the compiler does not check.
//!
//! Each rule is a function of plain text, so that the tests at the end can show that it fails when it should. The
//! rooms and their ranks are read from the table in `src/lib.rs`: there is no second list to maintain.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "architecture/circles.rs"]
mod circles;
#[path = "architecture/reading.rs"]
mod reading;

const LONGEST: usize = 500;
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

/// Returns the first segments after `crate::` in `text`, also those inside `use crate::{…}` groups.
fn imports(text: &str) -> Vec<String> {
    let code: String = code_only(text).split_whitespace().collect::<Vec<_>>().join(" ");
    let code = code.replace(" ::", "::").replace(":: ", "::");
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(group_heads(group)),
            None => found.push(identifier(rest)),
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

/// Returns the rooms that `super::` paths in the file at `path` lead to: those that climb past the room to the crate's
/// root. An inline module uses up one `super`.
fn super_imports(path: &Path, text: &str) -> Vec<String> {
    let code: String = code_only(text).split_whitespace().collect::<Vec<_>>().join(" ");
    let code = code.replace(" ::", "::").replace(":: ", "::");
    let file_depth = path.components().count() - usize::from(path.ends_with("mod.rs"));
    let (mut braces, mut inline, mut found, mut at) = (0_usize, Vec::new(), Vec::new(), 0);
    while let Some(c) = code[at..].chars().next() {
        let rest = &code[at..];
        let starts_word = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
        match c {
            '{' => {
                braces += 1;
                let before = code[..at].trim_end();
                let head = before.rsplit([';', '}', '{']).next().unwrap_or(before).trim();
                if head.split(' ').rev().nth(1) == Some("mod") {
                    inline.push(braces);
                }
            }
            '}' => {
                inline.pop_if(|opened| *opened == braces);
                braces = braces.saturating_sub(1);
            }
            's' if starts_word && rest.starts_with("super::") => {
                let supers = rest.split("super::").take_while(|part| part.is_empty()).count();
                // `split` gives one empty part before the first `super::` and one between each two.
                let tail = &rest[supers * "super::".len()..];
                if supers == file_depth + inline.len() {
                    match tail.strip_prefix('{') {
                        Some(group) => found.extend(group_heads(group)),
                        None => found.push(identifier(tail)),
                    }
                }
                at += supers * "super::".len();
                continue;
            }
            _ => {}
        }
        at += c.len_utf8();
    }
    found.retain(|name| !name.is_empty());
    found
}

/// Returns the first identifiers of the members of a use group whose opening brace is already consumed.
fn group_heads(group: &str) -> Vec<String> {
    let (mut depth, mut start, mut heads) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                heads.push(identifier(group[start..at].trim_start()));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    heads
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
fn climbing(room: &str, path: &Path, text: &str, ranks: &Ranks) -> Vec<String> {
    let Some(own) = ranks.get(room) else { return vec![] };
    let mut named = imports(text);
    named.extend(super_imports(path, text));
    named
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
    (lines > LONGEST).then(|| format!("{}: {lines} lines, more than {LONGEST}", path.display()))
}

/// Returns what is wrong with the head comment of a room's first file.
fn headless(room: &str, text: &str) -> Option<String> {
    let lines = text.lines().take_while(|line| line.starts_with("//!")).filter(|line| line.len() > 4).count();
    (lines < 3)
        .then(|| format!("{room}: {lines} lines of head comment; it owes what it owns, promises, leaves out"))
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

fn different_sets(table: &Ranks, rooms: &BTreeSet<String>) -> Vec<String> {
    let listed: BTreeSet<String> = table.keys().cloned().collect();
    let extra = rooms.difference(&listed).map(|room| format!("src/{room} is not in the table of src/lib.rs"));
    let gone =
        listed.difference(rooms).map(|room| format!("the table of src/lib.rs lists {room}, src does not"));
    extra.chain(gone).collect()
}

fn strangers(entries: &BTreeSet<String>) -> Vec<String> {
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

fn nothing_wrong(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn no_import_climbs() {
    let (ranks, files) = source_tree();
    let seen: usize = files.iter().map(|(_, text)| imports(text).len()).sum();
    assert!(seen > 0, "no import found in {} files: are they still read rightly?", files.len());
    let wrong = files.iter().filter_map(|(path, text)| Some(climbing(&room_of(path)?, path, text, &ranks)));
    nothing_wrong(&wrong.flatten().collect::<Vec<_>>());
}

#[test]
fn no_file_is_too_long() {
    let (_, files) = source_tree();
    nothing_wrong(&files.iter().filter_map(|(path, text)| too_long(path, text)).collect::<Vec<_>>());
}

#[test]
fn every_room_begins_by_saying_what_it_is() {
    let (ranks, files) = source_tree();
    let wrong = ranks.keys().filter_map(|room| {
        let first = [PathBuf::from(format!("{room}.rs")), Path::new(room).join("mod.rs")];
        let text = files.iter().find(|(path, _)| first.contains(path)).map_or("", |(_, text)| text);
        headless(room, text)
    });
    nothing_wrong(&wrong.collect::<Vec<_>>());
}

#[test]
fn the_table_lists_the_rooms_there_are() {
    let (ranks, files) = source_tree();
    let rooms = files.iter().filter_map(|(path, _)| room_of(path)).collect();
    nothing_wrong(&different_sets(&ranks, &rooms));
}

#[test]
fn every_file_is_part_of_a_target() {
    nothing_wrong(&undeclared(&["lib.rs", "main.rs"], &sources(&root().join("src"))));
    // Cargo.toml makes `bench` a target of its own.
    let tests = sources(&root().join("tests")).into_iter().filter(|(path, _)| !path.starts_with("bench"));
    nothing_wrong(&undeclared(&["it.rs", "architecture.rs"], &tests.collect::<Vec<_>>()));
}

#[test]
fn the_top_level_holds_what_belongs_there() {
    let entries = top_level();
    assert!(entries.contains("Cargo.toml"), "{entries:?}");
    nothing_wrong(&strangers(&entries));
}

/// Tests the rules on small bad trees.
mod rules {
    use super::*;

    const TABLE: &str = "//! | rank | room | owns |\n//! |---|---|---|\n//! | 0 | [`low`] | x |\n\
                         //! | 0 | [`near`] | x |\n//! | 1 | [`mid`] | x |\n//! | 2 | [`high`] | x |\n";

    fn verdict(room: &str, text: &str) -> Vec<String> {
        climbing(room, Path::new("src/x.rs"), text, &ranks(TABLE))
    }

    #[test]
    fn ranks_come_from_the_table() {
        assert_eq!(ranks(TABLE).into_values().collect::<Vec<_>>(), [2, 0, 1, 0]);
    }

    #[test]
    fn climbing_and_level_imports_are_found_in_every_spelling() {
        for bad in [
            "use crate::high::Thing;",
            "use crate::{low, high::Thing};",
            "use crate::{\n    low::{A, B},\n    high,\n};",
            "pub(crate) use crate::high as other;",
            "fn f() { let x = crate::high::f(); }",
            "fn f(x: &'a str) -> crate :: high::T {}",
            "let q = '\"'; crate::high::f(); let r = '\"';",
        ] {
            assert_eq!(verdict("mid", bad).len(), 1, "{bad}");
        }
        assert_eq!(verdict("low", "use crate::near::X;").len(), 1, "the own rank");
        assert_eq!(verdict("mid", "use crate::nowhere;").len(), 1, "no room");
    }

    #[test]
    fn imports_from_below_and_from_the_room_itself_pass_and_text_is_no_import() {
        let good = "use crate::{low::{X, high}, near};\nuse crate::mid::y;\n// crate::high\n/* crate::high */\n\
                    let a = \"crate::high \\\" crate::high\"; let b = r#\"crate::high\"#; mycrate::high();";
        assert_eq!(verdict("mid", good), Vec::<String>::new());
        assert_eq!(imports(good), ["low", "near", "mid"]);
    }

    #[test]
    fn a_long_file_and_a_bare_room_are_found() {
        assert!(too_long(Path::new("x"), &"x\n".repeat(501)).is_some());
        assert!(too_long(Path::new("x"), &"x\n".repeat(500)).is_none());
        assert!(headless("x", "//! one\n//!\n//! two\nmod a;\n//! three").is_some());
        assert!(headless("x", "//! one\n//! two\n//! three\n").is_none());
    }

    #[test]
    fn climbing_by_super_is_found_and_inline_modules_count() {
        let verdict = |path: &str, text: &str| climbing("mid", Path::new(path), text, &ranks(TABLE)).len();
        assert_eq!(verdict("mid/a.rs", "use super::super::high::Thing;"), 1);
        assert_eq!(verdict("mid/mod.rs", "use super::{low, high::Thing};"), 1);
        assert_eq!(verdict("mid/a/b.rs", "fn f() { super::super::super::high::f() }"), 1);
        assert_eq!(verdict("mid.rs", "mod tests { use super::super::high; }"), 1);
        assert_eq!(
            verdict("mid.rs", "mod tests { use super::high; } use super::low;"),
            0,
            "the room's own item"
        );
        assert_eq!(verdict("mid/a.rs", "use super::high::Thing; use super::super::low;"), 0);
    }

    #[test]
    fn a_file_nobody_declares_is_found_at_any_depth() {
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
    fn a_room_off_the_table_and_a_row_without_room_are_found() {
        let rooms = ["low", "near", "mid", "new"].map(String::from).into();
        assert_eq!(different_sets(&ranks(TABLE), &rooms).len(), 2);
    }

    #[test]
    fn a_stranger_at_the_top_is_found() {
        let entries = ["Cargo.toml", ".gitignore", "docs", "notes.txt"].map(String::from).into();
        assert_eq!(strangers(&entries), ["notes.txt does not belong at the top"]);
    }
}
