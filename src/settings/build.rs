//! Stage three: typed values to the settings structs of the rooms below.

use std::path::PathBuf;
use std::time::Duration;

use super::common::{CommonOptions, OUTPUTS};
use super::invocation::{
    Check, CheckFormat, Colour, Dialect, Invocation, Level, Log, LogFormat, Output, Task,
};
use super::layers::{Layers, Rank};
use super::reader::{Built, Reader};
use super::row::{
    BACKUP, CHECK, CONFD, Commands, DIFF, ETCD, MEMBER, PLACE, REGISTER, REGISTER_STATUS, REGISTER_STOP,
    RENDER, RESTORE, WATCH,
};
use super::{Host, member, place, register, store, units};
use crate::key;
use crate::reloader::{self, Ready, UnknownFields};
use crate::source;
use crate::template::Limits;

/// The default interval of a full check, after which manual edits of files are reverted.
const DEFAULT_RELIST_INTERVAL: Duration = Duration::from_secs(600);

/// Builds everything one call needs.
pub(super) fn invocation(
    host: &Host,
    command: Commands,
    layers: &Layers,
    env: &dyn Fn(&str) -> Option<String>,
) -> Built {
    let mut reader = Reader::new(layers);
    let read = &mut reader;
    let log = log(read);
    let common = CommonOptions { log, output: Output::Text };
    match command {
        MEMBER | ETCD => return member::invocation(host, read, command, common),
        BACKUP => return member::backup(read, common),
        RESTORE => return member::restore(host, read, common),
        REGISTER => return register::register(host, read, common, env),
        REGISTER_STATUS => return register::status(host, read, common, env),
        REGISTER_STOP => return register::stop(host, read, common, env),
        PLACE => return place::place(read, common),
        RENDER | WATCH | DIFF | CHECK | CONFD => {}
        other => unreachable!("no settings are read for command {other}"),
    }
    let output = if command & (RENDER | DIFF) == 0 {
        Output::Text
    } else {
        read.choice("output", OUTPUTS, Output::Text)
    };
    let task = task(read, command, output, log.colour);
    let source =
        if command == CHECK { source::Settings::default() } else { store::settings(read, command, env) };
    let reloader = reloader(host, read, command, &task, env);
    let dialect = if command == CONFD { Dialect::Confd } else { Dialect::Retune };
    let (warnings, notices) = (Vec::new(), Vec::new());
    read.finish(Invocation { task, dialect, log, source, reloader, output, warnings, notices })
}

fn log(read: &mut Reader<'_>) -> Log {
    let levels = [
        ("debug", Level::Debug),
        ("info", Level::Info),
        ("warn", Level::Warn),
        ("error", Level::Error),
        // confd's own names.
        ("warning", Level::Warn),
        ("fatal", Level::Error),
        ("panic", Level::Error),
    ];
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let colours = [("auto", Colour::Auto), ("always", Colour::Always), ("never", Colour::Never)];
    Log {
        level: read.choice("log-level", &levels, Level::Info),
        format: read.choice("log-format", &formats, LogFormat::Text),
        colour: read.choice("color", &colours, Colour::Auto),
    }
}

fn task(read: &mut Reader<'_>, command: Commands, output: Output, colour: Colour) -> Task {
    match command {
        RENDER => Task::Render,
        WATCH => {
            let watch = !read.on("poll");
            Task::Watch(follow(read, watch))
        }
        DIFF => {
            let lines = read.parsed("context", units::number).unwrap_or(3);
            Task::Diff { output, context: usize::try_from(lines).unwrap_or(usize::MAX), colour }
        }
        CHECK => Task::Check(check(read)),
        CONFD => {
            let (once, watch) = (read.on("onetime"), read.on("watch"));
            if once { Task::Render } else { Task::Watch(follow(read, watch)) }
        }
        other => unreachable!("command {other} has no task"),
    }
}

fn follow(read: &mut Reader<'_>, watch: bool) -> source::Follow {
    let interval = read.span("interval").unwrap_or(DEFAULT_RELIST_INTERVAL);
    if interval.is_zero() && !watch {
        read.object(
            "interval",
            "0 means never, and without it no change would be noticed here; write at least 1s",
        );
    }
    source::Follow { watch, relist: (!interval.is_zero()).then_some(interval) }
}

fn check(read: &mut Reader<'_>) -> Check {
    let formats = [("text", CheckFormat::Text), ("json", CheckFormat::Json), ("junit", CheckFormat::Junit)];
    let check = Check {
        data: read.path("data"),
        expect: read.path("expect"),
        update: read.on("update"),
        format: read.choice("format", &formats, CheckFormat::Text),
    };
    if check.expect.is_some() && check.data.is_none() {
        read.object("expect", "compares renderings, and there are none without values; add --data FILE");
    }
    if check.update && check.expect.is_none() {
        read.object("update", "writes the files of --expect, and there is none; add --expect DIR");
    }
    check
}

