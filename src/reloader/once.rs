//! Renders every resource once: what CI and boot scripts run.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::time::timeout;

use super::deliver::Deliverer;
use super::error::ReloaderError;
use super::generation::Generation;
use super::housekeeping::sweep_stage_files;
use super::outcome::{DestOutcome, FailedStep, Report, ReportLine};
use super::settings::Settings;
use super::shutdown::DaemonEnd;
use super::shutdown::run_to_completion;

use crate::source::{Source, SourceError};
use crate::stop::{Signal, Signals, Stop};
use crate::values::Values;

/// Renders everything once. A broken resource is a failed line of the report; the others are rendered.
///
/// # Errors
/// When nothing could be rendered at all: no confdir, or no response from the source in time.
pub async fn render(
    settings: Arc<Settings>,
    source: &Source,
    signals: &mut Signals,
) -> Result<(Report, DaemonEnd), ReloaderError> {
    let generation = Generation::load(&settings);
    let mut report = problems_of(&generation)?;
    generation.log_resources();
    sweep_stage_files(&generation.confdir);
    let values = tokio::select! {
        values = fetch(&settings, source, &generation) => Arc::new(values?),
        () = stop_signal(signals) => return Ok((report, DaemonEnd::CutOff)),
    };
    let mut deliverer = Deliverer::new(Arc::clone(&settings), Stop::new())?;
    deliverer.one_shot = true;
    let all: BTreeSet<usize> = (0..generation.confdir.resources.len()).collect();
    let stop = deliverer.stop.clone();
    let work = deliverer.pass(&generation, &values, &all);
    match run_to_completion(work, signals, &stop, settings.shutdown_timeout, || {}).await {
        Some((passed, _)) => {
            report.lines.extend(passed.report.lines);
            let ending = if stop.requested() { DaemonEnd::CutOff } else { DaemonEnd::Stopped };
            Ok((report, ending))
        }
        None => Ok((report, DaemonEnd::CutOff)),
    }
}

/// Waits for a stop signal; used while nothing is changed, so nothing has to be finished first.
async fn stop_signal(signals: &mut Signals) {
    while !matches!(signals.next().await, Signal::Stop | Signal::StopNow) {}
}

/// Returns the resources that could not be read, as failed lines.
pub(super) fn problems_of(generation: &Generation) -> Result<Report, ReloaderError> {
    let confdir = &generation.confdir;
    if confdir.files == 0 && confdir.problems.len() == 1 {
        return Err(ReloaderError::Confdir(confdir.problems[0].to_string()));
    }
    let mut report = Report::default();
    for problem in &confdir.problems {
        report.lines.push(ReportLine {
            resource: problem.file.display().to_string(),
            dest: PathBuf::new(),
            outcome: DestOutcome::failed(FailedStep::Resource, problem),
            index: None,
        });
    }
    Ok(report)
}

/// Returns one snapshot of everything the resources read, within the time limit of a one-shot.
pub(super) async fn fetch(
    settings: &Settings,
    source: &Source,
    generation: &Generation,
) -> Result<Values, ReloaderError> {
    let roots = generation.confdir.roots();
    match timeout(settings.render_timeout, source.fetch(&roots)).await {
        Ok(snapshot) => Ok(snapshot?.entries.into_iter().collect()),
        Err(_) => {
            let text = format!(
                "{} did not return a complete snapshot within {:?}",
                source.describe(),
                settings.render_timeout
            );
            Err(ReloaderError::Source(SourceError::Unavailable(text)))
        }
    }
}
