//! Renders destinations and stages those that differ, on all cores.
//!
//! This only reads, or writes a new file beside the destination: no service sees a change, and dropping a prepared
//! file removes its staged copy.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::generation::Generation;
use super::job::Job;
use super::outcome::{DestOutcome, FailedStep, ReportLine};
use super::probe::Verify;
use super::request::line;
use super::resource::{OutputFormat, Resource};
use crate::document;
use crate::replace::{Difference, Staged, Target, make_folder_of, sync_all};
use crate::template::{Engine, Reads, RenderFailure, TemplateError, TemplateErrorKind, generation_of};
use crate::values::{Values, View};

/// With fewer jobs than this, a second thread costs more than it saves.
const MIN_PARALLEL_JOBS: usize = 16;

/// The stack of a rendering thread, the same as the runtime's threads get from `app`: templates run by recursion.
const THREAD_STACK_BYTES: usize = 64 << 20;

/// One destination, rendered and compared.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) job: Job,
    /// What the render read, also when it failed: a missing key that appears makes the resource due again.
    pub(super) reads: Reads,
    pub(super) result: Result<ReadyFile, DestOutcome>,
}

impl Prepared {
    /// Returns its line in a report.
    pub(super) fn line_for(&self, outcome: DestOutcome) -> ReportLine {
        line(self.job.index, &self.job.resource, &self.job.dest, outcome)
    }
}

/// A successful rendering.
#[derive(Debug)]
pub(super) struct ReadyFile {
    pub(super) target: Target,
    pub(super) bytes: Vec<u8>,
    /// The verification, filled in for this rendering.
    pub(super) verify: Option<Arc<Verify>>,
    pub(super) difference: Difference,
    /// Why a new file could not be written, in a comparison.
    pub(super) obstacle: Option<String>,
    /// Present when the file differs and has to be written.
    pub(super) staged: Option<Staged>,
}

/// What to do with a rendering that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PrepareMode {
    /// Only report it.
    Compare,
    /// Stage it.
    Stage,
}

/// Renders and stages all jobs, in their order. Staged files are durable when this returns. Blocking.
pub(super) fn prepare_all(
    generation: &Generation,
    values: &Arc<Values>,
    jobs: Vec<Job>,
    mode: PrepareMode,
) -> Vec<Prepared> {
    let one = |job: Job| prepare(generation, values, job, mode);
    let mut prepared: Vec<Prepared> = if jobs.len() < MIN_PARALLEL_JOBS {
        jobs.into_iter().map(one).collect()
    } else {
        in_parallel(jobs, one)
    };
    let staged: Vec<&Staged> =
        prepared.iter().filter_map(|p| p.result.as_ref().ok()?.staged.as_ref()).collect();
    if let Err(error) = sync_all(&staged) {
        for p in prepared.iter_mut().filter(|p| p.result.as_ref().is_ok_and(|ready| ready.staged.is_some())) {
            p.result = Err(unstaged(&error));
        }
    }
    prepared
}

fn in_parallel<J: Send, R: Send>(jobs: Vec<J>, one: impl Fn(J) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let slots: Vec<Mutex<(Option<J>, Option<R>)>> =
        jobs.into_iter().map(|job| Mutex::new((Some(job), None))).collect();
    let work = || {
        while let Some(slot) = slots.get(next.fetch_add(1, Ordering::Relaxed)) {
            // Each slot is written by one thread only, so a poisoned lock holds no partial value.
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(job) = slot.0.take() {
                slot.1 = Some(one(job));
            }
        }
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(16);
        for _ in 1..threads {
            // If a thread does not start, the others take over its work.
            thread::Builder::new().stack_size(THREAD_STACK_BYTES).spawn_scoped(scope, work).ok();
        }
        work();
    });
    slots.into_iter().filter_map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner).1).collect()
}

fn prepare(generation: &Generation, values: &Arc<Values>, job: Job, mode: PrepareMode) -> Prepared {
    let Rendered { job, reads, result } = render(generation, values, job);
    let result = result.and_then(|output| compare(&job, output, mode));
    Prepared { job, reads, result }
}

/// One destination, rendered but not compared.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) job: Job,
    pub(super) reads: Reads,
    pub(super) result: Result<RenderOutput, DestOutcome>,
}

/// The result of a rendering.
#[derive(Debug)]
pub(super) struct RenderOutput {
    pub(super) bytes: Vec<u8>,
    /// The verification, filled in.
    pub(super) verify: Option<Arc<Verify>>,
    /// Whether the template prints its generation.
    pub(super) prints_generation: bool,
}

