//! A row of the table: a command, its options, and what it does.

use crate::ctl::CtlCommand;

use super::super::go_flags::Flags;
use super::super::row::{Row, ValueKind, row};

/// What a command does.
#[derive(Clone, Copy)]
pub(super) enum Action {
    /// It runs the command that its options describe.
    Run(fn(&Flags) -> CtlCommand),
    /// It has only subcommands.
    Group(&'static [Cmd]),
    /// It prints help pages.
    Help,
}

/// One command.
pub(super) struct Cmd {
    pub(super) name: &'static str,
    pub(super) action: Action,
    pub(super) usage: &'static str,
    /// Empty where the help shows the general text.
    pub(super) args: &'static str,
    pub(super) description: &'static str,
    pub(super) options: &'static [Row],
}

impl Cmd {
    pub(super) const fn options(mut self, options: &'static [Row]) -> Self {
        self.options = options;
        self
    }

    pub(super) const fn described(mut self, text: &'static str) -> Self {
        self.description = text;
        self
    }

    /// Returns the position of the first word that is a key, counted from 0; all later words are keys too.
    pub(super) fn keys_from(&self) -> Option<usize> {
        self.args.split_whitespace().position(|word| matches!(word, "<key>" | "[key]"))
    }

    /// Returns the subcommands.
    pub(super) const fn sub(&self) -> &'static [Self] {
        match self.action {
            Action::Group(sub) => sub,
            Action::Run(_) | Action::Help => &[],
        }
    }
}

/// Returns a command without options.
pub(super) const fn cmd(
    name: &'static str,
    usage: &'static str,
    args: &'static str,
    build: fn(&Flags) -> CtlCommand,
) -> Cmd {
    with_action(name, usage, args, Action::Run(build))
}

/// Returns a command that has only subcommands.
pub(super) const fn group(name: &'static str, usage: &'static str, sub: &'static [Cmd]) -> Cmd {
    with_action(name, usage, "", Action::Group(sub))
}

pub(super) const fn with_action(
    name: &'static str,
    usage: &'static str,
    args: &'static str,
    action: Action,
) -> Cmd {
    Cmd { name, action, usage, args, description: "", options: &[] }
}

/// Returns an option. A word in backquotes in `usage` is the value's name in the help.
pub(super) const fn option(names: &'static [&'static str], kind: ValueKind, usage: &'static str) -> Row {
    let Some((name, also)) = names.split_first() else { panic!("an option has a name") };
    row(name, kind, &[], usage).also(also)
}

/// Returns an option's name as it is typed.
pub(super) fn dashed(name: &str) -> String {
    format!("{}{name}", if name.len() == 1 { "-" } else { "--" })
}
