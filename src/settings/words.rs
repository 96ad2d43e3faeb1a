//! Stage one: words to options. Nothing outside the command line is looked at.
//!
//! Go's spelling holds in both dialects: one dash or two, `-x v` or `-x=v`, a switch alone or with `=value`. A
//! flag that takes a value takes the next word whatever it looks like; after `--` nothing is a flag.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::options::{self, COMMANDS, CONFD, Commands, ETCD, Fate, Kind, Row};
use super::problem::Problem;
use super::suggest::nearest;

/// What was typed.
pub(super) struct Call {
    pub(super) wish: Wish,
    pub(super) typed: Vec<Typed>,
    pub(super) problems: Vec<Problem>,
}

/// What is to be done.
pub(super) enum Wish {
    Run(Commands),
    Page(Page),
    /// The words make no sense; the problems say why.
    Nothing,
}

/// A text to print, whatever else is broken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Page {
    Version,
    /// The four lines that etcd's `-version` has.
    EtcdVersion,
    /// Help for the whole (no topic), a command or `confd`.
    Help {
        topic: Option<&'static str>,
        long: bool,
    },
    Completions(String),
    Man(Option<String>),
}

/// One option as typed. No `Debug`: the value may be a password.
pub(super) struct Typed {
    pub(super) row: &'static Row,
    /// With its dashes, as the user wrote it.
    pub(super) spelled: String,
    pub(super) value: OsString,
}

enum Piece {
    Option(Typed),
    Unknown { spelled: String },
    NoValue { spelled: String },
    Help { long: bool },
    Version,
    Word { word: OsString, maybe_value: bool },
}

// `ctl` reads its own words; here it is only a name that help and suggestions know.
const PAGES: &[&str] = &["ctl", "completions", "man", "help"];

/// The names of everything that can stand behind `retune`.
pub(super) fn command_names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|(name, ..)| *name).chain(PAGES.iter().copied())
}

/// Reads the command line, the program's name first.
pub(super) fn read(args: Vec<OsString>) -> Call {
    let mut args = args.into_iter();
    let program = args.next().unwrap_or_default();
    let called = Path::new(&program).file_name();
    let called_confd = called == Some(OsStr::new("confd"));
    if called == Some(OsStr::new("etcd")) {
        return run(ETCD, scan(args, ETCD), None);
    }
    let args: Vec<OsString> = args.collect();
    if let Some((command, words)) = leading(&args).filter(|_| !called_confd) {
        return run(command, scan(args.into_iter().skip(words), command), None);
    }
    let pieces = scan(args.into_iter(), 0);
    let first = pieces.iter().position(|piece| matches!(piece, Piece::Word { .. }));
    let first_word = first.and_then(|at| match &pieces[at] {
        Piece::Word { word, .. } => word.to_str(),
        _ => None,
    });
    let named = first_word.and_then(|word| command_names().find(|name| *name == word));
    let flags = pieces.iter().take(first.unwrap_or(pieces.len())).any(is_flag);
    match (called_confd, named, first) {
        (true, ..) => run(CONFD, pieces, None),
        (false, Some(name), Some(at)) => match COMMANDS.iter().find(|(own, ..)| *own == name) {
            Some((_, command, _)) => run(*command, pieces, Some(at)),
            None => page(name, pieces, at),
        },
        _ if flags => run(CONFD, pieces, None),
        _ => bare(&pieces, first_word),
    }
}

/// The command that a command line begins with, and how many words it is: the longest that fits. Known this early, its own
/// rows say which flags take a value; behind flags it is found later.
fn leading(words: &[OsString]) -> Option<(Commands, usize)> {
    let typed: Vec<&str> = words.iter().take(2).map_while(|word| word.to_str()).collect();
    (1..=typed.len()).rev().find_map(|length| {
        let name = typed[..length].join(" ");
        let (_, command, _) = COMMANDS.iter().find(|(own, ..)| *own == name)?;
        Some((*command, length))
    })
}

fn is_flag(piece: &Piece) -> bool {
    matches!(piece, Piece::Option(_) | Piece::Unknown { .. } | Piece::NoValue { .. })
}

