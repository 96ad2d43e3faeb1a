//! One option: its names, the form of its value, and the commands that have it.

use super::invocation::CommandId;

/// The form of an option's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueKind {
    /// On or off; takes a value only as `--x=false`.
    Switch,
    /// One word.
    Text,
    /// One path; the only kind that need not be UTF-8 beside `Paths`.
    Path,
    /// Any number of words, also separated by commas.
    List,
    /// May be repeated, one word each time; a comma is part of the word.
    Repeat,
    /// Any number of paths.
    Paths,
    /// A duration.
    Span,
    /// An integer.
    Number,
    /// A size.
    Bytes,
    /// One of these words.
    Choice(&'static [&'static str]),
}

impl ValueKind {
    pub(super) const fn many(self) -> bool {
        matches!(self, Self::List | Self::Repeat | Self::Paths)
    }
}

/// One option.
pub(super) struct Row {
    /// The flag without dashes; the names in the environment and file are derived from it.
    pub(super) name: &'static str,
    /// The one-letter flag.
    pub(super) short: Option<char>,
    /// Other accepted spellings, in every layer.
    pub(super) also: &'static [&'static str],
    pub(super) kind: ValueKind,
    /// The value's name in the help.
    pub(super) value: &'static str,
    pub(super) help: &'static str,
    /// Shown in the help; a test proves that giving it changes nothing.
    pub(super) default: &'static str,
    pub(super) commands: &'static [CommandId],
    pub(super) support: Support,
}

/// Whether an option has an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Support {
    /// It has.
    Used,
    /// A flag of confd's that has no meaning here, and why. Any value but the empty one is an error.
    Refused(&'static str),
    /// A tuning flag of the maintained fork with nothing to tune here, and why. An error as a flag; a warning in
    /// environment and file, which may serve another program too.
    NoEffect(&'static str),
    /// A flag of etcd's without effect here, and why: a warning wherever it is given, or nothing if the reason is
    /// empty.
    Ignored(&'static str),
}

pub(super) const fn row(
    name: &'static str,
    kind: ValueKind,
    commands: &'static [CommandId],
    help: &'static str,
) -> Row {
    let value = match kind {
        ValueKind::Path | ValueKind::Paths => "PATH",
        ValueKind::Span => "SPAN",
        ValueKind::Number => "N",
        ValueKind::Bytes => "SIZE",
        ValueKind::Switch | ValueKind::Text | ValueKind::List | ValueKind::Repeat | ValueKind::Choice(_) => {
            "WORD"
        }
    };
    Row { name, short: None, also: &[], kind, value, help, default: "", commands, support: Support::Used }
}

impl Row {
    pub(super) const fn also(mut self, names: &'static [&'static str]) -> Self {
        self.also = names;
        self
    }
    pub(super) const fn default(mut self, text: &'static str) -> Self {
        self.default = text;
        self
    }
    pub(super) const fn takes(mut self, value: &'static str) -> Self {
        self.value = value;
        self
    }
    pub(super) const fn support(mut self, support: Support) -> Self {
        self.support = support;
        self
    }
    pub(super) const fn short(mut self, letter: char) -> Self {
        self.short = Some(letter);
        self
    }

    /// Returns the name that a command's help shows first: confd's own where it has one.
    pub(super) fn shown(&self, command: CommandId) -> &'static str {
        if command == CommandId::Confd && self.name == "endpoints" { "node" } else { self.name }
    }

    /// Returns whether the command has the option.
    pub(super) fn belongs_to(&self, command: CommandId) -> bool {
        self.commands.contains(&command)
    }

    /// Returns every spelling, the main name first.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.also.iter().copied())
    }
}
