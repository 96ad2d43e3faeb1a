//! Command lines of etcdctl and `retune ctl`, and how they are parsed.

use std::ffi::OsString;

use crate::ctl::{CtlCommand, Invocation};

use super::parse_args;

fn typed(line: &str, env: &[(&str, &str)]) -> Invocation {
    let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
    let env: Vec<(String, String)> =
        env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let names: Vec<String> = env.iter().map(|(name, _)| name.clone()).collect();
    let look = move |name: &str| env.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone());
    parse_args(&args, &names, &look).expect("a command line of ctl")
}

#[test]
fn each_variable_ranks_right_after_the_flag_of_its_name() {
    let first = |line: &str, env: &[(&str, &str)]| typed(line, env).access.endpoints[0].clone();
    let all = [("ETCDCTL_ENDPOINTS", "a"), ("ETCDCTL_ENDPOINT", "b"), ("ETCDCTL_PEERS", "c")];
    assert_eq!(first("etcdctl --endpoints x ls", &all), "x");
    assert_eq!(first("etcdctl --endpoint x ls", &all), "a");
    assert_eq!(first("etcdctl --endpoint x ls", &all[1..]), "x");
    assert_eq!(first("/usr/bin/etcdctl -C x ls", &all[1..]), "b");
    assert_eq!(first("etcdctl -C x ls", &all[2..]), "x");
    assert_eq!(first("etcdctl ls", &all[2..]), "c");
    assert_eq!(first("etcdctl ls", &[]), "http://127.0.0.1:2379");
}

#[test]
fn our_own_variables_apply_under_our_own_name_only() {
    let env = [("RETUNE_ENDPOINTS", "ours"), ("ETCDCTL_ENDPOINTS", "theirs")];
    assert_eq!(typed("retune ctl ls", &env).access.endpoints, ["http://ours"]);
    assert_eq!(typed("retune ctl ls", &env[1..]).access.endpoints, ["http://theirs"]);
    assert_eq!(typed("etcdctl ls", &env).access.endpoints, ["theirs"]);
    let env = [("RETUNE_NO_SYNC", "true"), ("ETCDCTL_NO_SYNC", "true")];
    assert!(!typed("retune ctl ls", &env).access.sync && typed("etcdctl ls", &env).access.sync);
    assert!(!typed("etcdctl --no-sync ls", &[]).access.sync && typed("retune ctl ls", &[]).access.sync);
}

#[test]
fn overridden_or_unknown_etcdctl_variables_are_reported_under_our_own_name_only() {
    let env = [
        ("RETUNE_ENDPOINTS", "ours"),
        ("ETCDCTL_ENDPOINTS", "theirs"),
        ("RETUNE_USERNAME", "root:secret"),
        ("ETCDCTL_USERNAME", "root:secret"),
        ("ETCDCTL_API", "2"),
        ("ETCDCTL_CACERT", "/ca"),
        ("ETCDCTL_CA_FILE", "/ca"),
    ];
    assert_eq!(
        typed("retune ctl ls", &env).notes,
        [
            "ETCDCTL_ENDPOINTS is not used: RETUNE_ENDPOINTS overrides it",
            "unrecognized environment variable ETCDCTL_CACERT; ETCDCTL_CA_FILE is its name here",
        ]
    );
    assert!(typed("etcdctl ls", &env).notes.is_empty());
}

#[test]
fn a_bad_option_shows_help_and_an_unknown_command_does_not() {
    let CtlCommand::Print(said) = typed("etcdctl set --bad /a", &[]).command else { panic!("no text") };
    assert!(
        said.stdout.starts_with("Incorrect Usage: flag provided but not defined: -bad\n\nNAME:\n"),
        "{said:?}"
    );
    assert_eq!((said.stderr.as_str(), said.code), ("flag provided but not defined: -bad\n", 1));
    let CtlCommand::Print(said) = typed("etcdctl foo", &[]).command else { panic!("no text") };
    assert_eq!((said.stderr.as_str(), said.code), ("No help topic for 'foo'\n", 3));
}

