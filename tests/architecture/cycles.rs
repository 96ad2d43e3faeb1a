//! Cycles of files: files of one room that import each other, directly or by way of others.
//!
//! A file depends on the file that holds an item, not on the one that passes it on: paths are followed through `use` and
//! `pub use` to where the item is. A `pub use` by itself is no dependency, unless its file uses the name too. The head of a
//! folder (`mod.rs`) calls the files of the folder and declares what they share: that they use it is no cycle. Tests do
//! not count: they may look at everything.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::reading::{Module, Segments, joined, read, segments, tokens, without_tests};

/// Which file imports which, and the names that it imports.
type Imports = BTreeMap<PathBuf, BTreeMap<PathBuf, BTreeSet<String>>>;

/// How far a name is followed from one `use` to the next.
const MAX_HOPS: usize = 20;

/// A cycle that may stay: its files, and why.
struct KnownCycle {
    files: &'static [&'static str],
    reason: &'static str,
}

const KNOWN: [KnownCycle; 2] = [
    KnownCycle {
        files: &["client/endpoints.rs", "client/member_sync.rs"],
        reason: "one thing in two files: when every node has failed, the nodes use the member sync, which asks nodes and \
                 changes them",
    },
    KnownCycle {
        files: &["keyspace/delivery.rs", "keyspace/event.rs"],
        reason: "all watches of an event share its delivery, which holds the event; so the event remembers its delivery",
    },
];

/// The imports between the files of each room, those of a folder's head by the files in it left out. `files` are paths below
/// `src`, with their text.
fn imports(files: &[(PathBuf, String)]) -> Imports {
    let mut tests = BTreeSet::new();
    let mut tree = BTreeMap::new();
    for (file, text) in files.iter().filter(|(file, _)| file != Path::new("main.rs")) {
        let at = segments(file);
        let (tokens, test_modules) = without_tests(&tokens(text));
        tests.extend(test_modules.into_iter().map(|name| joined(&at, &[name])));
        tree.insert(at.clone(), read(file, &at, &tokens));
    }
    tree.retain(|at, _| {
        !at.iter().any(|segment| segment == "tests") && !tests.iter().any(|test| at.starts_with(test))
    });
    tree.iter().map(|(at, module)| (module.file.clone(), imports_of(&tree, at, module))).collect()
}

fn imports_of(
    tree: &BTreeMap<Segments, Module>,
    at: &Segments,
    module: &Module,
) -> BTreeMap<PathBuf, BTreeSet<String>> {
    let mut used = BTreeSet::new();
    let mut targets = Vec::new();
    for path in &module.paths {
        used.insert(path[0].clone());
        targets.extend(absolute(tree, at, path));
    }
    let bare = module.uses.iter().filter(|(name, import)| !import.public && !used.contains(*name));
    targets.extend(bare.filter_map(|(_, import)| absolute(tree, at, &import.path)));

    let mut found: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    for target in targets {
        let Some((holder, item)) = resolve(tree, &target, MAX_HOPS) else { continue };
        let same_room = !holder.is_empty() && holder.first() == at.first();
        // A file may use what the head of its own folder declares.
        if let Some(other) = tree.get(&holder).filter(|_| same_room && !at.starts_with(&holder)) {
            found.entry(other.file.clone()).or_default().insert(item.unwrap_or_else(|| "self".to_owned()));
        }
    }
    found
}

/// `path`, as written in module `at`, from the root of the crate; `None` for what is not of this crate.
fn absolute(tree: &BTreeMap<Segments, Module>, at: &[String], path: &[String]) -> Option<Segments> {
    let module = tree.get(at)?;
    let (first, rest) = path.split_first()?;
    let written = match module.uses.get(first) {
        Some(import) if import.path.first() != Some(first) => joined(&import.path, rest),
        _ => path.to_vec(),
    };
    match written.split_first()? {
        (first, rest) if first == "crate" => Some(rest.to_vec()),
        (first, _) => module.children.contains(first).then(|| joined(at, &written)),
    }
}

/// The module that holds what `path` names, and the item in it.
fn resolve(
    tree: &BTreeMap<Segments, Module>,
    path: &[String],
    hops: usize,
) -> Option<(Segments, Option<String>)> {
    let depth = (0..=path.len()).rev().find(|depth| tree.contains_key(&path[..*depth]))?;
    let (at, rest) = path.split_at(depth);
    let Some(item) = rest.first() else { return Some((at.to_vec(), None)) };
    match tree.get(at)?.uses.get(item) {
        None => Some((at.to_vec(), Some(item.clone()))),
        Some(import) => {
            let target = absolute(tree, at, &joined(&import.path, &rest[1..]))?;
            resolve(tree, &target, hops.checked_sub(1)?)
        }
    }
}

/// The sets of files that reach each other, largest first.
fn cycles(imports: &Imports) -> Vec<BTreeSet<PathBuf>> {
    let reach: BTreeMap<&PathBuf, BTreeSet<&PathBuf>> =
        imports.keys().map(|file| (file, reached(imports, file))).collect();
    let found: BTreeSet<BTreeSet<PathBuf>> = imports
        .keys()
        .filter(|file| reach[file].contains(file))
        .map(|file| {
            reach[file].iter().filter(|other| reach[*other].contains(file)).map(|f| (*f).clone()).collect()
        })
        .collect();
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_by_key(|cycle| std::cmp::Reverse(cycle.len()));
    found
}

