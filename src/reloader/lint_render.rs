//! Checks what resources render from given values, and compares it with expected files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::findings::{Finding, Findings, Golden, Severity};
use super::generation::Generation;
use super::job::jobs;
use super::outcome::DestOutcome;
use super::prepare::{Rendered, render};
use super::settings::Settings;
use crate::diff::LineDiff;
use crate::values::Values;

/// Renders every resource; a failure whose cause was found before is not reported again.
pub(super) fn render_all(
    all: &mut Findings,
    settings: &Settings,
    generation: &Generation,
    values: &Arc<Values>,
    expect: Option<&Golden>,
) {
    let mut work = Vec::new();
    for (index, resource) in generation.confdir.resources.iter().enumerate() {
        let expanded = jobs(index, resource, values);
        let is_known = |finding: &Finding| finding.resource == resource.name && finding.rule == "for_each";
        // A dest without the entry's name fails for each entry.
        let is_known = all.findings.iter().any(is_known);
        for text in expanded.problems.into_iter().filter(|_| !is_known) {
            all.add(Severity::Error, "for_each", &resource.name, (&resource.file, 0), text);
        }
        work.extend(expanded.jobs);
    }
    for job in work {
        let Rendered { job, reads, result } = render(generation, values, job);
        let (name, file) = (&job.resource.name, &job.resource.file);
        let unrendered = match &result {
            Err(DestOutcome::Failed { text, .. }) => text.as_str(),
            _ => "",
        };
        let mut is_explained = all.explains(name, &settings.confdir, unrendered);
        for key in &reads.outside {
            let fails =
                [" (", ";"].iter().any(|end| unrendered.contains(&format!("key does not exist: {key}{end}")));
            is_explained |= fails;
            let known =
                |finding: &Finding| finding.resource == *name && finding.outside.as_deref() == Some(&**key);
            if !all.findings.iter().any(known) {
                // The failure names the line.
                let read = || format!("the template read {key}, which lies outside keys");
                let text = if fails { unrendered.to_owned() } else { read() };
                all.add_outside(name, (file, 0), key, text);
            }
        }
        if reads.volatile {
            let text = "it depends on the clock, DNS or a file, whose changes only the next --interval sees"
                .to_owned();
            all.add(Severity::Warning, "volatile", name, (file, 0), text);
        }
        match result {
            Err(DestOutcome::Failed { .. }) if is_explained => {}
            Err(DestOutcome::Failed { step, text }) => {
                all.add(Severity::Error, "render", name, (file, 0), format!("{step}: {text}"));
            }
            Err(_) => {}
            Ok(output) => {
                let asks = job.resource.verify.as_ref().is_some_and(|verify| verify.wants_generation());
                if asks && !output.prints_generation {
                    let text = "verify.contains asks for generation(), which the template never prints: the \
                                service cannot return it"
                        .to_owned();
                    all.add(Severity::Error, "verify", name, (file, 0), text);
                }
                let compared = expect.map(|expect| golden(expect, &job.dest, &output.bytes));
                if let Some(Ok(Some(path))) = &compared {
                    all.written.push(path.clone());
                }
                if let Some(Err(text)) = compared {
                    all.add(Severity::Error, "golden", name, (file, 0), text);
                }
            }
        }
    }
}

/// Compares a rendering with its golden file, or writes that file and returns its path. The error holds the
/// differences.
fn golden(expect: &Golden, dest: &Path, bytes: &[u8]) -> Result<Option<PathBuf>, String> {
    let Golden { dir, update } = expect;
    let below: PathBuf =
        dest.components().filter(|part| matches!(part, std::path::Component::Normal(_))).collect();
    let by_name = dest.file_name().map(|name| dir.join(name));
    let whole = dir.join(below);
    let path = if whole.exists() { whole } else { by_name.filter(|path| path.exists()).unwrap_or(whole) };
    let wanted = match fs::read(&path) {
        Ok(wanted) if wanted == bytes => return Ok(None),
        _ if *update => {
            let made =
                path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, bytes));
            made.map_err(|error| format!("cannot write the golden file {}: {error}", path.display()))?;
            return Ok(Some(path));
        }
        Ok(wanted) => wanted,
        Err(error) => {
            return Err(format!("no golden file {}: {error}; --update writes it", path.display()));
        }
    };
    let (wanted, got) = (String::from_utf8_lossy(&wanted), String::from_utf8_lossy(bytes));
    let diff = LineDiff::new(&wanted, &got).unified(3, &path.display().to_string(), "rendered");
    Err(format!("the rendering differs from {}; --update overwrites it\n{diff}", path.display()))
}
