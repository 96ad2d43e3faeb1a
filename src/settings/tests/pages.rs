//! Help, version, completions and man pages.

use super::*;
use crate::settings::invocation::CommandId::{self, Confd, Etcd};
use crate::settings::options::{COMMANDS, rows};
use crate::settings::row::Support;

fn help_line(command: &CommandId) -> (String, CommandId) {
    (format!("retune {} -h", command.spec().name), *command)
}

#[test]
fn the_help_of_each_command_lists_exactly_its_flags() {
    let machine = Machine::new();
    let pages = COMMANDS.iter().map(help_line);
    for (line, command) in pages.chain([("confd -h".to_owned(), Confd), ("etcd -h".to_owned(), Etcd)]) {
        let text = machine.page(&line);
        for row in rows() {
            let shown = text
                .lines()
                .any(|l| l.split_whitespace().any(|word| word == format!("--{}", row.shown(command))));
            let named = rows().filter(|other| other.name == row.name && other.belongs_to(command));
            let wanted = named
                .into_iter()
                .any(|row| !matches!(row.support, Support::NoEffect(_) | Support::Ignored(_)));
            assert_eq!(shown, wanted, "{line}: --{}", row.name);
        }
    }
}

#[test]
fn every_row_has_unique_names_and_a_description() {
    let mut seen = std::collections::HashMap::new();
    for row in rows() {
        for name in row.names() {
            let plain = name.replace('-', "");
            let own = seen.entry(plain).or_insert(row.name);
            assert_eq!(*own, row.name, "{name} belongs to two rows");
        }
        assert!(
            !row.help.is_empty() || matches!(row.support, Support::NoEffect(_) | Support::Ignored(_)),
            "{}",
            row.name
        );
    }
}

#[test]
fn clap_accepts_the_table() {
    command().debug_assert();
}

#[test]
fn help_and_version_work_with_broken_settings() {
    let machine = Machine::new().with("RETUNE_INTERVAL", "x").file("retune/retune.toml", "= broken");
    let version = format!("retune {}\n", env!("CARGO_PKG_VERSION"));
    for line in [
        "retune -version",
        "retune --version",
        "retune -V",
        "confd -version",
        "retune render --bogus --version",
    ] {
        assert_eq!(machine.page(line), version, "{line}");
    }
    for line in [
        "retune help watch",
        "retune watch -h",
        "retune watch --bogus --help",
        "retune --interval soon watch -help",
    ] {
        assert!(machine.page(line).contains("Usage: retune watch"), "{line}");
    }
    for line in ["retune -h", "retune help", "retune --help", "retune help help"] {
        assert!(machine.page(line).contains("completions"), "{line}");
    }
    for line in ["confd -h", "confd -bogus -help", "retune -onetime -h", "retune help confd"] {
        assert!(machine.page(line).contains("Usage: confd"), "{line}");
    }
    assert_eq!(
        machine.refuse("retune help rendr"),
        ["rendr: no such command; did you mean `retune render`?"]
    );
    assert_eq!(Machine::new().run("retune watch --prefix -h").reloader.prefix.as_deref(), Some("/-h"));
}

#[test]
fn completions_include_commands_and_flags_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = Machine::new().page(&format!("retune completions {shell}"));
        for word in ["render", "keep-stage-file", "srv-record"] {
            assert!(text.contains(word), "{shell}: {word}");
        }
    }
    assert!(refuse("retune completions")[0].contains("name the shell: bash"));
    assert!(refuse("retune completions tcsh")[0].contains("there are bash"));
    assert_eq!(refuse("retune completions bash --noop").len(), 1);
    assert_eq!(refuse("retune completions bash zsh").len(), 1);
}

#[test]
fn man_pages_are_rendered_for_the_program_and_each_command() {
    let machine = Machine::new();
    assert!(machine.page("retune man").starts_with(".ie"), "roff's own preamble");
    assert!(machine.page("retune man").contains(".SH SUBCOMMANDS"));
    assert!(machine.page("retune man watch").contains("max\\-wait"));
    assert!(machine.page("retune man confd").contains("onetime"));
    assert!(refuse("retune man rendr")[0].contains("did you mean"));
}

