//! Help pages in urfave/cli's layout.

use super::super::row::{Row, ValueKind};
use super::row::{Cmd, dashed};
use super::table::HELP;

/// Returns the main help of a program, or of a group as its own `help` command prints it.
pub(super) fn whole(name: &str, about: &str, own: &[Cmd], global: &[Row]) -> String {
    format!(
        "NAME:\n   {name} - {about}\n\nUSAGE:\n   {name} [global options] command [command options] \
         [arguments...]\n\nVERSION:\n   {}\n\nCOMMANDS:\n{}\nGLOBAL OPTIONS:\n{}",
        env!("CARGO_PKG_VERSION"),
        commands(own),
        options(global)
    )
}

/// Returns the help of one command.
pub(super) fn command(full_name: &str, command: &Cmd) -> String {
    let with_options = if command.options.is_empty() { "" } else { " [command options]" };
    let args = if command.args.is_empty() { "[arguments...]" } else { command.args };
    let usage = command.usage;
    let mut page =
        format!("NAME:\n   {full_name} - {usage}\n\nUSAGE:\n   {full_name}{with_options} {args}\n");
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
        commands(command.sub()),
        options(&[HELP])
    )
}

fn commands(commands: &[Cmd]) -> String {
    columns(commands.iter().map(|command| {
        let name = if command.name == "help" { "help, h" } else { command.name };
        (name.to_owned(), command.usage.to_owned())
    }))
}

fn options(options: &[Row]) -> String {
    columns(options.iter().map(|option| {
        let (called, usage) = placeholder(option);
        let names: Vec<String> =
            option.names().map(|name| format!("{} {called}", dashed(name)).trim_end().to_owned()).collect();
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
