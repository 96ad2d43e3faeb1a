//! Registrator's command line: `registrator [options] <registry URI>`, as its Go program parses it.
//!
//! A dozen flags with Go's rules, in a table of their own: options stop at the first other word, an unknown flag ends
//! with status 2, an invalid value with status 1. Of the environment only docker's variables are read.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

use clap::{Arg, ArgAction, Command};

use super::super::Host;
use super::super::go_flags::{self as flags, Flags};
use super::super::invocation::{Colour, Dialect, Invocation, Level, Log, Output, Parsed, Register, Task};
use super::super::problem::{Problem, Problems};
use super::super::row::ValueKind::{Number, Switch, Text};
use super::super::row::{Row, row};
use super::engine;
use super::uri::Uri;
use super::{DEREGISTER, attempts, listen, rules};
use crate::registrar::{Lease, Rules, Settings};
use crate::source;

const NAME: &str = "registrator";
const USAGE: &str = "registrator [options] <registry URI>";

/// The flags; no command of ours has them.
const FLAGS: &[Row] = &[
    row("cleanup", Switch, &[], "Accepted; keys that no container backs are always removed"),
    row(
        "deregister",
        Text,
        &[],
        "Deregister exited services \"always\" or \"on-success\" (default \"always\")",
    ),
    row("explicit", Switch, &[], "Only register containers that set SERVICE_NAME"),
    row("internal", Switch, &[], "Use internal ports and addresses instead of published ones"),
    row("ip", Text, &[], "IP of every service, instead of the detected one"),
    row("resync", Number, &[], "Seconds between lists of all containers; 0 is the default of 30 here"),
    row("retry-attempts", Number, &[], "How often the store is tried at the start; 0 and -1: for ever"),
    row("retry-interval", Number, &[], "Milliseconds between those tries (default 2000)"),
    row("tags", Text, &[], "Tags of every service, separated by commas"),
    row("ttl", Number, &[], "Seconds that keys outlive their registrar; 20 when not given, 0 is for ever"),
    row("ttl-refresh", Number, &[], "Seconds from one renewal of the leases to the next"),
    row("useIpFromLabel", Text, &[], "Container label that holds the IP of its services"),
];

/// The text after the list of flags.
const AFTER_HELP: &str = "The registry URI is etcd://HOST:PORT/PREFIX or skydns2://HOST:PORT/DOMAIN; several hosts are separated by \
                     commas, etcds:// speaks TLS.\nWithout -ttl keys get a lease of 20 seconds, so that none outlives its \
                     host; `retune register` takes more options.\nExit status: 0 stopped by a signal, 1 it could not run or \
                     a setting is invalid, 2 a flag is wrong.";

/// Returns the command as a clap command: for help and man page.
pub(in crate::settings) fn described() -> Command {
    let about = "Takes Registrator's command line: keeps the running containers of this host in a store";
    let args = FLAGS.iter().map(|row| {
        let arg = Arg::new(row.name).long(row.name).help(row.help);
        if row.kind == Switch { arg.action(ArgAction::SetTrue) } else { arg.value_name(row.value) }
    });
    let uri = Arg::new("uri").value_name("REGISTRY_URI").required(true).help("The store to register in");
    Command::new(NAME)
        .version(env!("CARGO_PKG_VERSION"))
        .about(about)
        .override_usage(USAGE)
        .disable_version_flag(true)
        .args(args)
        .arg(uri)
        .after_help(AFTER_HELP)
}

/// Returns the parsed call, if the program was called by that name.
pub(in crate::settings) fn parse_args(
    host: &Host<'_>,
    args: &[OsString],
) -> Option<Result<Parsed, Problems>> {
    let (program, words) = args.split_first()?;
    if Path::new(program).file_name() != Some(OsStr::new(NAME)) {
        return None;
    }
    // As in the original: only as the single argument.
    if let [only] = words
        && only == "--version"
    {
        let text = format!("v7 (retune {})\n", env!("CARGO_PKG_VERSION"));
        return Some(Ok(Parsed::Print(text)));
    }
    let (typed, wrong) = flags::read(words, &[FLAGS]);
    Some(match wrong {
        Some(why) if matches!(why.strip_prefix(flags::UNDEFINED), Some("h" | "help")) => {
            Ok(Parsed::Print(usage()))
        }
        Some(why) => Err(Problems(vec![Problem::new(why, "`registrator -h` lists the flags")])),
        None => build(host, &typed).map(|invocation| Parsed::Run(Box::new(invocation))),
    })
}

fn usage() -> String {
    described().render_long_help().to_string()
}

/// Returns the only word behind the flags.
fn uri(words: &[OsString]) -> Result<String, Problem> {
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    match &words[..] {
        [uri] => Ok(uri.to_string()),
        [] => Err(Problem::new(NAME, format!("Missing required argument for registry URI.\n\n{}", usage()))),
        [_, extra @ ..] => {
            let extra = extra.join(" ");
            let message =
                format!("\n  {extra}\nOptions should come before the registry URI argument.\n\n{}", usage());
            Err(Problem::new("Extra unparsed arguments", message))
        }
    }
}

