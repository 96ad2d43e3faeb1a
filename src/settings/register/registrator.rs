//! Registrator's command line: `registrator [options] <registry URI>`, as its Go program parses it.
//!
//! A dozen flags with Go's rules, in a table of their own: options stop at the first other word, an unknown flag ends
//! with status 2, an invalid value with status 1. Of the environment only docker's variables are read.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

use clap::{Arg, ArgAction, Command};

use super::super::invocation::{Colour, Dialect, Invocation, Level, Log, LogFormat, Parsed, Register, Task};
use super::super::problem::{Problem, Problems};
use super::super::row::{Row, ValueKind, row};
use super::super::{Host, units};
use super::engine;
use super::uri::Uri;
use super::{DEREGISTER, attempts, listen, rules};
use crate::registrar::{Lease, Rules, Settings};
use crate::source;

const NAME: &str = "registrator";
const USAGE: &str = "registrator [options] <registry URI>";

/// The flags; no command of ours has them.
const FLAGS: &[Row] = &[
    row("cleanup", ValueKind::Switch, &[], "Accepted; keys that no container backs are always removed"),
    row(
        "deregister",
        ValueKind::Text,
        &[],
        "Deregister exited services \"always\" or \"on-success\" (default \"always\")",
    ),
    row("explicit", ValueKind::Switch, &[], "Only register containers that set SERVICE_NAME"),
    row("internal", ValueKind::Switch, &[], "Use internal ports and addresses instead of published ones"),
    row("ip", ValueKind::Text, &[], "IP of every service, instead of the detected one"),
    row(
        "resync",
        ValueKind::Number,
        &[],
        "Seconds between lists of all containers; 0 is the default of 30 here",
    ),
    row(
        "retry-attempts",
        ValueKind::Number,
        &[],
        "How often the store is tried at the start; 0 and -1: for ever",
    ),
    row("retry-interval", ValueKind::Number, &[], "Milliseconds between those tries (default 2000)"),
    row("tags", ValueKind::Text, &[], "Tags of every service, separated by commas"),
    row(
        "ttl",
        ValueKind::Number,
        &[],
        "Seconds that keys outlive their registrar; 20 when not given, 0 is for ever",
    ),
    row("ttl-refresh", ValueKind::Number, &[], "Seconds from one renewal of the leases to the next"),
    row("useIpFromLabel", ValueKind::Text, &[], "Container label that holds the IP of its services"),
];

/// The text after the list of flags.
const AFTER: &str = "The registry URI is etcd://HOST:PORT/PREFIX or skydns2://HOST:PORT/DOMAIN; several hosts are separated by \
                     commas, etcds:// speaks TLS.\nWithout -ttl keys get a lease of 20 seconds, so that none outlives its \
                     host; `retune register` takes more options.\nExit status: 0 stopped by a signal, 1 it could not run or \
                     a setting is invalid, 2 a flag is wrong.";

/// Returns the command as a clap command: for help and man page.
pub(in crate::settings) fn described() -> Command {
    let about = "Takes Registrator's command line: keeps the running containers of this host in a store";
    let args = FLAGS.iter().map(|row| {
        let arg = Arg::new(row.name).long(row.name).help(row.help);
        if row.kind == ValueKind::Switch { arg.action(ArgAction::SetTrue) } else { arg.value_name(row.value) }
    });
    let uri = Arg::new("uri").value_name("REGISTRY_URI").required(true).help("The store to register in");
    Command::new(NAME)
        .version(env!("CARGO_PKG_VERSION"))
        .about(about)
        .override_usage(USAGE)
        .disable_version_flag(true)
        .args(args)
        .arg(uri)
        .after_help(AFTER)
}

/// Returns the parsed call, if the program was called by that name.
pub(in crate::settings) fn called(host: &Host<'_>, args: &[OsString]) -> Option<Result<Parsed, Problems>> {
    let (program, words) = args.split_first()?;
    if Path::new(program).file_name() != Some(OsStr::new(NAME)) {
        return None;
    }
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    // As in the original: only as the single argument.
    if let [only] = &words[..]
        && only == "--version"
    {
        let text = format!("v7 (retune {})\n", env!("CARGO_PKG_VERSION"));
        return Some(Ok(Parsed::Print { text }));
    }
    Some(match scan(&words) {
        Ok(None) => Ok(Parsed::Print { text: usage() }),
        Ok(Some(typed)) => built(host, &typed).map(|invocation| Parsed::Run(Box::new(invocation))),
        Err(problem) => Err(Problems(vec![problem])),
    })
}

