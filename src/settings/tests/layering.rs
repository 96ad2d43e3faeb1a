//! Flags before environment before file before defaults.

use std::time::Duration;

use super::*;

/// One option in all layers: flag, variable, file text, and the field to check.
type LayeredOption = (&'static str, (&'static str, &'static str), &'static str, fn(&Invocation) -> String);

const LAYERED_OPTIONS: &[LayeredOption] = &[
    ("--prefix /flag", ("PREFIX", "/env"), "prefix = '/file'", |i| format!("{:?}", i.reloader.prefix)),
    ("--noop=false", ("NOOP", "true"), "noop = true", |i| i.reloader.noop.to_string()),
    ("--node a:1 --node b:1", ("NODE", "c:1,d:1"), "node = ['e:1', 'f:1']", |i| i.source.nodes.join(" ")),
    ("--interval 1s", ("INTERVAL", "2s"), "interval = 3", |i| format!("{:?}", i.task)),
];

#[test]
fn flags_override_the_environment_and_that_the_file_in_both_dialects() {
    let wanted = [
        [r#"Some("/flag")"#, r#"Some("/env")"#, r#"Some("/file")"#, "None"],
        ["false", "true", "true", "false"],
        ["a:1 b:1", "c:1 d:1", "e:1 f:1", "http://127.0.0.1:2379"],
        ["1s", "2s", "3s", "600s"],
    ];
    for (start, line, file) in [
        ("RETUNE_", "retune watch", "retune/retune.toml"),
        ("CONFD_", "confd -backend etcdv3", "confd/confd.toml"),
    ] {
        for ((flag, (name, value), text, look), wanted) in LAYERED_OPTIONS.iter().zip(wanted) {
            let name: &'static str = Box::leak(format!("{start}{name}").into());
            let full = Machine::new().with(name, value).file(file, text);
            let filed = Machine::new().file(file, text);
            let got = [
                look(&full.run(&format!("{line} {flag}"))),
                look(&full.run(line)),
                look(&filed.run(line)),
                look(&run(line)),
            ];
            for (got, wanted) in got.iter().zip(wanted) {
                assert!(
                    got == wanted || got.contains(&format!("({wanted})")),
                    "{flag}: {got} is not {wanted}"
                );
            }
        }
    }
}

#[test]
fn a_flag_can_turn_off_what_the_file_turns_on_but_not_the_reverse() {
    let machine = Machine::new().file("retune/retune.toml", "noop = false\nsync-only = true\n");
    let got = machine.run("retune render --noop --sync-only=false");
    assert!(got.reloader.noop && !got.reloader.sync_only);
    let machine = Machine::new().file("retune/retune.toml", "prefix = '/x'\n");
    let Ok(Parsed::Run(got)) = machine.parse(&["retune", "render", "--prefix", ""]) else { panic!() };
    assert_eq!(got.reloader.prefix, None, "an empty flag is the default");
}

#[test]
fn all_problems_of_all_layers_are_reported_together_with_their_positions() {
    let text = "intervall = 3\nnoop = 'yes'\ndebounce = 1.5\nnode = [1]\n";
    let machine = Machine::new()
        .with("RETUNE_LOG_LEVEL", "loud")
        .with("RETUNE_MAX_OUTPUT", "much")
        .file("retune/retune.toml", text);
    let problems = machine
        .refuse("retune watch --interval soon --bogus x --backend consul --reload-timeout 0 --scheme ftp");
    let starts = [
        "--bogus: no such flag",
        "retune/retune.toml:1: intervall: no such setting; did you mean interval?",
        "RETUNE_LOG_LEVEL: \"loud\" is not one of debug, info",
        "--interval: \"soon\" is not a duration",
        "--backend: consul is not read",
        "retune/retune.toml:4: node: every entry must be a string, not a integer",
        "--scheme: \"ftp\" is not one of http, https",
        "retune/retune.toml:3: debounce: must be seconds or a string such as \"5m\", not a float",
        "retune/retune.toml:2: noop: must be true or false, not a string",
        "--reload-timeout: must be more than 0",
        "RETUNE_MAX_OUTPUT: \"much\" is not a size",
    ];
    assert_eq!(problems.len(), starts.len(), "{problems:#?}");
    for start in starts {
        assert_eq!(
            problems.iter().filter(|problem| problem.starts_with(start)).count(),
            1,
            "{start}: {problems:#?}"
        );
    }
}

#[test]
fn a_bad_value_that_a_stronger_layer_overrides_is_no_error() {
    let machine =
        Machine::new().with("RETUNE_INTERVAL", "soon").file("retune/retune.toml", "interval = 'late'\n");
    assert_eq!(machine.refuse("retune watch").len(), 1);
    machine.run("retune watch --interval 5");
}

#[test]
fn the_settings_file_may_be_absent_unless_it_was_named() {
    run("retune render");
    assert_eq!(
        refuse("retune render --config-file /nowhere.toml"),
        ["/nowhere.toml: no such settings file; write it, or name another with --config-file"]
    );
    let machine = Machine::new().file("own.toml", "prefix = '/own'\n");
    let path: String = machine.dir.path().join("own.toml").display().to_string();
    assert_eq!(
        machine.run(&format!("retune render --config-file {path}")).reloader.prefix.as_deref(),
        Some("/own")
    );
    let machine = machine.with("RETUNE_CONFIG_FILE", &path);
    assert_eq!(machine.run("retune render").reloader.prefix.as_deref(), Some("/own"));
}

#[test]
fn every_mistake_in_a_broken_file_is_reported_by_line_without_values() {
    let machine = Machine::new().file("retune/retune.toml", "prefix = '/x'\npassword = hunter2\n[half\n");
    let problems = machine.refuse("retune render");
    assert!(problems.iter().any(|problem| problem.starts_with("retune/retune.toml:2: ")), "{problems:?}");
    assert!(!problems.join("\n").contains("hunter2"), "{problems:?}");
    let twice = Machine::new().file("retune/retune.toml", "sync-only = true\nsync_only = false\n");
    assert_eq!(
        twice.refuse("retune render"),
        ["retune/retune.toml:2: sync_only: sync-only is set twice; keep one"]
    );
    let foreign = Machine::new().file("retune/retune.toml", "onetime = true\n");
    assert!(foreign.refuse("retune render")[0].contains("only confd's command line has it"));
}

#[test]
fn problems_and_debug_output_hide_the_password() {
    let machine = Machine::new().with("RETUNE_PASSWORD", "hunter2");
    let got = machine.run("retune render --username u");
    assert_eq!(got.source.login.as_ref().unwrap().password.expose(), "hunter2");
    assert!(!format!("{got:?}").contains("hunter2"));
    for line in [
        "retune render --pasword hunter2",
        "retune render --pasword=hunter2",
        "retune render --password hunter2",
        "confd -password hunter2 -bogus",
        "retune render --node ftp://u:hunter2@h --username u --password hunter2",
    ] {
        match Machine::new().parse(&line.split_whitespace().collect::<Vec<_>>()) {
            Err(problems) => {
                assert!(!format!("{problems} {problems:?}").contains("hunter2"), "{line}: {problems}");
            }
            Ok(parsed) => assert!(!format!("{parsed:?}").contains("hunter2"), "{line}"),
        }
    }
}

#[test]
fn the_password_comes_from_the_stronger_layer() {
    let machine = Machine::new().file("pw", "from-file\n").with("RETUNE_PASSWORD", "from-env");
    let path = machine.dir.path().join("pw").display().to_string();
    let password =
        |machine: &Machine, line: &str| machine.run(line).source.login.unwrap().password.expose().to_owned();
    assert_eq!(
        password(&machine, &format!("retune render --username u --password-file {path}")),
        "from-file"
    );
    assert_eq!(password(&machine, "retune render --username u --password word"), "word");
    let both = machine.refuse(&format!("retune render --username u --password a --password-file {path}"));
    assert_eq!(both, ["--password: both a password and a password file are given; keep one"]);
    let missing = machine.refuse("retune render --username u --password-file /nowhere");
    assert!(missing[0].starts_with("--password-file: /nowhere: cannot be read"), "{missing:?}");
    assert!(machine.run("retune render --username u --basic-auth=false").source.login.is_none());
}

/// Returns a command with its required words.
fn command_line(command: invocation::CommandId) -> String {
    let spec = command.spec();
    format!("{}{}", spec.name, if spec.operand.is_some() { " saved" } else { "" })
}

#[test]
fn every_default_shown_in_the_help_is_the_actual_one() {
    let machine = Machine::new();
    for command in options::COMMANDS {
        let name = command_line(*command);
        let plain = format!("{:?}", machine.run(&format!("retune {name}")));
        for row in options::rows() {
            if row.belongs_to(*command) && !row.default.is_empty() {
                let line = format!("retune {name} --{} {}", row.name, row.default);
                assert_eq!(format!("{:?}", machine.run(&line)), plain, "{line}");
            }
        }
    }
    assert_eq!(run("retune watch --debounce 20s").reloader.max_wait, Duration::from_secs(20));
}

#[test]
fn every_word_in_the_help_is_accepted() {
    let machine = Machine::new();
    for command in options::COMMANDS {
        let name = command_line(*command);
        for row in options::rows().filter(|row| row.belongs_to(*command)) {
            if let row::ValueKind::Choice(words) = row.kind {
                for word in words {
                    let needs = match *word {
                        "file" => "--file /f",
                        "skydns" => "--domain d",
                        _ => "",
                    };
                    machine.run(&format!("retune {name} --{} {word} {needs}", row.name));
                }
            }
        }
    }
}

#[test]
fn an_endless_or_binary_settings_file_is_refused() {
    let huge = Machine::new().file("retune/retune.toml", &"#".repeat((1 << 20) + 1));
    assert!(huge.refuse("retune render")[0].contains("larger than 1 MiB"));
    assert!(refuse("retune render --config-file /dev/zero")[0].starts_with("/dev/zero: cannot be read"));
    assert!(refuse("retune render --config-file /")[0].starts_with("/: cannot be read"));
    let odd = Machine::new().file("retune/retune.toml", "");
    std::fs::write(odd.dir.path().join("retune/retune.toml"), b"prefix = '\xff'").unwrap();
    assert!(odd.refuse("retune render")[0].contains("cannot be read"));
}

#[test]
fn every_command_has_its_own_task() {
    let mut tasks = Vec::new();
    for command in options::COMMANDS {
        tasks.push(std::mem::discriminant(&run(&format!("retune {}", command_line(*command))).task));
    }
    assert!(tasks.iter().all(|task| tasks.iter().filter(|other| *other == task).count() == 1), "{tasks:?}");
}