fn scan(words: impl Iterator<Item = OsString>, commands: Commands) -> Vec<Piece> {
    let mut words = words.peekable();
    let mut pieces: Vec<Piece> = Vec::new();
    while let Some(word) = words.next() {
        if word == "--" {
            pieces.extend(words.map(|word| Piece::Word { word, maybe_value: false }));
            break;
        }
        let bytes = word.as_bytes();
        if bytes.len() < 2 || bytes[0] != b'-' {
            let maybe_value = matches!(pieces.last(), Some(Piece::Unknown { .. }));
            pieces.push(Piece::Word { word, maybe_value });
            continue;
        }
        let (head, tail) = match bytes.iter().position(|byte| *byte == b'=') {
            Some(at) => (&bytes[..at], Some(OsString::from_vec(bytes[at + 1..].to_vec()))),
            None => (bytes, None),
        };
        let spelled = String::from_utf8_lossy(head).into_owned();
        let name = spelled.strip_prefix("--").or_else(|| spelled.strip_prefix('-')).unwrap_or(&spelled);
        pieces.push(match (options::flag_of(commands, name), name) {
            (Some(row), _) => match tail.or_else(|| value_of(row, &mut words)) {
                Some(value) => Piece::Option(Typed { row, spelled, value }),
                None => Piece::NoValue { spelled },
            },
            (None, "h") => Piece::Help { long: false },
            (None, "help") => Piece::Help { long: true },
            (None, "V" | "version") => Piece::Version,
            (None, _) => Piece::Unknown { spelled },
        });
    }
    pieces
}

fn value_of(row: &Row, words: &mut impl Iterator<Item = OsString>) -> Option<OsString> {
    if row.kind == Kind::Switch { Some(OsString::from("true")) } else { words.next() }
}

/// The page that some piece asks for; it comes before everything that is wrong with the others.
fn wanted_page(pieces: &[Piece], topic: Option<&'static str>) -> Option<Call> {
    let page = pieces.iter().find_map(|piece| match piece {
        Piece::Help { long } => Some(Page::Help { topic, long: *long }),
        Piece::Version if topic == Some("etcd") => Some(Page::EtcdVersion),
        Piece::Version => Some(Page::Version),
        _ => None,
    })?;
    Some(Call { wish: Wish::Page(page), typed: Vec::new(), problems: Vec::new() })
}

fn run(command: Commands, pieces: Vec<Piece>, own_name_at: Option<usize>) -> Call {
    let topic = match command {
        CONFD => "confd",
        ETCD => "etcd",
        _ => options::title(command),
    };
    if let Some(call) = wanted_page(&pieces, Some(topic)) {
        return call;
    }
    let mut call = Call { wish: Wish::Run(command), typed: Vec::new(), problems: Vec::new() };
    for (at, piece) in pieces.into_iter().enumerate() {
        match piece {
            Piece::Option(typed) if typed.row.commands & command != 0 => call.typed.push(typed),
            Piece::Option(typed) => call.problems.extend(misplaced(command, &typed)),
            Piece::Unknown { spelled } => call.problems.push(unknown(command, &spelled)),
            Piece::NoValue { spelled } => call.problems.push(Problem::new(spelled, "needs a value after it")),
            Piece::Word { .. } if Some(at) == own_name_at => {}
            // It may be the value of a flag nobody knows, perhaps a password: that flag is reported already.
            Piece::Word { maybe_value: true, .. } => {}
            Piece::Word { word, .. } => {
                let bare = options::operand(command)
                    .map(|(row, _)| row)
                    .filter(|row| call.typed.iter().all(|typed| typed.row.name != row.name));
                let spelled = word.to_string_lossy().into_owned();
                let typed = match bare {
                    Some(row) => Some(Typed { row, spelled, value: word.clone() }),
                    None => backend_word(command, &word),
                };
                match typed {
                    Some(typed) => call.typed.push(typed),
                    None => call.problems.push(stray(command, &word)),
                }
            }
            Piece::Help { .. } | Piece::Version => {}
        }
    }
    call
}

/// The maintained fork names the backend as a word: `confd etcd --onetime`.
fn backend_word(command: Commands, word: &OsStr) -> Option<Typed> {
    let row = options::flag("backend").filter(|_| command == CONFD)?;
    let known = matches!(row.kind, Kind::Choice(names) if names.iter().any(|name| word == *name))
        || super::store::FOREIGN_BACKENDS.iter().any(|name| word == *name);
    let spelled = word.to_str().filter(|_| known)?.to_owned();
    Some(Typed { row, spelled, value: word.to_owned() })
}

