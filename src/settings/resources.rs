//! Settings of the commands that render resources, and of confd's command line.

use std::path::PathBuf;
use std::time::Duration;

use super::invocation::{Check, CheckFormat, CommandId, Invocation, Output, Task};
use super::layers::Rank;
use super::reader::Reader;
use super::spec::CommandSpec;
use super::{store, units};
use crate::key;
use crate::reloader::{self, Ready, UnknownFields};
use crate::source;
use crate::template::Limits;

/// The default interval of a full check, after which manual edits of files are reverted.
const DEFAULT_RELIST_INTERVAL: Duration = Duration::from_secs(600);

pub(super) const RENDER: CommandSpec = CommandSpec {
    replaces: Some(CommandId::Confd),
    ..CommandSpec::new("render", "Render every resource once and exit", |read| {
        let output = read.format("output");
        invocation(read, Task::Render, output)
    })
};

pub(super) const WATCH: CommandSpec = CommandSpec {
    replaces: Some(CommandId::Confd),
    ..CommandSpec::new("watch", "Keep files rendered: follow the store, check, swap, reload", |read| {
        let watch = !read.on("poll");
        let follow = follow(read, watch);
        invocation(read, Task::Watch(follow), Output::Text)
    })
};

pub(super) const DIFF: CommandSpec = CommandSpec {
    notes: "Of diff: 1 something differs or a reload is pending, 3 a resource failed, so its difference is unknown.",
    replaces: Some(CommandId::Confd),
    ..CommandSpec::new("diff", "Show what would change, as a unified diff; touch nothing", |read| {
        let (output, colour) = (read.format("output"), read.log.colour);
        let lines = read.parsed("context", units::number).unwrap_or(3);
        let context = usize::try_from(lines).unwrap_or(usize::MAX);
        invocation(read, Task::Diff { output, context, colour }, output)
    })
};

pub(super) const CHECK: CommandSpec = CommandSpec {
    replaces: Some(CommandId::Confd),
    ..CommandSpec::new("check", "Find mistakes in resources and templates; no store needed", |read| {
        let task = Task::Check(check(read));
        let reloader = reloader(read, &task);
        Invocation { reloader, ..Invocation::new(task) }
    })
};

pub(super) const CONFD: CommandSpec = CommandSpec::new(
    "confd",
    "Takes confd's command line: follows the store, or checks it every -interval, or once with -onetime",
    |read| {
        let (once, watch) = (read.on("onetime"), read.on("watch"));
        let task = if once { Task::Render } else { Task::Watch(follow(read, watch)) };
        invocation(read, task, Output::Text)
    },
);

fn invocation(read: &mut Reader<'_>, task: Task, output: Output) -> Invocation {
    let source = store::settings(read);
    let reloader = reloader(read, &task);
    Invocation { source, reloader, output, ..Invocation::new(task) }
}

fn follow(read: &mut Reader<'_>, watch: bool) -> source::Follow {
    let interval = read.span("interval").unwrap_or(DEFAULT_RELIST_INTERVAL);
    if interval.is_zero() && !watch {
        read.report(
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
        read.report("expect", "compares renderings, and there are none without values; add --data FILE");
    }
    if check.update && check.expect.is_none() {
        read.report("update", "writes the files of --expect, and there is none; add --expect DIR");
    }
    check
}

fn reloader(read: &mut Reader<'_>, task: &Task) -> reloader::Settings {
    let mut base = reloader::Settings::default();
    let command = read.command;
    let runs = matches!(command, CommandId::Render | CommandId::Watch | CommandId::Confd);
    // The settings file serves all commands: options of others are not read.
    if runs {
        base.check_timeout = read.limit("check-timeout", base.check_timeout);
        base.reload_timeout = read.limit("reload-timeout", base.reload_timeout);
        base.shutdown_timeout = read.span("shutdown-timeout").unwrap_or(base.shutdown_timeout);
    }
    if matches!(command, CommandId::Watch | CommandId::Confd) {
        (base.debounce, base.max_wait) = quiet(read, &base);
    }
    if command == CommandId::Watch {
        let words = [("in-service", Ready::InService), ("rendered", Ready::Rendered)];
        base.ready = read.choice("ready", &words, base.ready);
        base.ready_timeout = read.span("ready-timeout").filter(|time| !time.is_zero());
    }
    if matches!(task, Task::Render | Task::Diff { .. }) {
        base.render_timeout = read.limit("timeout", base.render_timeout);
    }
    let rooted = matches!(command, CommandId::Render | CommandId::Diff);
    let root = if rooted { read.path("root") } else { None };
    let keeps =
        read.rank("state-dir") == Some(Rank::Flag) && read.text("state-dir").as_deref() != Some("none");
    if root.is_some() && keeps {
        read.report(
            "state-dir",
            "another root has no state, since its files are never reloaded: leave it out, or write none",
        );
    }
    reloader::Settings {
        confdir: read.path("confdir").unwrap_or_else(|| confdir(read)),
        only: read.texts("resource"),
        prefix: read.text("prefix").map(|prefix| key::clean(&prefix)),
        noop: !runs || read.on("noop"),
        sync_only: runs && (root.is_some() || read.on("sync-only")),
        keep_stage_file: runs && read.on("keep-stage-file"),
        force_reload: command == CommandId::Render && read.on("force"),
        // A pending reload of another root does not run on this host.
        state_dir: if command != CommandId::Check && root.is_none() { state_dir(read) } else { None },
        state_dir_may_fail: read.text("state-dir").is_none(),
        unknown_fields: if command == CommandId::Confd { UnknownFields::Warn } else { UnknownFields::Refuse },
        redact: read.texts("redact"),
        limits: limits(read, base.limits),
        root,
        ..base
    }
}

/// Reads `debounce` and `max-wait`. A default `max-wait` is raised to an explicit `debounce`.
fn quiet(read: &mut Reader<'_>, base: &reloader::Settings) -> (Duration, Duration) {
    let debounce = read.span("debounce").unwrap_or(base.debounce);
    match read.span("max-wait") {
        Some(most) if most < debounce => {
            read.report("max-wait", "is shorter than the debounce time; write at least that");
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
    let output = read.parsed("max-output", units::bytes).unwrap_or(base.output);
    Limits {
        fuel: read.parsed("fuel", fuel).unwrap_or(base.fuel),
        output,
        depth: base.depth,
        memory: base.memory.max(output.saturating_mul(4)),
    }
}

/// Returns the dialect's own folder, or the other dialect's when only that exists.
fn confdir(read: &Reader<'_>) -> PathBuf {
    let host = read.host;
    let (own, other) =
        if read.command == CommandId::Confd { ("confd", "retune") } else { ("retune", "confd") };
    let (own, other) = (host.etc.join(own), host.etc.join(other));
    if !own.is_dir() && other.is_dir() { other } else { own }
}

fn state_dir(read: &mut Reader<'_>) -> Option<PathBuf> {
    if let Some(dir) = read.path("state-dir") {
        return (dir.as_os_str() != "none").then_some(dir);
    }
    if read.host.root {
        return Some(PathBuf::from("/var/lib/retune"));
    }
    // A relative folder would move with the working directory; by convention it is ignored.
    let absolute = |name: &str| (read.host.env)(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(base.join("retune"))
}
