//! Checks a confdir without a store: what will fail, and what looks unintended.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::command_text::{self, CommandPaths, DEST, SRC};
use super::confdir::Confdir;
use super::fields::Problem;
use super::findings::{Findings, Golden, Severity};
use super::generation::Generation;
use super::lint_pattern::nearest_pattern;
use super::lint_render::render_all;
use super::lint_template::{TemplateRef, scan};
use super::resource::{Reload, Resource};
use super::settings::Settings;
use crate::command::{self, Program};
use crate::key;
use crate::nearest::nearest;
use crate::template::{defined_names, known_names};
use crate::values::Values;

/// The characters that make a pattern of a key.
const GLOB: [char; 3] = ['*', '?', '['];

/// Checks a confdir. With `values` it also renders every resource; with `expect` it compares each rendering with the
/// file of the same path below that folder. Blocking.
#[must_use]
pub fn lint(settings: &Settings, values: Option<&Arc<Values>>, expect: Option<&Golden>) -> Findings {
    let generation = Generation::load(settings);
    let confdir = &generation.confdir;
    let resources = confdir.resources.iter().map(|resource| resource.name.clone()).collect();
    let mut all = Findings { findings: Vec::new(), resources, written: Vec::new() };
    add_problems(&mut all, &confdir.problems, Severity::Error);
    add_problems(&mut all, &confdir.warnings, Severity::Warning);
    if confdir.resources.is_empty() && confdir.problems.is_empty() {
        let folder = settings.confdir.join("conf.d");
        all.add(Severity::Warning, "empty", "", (&folder, 0), "it contains no resource".to_owned());
    }
    let templates = settings.confdir.join("templates");
    let mut reached = BTreeSet::new();
    for resource in &confdir.resources {
        check_resource(&mut all, resource);
        check_template(&mut all, &generation, resource, (&templates, values), &mut reached);
    }
    report_unreached(&mut all, &templates, &reached, confdir);
    if let Some(values) = values {
        render_all(&mut all, settings, &generation, values, expect);
    }
    all.findings.sort_by(|a, b| (&a.file, a.line, a.rule).cmp(&(&b.file, b.line, b.rule)));
    all
}

fn add_problems(all: &mut Findings, problems: &[Problem], severity: Severity) {
    for problem in problems {
        all.add(severity, "resource", "", (&problem.file, problem.line), problem.text.clone());
    }
}

fn check_resource(all: &mut Findings, resource: &Resource) {
    let at = (resource.file.as_path(), 0);
    let dest = resource.dest.as_str();
    if !Path::new(dest).is_absolute() {
        let text =
            format!("dest {dest} is relative: where it goes depends on the folder the process starts in");
        all.add(Severity::Warning, "dest", &resource.name, at, text);
    }
    if resource.scope.roots.is_empty() {
        let text = "keys is empty: every key will be missing".to_owned();
        all.add(Severity::Warning, "keys", &resource.name, at, text);
    }
    if let Some(pattern) = &resource.for_each {
        if !dest.contains("{{") {
            let text = format!("dest {dest} must hold {{{{ item.name }}}}, or every entry is one file");
            all.add(Severity::Error, "for_each", &resource.name, at, text);
        }
        if is_outside(resource, pattern.strip_suffix("/*").unwrap_or(pattern), true) {
            let text = format!("for_each {pattern} lies outside keys: there will be no entry");
            all.add(Severity::Error, "for_each", &resource.name, at, text);
        }
    }
    for (field, text) in resource.verify.iter().flat_map(|verify| verify.texts()) {
        for found in scan(text) {
            if let TemplateRef::Key { asked, listing, .. } = found
                && is_outside(resource, &asked, listing)
            {
                let text = format!("{field}: {asked} lies outside keys: it will be missing");
                all.add_outside(&resource.name, at, &literal_key(resource, &asked), text);
            }
        }
    }
    if let Some(check) = &resource.check {
        check_command(all, resource, "check_cmd", &check.program);
        let text = check.program.to_string();
        let names_dest = [dest, "{{.dest}}", DEST].iter().any(|name| text.contains(name));
        let names_src = [".src", "src }}", SRC].iter().any(|name| text.contains(name));
        if names_dest && !names_src {
            let text =
                "check_cmd names the destination: it would check the old file; {{.src}} is the new one"
                    .to_owned();
            all.add(Severity::Error, "check_cmd", &resource.name, at, text);
        }
    }
    if let Some(Reload::Command { program, .. }) = &resource.reload {
        check_command(all, resource, "reload_cmd", program);
    }
}

