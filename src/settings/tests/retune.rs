//! retune's own command line.

use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::reloader::{Ready, UnknownFields};
use crate::source::{Backend, Follow};

#[test]
fn each_command_has_its_task() {
    let relist = Some(Duration::from_secs(600));
    assert_eq!(run("retune render").task, Task::Render);
    assert_eq!(run("retune watch").task, Task::Watch(Follow { watch: true, relist }));
    assert_eq!(run("retune watch --poll").task, Task::Watch(Follow { watch: false, relist }));
    assert_eq!(run("retune watch --interval 0").task, Task::Watch(Follow { watch: true, relist: None }));
    assert_eq!(refuse("retune watch --poll --interval 0").len(), 1);
    let diff = run("retune diff --context 5 --output json --color never");
    assert_eq!(diff.task, Task::Diff { output: Output::Json, context: 5, colour: Colour::Never });
    assert!(diff.reloader.noop, "a diff touches nothing");
    let check = run("retune check --data d.json --expect e --format junit");
    let expect = Some(PathBuf::from("e"));
    let data = Some(PathBuf::from("d.json"));
    assert_eq!(check.task, Task::Check(Check { data, expect, update: false, format: CheckFormat::Junit }));
    assert_eq!(run("retune render --output json").output, Output::Json);
    assert_eq!(run("retune render").reloader.unknown_fields, UnknownFields::Refuse);
    assert!(refuse("retune check --expect e")[0].starts_with("--expect: compares renderings"));
}

#[test]
fn check_ignores_store_settings() {
    let machine = Machine::new().file("retune/retune.toml", "backend = 'file'\nnode = ['ftp://x']\n");
    assert_eq!(machine.run("retune check").source, crate::source::Settings::default());
    assert_eq!(machine.refuse("retune render").len(), 2);
}

#[test]
fn every_flag_reaches_its_field() {
    let got = run(
        "retune watch --backend file --file a --file b --filter *.yml --confdir /c --prefix p/q/ --resource x,y \
         --resource z --state-dir /s --redact /a/* --redact /b,c --debounce 250ms --max-wait 3s --check-timeout 1s \
         --reload-timeout 2s --shutdown-timeout 4s --ready rendered --ready-timeout 7s --backend-timeout 6s --fuel 9 --max-output 2k --keep-stage-file \
         --sync-only --log-level error --log-format json --colour always",
    );
    assert_eq!(got.source.backend, Backend::File);
    assert_eq!(got.source.files, [PathBuf::from("a"), PathBuf::from("b")]);
    assert_eq!((got.source.filter.as_str(), got.source.timeout), ("*.yml", Duration::from_secs(6)));
    let r = got.reloader;
    assert_eq!((r.confdir, r.state_dir), (PathBuf::from("/c"), Some(PathBuf::from("/s"))));
    assert_eq!((r.prefix.as_deref(), r.only), (Some("/p/q"), vec!["x".into(), "y".into(), "z".into()]));
    assert_eq!(r.redact, ["/a/*", "/b,c"]);
    assert_eq!((r.debounce, r.max_wait), (Duration::from_millis(250), Duration::from_secs(3)));
    assert_eq!((r.check_timeout, r.reload_timeout), (Duration::from_secs(1), Duration::from_secs(2)));
    assert_eq!((r.shutdown_timeout, r.limits.fuel, r.limits.output), (Duration::from_secs(4), 9, 2048));
    assert_eq!((r.ready, r.ready_timeout), (Ready::Rendered, Some(Duration::from_secs(7))));
    assert!(r.keep_stage_file && r.sync_only && !r.noop);
    assert_eq!(got.log, Log { level: Level::Error, format: Output::Json, colour: Colour::Always });
    let once = run("retune render --force --timeout 9s").reloader;
    assert!(once.force_reload && once.render_timeout == Duration::from_secs(9));
    assert_eq!(run("retune render --backend store").source.backend, Backend::Etcd);
    assert_eq!(run("retune render --backend etcdv2").source.backend, Backend::Etcd);
}

