//! The commands that read a source: render, watch, diff.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::exit::Exit;
use super::notify::Notifier;
use super::print;
use crate::readiness::Readiness;
use crate::reloader::{self, DestOutcome, Ending, Report};
use crate::settings::{Colour, Output};
use crate::source::{self, Follow, Source};
use crate::stop::{Loops, Signals, Stop};

/// Reports why a command could not run at all.
pub(super) fn could_not_run(error: &anyhow::Error) -> Exit {
    tracing::error!("{error:#}");
    Exit::CouldNotRun
}

/// `retune render`.
pub(super) async fn render(source: source::Settings, settings: reloader::Settings, output: Output) -> Exit {
    let started = Instant::now();
    let work = async {
        let mut signals = Signals::listen()?;
        let source = Source::new(source)?;
        Ok(reloader::render(Arc::new(settings), &source, &mut signals).await?)
    };
    let (report, ending) = match work.await {
        Ok(result) => result,
        Err(error) => return could_not_run(&error),
    };
    summarise(&report, started.elapsed());
    if output == Output::Json {
        match serde_json::to_string_pretty(&report) {
            Ok(text) => {
                print(&(text + "\n"));
            }
            Err(error) => return could_not_run(&error.into()),
        }
    }
    Exit::clean(report.is_clean() && ending == Ending::Stopped)
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
pub(super) async fn watch(source: source::Settings, settings: reloader::Settings, follow: Follow) -> Exit {
    let work = async {
        let signals = Signals::listen()?;
        let source = Source::new(source)?;
        tracing::info!("Starting retune, values from {}", source.describe());
        if follow.watch && !source.watches() && follow.relist.is_none() {
            anyhow::bail!("{} cannot be watched: give --interval", source.describe());
        }
        let (readiness, announced) =
            watch::channel(Readiness::Starting("reading the first snapshot".to_owned()));
        let stop = Stop::new();
        let mut loops = Loops::new(stop.clone());
        if let Some(notifier) = Notifier::from_environment() {
            loops.spawn("notify", notifier.follow(announced, stop.clone()));
        }
        let ending = reloader::run(Arc::new(settings), source, follow, signals, readiness).await;
        loops.drain(Duration::from_millis(200)).await;
        Ok(ending?)
    };
    match work.await {
        Ok(Ending::Stopped) => Exit::Done,
        Ok(Ending::CutOff) => Exit::NotAsWished,
        Err(error) => could_not_run(&error),
    }
}

/// `retune diff`.
pub(super) async fn diff(
    source: source::Settings,
    settings: reloader::Settings,
    output: Output,
    context: usize,
    colour: Colour,
) -> Exit {
    let work = async {
        let source = Source::new(source)?;
        Ok(reloader::plan(Arc::new(settings), &source, context).await?)
    };
    let plan = match work.await {
        Ok(plan) => plan,
        Err(error) => return could_not_run(&error),
    };
    for planned in &plan.resources {
        if let Some(error) = &planned.error {
            tracing::error!(resource = %planned.resource, dest = %planned.dest, "{error}");
        }
    }
    let text = match output {
        Output::Text if wants_colour(colour) => paint(&plan.text()),
        Output::Text => plan.text(),
        Output::Json => match serde_json::to_string_pretty(&plan) {
            Ok(text) => text + "\n",
            Err(error) => return could_not_run(&error.into()),
        },
    };
    match print(&text) {
        Exit::Done if plan.failed() => Exit::ResourceFailed,
        Exit::Done => Exit::clean(!plan.differs()),
        exit => exit,
    }
}

fn wants_colour(colour: Colour) -> bool {
    match colour {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    }
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