fn check_command(all: &mut Findings, resource: &Resource, rule: &'static str, program: &Program) {
    // The names of a `for_each` are not known here; a staged file is named after its destination.
    let dest = if resource.for_each.is_none() { resource.dest.as_str() } else { "/dest" };
    let paths = CommandPaths { src: Path::new(dest), dest: Path::new(dest) };
    let checked = command_text::fill(program, paths).and_then(|program| match program {
        Program::Shell(text) => command::lint(&text),
        Program::Arguments(_) => Ok(()),
    });
    if let Err(text) = checked {
        all.add(Severity::Error, rule, &resource.name, (&resource.file, 0), format!("{rule}: {text}"));
    }
}

fn check_template(
    all: &mut Findings,
    generation: &Generation,
    resource: &Resource,
    (templates, values): (&Path, Option<&Arc<Values>>),
    reached: &mut BTreeSet<PathBuf>,
) {
    let (mut made, mut unknown) = (BTreeSet::new(), Vec::new());
    let mut waiting = vec![resource.src.trim_start_matches('/').to_owned()];
    while let Some(name) = waiting.pop() {
        let path = templates.join(&name);
        if !reached.insert(path.clone()) && name != resource.src {
            continue;
        }
        if let Err(error) = generation.engine.check(&name) {
            let at = error.line.map_or((resource.file.as_path(), 0), |line| (path.as_path(), line));
            all.add(Severity::Error, "template", &resource.name, at, error.to_string());
            continue;
        }
        let Ok(text) = fs::read_to_string(&path) else { continue };
        made.extend(defined_names(&text));
        unknown.extend(generation.engine.unknown(&name).into_iter().map(|one| (path.clone(), one)));
        for found in scan(&text) {
            match found {
                TemplateRef::Template(other) => waiting.push(other),
                TemplateRef::Key { line, asked, listing } => {
                    check_key(all, resource, (&path, line), (&asked, listing), values);
                }
            }
        }
    }
    for (path, one) in unknown.into_iter().filter(|(_, one)| !made.contains(&one.name)) {
        let near = nearest(&one.name, known_names(one.used_as).iter().map(|name| &**name));
        let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        let text = format!("there is no {} {}{hint}", one.used_as, one.name);
        all.add(Severity::Error, "unknown_name", &resource.name, (&path, one.line), text);
    }
}

/// Checks a key that a template names: it must lie within `keys`, and a directory that it lists should exist.
fn check_key(
    all: &mut Findings,
    resource: &Resource,
    at: (&Path, usize),
    (asked, listing): (&str, bool),
    values: Option<&Arc<Values>>,
) {
    if is_outside(resource, asked, listing) {
        let text = format!("{asked} lies outside keys of {}: it will be missing", resource.name);
        all.add_outside(&resource.name, at, &literal_key(resource, asked), text);
        return;
    }
    let is_pattern = listing || asked.contains(GLOB);
    let near =
        values.filter(|_| is_pattern).and_then(|values| nearest_pattern(values, &resource.scope, asked));
    if let Some(near) = near {
        let text =
            format!("{asked} matches nothing, and a render does not report that; did you mean {near}?");
        all.add(Severity::Warning, "no_match", &resource.name, at, text);
    }
}

/// Returns whether `keys` excludes everything that is asked for.
fn is_outside(resource: &Resource, asked: &str, listing: bool) -> bool {
    let absolute = literal_key(resource, asked);
    let is_glob = asked.contains(GLOB);
    let above = || resource.scope.roots.iter().any(|root| key::contains(&absolute, root));
    !(resource.scope.covers(&absolute) || ((is_glob || listing) && above()))
}

/// Returns the key that is asked for, or the directory above the first wildcard.
fn literal_key(resource: &Resource, asked: &str) -> String {
    let certain = match asked.find(GLOB) {
        Some(at) => asked[..at].rsplit_once('/').map_or("", |(dir, _)| dir),
        None => asked,
    };
    key::join(&resource.scope.prefix, certain)
}

fn report_unreached(all: &mut Findings, templates: &Path, reached: &BTreeSet<PathBuf>, confdir: &Confdir) {
    if !confdir.problems.is_empty() {
        // A resource that could not be read may use them.
        return;
    }
    let mut waiting = vec![templates.to_owned()];
    let mut seen = 0;
    while let Some(dir) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            seen += 1;
            if seen > 10_000 {
                return;
            }
            if path.is_dir() {
                waiting.push(path);
            } else if !reached.contains(&path) {
                let text = "no resource uses this template".to_owned();
                all.add(Severity::Warning, "unreached", "", (&path, 0), text);
            }
        }
    }
}