/// What `file` imports, directly and by way of others.
fn reached<'a>(imports: &'a Imports, file: &'a PathBuf) -> BTreeSet<&'a PathBuf> {
    let (mut found, mut open) = (BTreeSet::new(), vec![file]);
    while let Some(next) = open.pop() {
        let named = imports.get(next).into_iter().flat_map(BTreeMap::keys);
        open.extend(named.filter(|other| found.insert(*other)));
    }
    found
}

/// The cycles that are not known, and the known ones that are not there as they are listed.
fn unexpected(imports: &Imports, known: &[KnownCycle]) -> Vec<String> {
    let listed = |known: &KnownCycle| known.files.iter().map(PathBuf::from).collect::<BTreeSet<_>>();
    let found = cycles(imports);
    let new = found.iter().filter(|cycle| !known.iter().any(|known| listed(known) == **cycle));
    let gone = known.iter().filter(|known| !found.contains(&listed(known)));
    let gone = gone.map(|known| {
        format!(
            "no cycle has exactly the files {}: correct the list ({})",
            known.files.join(", "),
            known.reason
        )
    });
    new.map(|cycle| described(cycle, imports)).chain(gone).collect()
}

/// What the files of a cycle import from each other, one line an import.
fn described(cycle: &BTreeSet<PathBuf>, imports: &Imports) -> String {
    let mut text = format!("a cycle of {} files:\n", cycle.len());
    for file in cycle {
        for (other, names) in imports[file].iter().filter(|(other, _)| cycle.contains(*other)) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            text += &format!("  {} imports {} from {}\n", file.display(), names.join(", "), other.display());
        }
    }
    text
}

#[test]
fn files_import_each_other_in_known_cycles_only() {
    let (_, files) = super::source_tree();
    let imports = imports(&files);
    let seen: usize = imports.values().map(BTreeMap::len).sum();
    assert!(seen > 500, "only {seen} imports found: are they still read rightly?");
    super::assert_no_errors(&unexpected(&imports, &KNOWN));
}

/// The rule against small trees.
mod rules {
    use super::*;

    fn of(files: &[(&str, &str)]) -> Imports {
        let files: Vec<_> =
            files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
        imports(&files)
    }

    #[test]
    fn a_cycle_is_found_in_every_spelling() {
        for back in [
            "use super::a::A;",
            "use crate::room::a::A;",
            "use crate::room::{a::{A}};",
            "use super::{a::A as Other, c};",
            "use super::A;",
            "use super::a; fn f() { a::A::new(); }",
            "fn f() { super::a::A::new(); }",
            "mod inner { const END: char = '}'; use super::super::a::A; }",
            "mod inner { use super::super::a::A; }",
            "pub(super) use super::a::A; fn f(a: A) {}",
        ] {
            let imports = of(&[
                ("room/mod.rs", "mod a; mod b; mod c; pub use a::A;"),
                ("room/a.rs", "use super::c::C;\npub struct A;"),
                ("room/b.rs", back),
                ("room/c.rs", "use super::b::B;\npub struct C;"),
            ]);
            let found = cycles(&imports);
            assert_eq!(found.len(), 1, "{back}: {imports:?}");
            assert_eq!(found[0].len(), 3, "{back}: {imports:?}");
        }
    }

    #[test]
    fn reexports_tests_and_declarations_make_no_cycle() {
        for back in [
            "pub use super::a::A;",
            "// use super::a::A;",
            "const TEXT: &str = \"super::a::A\";",
            "#[cfg(test)]\nmod tests { use super::super::a::A; }",
            "#[cfg(test)]\nuse super::a::A;\nuse super::c::C;",
            "use super::Shared;",
            "use a::A;",
            "use crate::other::a::A;",
        ] {
            let imports = of(&[
                ("room/mod.rs", "mod a; mod b; mod c; pub struct Shared; fn f() { b::f() }"),
                ("room/a.rs", "use super::b::B;"),
                ("room/b.rs", back),
                ("room/c.rs", "pub struct C;"),
                ("other/mod.rs", "mod a;"),
                ("other/a.rs", "use crate::room::b::B;"),
            ]);
            assert_eq!(cycles(&imports), [], "{back}: {imports:?}");
        }
    }

    #[test]
    fn an_unlisted_cycle_and_a_listed_one_that_has_changed_are_found() {
        let imports = of(&[
            ("room/mod.rs", "mod a; mod b;"),
            ("room/a.rs", "use super::b::B;"),
            ("room/b.rs", "use super::a::A;"),
        ]);
        let known = |files| KnownCycle { files, reason: "so" };
        assert_eq!(unexpected(&imports, &[known(&["room/a.rs", "room/b.rs"])]), Vec::<String>::new());
        assert!(unexpected(&imports, &[])[0].contains("room/a.rs imports B from room/b.rs"));
        assert_eq!(unexpected(&imports, &[known(&["room/a.rs"])]).len(), 2);
    }
}