fn misplaced(command: Commands, typed: &Typed) -> Option<Problem> {
    if let Fate::Refused(reason) | Fate::Idle(reason) = typed.row.fate {
        return (!typed.value.is_empty()).then(|| Problem::new(&typed.spelled, reason));
    }
    let homes: Vec<&str> = COMMANDS
        .iter()
        .filter(|(_, own, _)| typed.row.commands & own != 0)
        .map(|(name, ..)| *name)
        .chain((typed.row.commands & CONFD != 0).then_some("confd's command line"))
        .chain((typed.row.commands == ETCD).then_some("etcd's command line"))
        .collect();
    let says = format!("{} does not take it; it belongs to {}", options::title(command), homes.join(", "));
    let hint = match typed.row.name {
        "onetime" => " (`retune render` renders once)",
        "watch" => " (`retune watch` follows the store)",
        _ => "",
    };
    Some(Problem::new(&typed.spelled, says + hint))
}

fn unknown(command: Commands, spelled: &str) -> Problem {
    let name = spelled.trim_start_matches('-');
    let known = options::rows().filter(|row| row.commands & command != 0 && row.fate == Fate::Used);
    let help = match command {
        // `retune --typo` comes here as well.
        CONFD => "-h".to_owned(),
        ETCD => "`etcd -h`".to_owned(),
        _ => format!("`retune {} -h`", options::title(command)),
    };
    let says = match nearest(name, known.flat_map(Row::names).chain(["help", "version"])) {
        Some(near) => format!("no such flag; did you mean --{near}?"),
        None => format!("no such flag; {help} lists them"),
    };
    let place = if command == ETCD {
        // Go's sentence, which scripts look for.
        format!("flag provided but not defined: -{name}")
    } else {
        spelled.to_owned()
    };
    Problem::new(place, says)
}

fn stray(command: Commands, word: &OsStr) -> Problem {
    let word = word.to_string_lossy();
    if command == ETCD {
        return Problem::of_sense("etcd", format!("'{word}' is not a valid flag"));
    }
    let says = if matches!(&*word, "true" | "false") {
        format!("no flag takes this word; a switch's value is written with an equals sign: --noop={word}")
    } else {
        let near = nearest(&word, command_names()).filter(|_| command == CONFD);
        match near {
            Some(near) => format!("no flag takes this word; did you mean `retune {near}`?"),
            None => "no flag takes this word; remove it, or write the flag before it".to_owned(),
        }
    };
    Problem::new(word.into_owned(), says)
}

/// `completions`, `man` and `help`.
fn page(name: &'static str, pieces: Vec<Piece>, own_name_at: usize) -> Call {
    if let Some(call) = wanted_page(&pieces, Some(name).filter(|name| *name != "help")) {
        return call;
    }
    let mut problems = Vec::new();
    let mut words = Vec::new();
    for (at, piece) in pieces.into_iter().enumerate() {
        match piece {
            Piece::Word { word, .. } if at != own_name_at => words.push(word.to_string_lossy().into_owned()),
            Piece::Option(Typed { spelled, .. })
            | Piece::Unknown { spelled }
            | Piece::NoValue { spelled } => {
                problems.push(Problem::new(spelled, format!("`retune {name}` takes no flags")));
            }
            Piece::Word { .. } | Piece::Help { .. } | Piece::Version => {}
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
            problems.push(Problem::new("ctl", "is the first word; the options it takes come behind it"));
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
    let wish = page.filter(|_| problems.is_empty()).map_or(Wish::Nothing, Wish::Page);
    Call { wish, typed: Vec::new(), problems }
}

/// `retune` with no command that anyone knows.
fn bare(pieces: &[Piece], word: Option<&str>) -> Call {
    if let Some(call) = wanted_page(pieces, None) {
        return call;
    }
    let problem = match word {
        Some(word) => no_command(word),
        None if pieces.is_empty() => {
            Problem::new("retune", format!("say what to do: {}; `retune help` tells more", listed()))
        }
        None => Problem::new("retune", format!("the first word is no text; it is one of {}", listed())),
    };
    Call { wish: Wish::Nothing, typed: Vec::new(), problems: vec![problem] }
}

pub(super) fn no_command(word: &str) -> Problem {
    let says = match nearest(word, command_names()) {
        Some(near) => format!("no such command; did you mean `retune {near}`?"),
        None => format!("no such command; there are {}", listed()),
    };
    Problem::new(word, says)
}

fn listed() -> String {
    command_names().collect::<Vec<_>>().join(", ")
}
