//! What a file imports, as it is written: its `use` declarations and every path in its code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::code_only;

/// The segments of a module or an item, from the root of the crate.
pub(crate) type Segments = Vec<String>;

pub(crate) struct Module {
    pub(crate) file: PathBuf,
    /// Local name to what it stands for; of two with one name, in modules of their own, the last.
    pub(crate) uses: BTreeMap<String, Use>,
    /// Every `use`, from the root where it says `self` or `super`; a glob ends in `*`.
    pub(crate) imports: Vec<Segments>,
    pub(crate) children: BTreeSet<String>,
    /// Every path in the code, from the root where it says `self` or `super`.
    pub(crate) paths: Vec<Segments>,
}

pub(crate) struct Use {
    pub(crate) path: Segments,
    pub(crate) public: bool,
}

pub(crate) fn joined(first: &[String], second: &[String]) -> Segments {
    first.iter().chain(second).cloned().collect()
}

/// The module that a file below `src` is.
pub(crate) fn segments(file: &Path) -> Segments {
    let mut at: Segments = file
        .with_extension("")
        .components()
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    at.pop_if(|last| last == "mod" || last == "lib");
    at
}

/// Identifiers, `::` and single other characters; no literals, comments or lifetimes.
pub(crate) fn tokens(text: &str) -> Vec<String> {
    let code = code_only(text);
    let mut rest = code.as_str();
    let mut found = Vec::new();
    while let Some(c) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let length = if word > 0 {
            word
        } else if rest.starts_with("::") {
            2
        } else if c == '\'' {
            quote(rest)
        } else {
            c.len_utf8()
        };
        if c != '\'' && !c.is_whitespace() {
            found.push(rest[..length].to_owned());
        }
        rest = &rest[length..];
    }
    found
}

/// The length of the character literal that `text` begins with, or of the quote of a lifetime.
fn quote(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((after, _))) => {
            let from = after + text[after..].chars().next().map_or(1, char::len_utf8);
            text[from..].find('\'').map_or(text.len(), |end| from + end + 1)
        }
        (Some(_), Some((end, '\''))) => end + 1,
        _ => 1,
    }
}

/// The tokens without the items that stand under `#[cfg(test)]`, and the names of the modules among those.
pub(crate) fn without_tests(tokens: &[String]) -> (Vec<String>, Vec<String>) {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut modules, mut at) = (Vec::new(), Vec::new(), 0);
    while at < tokens.len() {
        if !tokens[at..].iter().map(String::as_str).take(MARK.len()).eq(MARK) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let item = &tokens[at + MARK.len()..];
        let length = item_length(item);
        modules.extend(item[..length].windows(2).filter(|pair| pair[0] == "mod").map(|pair| pair[1].clone()));
        at += MARK.len() + length;
    }
    (kept, modules)
}

