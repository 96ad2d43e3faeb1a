//! Stage one: words to options. Reads nothing but the command line.
//!
//! Go's spelling works in both dialects: one dash or two, `-x v` or `-x=v`, a switch alone or with `=value`. A flag
//! that takes a value takes the next word whatever it looks like; after `--` nothing is a flag.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::invocation::CommandId;
use super::options::{self, COMMANDS};
use super::problem::Problem;
use super::row::{Row, Support, ValueKind};
use super::store::FOREIGN_BACKENDS;
use crate::nearest::nearest;

/// The parsed command line.
pub(super) enum ParsedArgs {
    /// Run a command with these options; the problems are about other words.
    Run {
        command: CommandId,
        typed: Vec<TypedOption>,
        problems: Vec<Problem>,
    },
    Page(Page),
    /// The words are invalid.
    Invalid(Vec<Problem>),
}

/// A text to print, whatever else is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Page {
    Version,
    /// The four lines of etcd's `-version`.
    EtcdVersion,
    /// Help for the whole program (no topic), a command or `confd`.
    Help {
        topic: Option<&'static str>,
        long: bool,
    },
    Completions(String),
    Man(Option<String>),
}

/// One option as typed. No `Debug`: the value may be a password.
pub(super) struct TypedOption {
    pub(super) row: &'static Row,
    /// With its dashes, as the user wrote it.
    pub(super) spelled: String,
    pub(super) value: OsString,
}

enum Arg {
    Option(TypedOption),
    Unknown { spelled: String },
    NoValue { spelled: String },
    Help { long: bool },
    Version,
    Positional { word: OsString, maybe_value: bool },
}

// `ctl` parses its own words; here it is only a name for help and suggestions.
const PAGES: &[&str] = &["ctl", "completions", "man", "help"];

/// Returns every name that can follow `retune`.
pub(super) fn command_names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|command| command.spec().name).chain(PAGES.iter().copied())
}

/// Parses the command line, the program's name first.
pub(super) fn read(args: Vec<OsString>) -> ParsedArgs {
    let mut args = args.into_iter();
    let program = args.next().unwrap_or_default();
    let called = Path::new(&program).file_name();
    let called_confd = called == Some(OsStr::new("confd"));
    if called == Some(OsStr::new("etcd")) {
        return run(CommandId::Etcd, scan(args, Some(CommandId::Etcd)), None);
    }
    let args: Vec<OsString> = args.collect();
    if let Some((command, words)) = leading_command(&args).filter(|_| !called_confd) {
        return run(command, scan(args.into_iter().skip(words), Some(command)), None);
    }
    let scanned = scan(args.into_iter(), None);
    let first = scanned.iter().position(|arg| matches!(arg, Arg::Positional { .. }));
    let first_word = first.and_then(|at| match &scanned[at] {
        Arg::Positional { word, .. } => word.to_str(),
        _ => None,
    });
    let named = first_word.and_then(|word| command_names().find(|name| *name == word));
    let flags = scanned.iter().take(first.unwrap_or(scanned.len())).any(is_flag);
    match (called_confd, named, first) {
        (true, ..) => run(CommandId::Confd, scanned, None),
        (false, Some(name), Some(at)) => match CommandId::named(name) {
            Some(command) => run(command, scanned, Some(at)),
            None => page(name, scanned, at),
        },
        _ if flags => run(CommandId::Confd, scanned, None),
        _ => without_command(&scanned, first_word),
    }
}

/// Returns the command at the start of a command line, and its number of words: the longest match. Knowing it first
/// lets its own rows decide which flags take a value; a command after flags is found later.
fn leading_command(words: &[OsString]) -> Option<(CommandId, usize)> {
    let typed: Vec<&str> = words.iter().take(2).map_while(|word| word.to_str()).collect();
    (1..=typed.len()).rev().find_map(|length| Some((CommandId::named(&typed[..length].join(" "))?, length)))
}

fn is_flag(arg: &Arg) -> bool {
    matches!(arg, Arg::Option(_) | Arg::Unknown { .. } | Arg::NoValue { .. })
}

