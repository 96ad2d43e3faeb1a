//! Shell completions of `ctl`: words from the table, keys from the store.
//!
//! Each script asks the hidden command `complete-keys`, with the options typed so far, for the keys that start with
//! the word under the cursor.

use clap::{Arg, ArgAction, Command};

use super::super::row::{Row, ValueKind};
use super::ABOUT;
use super::row::{Action, Cmd, dashed};
use super::table::{COMMANDS, GLOBAL, MEMBER};

/// Returns the commands as clap commands: for the man page, and for shells without a script of our own.
pub(in crate::settings) fn described() -> Command {
    let root = Command::new("ctl").about(ABOUT).disable_help_flag(true).disable_help_subcommand(true);
    let root = GLOBAL.iter().fold(root, |root, option| root.arg(arg(option)));
    COMMANDS
        .iter()
        .filter(|row| !matches!(row.action, Action::Help))
        .fold(root, |root, row| root.subcommand(command(row)))
}

fn command(row: &Cmd) -> Command {
    let own = Command::new(row.name).about(row.usage).disable_help_flag(true).disable_help_subcommand(true);
    let own = row.options.iter().fold(own, |own, option| own.arg(arg(option)));
    let own = row.args.split_whitespace().fold(own, |own, word| own.arg(operand(word)));
    row.sub().iter().fold(own, |own, sub| own.subcommand(command(sub)))
}

/// Returns an argument of a command from its form on the help page: `<key>`, `[key]` or `[args...]`.
fn operand(shown: &'static str) -> Arg {
    let name = shown.trim_matches(['<', '>', '[', ']']);
    let arg = Arg::new(shown).value_name(name.trim_end_matches("..."));
    let arg = if name.ends_with("...") { arg.num_args(0..) } else { arg };
    arg.required(shown.starts_with('<'))
}

fn arg(option: &'static Row) -> Arg {
    let mut arg = Arg::new(option.name).help(option.help.replace('`', ""));
    for name in option.names() {
        arg = match name.chars().next() {
            Some(letter) if name.len() == 1 => arg.short(letter),
            _ => arg.long(name),
        };
    }
    match option.kind {
        ValueKind::Switch => arg.action(ArgAction::SetTrue),
        _ => arg.value_name("VALUE"),
    }
}

fn words(options: &[Row]) -> String {
    options.iter().flat_map(Row::names).map(dashed).collect::<Vec<_>>().join(" ")
}

fn names(rows: &[Cmd]) -> String {
    rows.iter().map(|row| row.name).collect::<Vec<_>>().join(" ")
}

/// Returns the global options that take a value, in every spelling, as alternatives of a `case`.
fn valued() -> String {
    let with_value = GLOBAL.iter().filter(|option| option.kind != ValueKind::Switch);
    let both = |name: &str| {
        if name.len() == 1 { vec![dashed(name)] } else { vec![dashed(name), format!("-{name}")] }
    };
    with_value.flat_map(|option| option.names().flat_map(both)).collect::<Vec<_>>().join("|")
}

fn of_keys(from: usize) -> String {
    let rows = COMMANDS.iter().filter(|row| row.keys_from() == Some(from));
    rows.map(|row| row.name).collect::<Vec<_>>().join("|")
}

/// Returns `name) words="…" ;;` for each command with options.
fn option_cases(indent: &str) -> String {
    let rows = COMMANDS.iter().filter(|row| !row.options.is_empty());
    rows.map(|row| format!("{indent}{}) all=\"{}\" ;;\n", row.name, words(row.options))).collect()
}

fn filled(script: &str) -> String {
    script
        .replace("@VALUED@", &valued())
        .replace("@GLOBAL@", &words(GLOBAL))
        .replace("@COMMANDS@", &names(COMMANDS))
        .replace("@MEMBER@", &names(MEMBER))
        .replace("@KEYS@", &of_keys(0))
        .replace("@FILE_AND_KEY@", &of_keys(1))
        .replace("@OPTIONS@\n", &option_cases("        "))
}

/// Returns clap's script for bash, with our completion of `ctl`.
pub(in crate::settings) fn bash(generated: &str) -> String {
    format!("{generated}{}", filled(include_str!("complete.bash")))
}

/// Returns clap's script for zsh, with our completion of `ctl`. The file also runs as the function it defines, so our
/// part comes first.
pub(in crate::settings) fn zsh(generated: &str) -> String {
    let ours = filled(include_str!("complete.zsh"));
    let head = "_retune() {\n    [[ ${words[2]} == ctl ]] && { _retune_ctl 3 ctl; return }\n";
    generated.replacen("_retune() {\n", &format!("{ours}\n{head}"), 1)
}

/// Returns clap's script for fish, with keys added.
pub(in crate::settings) fn fish(generated: &str) -> String {
    format!("{generated}{}", filled(include_str!("complete.fish")))
}