fn build(host: &Host<'_>, typed: &Flags) -> Result<Invocation, Problems> {
    let uri = uri(&typed.words).map_err(|problem| Problems(vec![problem]))?;
    let mut wrong = Vec::new();
    let settings = settings(host, typed, &mut wrong);
    let uri = Uri::read(&uri).map_err(|message| wrong.push(Problem::semantic("registry URI", message))).ok();
    let (Some(uri), true) = (uri, wrong.is_empty()) else {
        return Err(Problems(wrong));
    };
    let Uri { nodes, login, layout, prefix, scheme, shown } = uri;
    let rules = Rules { layout, prefix, ..settings.rules };
    let register = Register {
        registrar: Settings { rules, ..settings },
        listen: listen::default_address(host).into_iter().collect(),
        must_listen: false,
        adapter: Some((scheme, shown)),
    };
    Ok(Invocation {
        dialect: Dialect::Registrator,
        log: Log { level: Level::Info, format: Output::Text, colour: Colour::Never },
        source: source::Settings { nodes, login, ..source::Settings::default() },
        ..Invocation::new(Task::Register(Box::new(register)))
    })
}

fn settings(host: &Host<'_>, typed: &Flags, wrong: &mut Vec<Problem>) -> Settings {
    let base = Settings::default();
    let lease = read_lease(typed, wrong);
    let mut refuse = |place: &str, message: String| wrong.push(Problem::semantic(place, message));
    let ip = typed.filled("ip").map(|ip| rules::ip(&ip)).transpose();
    let ip = ip.map_err(|message| refuse("-ip", message));
    let tags = rules::tags(&typed.text("tags")).map_err(|message| refuse("-tags", message));
    let word = if typed.given("deregister") { typed.text("deregister") } else { "always".to_owned() };
    let deregister = DEREGISTER.iter().find(|(known, _)| *known == word).map(|(_, value)| *value);
    if deregister.is_none() {
        refuse("-deregister", "-deregister must be \"always\" or \"on-success\"".to_owned());
    }
    let pause = typed.number("retry-interval").unwrap_or(2000);
    if pause <= 0 {
        refuse("-retry-interval", "-retry-interval must be greater than 0".to_owned());
    }
    let attempts = typed.number("retry-attempts").map(|tries| attempts(&tries.to_string())).transpose();
    let attempts = attempts.map_err(|message| refuse("-retry-attempts", message));
    let resync = typed.number("resync").and_then(|seconds| u64::try_from(seconds).ok());
    let engine = engine::registrator_default(host).map_err(|message| refuse("DOCKER_HOST", message));
    let rules = Rules {
        ip: ip.unwrap_or_default(),
        internal: typed.on("internal"),
        explicit: typed.on("explicit"),
        ip_label: typed.filled("useIpFromLabel"),
        tags: tags.unwrap_or_default(),
        ..Rules::default()
    };
    Settings {
        engine: engine.unwrap_or(base.engine),
        // The original writes only services.
        publish_node: true,
        rules,
        lease,
        relist: resync.filter(|seconds| *seconds > 0).map_or(base.relist, seconds),
        deregister: deregister.unwrap_or(base.deregister),
        attempts: attempts.ok().flatten().flatten(),
        pause: Duration::from_millis(u64::try_from(pause).unwrap_or(1)),
        ..Settings::default()
    }
}

/// Returns the lease: both flags or neither, and the time to live longer than the refresh. Without them, the defaults
/// of `retune register` apply: a key without a lease outlives its host.
fn read_lease(typed: &Flags, wrong: &mut Vec<Problem>) -> Lease {
    let ttl = typed.number("ttl");
    let refresh = typed.number("ttl-refresh").unwrap_or(0);
    let base = Lease::default();
    let mut refuse = |message: &str| {
        wrong.push(Problem::semantic("-ttl", message));
        base
    };
    let whole = |count: i64| seconds(u64::try_from(count).unwrap_or_default());
    match ttl {
        _ if (ttl.unwrap_or(0) == 0) != (refresh == 0) => {
            refuse("-ttl and -ttl-refresh must be specified together or not at all")
        }
        None => base,
        Some(0) => Lease { ttl: None, ..base },
        Some(ttl) if ttl <= refresh || refresh < 0 => refuse("-ttl must be greater than -ttl-refresh"),
        Some(ttl) => Lease { ttl: Some(whole(ttl)), refresh: whole(refresh) },
    }
}

/// Longer times than a year are mistakes, and would overflow a clock sooner or later.
fn seconds(count: u64) -> Duration {
    Duration::from_secs(count.min(366 * 24 * 3600))
}