#[test]
fn every_refused_flag_of_etcd_is_documented() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/store.md")).unwrap();
    let table =
        page.split("Refused, with a message").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let refused = rows().filter(|row| row.belongs_to(Etcd) && matches!(row.support, Support::Refused(_)));
    let names: Vec<String> = refused.map(|row| format!("`--{}`", row.name)).collect();
    assert!(names.len() > 5);
    let missing: Vec<&String> = names.iter().filter(|name| !table.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let listed = rows.flat_map(|row| row.split('|').next().unwrap_or_default().split("--").skip(1));
    for flag in listed.map(|flag| flag.split(['`', ' ']).next().unwrap_or_default()) {
        let known = names.contains(&format!("`--{flag}`")) || flag == "log-outputs";
        assert!(known, "--{flag} stands in the table and is not refused");
    }
}

#[test]
fn usage_lines_show_the_arguments_of_a_command() {
    let machine = Machine::new();
    for (line, usage) in [
        ("retune register stop -h", "Usage: retune register stop [OPTIONS] <CONTAINER>"),
        ("retune store backup -h", "Usage: retune store backup [OPTIONS] <FILE>"),
        ("retune store restore -h", "Usage: retune store restore [OPTIONS] <FILE>"),
        ("retune help completions", "Usage: retune completions <SHELL>"),
        ("retune help man", "Usage: retune man [COMMAND]"),
        ("confd -h", "Usage: confd [OPTIONS] [BACKEND]"),
        ("registrator -h", "<registry URI>"),
    ] {
        let text = machine.page(line);
        assert!(text.contains(usage), "{line}: {:?}", text.lines().find(|line| line.contains("sage:")));
    }
    // Every command that takes a word shows one, new commands included.
    for command in COMMANDS {
        let name = command.spec().name;
        let text = machine.page(&format!("retune {name} -h"));
        let usage = text.lines().find(|line| line.starts_with("Usage:")).unwrap();
        let taken =
            machine.parse(&[&["retune"][..], &name.split(' ').collect::<Vec<_>>(), &["word"]].concat());
        let refused =
            taken.is_err_and(|problems| problems.to_string().contains("word: no flag takes this word"));
        let bare = usage.ends_with("[OPTIONS]") || usage.ends_with("[COMMAND]");
        assert_eq!(bare, refused, "{usage} ({command:?})");
    }
}

#[test]
fn every_alias_of_an_option_is_in_the_help() {
    let machine = Machine::new();
    let pages = COMMANDS.iter().map(help_line);
    for (line, command) in pages.chain([("confd -h".to_owned(), Confd)]) {
        let text = machine.page(&line);
        for row in rows().filter(|row| row.belongs_to(command) && row.support == Support::Used) {
            for name in row.names() {
                let words = text.split(|c: char| !(c.is_alphanumeric() || c == '-'));
                assert!(words.into_iter().any(|word| word == format!("--{name}")), "{line}: --{name}");
            }
        }
    }
}

#[test]
fn man_pages_of_ctl_show_the_arguments_of_its_commands() {
    let machine = Machine::new();
    let page = |command: &str| machine.page(&format!("retune help {command}"));
    assert!(page("ctl").contains("USAGE"));
    let mut described = command();
    described.build();
    let ctl = described.find_subcommand("ctl").unwrap();
    let usage = |name: &str| ctl.find_subcommand(name).unwrap().clone().render_usage().to_string();
    assert!(usage("set").ends_with("<key> <value>"), "{}", usage("set"));
    assert!(usage("export").ends_with("[key]"), "{}", usage("export"));
    assert!(usage("exec-watch").contains("<key> <command> [args]..."), "{}", usage("exec-watch"));
}
