//! `retune ctl …` and the command line of etcdctl: arguments to a [`ctl::Invocation`].
//!
//! etcdctl parses its arguments with urfave/cli on top of Go's `flag` package. Scripts depend on what these two allow
//! (single dashes, options after the arguments) and on their errors, so both are followed to the letter: `table` is
//! the one list of commands and options (`auth_table` a part of it), `go_flags` parses arguments by it, `help` prints
//! its pages from it, `access` and `command` build the settings, `hints` names what a
//! mistyped word probably stands for, `complete` makes the shell completions.

mod access;
mod auth_table;
mod command;
mod complete;
mod help;
mod hints;
mod row;
mod table;

#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::ctl;

use super::go_flags::{self as flags, Flags};
use super::row::Row;
use row::{Action, Cmd};
use table::{COMMANDS, GLOBAL, HELP, HIDDEN};

pub(super) use access::VARIABLES;
pub(super) use complete::{bash, described, fish, zsh};

const ABOUT: &str = "A simple command line client for etcd, with export, import, diff and edit.";
const HELP_ONLY: &[Row] = &[HELP];

/// The program whose command line it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Program {
    name: &'static str,
    /// The prefixes of its environment variables, the stronger one first.
    prefixes: &'static [&'static str],
}

impl Program {
    /// Returns the main help.
    fn page(self) -> String {
        help::whole(self.name, ABOUT, COMMANDS, GLOBAL)
    }
}

const ETCDCTL: Program = Program { name: "etcdctl", prefixes: &["ETCDCTL_"] };
const RETUNE_CTL: Program = Program { name: "retune ctl", prefixes: &["RETUNE_", "ETCDCTL_"] };

/// Returns the invocation, when these arguments (the program's name first) are for `ctl` or `etcdctl`.
pub(super) fn parse_args(
    args: &[OsString],
    variables: &[String],
    env: &dyn Fn(&str) -> Option<String>,
) -> Option<ctl::Invocation> {
    let own_name = args.first().and_then(|name| Path::new(name).file_name());
    let (program, words) = match (own_name, args.get(1)) {
        (Some(name), _) if name == OsStr::new("etcdctl") => (ETCDCTL, &args[1..]),
        (_, Some(first)) if first == "ctl" => (RETUNE_CTL, &args[2..]),
        _ => return None,
    };
    Some(read(program, words, variables, env))
}

/// Returns the page that `retune help ctl` prints.
pub(super) fn page() -> String {
    RETUNE_CTL.page()
}

/// Returns an invocation that prints a text and exits with a code, instead of a command.
fn print_only(stdout: String, stderr: String, code: u8) -> ctl::Invocation {
    ctl::Invocation::print(ctl::Message { stdout, stderr, code })
}

fn print_page(page: String) -> ctl::Invocation {
    print_only(page, String::new(), 0)
}

fn usage_error(head: &str, why: &str, page: &str) -> ctl::Invocation {
    print_only(format!("{head}{why}\n{page}"), format!("{why}\n"), 1)
}

fn no_topic(program: Program, word: &OsStr, commands: &[Cmd]) -> ctl::Invocation {
    let hint = hints::command(program, word, commands);
    print_only(String::new(), format!("No help topic for '{}'{hint}\n", word.to_string_lossy()), 3)
}

fn read(
    program: Program,
    words: &[OsString],
    variables: &[String],
    env: &dyn Fn(&str) -> Option<String>,
) -> ctl::Invocation {
    let (globals, wrong) = flags::read(words, &[GLOBAL]);
    if let Some(why) = globals.alias_conflict(&[GLOBAL]) {
        return usage_error("", &why, &program.page());
    }
    if let Some(why) = wrong {
        let why = hints::option(program, why, &[GLOBAL]);
        return usage_error("Incorrect Usage. ", &why, &format!("\n{}", program.page()));
    }
    if globals.on("help") {
        return print_page(program.page());
    }
    if globals.on("version") {
        return print_page(format!("etcdctl version: {}\nAPI version: 2\n", env!("CARGO_PKG_VERSION")));
    }
    let Some((name, rest)) = globals.words.split_first() else { return print_page(program.page()) };
    let Some(command) = find(COMMANDS, name).or_else(|| find(HIDDEN, name)) else {
        return no_topic(program, name, COMMANDS);
    };
    let full_name = format!("{} {}", program.name, command.name);
    let context = CtlContext { program, variables, env, globals: &globals };
    match command.action {
        Action::Group(sub) => context.group(&full_name, command, sub, rest),
        Action::Run(_) | Action::Help => context.command(&full_name, command, rest),
    }
}

