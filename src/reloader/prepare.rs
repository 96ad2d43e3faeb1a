//! Rendering destinations and staging those that differ, on all cores.
//!
//! Everything here is pure reading or a new file beside the destination: nothing a service sees changes, and
//! dropping a prepared file removes its staged copy.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::generation::Generation;
use super::job::Job;
use super::outcome::{Line, Outcome, Step};
use super::resource::Format;
use super::want::line;
use crate::replace::{Difference, Staged, Target, sync_all};
use crate::template::{Failure, Kind, Reads, Values, View, data};

/// With fewer jobs than this a second thread costs more than it saves.
const PARALLEL_FROM: usize = 16;

/// The stack of a rendering thread, as `app` gives it to the runtime's: templates are run by recursion.
const STACK: usize = 64 << 20;

/// One destination, rendered and compared.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) job: Job,
    /// What the render read, also when it failed: a missing key that appears makes it due again.
    pub(super) reads: Reads,
    pub(super) result: Result<Ready, Outcome>,
}

impl Prepared {
    /// Its line in a report.
    pub(super) fn told(&self, outcome: Outcome) -> Line {
        line(self.job.index, &self.job.resource, &self.job.dest, outcome)
    }
}

/// A rendering that went well.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) target: Target,
    pub(super) bytes: Vec<u8>,
    pub(super) difference: Difference,
    /// Present when the file differs and is to be written.
    pub(super) staged: Option<Staged>,
}

/// What to do with a rendering that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// Only say so.
    Compare,
    /// Stage it.
    Stage,
}

/// Renders and stages all jobs, in their order. Staged files are durable when this returns. Blocking.
pub(super) fn prepare_all(
    generation: &Generation,
    values: &Arc<Values>,
    jobs: Vec<Job>,
    depth: Depth,
) -> Vec<Prepared> {
    let one = |job: Job| prepare(generation, values, job, depth);
    let mut prepared: Vec<Prepared> =
        if jobs.len() < PARALLEL_FROM { jobs.into_iter().map(one).collect() } else { in_parallel(jobs, one) };
    let staged: Vec<&Staged> =
        prepared.iter().filter_map(|p| p.result.as_ref().ok()?.staged.as_ref()).collect();
    if let Err(error) = sync_all(&staged) {
        for p in prepared.iter_mut().filter(|p| p.result.as_ref().is_ok_and(|ready| ready.staged.is_some())) {
            p.result = Err(Outcome::failed(Step::Stage, &error));
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
            // A slot is touched by the one thread that drew its number; poisoning cannot mean a torn value.
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(job) = slot.0.take() {
                slot.1 = Some(one(job));
            }
        }
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(16);
        for _ in 1..threads {
            // With one thread fewer the others do its share.
            thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work).ok();
        }
        work();
    });
    slots.into_iter().filter_map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner).1).collect()
}

fn prepare(generation: &Generation, values: &Arc<Values>, job: Job, depth: Depth) -> Prepared {
    let Rendered { job, reads, result } = render(generation, values, job);
    let result = result.and_then(|bytes| compare(&job, bytes, depth));
    Prepared { job, reads, result }
}

/// One destination, rendered and no more.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) job: Job,
    pub(super) reads: Reads,
    pub(super) result: Result<Vec<u8>, Outcome>,
}

/// Renders one job; looks at no destination.
pub(super) fn render(generation: &Generation, values: &Arc<Values>, job: Job) -> Rendered {
    let view = View { values: Arc::clone(values), scope: Arc::clone(&job.resource.scope) };
    let (reads, result) = match generation.engine.render(&job.resource.src, &view, &job.vars) {
        Ok(rendered) => (rendered.reads, Ok(rendered.text.into())),
        Err(failure) => {
            let Failure { error, reads } = *failure;
            let outcome = if job.resource.optional && error.kind() == Kind::MissingKey {
                Outcome::Skipped { why: error.to_string() }
            } else {
                Outcome::failed(Step::Template, error)
            };
            (reads, Err(outcome))
        }
    };
    let result = result.and_then(|bytes: Vec<u8>| match job.resource.output_format {
        Some(format) => match has_format(format, &bytes) {
            Ok(()) => Ok(bytes),
            Err(error) => Err(Outcome::failed(Step::Format, error)),
        },
        None => Ok(bytes),
    });
    Rendered { job, reads, result }
}

fn compare(job: &Job, bytes: Vec<u8>, depth: Depth) -> Result<Ready, Outcome> {
    let target = Target::resolve(&job.dest).map_err(|error| Outcome::failed(Step::Stage, error))?;
    let attributes = &job.resource.attributes;
    let difference =
        target.compare(&bytes, attributes).map_err(|error| Outcome::failed(Step::Stage, error))?;
    if depth == Depth::Compare && difference.missing {
        target.check_folder().map_err(|error| Outcome::failed(Step::Stage, error))?;
    }
    let wanted = depth == Depth::Stage && !difference.none();
    let staged = if wanted {
        Some(target.stage(&bytes, attributes).map_err(|error| Outcome::failed(Step::Stage, error))?)
    } else {
        None
    };
    Ok(Ready { target, bytes, difference, staged })
}

fn has_format(format: Format, bytes: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("not UTF-8: {error}"))?;
    match format {
        Format::Json => data::parse_json(text).map(drop),
        Format::Yaml => data::parse_yaml(text).map(drop),
        Format::Toml => data::parse_toml(text).map(drop),
    }
    .map_err(|error| format!("the rendered text is no {format:?}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_in_parallel_keeps_its_order_and_loses_nothing() {
        let squares = in_parallel((0..1000_usize).collect(), |n| n * n);
        assert_eq!(squares, (0..1000).map(|n| n * n).collect::<Vec<_>>());
    }
}