fn usage() -> String {
    described().render_long_help().to_string()
}

/// Flags with their values, and the URI.
struct RegistratorArgs<'w> {
    flags: Vec<(&'static str, &'w str)>,
    uri: &'w str,
}

impl RegistratorArgs<'_> {
    /// Returns the value of a flag; if it is repeated, the last one.
    fn get(&self, name: &str) -> Option<&str> {
        debug_assert!(FLAGS.iter().any(|row| row.name == name), "no flag {name}");
        self.flags.iter().rev().find(|(own, _)| *own == name).map(|(_, word)| *word)
    }

    fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|word| !word.is_empty())
    }
}

/// Scans the words as Go does; returns `None` when help was requested.
fn scan(words: &[String]) -> Result<Option<RegistratorArgs<'_>>, Problem> {
    let (mut flags, mut rest) = (Vec::new(), words);
    while let Some((word, after)) = rest.split_first() {
        if word.len() < 2 || !word.starts_with('-') {
            break;
        }
        rest = after;
        if word == "--" {
            break;
        }
        let bare = word.strip_prefix("--").or_else(|| word.strip_prefix('-')).unwrap_or(word);
        let (name, value) = bare.split_once('=').map_or((bare, None), |(name, value)| (name, Some(value)));
        if name.is_empty() || name.starts_with('-') {
            return Err(Problem::new(format!("bad flag syntax: {word}"), "`registrator -h` lists the flags"));
        }
        let Some(row) = FLAGS.iter().find(|row| row.name == name) else {
            if matches!(name, "h" | "help") {
                return Ok(None);
            }
            let place = format!("flag provided but not defined: -{name}");
            return Err(Problem::new(place, "`registrator -h` lists the flags"));
        };
        let value = match (value, rest.split_first()) {
            (Some(value), _) => value,
            (None, _) if row.kind == ValueKind::Switch => "true",
            (None, Some((next, after))) => {
                rest = after;
                next
            }
            (None, None) => {
                return Err(Problem::new(
                    format!("flag needs an argument: -{name}"),
                    "write it behind the flag",
                ));
            }
        };
        match row.kind {
            ValueKind::Switch if units::switch(value).is_err() => {
                let place = format!("invalid boolean value {value:?} for -{name}");
                return Err(Problem::new(place, "it is true or false"));
            }
            ValueKind::Number if value.parse::<i64>().is_err() => {
                let place = format!("invalid value {value:?} for flag -{name}");
                return Err(Problem::new(place, "it is a whole number"));
            }
            _ => {}
        }
        flags.push((row.name, value));
    }
    match rest {
        [uri] => Ok(Some(RegistratorArgs { flags, uri })),
        [] => Err(Problem::new(NAME, format!("Missing required argument for registry URI.\n\n{}", usage()))),
        [_, extra @ ..] => {
            let message = format!(
                "\n  {}\nOptions should come before the registry URI argument.\n\n{}",
                extra.join(" "),
                usage()
            );
            Err(Problem::new("Extra unparsed arguments", message))
        }
    }
}

fn built(host: &Host<'_>, typed: &RegistratorArgs<'_>) -> Result<Invocation, Problems> {
    let mut wrong = Vec::new();
    let settings = settings(host, typed, &mut wrong);
    let uri =
        Uri::read(typed.uri).map_err(|message| wrong.push(Problem::of_sense("registry URI", message))).ok();
    let (Some(uri), true) = (uri, wrong.is_empty()) else {
        return Err(Problems(wrong));
    };
    let Uri { nodes, login, layout, prefix, scheme, shown } = uri;
    let rules = Rules { layout, prefix, ..settings.rules };
    let register = Register {
        registrar: Settings { rules, ..settings },
        listen: listen::customary(host).into_iter().collect(),
        must_listen: false,
        adapter: Some((scheme, shown)),
    };
    Ok(Invocation {
        dialect: Dialect::Registrator,
        log: Log { level: Level::Info, format: LogFormat::Text, colour: Colour::Never },
        source: source::Settings { nodes, login, ..source::Settings::default() },
        ..Invocation::new(Task::Register(Box::new(register)))
    })
}

