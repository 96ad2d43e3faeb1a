//! Variables of the programs that retune replaces.

use super::member::built;
use super::*;

const JOINING: [(&str, &str); 3] = [
    ("ETCD_NAME", "b"),
    ("ETCD_INITIAL_CLUSTER", "a=http://10.0.0.1:2380,b=http://10.0.0.2:2380"),
    ("ETCD_INITIAL_CLUSTER_STATE", "existing"),
];

fn machine(set: &[(&'static str, &str)]) -> Machine {
    let mut machine = set.iter().fold(Machine::new(), |machine, (name, value)| machine.with(name, value));
    machine.variables = set.iter().map(|(name, _)| (*name).to_owned()).collect();
    machine
}

#[test]
fn the_output_of_member_add_makes_our_store_join() {
    let got = machine(&JOINING).run("retune store");
    assert_eq!(
        got.notices[0],
        "`retune store` takes ETCD_NAME, ETCD_INITIAL_CLUSTER, ETCD_INITIAL_CLUSTER_STATE from the environment; flags and \
         RETUNE_ variables come first"
    );
    let got = built(got).consensus;
    assert_eq!((got.name.as_str(), got.start), ("b", crate::consensus::StartMode::Join));
    assert_eq!(got.initial_cluster.len(), 2);
    assert_eq!(got.peer_urls, ["http://10.0.0.2:2380"]);
}

#[test]
fn flags_and_our_own_variables_come_first_and_a_difference_is_reported() {
    let set = [("ETCD_NAME", "e"), ("RETUNE_NAME", "r"), ("ETCD_DATA_DIR", "/d"), ("RETUNE_DATA_DIR", "/d")];
    let got = machine(&set).run("retune store");
    assert_eq!(got.warnings, ["ETCD_NAME is not used: RETUNE_NAME overrides it"]);
    assert!(got.notices.is_empty(), "{:?}", got.notices);
    assert_eq!(built(got).consensus.name, "r");
    let got = machine(&set[..1]).run("retune store --name f");
    assert_eq!(got.warnings, ["ETCD_NAME is not used: --name overrides it"]);
    assert_eq!(built(got).consensus.name, "f");
    let got = machine(&set[..1]).run("etcd --name f");
    assert_eq!(got.warnings, ["ETCD_NAME is not used: --name overrides it"]);
    let filed = machine(&set[..1]).file("retune/retune.toml", "name = \"x\"\n");
    assert_eq!(built(filed.run("retune store")).consensus.name, "e", "the environment beats the file");
}

#[test]
fn confds_variables_apply_to_the_rendering_commands() {
    let set = [
        ("CONFD_NODES", "http://a:1,http://b:1"),
        ("CONFD_PREFIX", "/p"),
        ("CONFD_CONFDIR", "/c"),
        ("CONFD_ONETIME", "true"),
        ("CONFD_WATCH", "true"),
        ("CONFD_AUTH_TOKEN", "secret"),
        ("CONFD_VERSION", "0.16.0"),
        ("CONFD_PREFX", "/q"),
    ];
    for (command, idle) in
        [("watch", "CONFD_ONETIME, CONFD_AUTH_TOKEN have"), ("render", "CONFD_WATCH, CONFD_AUTH_TOKEN have")]
    {
        let got = machine(&set).run(&format!("retune {command}"));
        assert_eq!(got.source.nodes, ["http://a:1", "http://b:1"]);
        assert_eq!(got.reloader.prefix.as_deref(), Some("/p"));
        assert_eq!(got.reloader.confdir, PathBuf::from("/c"));
        assert!(got.notices[0].contains("CONFD_CONFDIR, CONFD_PREFIX, CONFD_NODES"), "{:?}", got.notices);
        assert_eq!(
            got.warnings,
            [
                format!("{idle} no effect on `retune {command}`"),
                "unrecognized environment variable CONFD_PREFX; did you mean CONFD_PREFIX?".to_owned(),
            ]
        );
        assert!(!format!("{got:?}").contains("secret"));
    }
    let got = machine(&set).run("retune check");
    assert_eq!((got.reloader.prefix.as_deref(), got.reloader.confdir), (Some("/p"), PathBuf::from("/c")));
    let problems = machine(&[("CONFD_BACKEND", "consul")]).refuse("retune watch");
    assert!(problems[0].starts_with("CONFD_BACKEND: consul is not read"), "{problems:?}");
}

#[test]
fn a_restored_member_takes_its_settings_from_the_environment() {
    let got = machine(&JOINING[..2]).run("retune store restore saved");
    let Task::Restore(restore) = got.task else { panic!("{:?}", got.task) };
    assert_eq!((restore.member.name.as_str(), restore.member.initial_cluster.len()), ("b", 2));
}

#[test]
fn commands_that_replace_neither_program_ignore_inherited_variables() {
    let set =
        [("ETCD_NAME", "e"), ("ETCD_DATA_DIR", "/d"), ("CONFD_PREFIX", "/p"), ("CONFD_CLIENT_CERT", "/c")];
    for command in ["register", "place", "store backup x", "register status"] {
        let line = format!("retune {command}");
        let (got, plain) = (machine(&set).run(&line), run(&line));
        assert_eq!(format!("{got:?}"), format!("{plain:?}"), "{line}");
    }
}

#[test]
fn another_programs_settings_file_is_not_mistaken_for_ours() {
    let got = machine(&[("ETCD_CONFIG_FILE", "/etc/etcd.yml")]).run("retune store");
    assert_eq!(got.warnings, ["ETCD_CONFIG_FILE has no effect on `retune store`"]);
}

#[test]
fn a_mistyped_variable_of_our_own_is_reported() {
    let set =
        [("RETUNE_NAMW", "x"), ("RETUNE_FROM_USER", "u"), ("RETUNE_ENDPOINT", "e"), ("RETUNE_VERSION", "1")];
    let got = machine(&set).run("retune store");
    assert_eq!(got.warnings, ["unrecognized environment variable RETUNE_NAMW; did you mean RETUNE_NAME?"]);
    assert!(machine(&[("RETUNE_NODE", "a:1")]).run("retune store").warnings.is_empty(), "another command's");
}
