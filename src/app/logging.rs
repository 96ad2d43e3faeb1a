//! The log's format: one line for each event on stderr, as text or JSON. `log_queue` writes the lines.
//!
//! Under the name `confd` lines look like confd's (`TIME HOST PROGRAM[PID]: LEVEL MESSAGE`), since monitoring parses
//! them; under the name `registrator` like those of Go's log package (`DATE TIME MESSAGE`). Further lines of a message
//! are indented, so that only an event starts at the margin.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal};
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Unit};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

use crate::consensus;
use crate::log_queue::{self, LogWriter};
use crate::settings::{Colour, Dialect, Level, Log, Output};

/// The handle to change the filter of the running log.
static FILTER_HANDLE: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// How long the exit waits for the last log lines. A reader that hangs delays it no longer.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The running log. Dropping it waits until the last lines are written, unless nobody reads them.
pub(super) struct LogGuard(());

impl Drop for LogGuard {
    fn drop(&mut self) {
        flush();
    }
}

/// Waits until all log lines are written, unless nobody reads them: call it before anything else is printed.
pub(super) fn flush() {
    log_queue::flush(FLUSH_TIMEOUT);
}

/// Starts the log of this process. A second start is ignored.
pub(super) fn start(log: Log, dialect: Dialect, program: &str) -> LogGuard {
    let level = match log.level {
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Warn => LevelFilter::WARN,
        Level::Error => LevelFilter::ERROR,
    };
    let filter = filter(level);
    let fmt = tracing_subscriber::fmt::layer().with_writer(|| LogWriter);
    let (filter, handle) = reload::Layer::new(filter);
    FILTER_HANDLE.set(handle).ok();
    let registry = tracing_subscriber::registry().with(filter);
    let started = match log.format {
        Output::Json => registry.with(fmt.json().flatten_event(true).with_target(false)).try_init(),
        Output::Text => {
            registry.with(fmt.event_format(LineFormat::new(log.colour, dialect, program))).try_init()
        }
    };
    // Only a test that calls it twice can fail here, and its first log is good enough.
    if started.is_ok() {
        log_queue::start();
        std::panic::set_hook(Box::new(log_panic));
    }
    LogGuard(())
}

/// Logs a panic like any other line; like others, it does not wait for a reader.
fn log_panic(panic: &PanicHookInfo<'_>) {
    if consensus::panic_is_reported() {
        tracing::debug!("{panic}");
        return;
    }
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("unnamed");
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        tracing::error!("thread {name:?} {panic}\n{trace}");
    } else {
        tracing::error!("thread {name:?} {panic}");
    }
}

/// Changes the log level of this process.
pub(super) fn set_level(level: tracing::Level) {
    if let Some(handle) = FILTER_HANDLE.get() {
        handle.reload(filter(LevelFilter::from_level(level))).ok();
    }
}

/// Libraries log every request and may log headers, so only their errors are shown. Disk errors are reported here
/// once, with advice.
fn filter(level: LevelFilter) -> Targets {
    let targets = Targets::new().with_target("retune", level).with_default(LevelFilter::ERROR);
    ["raft_engine", "sled"].iter().fold(targets, |targets, disk| targets.with_target(*disk, LevelFilter::OFF))
}

/// Returns whether to colour what is written to `out`.
pub(super) fn wants_colour(colour: Colour, out: &impl IsTerminal) -> bool {
    match colour {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => out.is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    }
}

struct LineFormat {
    colour: bool,
    style: LineStyle,
}

/// The format of the lines.
enum LineStyle {
    Default,
    /// With `HOST PROGRAM[PID]:`.
    Confd(String),
    /// Go's log package: date, local time and message.
    Go,
}

impl LineFormat {
    fn new(colour: Colour, dialect: Dialect, program: &str) -> Self {
        let colour = wants_colour(colour, &io::stderr());
        let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned());
        let host = host.unwrap_or_else(|_| "localhost".to_owned());
        let style = match dialect {
            Dialect::Confd => LineStyle::Confd(format!("{host} {program}[{}]:", std::process::id())),
            Dialect::Registrator => LineStyle::Go,
            Dialect::Retune | Dialect::Etcd => LineStyle::Default,
        };
        Self { colour: colour && matches!(style, LineStyle::Default), style }
    }

    fn level(&self, level: tracing::Level) -> &'static str {
        match (level, &self.style) {
            (tracing::Level::ERROR, _) => "ERROR",
            (tracing::Level::WARN, LineStyle::Confd(_)) => "WARNING",
            (tracing::Level::WARN, _) => "WARN",
            (tracing::Level::INFO, _) => "INFO",
            _ => "DEBUG",
        }
    }
}

impl<S, N> FormatEvent<S, N> for LineFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut parts = Parts::default();
        event.record(&mut parts);
        let now = Timestamp::now();
        let level = self.level(*event.metadata().level());
        match &self.style {
            LineStyle::Go => {
                let local = now.to_zoned(TimeZone::system());
                write!(out, "{} ", local.strftime("%Y/%m/%d %H:%M:%S"))?;
            }
            LineStyle::Confd(head) => {
                let seconds = now.round(Unit::Second).unwrap_or(now);
                write!(out, "{seconds} {head} {level} ")?;
            }
            LineStyle::Default => {
                let millis = now.round(Unit::Millisecond).unwrap_or(now);
                let (on, off) = if self.colour { (colour_of(level), "\u{1b}[0m") } else { ("", "") };
                write!(out, "{millis:.3} {on}{level}{off} ")?;
            }
        }
        let message = plain(parts.message.trim_end());
        writeln!(out, "{message}{}", parts.fields)
    }
}

/// Returns text that cannot move the cursor or forge a line: the output of commands is logged.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\n    "),
            '\t' => out.push(c),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// Returns the same for a field, on one line.
fn one_line(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

fn colour_of(level: &str) -> &'static str {
    match level {
        "ERROR" => "\u{1b}[31m",
        "WARN" => "\u{1b}[33m",
        "INFO" => "\u{1b}[32m",
        _ => "\u{1b}[2m",
    }
}

/// An event's message, and its other fields as ` name=value`.
#[derive(Default)]
struct Parts {
    message: String,
    fields: String,
}

impl Visit for Parts {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={}", one_line(&format!("{value:?}"))),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logged_text_neither_forges_a_line_nor_moves_the_cursor() {
        assert_eq!(plain("a\tb\nc\u{1b}[2J\u{9b}d"), "a\tb\n    c\\u{1b}[2J\\u{9b}d");
        assert_eq!(one_line("a\r\nb\u{1b}[2J"), "a\\r\\nb\\u{1b}[2J");
    }
}
