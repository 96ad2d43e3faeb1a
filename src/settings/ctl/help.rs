//! Help pages in urfave/cli's layout.

use super::super::row::{Row, ValueKind};
use super::row::Cmd;
use super::table::{COMMANDS, GLOBAL, HELP};

/// Returns the main help: `program` is the name it was called by.
pub(super) fn whole(program: &str, about: &str, version: &str) -> String {
    format!(
        "NAME:\n   {program} - {about}\n\nUSAGE:\n   {program} [global options] command [command options] \
         [arguments...]\n\nVERSION:\n   {version}\n\nCOMMANDS:\n{}\nGLOBAL OPTIONS:\n{}",
        commands(COMMANDS, true),
        options(GLOBAL)
    )
}

/// Returns the help of one command.
pub(super) fn command(full_name: &str, command: &Cmd) -> String {
    let mut page = format!("NAME:\n   {full_name} - {}\n\nUSAGE:\n   {full_name}", command.usage);
    if !command.options.is_empty() {
        page.push_str(" [command options]");
    }
    page.push(' ');
    page.push_str(if command.args.is_empty() { "[arguments...]" } else { command.args });
    page.push('\n');
    if !command.description.is_empty() {
        page.push_str(&format!("\nDESCRIPTION:\n   {}\n", command.description));
    }
    if !command.options.is_empty() {
        page.push_str(&format!("\nOPTIONS:\n{}   \n", options(command.options)));
    }
    page
}

/// Returns the help of a command that has only subcommands.
pub(super) fn group(full_name: &str, command: &Cmd) -> String {
    format!(
        "NAME:\n   {full_name} - {}\n\nUSAGE:\n   {full_name} command [command options] [arguments...]\n\n\
         COMMANDS:\n{}\nOPTIONS:\n{}   \n",
        command.usage,
        commands(command.sub(), false),
        options(&[HELP])
    )
}

/// Returns the help of a group as its own `help` command prints it: like the main help.
pub(super) fn group_as_whole(full_name: &str, command: &Cmd, version: &str) -> String {
    format!(
        "NAME:\n   {full_name} - {}\n\nUSAGE:\n   {full_name} [global options] command [command options] \
         [arguments...]\n\nVERSION:\n   {version}\n\nCOMMANDS:\n{}\nGLOBAL OPTIONS:\n{}",
        command.usage,
        commands(command.sub(), false),
        options(&[HELP])
    )
}

fn commands(commands: &[Cmd], whole: bool) -> String {
    columns(commands.iter().map(|command| {
        let name = if whole && command.name == "help" { "help, h" } else { command.name };
        (name.to_owned(), command.usage.to_owned())
    }))
}

fn options(options: &[Row]) -> String {
    columns(options.iter().map(|option| {
        let (called, usage) = placeholder(option);
        let names: Vec<String> = option
            .names()
            .map(|name| {
                let dashes = if name.len() == 1 { "-" } else { "--" };
                if called.is_empty() { format!("{dashes}{name}") } else { format!("{dashes}{name} {called}") }
            })
            .collect();
        let default = match option.kind {
            _ if option.default.is_empty() => String::new(),
            ValueKind::Text => format!(" (default: \"{}\")", option.default),
            _ => format!(" (default: {})", option.default),
        };
        (names.join(", "), usage + &default)
    }))
}

/// Returns the value's name, and the usage without the backquotes that mark it.
fn placeholder(option: &Row) -> (String, String) {
    if option.kind == ValueKind::Switch {
        return (String::new(), option.help.to_owned());
    }
    let mut parts = option.help.splitn(3, '`');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(before), Some(name), Some(after)) => (name.to_owned(), format!("{before}{name}{after}")),
        _ => ("value".to_owned(), option.help.to_owned()),
    }
}

fn columns(rows: impl Iterator<Item = (String, String)>) -> String {
    let rows: Vec<_> = rows.collect();
    let width = rows.iter().map(|(left, _)| left.chars().count()).max().unwrap_or(0);
    rows.iter().map(|(left, right)| format!("   {left:width$}  {right}\n")).collect()
}
