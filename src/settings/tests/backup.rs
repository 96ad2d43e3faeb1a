//! `retune store backup` and `retune store restore`.

use super::*;

fn backup(machine: &Machine, line: &str) -> (Backup, crate::source::Settings) {
    let invocation = machine.run(line);
    match invocation.task {
        Task::Backup(backup) => (*backup, invocation.source),
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn a_running_store_is_used_unless_a_folder_is_given() {
    let machine = Machine::new().file("retune/retune.toml", "data-dir = \"/from-file\"");
    let (what, source) = backup(&machine, "retune store backup saved");
    assert_eq!((what.file, what.force, what.data_dir), ("saved".into(), false, None));
    assert_eq!(source.nodes, ["http://127.0.0.1:2379"]);
    let line = "retune store backup --endpoints http://a:1,http://b:2 --force -username u --password p saved";
    let (what, source) = backup(&machine, line);
    assert!(what.force && source.login.is_some());
    assert_eq!(source.nodes, ["http://a:1", "http://b:2"]);
    let (what, _) = backup(&machine, "retune store backup saved --data-dir /d");
    assert_eq!(what.data_dir, Some("/d".into()));
    assert!(refuse("retune store backup --data-dir /d --endpoints http://a:1 saved")[0].contains("name one"));
    assert!(refuse("retune store backup")[0].contains("write the path of the file"));
    assert_eq!(refuse("retune store backup"), ["FILE: write the path of the file as the last word"]);
    assert!(refuse("retune store restore")[0].starts_with("FILE: "));
    assert!(refuse("retune store backup /")[0].starts_with("/: "));
    assert!(refuse("retune store backup one two")[0].starts_with("two: "));
}

#[test]
fn a_restored_member_gets_its_cluster() {
    let line = "retune store restore saved --data-dir /d --name a --initial-cluster a=http://h:2380 \
                --initial-advertise-peer-urls http://h:2380 --initial-cluster-token t";
    let Task::Restore(what) = run(line).task else { panic!("{line}") };
    assert_eq!((what.file, what.member.data_dir), ("saved".into(), "/d".into()));
    assert_eq!((&*what.member.name, &*what.member.cluster_token), ("a", "t"));
    assert_eq!(what.member.initial_cluster, [("a".to_owned(), "http://h:2380".to_owned())]);
    assert!(
        refuse("retune store restore saved --endpoints http://a:1")[0]
            .contains("store restore does not take it")
    );
}

#[test]
fn two_word_commands_have_help_pages() {
    let machine = Machine::new();
    for line in ["retune store backup -h", "retune help store backup"] {
        assert!(machine.page(line).contains("Usage: retune store backup"), "{line}");
    }
    assert!(machine.page("retune man store restore").contains("initial\\-cluster"));
    assert!(machine.page("retune store -h").contains("restore"));
}