fn scan(words: impl Iterator<Item = OsString>, command: Option<CommandId>) -> Vec<Arg> {
    let mut words = words.peekable();
    let mut scanned: Vec<Arg> = Vec::new();
    while let Some(word) = words.next() {
        if word == "--" {
            scanned.extend(words.map(|word| Arg::Positional { word, maybe_value: false }));
            break;
        }
        let bytes = word.as_bytes();
        if bytes.len() < 2 || bytes[0] != b'-' {
            let maybe_value = matches!(scanned.last(), Some(Arg::Unknown { .. }));
            scanned.push(Arg::Positional { word, maybe_value });
            continue;
        }
        let (head, tail) = match bytes.iter().position(|byte| *byte == b'=') {
            Some(at) => (&bytes[..at], Some(OsString::from_vec(bytes[at + 1..].to_vec()))),
            None => (bytes, None),
        };
        let spelled = String::from_utf8_lossy(head).into_owned();
        let name = spelled.strip_prefix("--").or_else(|| spelled.strip_prefix('-')).unwrap_or(&spelled);
        scanned.push(match (options::flag_of(command, name), name) {
            (Some(row), _) => match tail.or_else(|| value_of(row, &mut words)) {
                Some(value) => Arg::Option(TypedOption { row, spelled, value }),
                None => Arg::NoValue { spelled },
            },
            (None, "h") => Arg::Help { long: false },
            (None, "help") => Arg::Help { long: true },
            (None, "V" | "version") => Arg::Version,
            (None, _) => Arg::Unknown { spelled },
        });
    }
    scanned
}

fn value_of(row: &Row, words: &mut impl Iterator<Item = OsString>) -> Option<OsString> {
    if row.kind == ValueKind::Switch { Some(OsString::from("true")) } else { words.next() }
}

/// Returns the page that some word asks for; it takes precedence over all errors.
fn requested_page(scanned: &[Arg], topic: Option<&'static str>) -> Option<ParsedArgs> {
    scanned
        .iter()
        .find_map(|arg| match arg {
            Arg::Help { long } => Some(Page::Help { topic, long: *long }),
            Arg::Version if topic == Some("etcd") => Some(Page::EtcdVersion),
            Arg::Version => Some(Page::Version),
            _ => None,
        })
        .map(ParsedArgs::Page)
}

fn run(command: CommandId, scanned: Vec<Arg>, own_name_at: Option<usize>) -> ParsedArgs {
    if let Some(page) = requested_page(&scanned, Some(command.spec().name)) {
        return page;
    }
    let (mut typed, mut problems) = (Vec::<TypedOption>::new(), Vec::new());
    for (at, arg) in scanned.into_iter().enumerate() {
        match arg {
            Arg::Option(option) if option.row.belongs_to(command) => typed.push(option),
            Arg::Option(option) => problems.extend(misplaced(command, &option)),
            Arg::Unknown { spelled } => problems.push(unknown(command, &spelled)),
            Arg::NoValue { spelled } => problems.push(Problem::new(spelled, "needs a value after it")),
            Arg::Positional { .. } if Some(at) == own_name_at => {}
            // It may be the value of an unknown flag, perhaps a password: that flag is already reported.
            Arg::Positional { maybe_value: true, .. } => {}
            Arg::Positional { word, .. } => {
                let bare = options::operand(command)
                    .map(|(row, _)| row)
                    .filter(|row| typed.iter().all(|typed| typed.row.name != row.name));
                let spelled = word.to_string_lossy().into_owned();
                let option = match bare {
                    Some(row) => Some(TypedOption { row, spelled, value: word.clone() }),
                    None => backend_argument(command, &word),
                };
                match option {
                    Some(option) => typed.push(option),
                    None => problems.push(unexpected_argument(command, &word)),
                }
            }
            Arg::Help { .. } | Arg::Version => {}
        }
    }
    ParsedArgs::Run { command, typed, problems }
}

/// The maintained fork takes the backend as a word: `confd etcd --onetime`.
fn backend_argument(command: CommandId, word: &OsStr) -> Option<TypedOption> {
    let row = options::flag("backend").filter(|_| command == CommandId::Confd)?;
    let known = matches!(row.kind, ValueKind::Choice(names) if names.iter().any(|name| word == *name))
        || FOREIGN_BACKENDS.iter().any(|name| word == *name);
    let spelled = word.to_str().filter(|_| known)?.to_owned();
    Some(TypedOption { row, spelled, value: word.to_owned() })
}

fn misplaced(command: CommandId, typed: &TypedOption) -> Option<Problem> {
    if let Support::Refused(reason) | Support::NoEffect(reason) = typed.row.support {
        return (!typed.value.is_empty()).then(|| Problem::new(&typed.spelled, reason));
    }
    let homes: Vec<&str> = COMMANDS
        .iter()
        .filter(|own| typed.row.belongs_to(**own))
        .chain(typed.row.belongs_to(CommandId::Confd).then_some(&CommandId::Confd))
        .chain((typed.row.commands == [CommandId::Etcd]).then_some(&CommandId::Etcd))
        .map(|own| own.title())
        .collect();
    let message = format!("{} does not take it; it belongs to {}", command.title(), homes.join(", "));
    let hint = match typed.row.name {
        "onetime" => " (`retune render` renders once)",
        "watch" => " (`retune watch` follows the store)",
        _ => "",
    };
    Some(Problem::new(&typed.spelled, message + hint))
}