fn reloader(
    host: &Host,
    read: &mut Reader<'_>,
    command: Commands,
    task: &Task,
    env: &dyn Fn(&str) -> Option<String>,
) -> reloader::Settings {
    let base = reloader::Settings::default();
    let runs = command & (RENDER | WATCH | CONFD) != 0;
    let waits = command & (WATCH | CONFD) != 0;
    let (debounce, max_wait) = if waits { quiet(read, &base) } else { (base.debounce, base.max_wait) };
    let root = if command & (RENDER | DIFF) == 0 { None } else { read.path("root") };
    let keeps =
        read.rank("state-dir") == Some(Rank::Flag) && read.text("state-dir").as_deref() != Some("none");
    if root.is_some() && keeps {
        read.object(
            "state-dir",
            "another root has no state, since its files are never reloaded: leave it out, or write none",
        );
    }
    reloader::Settings {
        confdir: read.path("confdir").unwrap_or_else(|| confdir(host, command)),
        only: read.texts("resource"),
        prefix: read.text("prefix").map(|prefix| key::clean(&prefix)),
        noop: !runs || read.on("noop"),
        sync_only: runs && (root.is_some() || read.on("sync-only")),
        keep_stage_file: runs && read.on("keep-stage-file"),
        force_reload: command == RENDER && read.on("force"),
        // A pending reload of another root does not run on this host.
        state_dir: if command & CHECK == 0 && root.is_none() { state_dir(host, read, env) } else { None },
        state_dir_may_fail: read.text("state-dir").is_none(),
        debounce,
        max_wait,
        check_timeout: if runs {
            read.limit("check-timeout", base.check_timeout)
        } else {
            base.check_timeout
        },
        reload_timeout: if runs {
            read.limit("reload-timeout", base.reload_timeout)
        } else {
            base.reload_timeout
        },
        shutdown_timeout: if runs {
            read.span("shutdown-timeout").unwrap_or(base.shutdown_timeout)
        } else {
            base.shutdown_timeout
        },
        ready: if command & WATCH == 0 {
            base.ready
        } else {
            read.choice(
                "ready",
                &[("in-service", Ready::InService), ("rendered", Ready::Rendered)],
                base.ready,
            )
        },
        ready_timeout: if command & WATCH == 0 {
            None
        } else {
            read.span("ready-timeout").filter(|time| !time.is_zero())
        },
        render_timeout: if matches!(task, Task::Render | Task::Diff { .. }) {
            read.limit("timeout", base.render_timeout)
        } else {
            base.render_timeout
        },
        unknown_fields: if command == CONFD { UnknownFields::Warn } else { UnknownFields::Refuse },
        redact: read.texts("redact"),
        limits: limits(read, base.limits),
        root,
    }
}

/// Reads `debounce` and `max-wait`. A default `max-wait` is raised to an explicit `debounce`.
fn quiet(read: &mut Reader<'_>, base: &reloader::Settings) -> (Duration, Duration) {
    let debounce = read.span("debounce").unwrap_or(base.debounce);
    match read.span("max-wait") {
        Some(most) if most < debounce => {
            read.object("max-wait", "is shorter than the debounce time; write at least that");
            (debounce, debounce)
        }
        Some(most) => (debounce, most),
        None => (debounce, base.max_wait.max(debounce)),
    }
}

fn limits(read: &mut Reader<'_>, base: Limits) -> Limits {
    let fuel = |text: &str| match units::number(text) {
        Ok(0) => Err("0 lets no template run; write at least 1".to_owned()),
        other => other,
    };
    Limits {
        fuel: read.parsed("fuel", fuel).unwrap_or(base.fuel),
        output: read.parsed("max-output", units::bytes).unwrap_or(base.output),
        depth: base.depth,
    }
}

/// Returns the dialect's own folder, or the other dialect's when only that exists.
fn confdir(host: &Host, command: Commands) -> PathBuf {
    let (own, other) = if command == CONFD { ("confd", "retune") } else { ("retune", "confd") };
    let (own, other) = (host.etc.join(own), host.etc.join(other));
    if !own.is_dir() && other.is_dir() { other } else { own }
}

fn state_dir(host: &Host, read: &mut Reader<'_>, env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    if let Some(dir) = read.path("state-dir") {
        return (dir.as_os_str() != "none").then_some(dir);
    }
    if host.root {
        return Some(PathBuf::from("/var/lib/retune"));
    }
    // A relative folder would move with the working directory; by convention it is ignored.
    let absolute = |name: &str| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(base.join("retune"))
}
