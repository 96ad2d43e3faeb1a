//! Help, version, completions and man pages, all generated from the table of options.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command, ValueHint};
use clap_complete::Shell;

use super::args::{Page, command_names, no_command};
use super::ctl;
use super::invocation::CommandId;
use super::member;
use super::options::{COMMANDS, GROUPS, operand};
use super::problem::{Problem, Problems};
use super::register;
use super::row::{Row, Support, ValueKind};

const ABOUT: &str = "Keeps configuration files in step with a key/value store";
const LAYERS: &str = "Settings come from flags, then the environment (RETUNE_ENDPOINTS for --endpoints), then the settings \
                      file (endpoints = \"…\"), then the defaults.\nIn the environment, ETCD_ variables count after RETUNE_ ones for the store, and CONFD_ \
                      ones for render, watch, diff and check.\nFlags may be written with one dash, as in -log-level=debug.\n\
                      Exit status: 0 done, 1 something failed or differs, 2 could not run.";
const LAYERS_CONFD: &str = "Settings come from flags, then the environment (CONFD_NODE for -node), then confd.toml, then \
                            the defaults.\nFlags may be written with one dash or two, as in -log-level=debug; a switch is \
                            turned off with -watch=false.";
const LAYERS_ETCD: &str = "Settings come from flags, then the environment (ETCD_DATA_DIR for --data-dir), then the \
                           defaults.\nExit status: 0 stopped by a signal, 1 it could not run, 2 a flag is wrong.";

/// Returns a command as clap describes it: `name` is the last of its words.
fn described(command: CommandId, name: &'static str) -> Command {
    let spec = command.spec();
    let layers = match command {
        CommandId::Confd => LAYERS_CONFD,
        CommandId::Etcd => LAYERS_ETCD,
        _ => LAYERS,
    };
    let after = [layers, spec.notes].join("\n");
    with_options(Command::new(name).about(spec.about), command).after_help(after.trim_end().to_owned())
}

/// Returns the whole command line as a clap command: for help, completions and man pages.
#[must_use]
pub fn command() -> Command {
    let mut root = Command::new("retune")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .subcommand_required(true)
        .after_help(
            "Called by the name confd, or with flags and no command, it takes confd's command line: \
             `retune help confd`; called by the name etcd, it takes etcd's: `retune help etcd`; called by the name \
             registrator, it takes Registrator's: `retune help registrator`.",
        );
    for command in COMMANDS {
        let name = command.spec().name;
        root = match name.split_once(' ') {
            Some((parent, own)) => {
                root.mut_subcommand(parent, |parent| parent.subcommand(described(*command, own)))
            }
            None => root.subcommand(described(*command, name)),
        };
    }
    root = root.subcommand(ctl::described());
    let shell = Arg::new("shell")
        .value_name("SHELL")
        .required(true)
        .value_parser(clap::builder::EnumValueParser::<Shell>::new())
        .help("The shell to complete for");
    let topic = Arg::new("command")
        .value_name("COMMAND")
        .value_parser(PossibleValuesParser::new(command_names()))
        .help("The command the page is about");
    root.subcommand(Command::new("completions").about("Print a completion script").arg(shell))
        .subcommand(Command::new("man").about("Print a man page").arg(topic))
}

/// Returns another program's command line.
fn of_program(command: CommandId) -> Command {
    described(command, command.spec().name).version(env!("CARGO_PKG_VERSION"))
}

fn with_options(mut page: Command, command: CommandId) -> Command {
    for (heading, rows) in GROUPS {
        let shown = rows.iter().filter(|row| {
            row.belongs_to(command) && !matches!(row.support, Support::NoEffect(_) | Support::Ignored(_))
        });
        for row in shown {
            page = page.arg(arg(row, command).help_heading(*heading));
        }
    }
    if let Some((row, called)) = operand(command) {
        let help = format!("What --{} names", row.name);
        page = page.arg(Arg::new("operand").value_name(called).required(true).help(help));
    }
    if command == CommandId::Confd {
        let help = "What -backend names, as the maintained fork takes it";
        page = page.arg(Arg::new("operand").value_name("BACKEND").help(help));
    }
    page
}