/// Renders one job; does not look at the destination.
pub(super) fn render(generation: &Generation, values: &Arc<Values>, job: Job) -> Rendered {
    let view = View { values: Arc::clone(values), scope: Arc::clone(&job.resource.scope) };
    let (mut reads, rendered) = match generation.engine.render(&job.resource.src, &view, &job.vars) {
        Ok(rendered) => (rendered.reads, Ok((rendered.text, rendered.generation))),
        Err(failure) => {
            let RenderFailure { error, reads } = *failure;
            (reads, Err(failed(&job.resource, &error, error.to_string())))
        }
    };
    let result = rendered.and_then(|(text, own)| {
        if let Some(format) = job.resource.output_format {
            has_format(format, &text).map_err(|error| DestOutcome::failed(FailedStep::Format, error))?;
        }
        let prints_generation = own.is_some();
        let verify = match &job.resource.verify {
            Some(verify) if !verify.is_fixed() => {
                let own = own.unwrap_or_else(|| generation_of(text.as_bytes()));
                Some(Arc::new(fill(&generation.engine, verify, &job, &view, &own, &mut reads)?))
            }
            verify => verify.clone(),
        };
        Ok(RenderOutput { bytes: text.into(), verify, prints_generation })
    });
    Rendered { job, reads, result }
}

/// Fills in the texts of the verification.
fn fill(
    engine: &Engine,
    verify: &Verify,
    job: &Job,
    view: &View,
    generation: &str,
    reads: &mut Reads,
) -> Result<Verify, DestOutcome> {
    let resource = &job.resource;
    let place = |text: &str| format!("{}: {text}", resource.file.display());
    let fill = |field: &'static str, text: &str| match engine.render_text(
        (field, text),
        view,
        &job.vars,
        generation,
    ) {
        Ok(rendered) => {
            reads.merge(rendered.reads);
            Ok(rendered.text)
        }
        Err(failure) => {
            let RenderFailure { error, reads: more } = *failure;
            reads.merge(more);
            Err(failed(resource, &error, place(&format!("{field}: {}", error.what))))
        }
    };
    verify.filled(generation, &job.dest, fill, |text| DestOutcome::failed(FailedStep::Template, place(&text)))
}

/// A missing key leaves the file of an optional resource as it is.
fn failed(resource: &Resource, error: &TemplateError, text: String) -> DestOutcome {
    if resource.optional && error.kind == TemplateErrorKind::MissingKey {
        DestOutcome::Skipped { why: text }
    } else {
        DestOutcome::failed(FailedStep::Template, text)
    }
}

fn unstaged(error: impl fmt::Display) -> DestOutcome {
    DestOutcome::failed(FailedStep::Stage, error)
}

fn compare(job: &Job, output: RenderOutput, mode: PrepareMode) -> Result<ReadyFile, DestOutcome> {
    let RenderOutput { bytes, verify, .. } = output;
    if mode == PrepareMode::Stage && job.resource.makes_folders {
        make_folder_of(&job.dest, job.resource.trust())
            .map_err(|error| unstaged(format!("cannot make its folder: {error}")))?;
    }
    let target = Target::resolve_with(&job.dest, job.resource.trust()).map_err(unstaged)?;
    let attributes = &job.resource.attributes;
    let difference = target.compare(&bytes, attributes).map_err(unstaged)?;
    let new = mode == PrepareMode::Compare && difference.missing && !job.resource.makes_folders;
    let obstacle = new.then(|| target.check_folder().err()).flatten().map(|error| error.to_string());
    let wanted = mode == PrepareMode::Stage && !difference.none();
    let staged = wanted.then(|| target.stage(&bytes, attributes)).transpose().map_err(unstaged)?;
    Ok(ReadyFile { target, bytes, verify, difference, obstacle, staged })
}

fn has_format(format: OutputFormat, text: &str) -> Result<(), String> {
    match format {
        OutputFormat::Json => document::parse_json(text).map(drop),
        OutputFormat::Yaml => document::parse_yaml(text).map(drop),
        OutputFormat::Toml => document::parse_toml(text).map(drop),
    }
    .map_err(|error| format!("the rendered text is not valid {format:?}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parallel_work_keeps_its_order_and_loses_nothing() {
        let squares = in_parallel((0..1000_usize).collect(), |n| n * n);
        assert_eq!(squares, (0..1000).map(|n| n * n).collect::<Vec<_>>());
    }
}
