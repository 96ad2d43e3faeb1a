//! Hints for users of `retune ctl`: what an unknown command, option or variable probably stands for. Under etcdctl's name
//! there are none, as in etcdctl.

use std::ffi::{OsStr, OsString};

use super::super::environment;
use super::super::go_flags::{Flags, UNDEFINED};
use super::super::row::Row;
use super::access::{NO_SYNC, VARIABLES};
use super::row::{Cmd, dashed};
use super::table::GLOBAL;
use super::{Program, RETUNE_CTL};
use crate::nearest::nearest;

/// Options of our other commands, and the option of `ctl` that does the same.
const EQUIVALENT_OPTIONS: &[(&str, &str)] = &[
    ("node", "endpoints"),
    ("nodes", "endpoints"),
    ("n", "endpoints"),
    ("etcd", "endpoints"),
    ("client-cert", "cert-file"),
    ("client-key", "key-file"),
    ("client-ca-keys", "ca-file"),
    ("client-cakeys", "ca-file"),
    ("srv-domain", "discovery-srv"),
    ("password", "username"),
];

/// The options that name the store; one of them is enough.
const ENDPOINT_OPTIONS: &[&str] = &["endpoints", "endpoint", "peers"];

fn equivalent(name: &str) -> Option<&'static str> {
    EQUIVALENT_OPTIONS.iter().find(|(other, _)| *other == name).map(|(_, own)| *own)
}

fn names(options: &[&'static [Row]]) -> impl Iterator<Item = &'static str> {
    options.iter().flat_map(|options| options.iter()).flat_map(Row::names)
}

/// Returns the end of a sentence about an unknown command: the nearest one, if any is near.
pub(super) fn command(program: Program, word: &OsStr, commands: &[Cmd]) -> String {
    let near = nearest(&word.to_string_lossy(), commands.iter().map(|command| command.name));
    near.filter(|_| program == RETUNE_CTL).map(|near| format!("; did you mean {near}?")).unwrap_or_default()
}

/// Adds to the error about an unknown option what was probably meant.
pub(super) fn option(program: Program, why: String, options: &[&'static [Row]]) -> String {
    let unknown = why.strip_prefix(UNDEFINED).filter(|_| program == RETUNE_CTL);
    match unknown.and_then(|name| suggestion(name, options)) {
        Some(hint) => format!("{why}; {hint}"),
        None => why,
    }
}

fn suggestion(name: &str, options: &[&'static [Row]]) -> Option<String> {
    let own = equivalent(name).unwrap_or(name);
    if names(&[GLOBAL]).any(|known| known == own) && !names(options).any(|known| known == own) {
        return Some(format!("write {} before the command", dashed(own)));
    }
    let known = names(options).filter(|known| known.len() > 1);
    let near = equivalent(name).or_else(|| nearest(name, known))?;
    Some(format!("did you mean --{near}?"))
}

/// Returns notes about options behind the words that a command takes: like etcdctl, it does not read them.
pub(super) fn ignored_options(program: Program, command: &Cmd, words: &[OsString]) -> Vec<String> {
    if program != RETUNE_CTL || command.args.is_empty() || command.args.contains("...") {
        return Vec::new();
    }
    let surplus = words.iter().skip(command.args.split_whitespace().count());
    let typed =
        surplus.filter_map(|word| word.to_str()).filter(|word| word.len() > 1 && word.starts_with('-'));
    typed
        .map(|word| {
            let word = word.split('=').next().unwrap_or(word);
            let hint = suggestion(word.trim_start_matches('-'), &[command.options]);
            let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
            format!("{word} has no effect there{hint}")
        })
        .collect()
}

/// Returns notes about variables with our prefix that `ctl` does not read, although they look like its settings.
pub(super) fn ignored_variables(
    program: Program,
    globals: &Flags,
    variables: &[String],
    env: &dyn Fn(&str) -> Option<String>,
) -> Vec<String> {
    if program != RETUNE_CTL {
        return Vec::new();
    }
    let value = |name: &str| env(name).filter(|value| !value.is_empty());
    let variable_of = |name: &str| format!("RETUNE_{}", name.replace('-', "_").to_ascii_uppercase());
    let is_set = |name: &str| globals.given(name) || value(&variable_of(name)).is_some();
    let has_password =
        || globals.given("username") || value("RETUNE_USERNAME").is_some_and(|name| name.contains(':'));
    let note = |variable: &String| {
        let rest = variable.strip_prefix("RETUNE_").filter(|_| value(variable).is_some())?;
        if rest == NO_SYNC || VARIABLES.contains(&rest) {
            return None;
        }
        let name = rest.replace('_', "-").to_ascii_lowercase();
        let idle = format!("{variable} has no effect on `retune ctl`");
        match equivalent(&name) {
            Some("username") if has_password() => None,
            Some("username") => Some(format!("{idle}; RETUNE_USERNAME takes NAME:PASSWORD")),
            Some("endpoints") if ENDPOINT_OPTIONS.iter().any(|name| is_set(name)) => None,
            Some(own) if is_set(own) => None,
            Some(own) => Some(format!("{idle}; {} is its name here", variable_of(own))),
            None if environment::is_setting(variable) => None,
            // Container images set a version of their own.
            None if name == "version" => None,
            None if names(&[GLOBAL]).any(|known| known == name) => Some(format!("{idle}; write --{name}")),
            None => environment::mistyped(variable),
        }
    };
    variables.iter().filter_map(note).collect()
}