#[test]
fn no_two_commands_and_no_two_options_share_a_name() {
    use super::table::{COMMANDS, GLOBAL, HIDDEN};
    let mut names: Vec<&str> = COMMANDS.iter().chain(HIDDEN).map(|command| command.name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    for options in COMMANDS.iter().map(|command| command.options).chain([GLOBAL]) {
        let mut names: Vec<&str> = options.iter().flat_map(|option| option.names()).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    }
}

#[test]
fn an_ineffective_variable_is_reported_with_its_name_here() {
    let notes = |env: &[(&str, &str)]| typed("retune ctl ls", env).notes;
    for (name, note) in [
        ("RETUNE_NODE", "RETUNE_NODE has no effect on `retune ctl`; RETUNE_ENDPOINTS is its name here"),
        ("RETUNE_ETCD", "RETUNE_ETCD has no effect on `retune ctl`; RETUNE_ENDPOINTS is its name here"),
        (
            "RETUNE_CLIENT_CERT",
            "RETUNE_CLIENT_CERT has no effect on `retune ctl`; RETUNE_CERT_FILE is its name here",
        ),
        (
            "RETUNE_PASSWORD",
            "RETUNE_PASSWORD has no effect on `retune ctl`; RETUNE_USERNAME takes NAME:PASSWORD",
        ),
        ("RETUNE_TOTAL_TIMEOUT", "RETUNE_TOTAL_TIMEOUT has no effect on `retune ctl`; write --total-timeout"),
        (
            "RETUNE_ENDPONTS",
            "unrecognized environment variable RETUNE_ENDPONTS; did you mean RETUNE_ENDPOINTS?",
        ),
        (
            "RETUNE_FROM_USR",
            "unrecognized environment variable RETUNE_FROM_USR; did you mean RETUNE_FROM_USER?",
        ),
    ] {
        assert_eq!(notes(&[(name, "x")]), [note]);
        assert!(typed("etcdctl ls", &[(name, "x")]).notes.is_empty(), "{name}");
        assert!(notes(&[(name, "")]).is_empty(), "{name}: an empty variable counts as unset");
    }
    let others = ["RETUNE_CONFDIR", "RETUNE_TIMEOUT", "RETUNE_NO_SYNC", "RETUNE_VERSION", "RETUNE_DEST"];
    assert_eq!(
        notes(&others.map(|name| (name, "1"))),
        [""; 0],
        "settings of other commands, and no settings"
    );
    assert!(
        notes(&[("RETUNE_NODE", "x"), ("RETUNE_ENDPOINTS", "x")]).is_empty(),
        "each serves its own commands"
    );
    assert!(typed("retune ctl --endpoint x ls", &[("RETUNE_NODE", "y")]).notes.is_empty());
}

#[test]
fn an_unused_option_is_reported_and_an_unknown_one_has_a_hint() {
    let notes = |line: &str| typed(line, &[]).notes;
    assert_eq!(
        notes("retune ctl ls / --node x"),
        ["--node has no effect there; write --endpoints before the command"]
    );
    assert_eq!(
        notes("retune ctl get /a --endpoints=x"),
        ["--endpoints has no effect there; write --endpoints before the command"]
    );
    assert_eq!(
        notes("retune ctl ls / --recusive"),
        ["--recusive has no effect there; did you mean --recursive?"]
    );
    for line in
        ["etcdctl ls / --node x", "retune ctl exec-watch /a -- ls --node", "retune ctl set -- /a --node"]
    {
        assert!(notes(line).is_empty(), "{line}");
    }
    let said = |line: &str| match typed(line, &[]).command {
        CtlCommand::Print(said) => (said.stderr, said.code),
        command => panic!("{line}: {command:?}"),
    };
    let undefined = "flag provided but not defined:";
    assert_eq!(
        said("retune ctl --node x ls"),
        (format!("{undefined} -node; did you mean --endpoints?\n"), 1)
    );
    assert_eq!(
        said("retune ctl ls --etcd x /"),
        (format!("{undefined} -etcd; write --endpoints before the command\n"), 1)
    );
    assert_eq!(said("retune ctl ls --sotr /"), (format!("{undefined} -sotr; did you mean --sort?\n"), 1));
    assert_eq!(said("etcdctl --node x ls"), (format!("{undefined} -node\n"), 1));
}

#[test]
fn an_unknown_command_is_reported_with_the_nearest_one_under_our_own_name_only() {
    let said = |line: &str| match typed(line, &[]).command {
        CtlCommand::Print(said) => (said.stderr, said.code),
        command => panic!("{line}: {command:?}"),
    };
    for (words, near) in [
        ("gett /a", "gett'; did you mean get?"),
        ("member lst", "lst'; did you mean list?"),
        ("help exprot", "exprot'; did you mean export?"),
        ("kubernetes", "kubernetes'"),
    ] {
        assert_eq!(said(&format!("retune ctl {words}")), (format!("No help topic for '{near}\n"), 3));
    }
    assert_eq!(said("etcdctl gett /a"), ("No help topic for 'gett'\n".to_owned(), 3));
}