fn find(commands: &'static [Cmd], word: &OsStr) -> Option<&'static Cmd> {
    let word = if word == "h" { OsStr::new("help") } else { word };
    commands.iter().find(|command| command.name == word)
}

/// What all commands of one call share.
struct CtlContext<'c> {
    program: Program,
    /// The names of the environment variables.
    variables: &'c [String],
    env: &'c dyn Fn(&str) -> Option<String>,
    globals: &'c Flags,
}

impl CtlContext<'_> {
    fn command(&self, full_name: &str, command: &'static Cmd, words: &[OsString]) -> ctl::Invocation {
        let all: [&'static [Row]; 2] = [command.options, HELP_ONLY];
        let (flags, wrong) = flags::read(&flags::reordered(words, &all), &all);
        if let Some(why) = wrong.or_else(|| flags.alias_conflict(&all)) {
            let why = hints::option(self.program, why, &all);
            return usage_error(
                "Incorrect Usage: ",
                &why,
                &format!("\n{}", help::command(full_name, command)),
            );
        }
        if flags.on("help") {
            return print_page(help::command(full_name, command));
        }
        let Action::Run(build) = command.action else {
            return match flags.words.first() {
                None => print_page(self.program.page()),
                Some(topic) => self.topic(COMMANDS, self.program.name, topic),
            };
        };
        let mut ctl_command = build(&flags);
        if let ctl::CtlCommand::ImportFrom(from) = &mut ctl_command {
            let names = self.program.prefixes.iter().map(|prefix| format!("{prefix}FROM_USER"));
            let given = || names.filter_map(|name| (self.env)(&name)).find(|user| !user.is_empty());
            from.user = from.user.take().or_else(given);
        }
        let output = match self.globals.text("output") {
            text if text.is_empty() && !self.globals.given("output") => "simple".to_owned(),
            text => text,
        };
        let access = access::read(self.program, self.globals, self.env);
        let mut notes = access::notes(self.program, self.variables, self.env);
        notes.extend(hints::ignored_variables(self.program, self.globals, self.variables, self.env));
        notes.extend(hints::ignored_options(self.program, command, &flags.words));
        ctl::Invocation { command: ctl_command, args: flags.words, access, output, notes }
    }

    fn group(
        &self,
        full_name: &str,
        command: &'static Cmd,
        sub: &'static [Cmd],
        words: &[OsString],
    ) -> ctl::Invocation {
        let (flags, wrong) = flags::read(words, &[HELP_ONLY]);
        if let Some(why) = flags.alias_conflict(&[HELP_ONLY]) {
            return usage_error("", &why, &format!("\n{}", help::group(full_name, command)));
        }
        if let Some(why) = wrong {
            let why = hints::option(self.program, why, &[HELP_ONLY]);
            return usage_error("Incorrect Usage. ", &why, &format!("\n{}", help::group(full_name, command)));
        }
        let Some((name, rest)) = flags.words.split_first().filter(|_| !flags.on("help")) else {
            return print_page(help::group(full_name, command));
        };
        if name == "help" || name == "h" {
            return match rest.first() {
                None => print_page(help::whole(full_name, command.usage, sub, HELP_ONLY)),
                Some(topic) => self.topic(sub, full_name, topic),
            };
        }
        match find(sub, name) {
            Some(sub) => self.command(&format!("{full_name} {}", sub.name), sub, rest),
            None => no_topic(self.program, name, command.sub()),
        }
    }

    fn topic(&self, commands: &'static [Cmd], above: &str, topic: &OsStr) -> ctl::Invocation {
        match find(commands, topic) {
            Some(command) => print_page(help::command(&format!("{above} {}", command.name), command)),
            None => no_topic(self.program, topic, commands),
        }
    }
}