fn unknown(command: CommandId, spelled: &str) -> Problem {
    let name = spelled.trim_start_matches('-');
    let known = options::rows().filter(|row| row.belongs_to(command) && row.support == Support::Used);
    let help = match command {
        // `retune --typo` is handled here as well.
        CommandId::Confd => "-h".to_owned(),
        CommandId::Etcd => "`etcd -h`".to_owned(),
        _ => format!("`retune {} -h`", command.title()),
    };
    let message = match nearest(name, known.flat_map(Row::names).chain(["help", "version"])) {
        Some(near) => format!("no such flag; did you mean --{near}?"),
        None => format!("no such flag; {help} lists them"),
    };
    let place = if command == CommandId::Etcd {
        // Go's message, which scripts look for.
        format!("flag provided but not defined: -{name}")
    } else {
        spelled.to_owned()
    };
    Problem::new(place, message)
}

fn unexpected_argument(command: CommandId, word: &OsStr) -> Problem {
    let word = word.to_string_lossy();
    if command == CommandId::Etcd {
        return Problem::semantic("etcd", format!("'{word}' is not a valid flag"));
    }
    let message = if matches!(&*word, "true" | "false") {
        format!("no flag takes this word; a switch's value is written with an equals sign: --noop={word}")
    } else {
        let near = nearest(&word, command_names()).filter(|_| command == CommandId::Confd);
        match near {
            Some(near) => format!("no flag takes this word; did you mean `retune {near}`?"),
            None => "no flag takes this word; remove it, or write the flag before it".to_owned(),
        }
    };
    Problem::new(word.into_owned(), message)
}

/// `completions`, `man` and `help`.
fn page(name: &'static str, scanned: Vec<Arg>, own_name_at: usize) -> ParsedArgs {
    if let Some(parsed) = requested_page(&scanned, Some(name).filter(|name| *name != "help")) {
        return parsed;
    }
    let mut problems = Vec::new();
    let mut words = Vec::new();
    for (at, arg) in scanned.into_iter().enumerate() {
        match arg {
            Arg::Positional { word, .. } if at != own_name_at => {
                words.push(word.to_string_lossy().into_owned());
            }
            Arg::Option(TypedOption { spelled, .. })
            | Arg::Unknown { spelled }
            | Arg::NoValue { spelled } => {
                problems.push(Problem::new(spelled, format!("`retune {name}` takes no flags")));
            }
            Arg::Positional { .. } | Arg::Help { .. } | Arg::Version => {}
        }
    }
    if let Some(both) =
        words.get(..2).map(|two| two.join(" ")).filter(|both| command_names().any(|name| name == both))
    {
        words = vec![both];
    }
    if let Some(extra) = words.get(1) {
        problems.push(Problem::new(extra, format!("`retune {name}` takes one word at most")));
    }
    let word = words.into_iter().next();
    let page = match (name, word) {
        ("completions", Some(shell)) => Some(Page::Completions(shell)),
        ("ctl", _) => {
            problems.push(Problem::new("ctl", "must be the first word; its options come after it"));
            None
        }
        ("man", word) => Some(Page::Man(word)),
        ("help", None) => Some(Page::Help { topic: None, long: true }),
        ("help", Some(word)) => {
            match command_names().chain(["confd", "etcd", "registrator"]).find(|known| *known == word) {
                Some(topic) => Some(Page::Help { topic: Some(topic), long: true }),
                None => {
                    problems.push(no_command(&word));
                    None
                }
            }
        }
        _ => {
            problems.push(Problem::new(name, "name the shell: bash, elvish, fish, powershell or zsh"));
            None
        }
    };
    page.filter(|_| problems.is_empty()).map_or(ParsedArgs::Invalid(problems), ParsedArgs::Page)
}

/// Handles `retune` without a known command.
fn without_command(scanned: &[Arg], word: Option<&str>) -> ParsedArgs {
    if let Some(parsed) = requested_page(scanned, None) {
        return parsed;
    }
    let problem = match word {
        Some(word) => no_command(word),
        None if scanned.is_empty() => {
            Problem::new("retune", format!("name a command: {}; see `retune help`", command_list()))
        }
        None => Problem::new(
            "retune",
            format!("the first word is not text; it must be one of {}", command_list()),
        ),
    };
    ParsedArgs::Invalid(vec![problem])
}

pub(super) fn no_command(word: &str) -> Problem {
    let message = match nearest(word, command_names()) {
        Some(near) => format!("no such command; did you mean `retune {near}`?"),
        None => format!("no such command; there are {}", command_list()),
    };
    Problem::new(word, message)
}

fn command_list() -> String {
    command_names().collect::<Vec<_>>().join(", ")
}
