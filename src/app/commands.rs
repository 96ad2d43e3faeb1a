//! The commands that read a source: render, watch, diff.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::exit::Exit;
use super::{json, logging, notify, print};
use crate::reloader::{self, DaemonEnd, DestOutcome, Report};
use crate::settings::{Colour, Output};
use crate::source::{self, Follow, Source};
use crate::stop::{Loops, Signals, Stop};

/// `retune render`.
pub(super) async fn render(
    source: source::Settings,
    settings: reloader::Settings,
    output: Output,
) -> anyhow::Result<Exit> {
    let started = Instant::now();
    let mut signals = Signals::listen()?;
    let source = Source::new(source)?;
    let (report, ending) = reloader::render(Arc::new(settings), &source, &mut signals).await?;
    summarise(&report, started.elapsed());
    if output == Output::Json {
        print(&json(&report)?);
    }
    Ok(Exit::clean(report.is_clean() && ending == DaemonEnd::Stopped))
}

/// Logs the totals of a one-shot. Each failure was logged when it happened.
fn summarise(report: &Report, took: Duration) {
    // One destination may have two lines: its check failed, and so did a reload of an earlier run.
    let count = |wanted: fn(&DestOutcome) -> bool| {
        let lines = report.lines.iter().filter(|line| wanted(&line.outcome));
        lines.map(|line| (&line.resource, &line.dest)).collect::<BTreeSet<_>>().len()
    };
    let changed = count(|outcome| {
        matches!(outcome, DestOutcome::Updated | DestOutcome::Removed | DestOutcome::WouldChange)
    });
    let (all, failed) = (count(|_| true), count(DestOutcome::is_failure));
    if failed > 0 && all > 1 {
        tracing::error!("{failed} of {all} destinations failed");
    }
    tracing::debug!("{all} destinations, {changed} changed, {failed} failed, in {took:.1?}");
}

/// `retune watch`.
pub(super) async fn watch(
    source: source::Settings,
    settings: reloader::Settings,
    follow: Follow,
) -> anyhow::Result<Exit> {
    let signals = Signals::listen()?;
    let source = Source::new(source)?;
    tracing::info!("Starting retune, values from {}", source.describe());
    if follow.watch && !source.watches() && follow.relist.is_none() {
        anyhow::bail!("{} cannot be watched: give --interval", source.describe());
    }
    let stop = Stop::new();
    let mut loops = Loops::new(stop.clone());
    let readiness = notify::readiness("reading the first snapshot", &mut loops, &stop);
    let ending = reloader::run(Arc::new(settings), source, follow, signals, readiness).await;
    loops.drain(Duration::from_millis(200)).await;
    Ok(Exit::clean(ending? == DaemonEnd::Stopped))
}

/// `retune diff`.
pub(super) async fn diff(
    source: source::Settings,
    settings: reloader::Settings,
    output: Output,
    context: usize,
    colour: Colour,
) -> anyhow::Result<Exit> {
    let source = Source::new(source)?;
    let plan = reloader::plan(Arc::new(settings), &source, context).await?;
    for planned in &plan.resources {
        if let Some(error) = &planned.error {
            tracing::error!(resource = %planned.resource, dest = %planned.dest, "{error}");
        }
    }
    let text = match output {
        Output::Text if logging::wants_colour(colour, &std::io::stdout()) => paint(&plan.text()),
        Output::Text => plan.text(),
        Output::Json => json(&plan)?,
    };
    let judged = if plan.failed() { Exit::ResourceFailed } else { Exit::clean(!plan.differs()) };
    Ok(print(&text).and(judged))
}

/// Colours a unified diff as git does.
fn paint(diff: &str) -> String {
    let mut out = String::with_capacity(diff.len() * 2);
    for line in diff.split_inclusive('\n') {
        let (text, end) = line.strip_suffix('\n').map_or((line, ""), |text| (text, "\n"));
        let colour = match text.as_bytes() {
            [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => "1",
            [b'+', ..] => "32",
            [b'-', ..] => "31",
            [b'@', ..] => "36",
            _ => "0",
        };
        out.push_str(&format!("\u{1b}[{colour}m{text}\u{1b}[0m{end}"));
    }
    out
}