/// How many tokens the item takes that `tokens` begin with: to its semicolon or closing brace. None for a field or an arm.
fn item_length(tokens: &[String]) -> usize {
    const ITEMS: [&str; 14] = [
        "#", "pub", "mod", "use", "fn", "impl", "struct", "enum", "const", "static", "type", "trait",
        "async", "let",
    ];
    if !tokens.first().is_some_and(|first| ITEMS.contains(&first.as_str())) {
        return 0;
    }
    let (mut depth, mut import) = (0_usize, false);
    for (at, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "use" => import = true,
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth = depth.saturating_sub(1);
                if depth == 0 && token == "}" && !import {
                    return at + 1;
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Reads a file that is module `at`, of which these are the tokens.
pub(crate) fn read(file: &Path, at: &[String], tokens: &[String]) -> Module {
    let (uses, imports, children, paths) = Default::default();
    let mut module = Module { file: file.to_owned(), uses, imports, children, paths };
    let (mut inline, mut braces, mut index): (Vec<(usize, String)>, usize, usize) = (Vec::new(), 0, 0);
    while index < tokens.len() {
        let inside: Segments = inline.iter().map(|(_, name)| name.clone()).collect();
        match tokens[index].as_str() {
            "use" => {
                let public = index > 0 && matches!(tokens[index - 1].as_str(), "pub" | ")");
                let length =
                    tokens[index..].iter().position(|token| token == ";").unwrap_or(tokens.len() - index);
                for (name, path) in leaves(&tokens[index + 1..index + length]) {
                    let path = rooted(&joined(at, &inside), path);
                    let glob = name.ends_with("::*").then(|| "*".to_owned());
                    module.imports.push(path.iter().cloned().chain(glob).collect());
                    module.uses.insert(name, Use { path, public });
                }
                index += length;
            }
            "mod" if tokens.get(index + 2).is_some_and(|next| next == ";") => {
                module.children.insert(tokens[index + 1].clone());
                index += 2;
            }
            "mod" if tokens.get(index + 2).is_some_and(|next| next == "{") => {
                inline.push((braces, tokens[index + 1].clone()));
                index += 1;
            }
            "pub" if tokens.get(index + 1).is_some_and(|next| next == "(") => {
                index += tokens[index..].iter().position(|token| token == ")").unwrap_or_default();
            }
            "{" => braces += 1,
            "}" => {
                braces = braces.saturating_sub(1);
                inline.pop_if(|(opened, _)| *opened == braces);
            }
            "::" | "." => index += 1,
            word if is_name(word) => {
                let path = path_at(&tokens[index..]);
                index += path.len() * 2 - 2;
                module.paths.push(rooted(&joined(at, &inside), path));
            }
            _ => {}
        }
        index += 1;
    }
    module
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The path that `tokens` begin with: names with `::` between them.
fn path_at(tokens: &[String]) -> Segments {
    let mut path = vec![tokens[0].clone()];
    for pair in tokens[1..].chunks(2) {
        match pair {
            [colons, name] if colons == "::" && is_name(name) => path.push(name.clone()),
            _ => break,
        }
    }
    path
}

/// A path from the root if it says `self` or `super`; other paths stay as they are written.
fn rooted(here: &[String], path: Segments) -> Segments {
    let climbs = path.iter().take_while(|segment| *segment == "super" || *segment == "self");
    let (count, supers) = climbs.fold((0, 0), |(all, up), next| (all + 1, up + usize::from(next == "super")));
    if count == 0 {
        return path;
    }
    let stays = here.len().saturating_sub(supers);
    ["crate".to_owned()]
        .into_iter()
        .chain(here[..stays].iter().cloned())
        .chain(path[count..].iter().cloned())
        .collect()
}

/// The members of a `use`, each with its local name.
fn leaves(tokens: &[String]) -> Vec<(String, Segments)> {
    let path: Segments = tokens.iter().step_by(2).take_while(|token| is_name(token)).cloned().collect();
    let after = tokens.get((path.len() * 2).saturating_sub(1)..).unwrap_or_default();
    let head = path.last().cloned().unwrap_or_default();
    match after.first().map(String::as_str) {
        // `a as b`: the step over two skipped `as` and took the new name, if it did.
        _ if tokens.iter().any(|token| token == "as") && !tokens.iter().any(|token| token == "{") => {
            renamed(tokens)
        }
        Some("::") if after.get(1).is_some_and(|next| next == "{") => {
            let group = &after[2..after.len() - 1];
            let members = split_group(group).into_iter().flat_map(leaves);
            members
                .map(|(name, rest)| match rest.as_slice() {
                    [only] if only == "self" => {
                        (if name == "self" { head.clone() } else { name }, path.clone())
                    }
                    _ => (name, joined(&path, &rest)),
                })
                .collect()
        }
        None if tokens.first().is_some_and(|first| first == "{") => {
            split_group(&tokens[1..tokens.len() - 1]).into_iter().flat_map(leaves).collect()
        }
        Some("::") => vec![(format!("{}::*", path.join("::")), path)],
        _ if path.is_empty() => vec![],
        _ => vec![(head, path)],
    }
}

/// `a::b as c`.
fn renamed(tokens: &[String]) -> Vec<(String, Segments)> {
    let Some(at) = tokens.iter().position(|token| token == "as") else { return vec![] };
    let path: Segments = tokens[..at].iter().filter(|token| is_name(token)).cloned().collect();
    let name = tokens.get(at + 1).filter(|name| *name != "_").cloned();
    vec![(name.unwrap_or_else(|| format!("{} as _", path.join("::"))), path)]
}

/// The members of a group, of which the braces are taken off.
fn split_group(tokens: &[String]) -> Vec<&[String]> {
    let mut depth = 0_usize;
    let members = tokens.split(|token| {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        token == "," && depth == 0
    });
    members.filter(|member| !member.is_empty()).collect()
}