fn arg(row: &'static Row, command: CommandId) -> Arg {
    let default = match (row.name, command) {
        ("confdir", CommandId::Confd) => "/etc/confd",
        ("confdir", _) => "/etc/retune, or /etc/confd when only that exists",
        ("config-file", CommandId::Confd) => "/etc/confd/confd.toml",
        ("config-file", CommandId::Etcd) => "",
        ("config-file", _) => "/etc/retune/retune.toml",
        ("data-dir", _) => "NAME.etcd in the working folder",
        ("initial-cluster", _) => "NAME with --initial-advertise-peer-urls",
        ("endpoints", CommandId::Confd) => "http://127.0.0.1:4001 for etcd, else http://127.0.0.1:2379",
        ("state-dir", _) => "/var/lib/retune for root, else ~/.local/state/retune",
        _ => row.default,
    };
    let help =
        if default.is_empty() { row.help.to_owned() } else { format!("{} [default: {default}]", row.help) };
    let shown = row.shown(command);
    let others = row.names().filter(|name| *name != shown);
    let arg = Arg::new(row.name).short(row.short).long(shown).help(help).visible_aliases(others);
    match row.kind {
        ValueKind::Switch => arg.action(ArgAction::SetTrue),
        ValueKind::Choice(words) => arg.value_name(row.value).value_parser(PossibleValuesParser::new(words)),
        ValueKind::Path => arg.value_name(row.value).value_hint(ValueHint::AnyPath),
        ValueKind::Paths => {
            arg.value_name(row.value).value_hint(ValueHint::AnyPath).action(ArgAction::Append)
        }
        kind if kind.many() => arg.value_name(row.value).action(ArgAction::Append),
        _ => arg.value_name(row.value),
    }
}

/// Returns the text of a page.
pub(super) fn text(page: &Page) -> Result<String, Problems> {
    match page {
        Page::EtcdVersion => Ok(member::version_lines()),
        Page::Version => Ok(format!("retune {}\n", env!("CARGO_PKG_VERSION"))),
        Page::Help { topic, long } => Ok(help(*topic, *long)),
        Page::Completions(shell) => completions(shell),
        Page::Man(topic) => man(topic.as_deref()),
    }
}

fn help(topic: Option<&str>, long: bool) -> String {
    if topic == Some("ctl") {
        return ctl::page();
    }
    let mut command = find(topic).unwrap_or_else(command);
    let text = if long { command.render_long_help() } else { command.render_help() };
    let mut text = text.to_string();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// Returns a command by its name, with a complete usage line; without a name, the whole program.
fn find(topic: Option<&str>) -> Option<Command> {
    match topic {
        Some("confd") => return Some(of_program(CommandId::Confd)),
        Some("etcd") => return Some(of_program(CommandId::Etcd)),
        Some("registrator") => return Some(register::described()),
        _ => {}
    }
    let mut root = command();
    root.build();
    match topic {
        None => Some(root),
        Some(topic) => {
            let mut words = topic.split(' ');
            let first = root.find_subcommand(words.next()?)?;
            words.try_fold(first, |command, word| command.find_subcommand(word)).cloned()
        }
    }
}

fn completions(shell: &str) -> Result<String, Problems> {
    let shell: Shell = shell.parse().map_err(|_| {
        let message = "no completions for this shell; there are bash, elvish, fish, powershell and zsh";
        Problems(vec![Problem::new(shell, message)])
    })?;
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut command(), "retune", &mut out);
    let script = String::from_utf8_lossy(&out).into_owned();
    Ok(match shell {
        Shell::Bash => ctl::bash(&script),
        Shell::Zsh => ctl::zsh(&script),
        Shell::Fish => ctl::fish(&script),
        _ => script,
    })
}

fn man(topic: Option<&str>) -> Result<String, Problems> {
    let Some(page) = find(topic) else {
        return Err(Problems(vec![no_command(topic.unwrap_or_default())]));
    };
    let mut out = Vec::new();
    match clap_mangen::Man::new(page).render(&mut out) {
        Ok(()) => Ok(String::from_utf8_lossy(&out).into_owned()),
        Err(error) => Err(Problems(vec![Problem::new("man", error.to_string())])),
    }
}