fn settings(host: &Host<'_>, typed: &RegistratorArgs<'_>, wrong: &mut Vec<Problem>) -> Settings {
    let base = Settings::default();
    let on = |name: &str| typed.get(name).is_some_and(|word| units::switch(word) == Ok(true));
    let ip = typed.filled("ip").map(rules::ip).transpose();
    let ip = ip.map_err(|message| wrong.push(Problem::of_sense("-ip", message)));
    let tags = typed.get("tags").map(rules::tags).transpose();
    let tags = tags.map_err(|message| wrong.push(Problem::of_sense("-tags", message)));
    let deregister = typed.get("deregister").unwrap_or("always");
    let deregister = DEREGISTER.iter().find(|(word, _)| *word == deregister).map(|(_, value)| *value);
    let deregister = deregister.unwrap_or_else(|| {
        wrong.push(Problem::of_sense("-deregister", "-deregister must be \"always\" or \"on-success\""));
        base.deregister
    });
    let pause = int(typed, "retry-interval").unwrap_or(2000);
    if pause <= 0 {
        wrong.push(Problem::of_sense("-retry-interval", "-retry-interval must be greater than 0"));
    }
    let attempts = typed.get("retry-attempts").map(attempts).transpose();
    let attempts = attempts.map_err(|message| wrong.push(Problem::of_sense("-retry-attempts", message)));
    let resync = int(typed, "resync").and_then(|seconds| u64::try_from(seconds).ok());
    let rules = Rules {
        ip: ip.unwrap_or_default(),
        internal: on("internal"),
        explicit: on("explicit"),
        ip_label: typed.filled("useIpFromLabel").map(str::to_owned),
        tags: tags.unwrap_or_default().unwrap_or_default(),
        ..Rules::default()
    };
    let engine =
        engine::customary(host).map_err(|message| wrong.push(Problem::of_sense("DOCKER_HOST", message)));
    Settings {
        engine: engine.unwrap_or_else(|()| base.engine.clone()),
        // The original writes only services.
        publish_node: true,
        rules,
        lease: read_lease(typed, wrong),
        relist: resync.filter(|seconds| *seconds > 0).map_or(base.relist, seconds),
        deregister,
        attempts: attempts.ok().flatten().flatten(),
        pause: Duration::from_millis(u64::try_from(pause).unwrap_or(1)),
        ..base
    }
}

/// Returns the lease: both flags or neither, and the time to live longer than the refresh. Without them, the defaults
/// of `retune register` apply: a key without a lease outlives its host.
fn read_lease(typed: &RegistratorArgs<'_>, wrong: &mut Vec<Problem>) -> Lease {
    let ttl = int(typed, "ttl");
    let refresh = int(typed, "ttl-refresh").unwrap_or(0);
    let base = Lease::default();
    match ttl {
        _ if (ttl.unwrap_or(0) == 0) != (refresh == 0) => {
            let message = "-ttl and -ttl-refresh must be specified together or not at all";
            wrong.push(Problem::of_sense("-ttl", message));
            base
        }
        None => base,
        Some(0) => Lease { ttl: None, ..base },
        Some(ttl) if ttl <= refresh || refresh < 0 => {
            wrong.push(Problem::of_sense("-ttl", "-ttl must be greater than -ttl-refresh"));
            base
        }
        Some(ttl) => {
            let whole = |count: i64| seconds(u64::try_from(count).unwrap_or_default());
            Lease { ttl: Some(whole(ttl)), refresh: whole(refresh) }
        }
    }
}

/// Longer times than a year are mistakes, and would overflow a clock sooner or later.
fn seconds(count: u64) -> Duration {
    Duration::from_secs(count.min(366 * 24 * 3600))
}

/// Returns a flag's integer; it was validated when the words were read.
fn int(typed: &RegistratorArgs<'_>, name: &str) -> Option<i64> {
    typed.get(name)?.parse().ok()
}
