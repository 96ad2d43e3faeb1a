//! Command lines of etcdctl and `retune ctl`, and how they are parsed.

use std::ffi::OsString;

use crate::ctl::{Invocation, Job};

use super::called;

fn typed(line: &str, env: &[(&str, &str)]) -> Invocation {
    let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
    let env: Vec<(String, String)> =
        env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let names: Vec<String> = env.iter().map(|(name, _)| name.clone()).collect();
    let look = move |name: &str| env.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone());
    called(&args, &names, &look).expect("a command line of ctl")
}

#[test]
fn each_variable_comes_right_behind_the_flag_of_its_name() {
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
fn our_own_variables_count_for_our_own_name_only() {
    let env = [("RETUNE_ENDPOINTS", "ours"), ("ETCDCTL_ENDPOINTS", "theirs")];
    assert_eq!(typed("retune ctl ls", &env).access.endpoints, ["http://ours"]);
    assert_eq!(typed("retune ctl ls", &env[1..]).access.endpoints, ["http://theirs"]);
    assert_eq!(typed("etcdctl ls", &env).access.endpoints, ["theirs"]);
    let env = [("RETUNE_NO_SYNC", "true"), ("ETCDCTL_NO_SYNC", "true")];
    assert!(!typed("retune ctl ls", &env).access.sync && typed("etcdctl ls", &env).access.sync);
    assert!(!typed("etcdctl --no-sync ls", &[]).access.sync && typed("retune ctl ls", &[]).access.sync);
}

#[test]
fn variables_of_etcdctls_that_are_outvoted_or_unknown_are_said_under_our_own_name_only() {
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
    let Job::Say(said) = typed("etcdctl set --bad /a", &[]).job else { panic!("no text") };
    assert!(
        said.stdout.starts_with("Incorrect Usage: flag provided but not defined: -bad\n\nNAME:\n"),
        "{said:?}"
    );
    assert_eq!((said.stderr.as_str(), said.code), ("flag provided but not defined: -bad\n", 1));
    let Job::Say(said) = typed("etcdctl foo", &[]).job else { panic!("no text") };
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