#[test]
fn folders_default_to_existing_ones() {
    let bare = Machine::new();
    let dir = |machine: &Machine, line: &str| {
        machine.run(line).reloader.confdir.strip_prefix(machine.dir.path()).unwrap().to_owned()
    };
    assert_eq!(dir(&bare, "retune render"), PathBuf::from("retune"));
    assert_eq!(dir(&bare, "confd"), PathBuf::from("confd"));
    let only_confd = Machine::new().file("confd/conf.d/x.toml", "");
    assert_eq!(dir(&only_confd, "retune render"), PathBuf::from("confd"));
    let only_retune = Machine::new().file("retune/conf.d/x.toml", "");
    assert_eq!(dir(&only_retune, "confd"), PathBuf::from("retune"));
    let both = only_confd.file("retune/conf.d/x.toml", "");
    assert_eq!(dir(&both, "retune render"), PathBuf::from("retune"));
}

#[test]
fn state_is_kept_in_a_folder_the_user_may_write() {
    let state = |machine: &Machine, line: &str| machine.run(line).reloader.state_dir;
    let home = Machine::new();
    assert_eq!(state(&home, "retune watch"), Some(PathBuf::from("/home/u/.local/state/retune")));
    assert_eq!(state(&home, "retune watch --state-dir none"), None);
    let xdg = Machine::new().with("XDG_STATE_HOME", "/x");
    assert_eq!(state(&xdg, "retune watch"), Some(PathBuf::from("/x/retune")));
    let odd = Machine::new().with("XDG_STATE_HOME", "relative");
    assert_eq!(state(&odd, "retune watch"), Some(PathBuf::from("/home/u/.local/state/retune")));
    let mut root = Machine::new();
    root.root = true;
    assert_eq!(state(&root, "retune watch"), Some(PathBuf::from("/var/lib/retune")));
    let mut homeless = Machine::new();
    homeless.env.clear();
    assert_eq!(state(&homeless, "retune watch"), None);
}

#[test]
fn another_root_keeps_no_state_in_any_case() {
    for line in ["retune render --root /r", "retune diff --root /r --state-dir none"] {
        let got = run(line).reloader;
        assert_eq!((got.root, got.state_dir), (Some(PathBuf::from("/r")), None), "{line}");
    }
    let refused = refuse("retune render --root /r --state-dir /s");
    assert!(
        refused[0].starts_with("--state-dir: ") && refused[0].ends_with("leave it out, or write none"),
        "{refused:?}"
    );
}

#[test]
fn an_unknown_name_is_refused_with_the_nearest_known_one() {
    assert_eq!(refuse("retune rendr"), ["rendr: no such command; did you mean `retune render`?"]);
    assert!(refuse("retune frobnicate")[0].contains("there are render, watch, diff, check"));
    assert_eq!(refuse("retune watch --intreval 5"), ["--intreval: no such flag; did you mean --interval?"]);
    assert!(refuse("retune watch --frobnicate")[0].ends_with("`retune watch -h` lists them"));
    assert_eq!(
        refuse("retune render --interval 5"),
        ["--interval: render does not take it; it belongs to watch, confd's command line"]
    );
    assert!(refuse("retune watch --onetime")[0].contains("`retune render` renders once"));
    assert!(refuse("retune --noop rendr")[0].contains("did you mean `retune render`?"));
    assert!(refuse("retune")[0].starts_with("retune: name a command: render, watch"));
    assert_eq!(refuse("retune render --bogus --worse").len(), 2);
    assert!(refuse("retune render now")[0].starts_with("now: no flag takes this word"));
}

#[test]
fn an_incomplete_pair_is_refused() {
    assert!(refuse("retune render --client-cert c")[0].contains("--client-key"));
    assert!(refuse("retune render --client-key c")[0].contains("--client-cert"));
    assert!(refuse("retune render --username u")[0].contains("--password-file"));
    assert!(refuse("retune render --basic-auth")[0].contains("--username"));
    assert!(refuse("retune render --backend file")[0].starts_with("--file: the file backend needs a file"));
    assert!(refuse("retune watch --debounce 9s --max-wait 1s")[0].starts_with("--max-wait: is shorter"));
}

#[test]
fn non_utf8_arguments_are_accepted_as_paths_only() {
    use std::os::unix::ffi::OsStringExt;
    let odd = OsString::from_vec(b"/x\xff".to_vec());
    let host = || Host {
        env: &|_| None,
        etc: PathBuf::from("/nowhere"),
        root: false,
        variables: Vec::new(),
        file_exists: Box::new(|_| false),
        address: Box::new(|| None),
    };
    let words = |flag: &str| vec!["retune".into(), "render".into(), flag.into(), odd.clone()];
    let Ok(Parsed::Run(got)) = parse_on(&host(), words("--confdir")) else { panic!() };
    assert_eq!(got.reloader.confdir.as_os_str(), odd);
    let Err(problems) = parse_on(&host(), words("--prefix")) else { panic!() };
    assert_eq!(problems.to_string(), "--prefix: is not UTF-8 text");
    assert!(parse_on(&host(), vec!["retune".into(), odd.clone()]).is_err());
    assert!(parse_on(&host(), Vec::new()).is_err());
}

#[test]
fn no_sync_has_one_name_in_every_store_client() {
    for line in [
        "retune render",
        "retune watch",
        "retune diff",
        "confd",
        "retune register",
        "retune place",
        "retune store backup b",
    ] {
        let syncs = |machine: Machine, line: &str| machine.run(line).source.sync;
        assert!(syncs(Machine::new(), line), "{line}");
        assert!(!syncs(Machine::new(), &format!("{line} --no-sync")), "{line}");
        if line != "confd" {
            assert!(!syncs(Machine::new().with("RETUNE_NO_SYNC", "true"), line), "{line}");
            let file = || Machine::new().file("retune/retune.toml", "no_sync = true\n");
            assert!(!syncs(file(), line), "{line}");
            assert!(syncs(file(), &format!("{line} --no-sync=false")), "{line}");
        }
    }
}

#[test]
fn the_store_has_one_name_in_every_command_and_the_older_ones_are_aliases() {
    let lines = ["render", "watch", "diff", "register", "place", "store backup b"];
    let names = ["endpoints", "endpoint", "peers", "node", "nodes", "etcd"];
    for line in lines {
        for name in names {
            let nodes = |machine: Machine, line: &str| machine.run(line).source.nodes;
            let want = ["http://a:1", "http://b:2"];
            let flag = format!("retune {line} --{name} http://a:1,http://b:2");
            assert_eq!(nodes(Machine::new(), &flag), want, "{flag}");
            let variable: &'static str = format!("RETUNE_{}", name.to_uppercase()).leak();
            let set = Machine::new().with(variable, "http://a:1,http://b:2");
            assert_eq!(nodes(set, &format!("retune {line}")), want, "{variable} {line}");
            let text = format!("{name} = ['http://a:1', 'http://b:2']\n");
            let file = Machine::new().file("retune/retune.toml", &text);
            assert_eq!(nodes(file, &format!("retune {line}")), want, "{text} {line}");
        }
    }
    for word in ["-node", "--node", "-n", "-endpoints"] {
        assert_eq!(run(&format!("confd {word} http://a:1")).source.nodes, ["http://a:1"], "{word}");
    }
}

#[test]
fn two_different_names_of_the_store_are_reported() {
    let both = Machine::new()
        .with("RETUNE_ENDPOINTS", "http://a:1")
        .with("RETUNE_NODE", "http://b:2")
        .run("retune render");
    assert_eq!(both.source.nodes, ["http://a:1"]);
    assert_eq!(both.warnings, ["RETUNE_NODE is not used: RETUNE_ENDPOINTS overrides it"]);
    let text = "endpoints = 'http://a:1'\nnode = 'http://b:2'\n";
    let problems = Machine::new().file("retune/retune.toml", text).refuse("retune render");
    assert!(problems[0].contains("node is another name of endpoints"), "{problems:?}");
    // A folder on the command line wins over the environment, which serves other commands.
    Machine::new().with("RETUNE_ENDPOINTS", "http://a:1").run("retune store backup --data-dir /d saved");
}

#[test]
fn a_mistyped_version_or_help_gets_a_hint() {
    assert_eq!(refuse("retune --verison"), ["--verison: no such flag; did you mean --version?"]);
    assert_eq!(refuse("retune watch --hlep"), ["--hlep: no such flag; did you mean --help?"]);
    assert_eq!(refuse("retune --frobnicate"), ["--frobnicate: no such flag; -h lists them"]);
}
