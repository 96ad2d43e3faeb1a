//! confd's command line, environment and file.

use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::reloader::UnknownFields;
use crate::source::{Backend, Follow};

/// Every flag of the original with a value that is valid here.
const FLAGS: &[(&str, &str)] = &[
    ("backend", "etcdv3"),
    ("basic-auth", "=true"),
    ("client-ca-keys", "/ca.pem"),
    ("client-cert", "/cert.pem"),
    ("client-insecure", "=true"),
    ("client-key", "/key.pem"),
    ("confdir", "/c"),
    ("config-file", "/none.toml"),
    ("file", "/f.yaml"),
    ("filter", "*.yaml"),
    ("interval", "10"),
    ("keep-stage-file", "=true"),
    ("log-level", "debug"),
    ("node", "http://n:1"),
    ("noop", "=true"),
    ("onetime", "=true"),
    ("password", "pw"),
    ("prefix", "/p"),
    ("scheme", "https"),
    ("srv-domain", "example.com"),
    ("srv-record", "_x._tcp.example.com."),
    ("sync-only", "=true"),
    ("username", "u"),
    ("watch", "=true"),
];

/// The other flags of the original.
const REFUSED: &[&str] =
    &["app-id", "auth-token", "auth-type", "path", "role-id", "secret-id", "separator", "table", "user-id"];

#[test]
fn every_flag_of_the_original_is_accepted_with_one_or_two_dashes() {
    // Extra flags for those that mean nothing alone.
    let machine = Machine::new();
    let rest = "-username u -password pw -client-cert /a -client-key /b";
    for (flag, value) in FLAGS {
        let spelled: Vec<String> = ["-", "--"]
            .iter()
            .flat_map(|dash| match value.strip_prefix('=') {
                Some(value) => vec![format!("{dash}{flag}"), format!("{dash}{flag}={value}")],
                None => vec![format!("{dash}{flag} {value}"), format!("{dash}{flag}={value}")],
            })
            .map(|words| format!("{:?}", machine.run(&format!("confd {rest} {words}"))))
            .collect();
        assert!(spelled.iter().all(|one| *one == spelled[0]), "{flag}: {spelled:#?}");
        let without = format!("{:?}", machine.run(&format!("confd {rest}")));
        let idle = ["basic-auth", "password", "username"];
        assert!(spelled[0] != without || idle.contains(flag), "{flag} changed nothing");
    }
}

#[test]
fn flags_without_effect_here_are_refused_with_the_reason_unless_empty() {
    for flag in REFUSED {
        let problems = refuse(&format!("confd -{flag} x"));
        assert_eq!(problems.len(), 1, "{flag}");
        assert!(problems[0].starts_with(&format!("-{flag}: ")), "{problems:?}");
        assert!(problems[0].contains("this version does not read"), "{problems:?}");
        run(&format!("confd -{flag}="));
        let machine = Machine::new();
        assert!(machine.parse(&["confd", &format!("-{flag}"), ""]).is_ok());
        let env: &'static str = Box::leak(format!("CONFD_{}", flag.replace('-', "_").to_uppercase()).into());
        assert!(machine.with(env, "x").refuse("confd")[0].starts_with(env));
        let file = format!("{} = \"x\"", flag.replace('-', "_"));
        let problems = Machine::new().file("confd/confd.toml", &file).refuse("confd");
        assert!(problems[0].starts_with("confd/confd.toml:1: "), "{problems:?}");
        assert!(refuse(&format!("retune render --{flag} x"))[0].contains("this version does not read"));
    }
}

#[test]
fn unsupported_backends_are_refused_by_name() {
    for backend in ["consul", "vault", "zookeeper", "redis", "dynamodb", "rancher", "ssm"] {
        let problems = refuse(&format!("confd -onetime -backend {backend}"));
        assert_eq!(problems.len(), 1);
        assert!(
            problems[0].starts_with(&format!("-backend: {backend} is not read by this version")),
            "{problems:?}"
        );
        assert!(problems[0].contains("etcd, etcdv3, env and file"), "{problems:?}");
    }
    assert!(refuse("confd -backend etdc")[0].contains("did you mean etcd?"));
}

#[test]
fn the_three_modes_are_onetime_watch_and_poll() {
    let every = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(run("confd -onetime").task, Task::Render);
    assert_eq!(run("confd -onetime -watch").task, Task::Render, "onetime wins");
    assert_eq!(run("confd -watch").task, Task::Watch(Follow { watch: true, relist: every(600) }));
    assert_eq!(run("confd").task, Task::Watch(Follow { watch: false, relist: every(600) }));
    assert_eq!(run("confd -interval 10").task, Task::Watch(Follow { watch: false, relist: every(10) }));
    assert_eq!(run("confd -watch -interval 0").task, Task::Watch(Follow { watch: true, relist: None }));
    assert!(refuse("confd -interval 0")[0].starts_with("-interval: 0 means never"));
    let noop = run("confd -onetime -noop");
    assert!(noop.task == Task::Render && noop.reloader.noop);
    assert_eq!(noop.reloader.unknown_fields, UnknownFields::Warn);
}

#[test]
fn confds_command_line_is_accepted_under_its_name_and_without_a_command() {
    for line in [
        "/usr/local/bin/confd -onetime -backend etcd -node 10.0.0.1:2379",
        "retune -onetime -backend etcd -node 10.0.0.1:2379",
        "retune --onetime --backend=etcd --node=10.0.0.1:2379",
        "confd etcd --onetime -n 10.0.0.1:2379",
    ] {
        let got = run(line);
        assert_eq!((got.dialect, &got.task), (Dialect::Confd, &Task::Render), "{line}");
        assert_eq!(got.source.nodes, ["10.0.0.1:2379"], "{line}");
        assert_eq!(got.source.backend, Backend::Etcd, "{line}");
    }
    assert_eq!(run("retune -log-level debug render").dialect, Dialect::Retune);
    assert_eq!(run("/opt/confd/retune render").dialect, Dialect::Retune);
}

#[test]
fn default_nodes_are_the_originals() {
    let nodes = |machine: &Machine, line: &str| machine.run(line).source.nodes;
    let bare = Machine::new();
    assert_eq!(nodes(&bare, "confd"), ["http://127.0.0.1:4001"]);
    assert_eq!(nodes(&bare, "confd -backend etcdv3"), ["http://127.0.0.1:2379"]);
    assert_eq!(nodes(&bare, "retune render"), ["http://127.0.0.1:2379"]);
    assert_eq!(nodes(&bare, "confd -backend env"), Vec::<String>::new());
    let peers = Machine::new().with("ETCDCTL_PEERS", "http://a:1, http://b:2");
    assert_eq!(nodes(&peers, "confd"), ["http://a:1", "http://b:2"]);
    assert_eq!(nodes(&peers, "retune render"), ["http://a:1", "http://b:2"]);
    assert_eq!(nodes(&peers, "confd -backend etcdv3"), ["http://127.0.0.1:2379"]);
    assert_eq!(nodes(&peers, "confd -node http://c:3"), ["http://c:3"]);
}

#[test]
fn srv_names_are_derived_from_the_domain_and_ignored_without_nodes() {
    let record = |line: &str| run(line).source.srv_record;
    assert_eq!(record("confd -srv-domain example.com").as_deref(), Some("_etcd._tcp.example.com."));
    assert_eq!(record("confd -srv-domain example.com.").as_deref(), Some("_etcd._tcp.example.com."));
    assert_eq!(record("confd -backend etcdv3 -srv-domain x.y").as_deref(), Some("_etcdv3._tcp.x.y."));
    assert_eq!(record("confd -srv-domain a -srv-record _r._tcp.b.").as_deref(), Some("_r._tcp.b."));
    assert_eq!(record("confd -backend env -srv-domain a"), None);
    assert_eq!(record("confd -backend file -file /x -srv-record a"), None);
    assert!(run("confd -srv-domain a").source.nodes.is_empty(), "no default node beside a record");
}

#[test]
fn confd_toml_accepts_every_key_in_every_spelling() {
    let text = r#"
        backend = "etcdv3"
        ConfDir = "/c"
        interval = 1_000
        noop = true
        prefix = "app"
        scheme = "https"
        srv_domain = "example.com"
        srv_record = "r."
        sync-only = true
        watch = true
        log-level = "WARNING"
        nodes = ["http://a:1", "http://b:2"]
        auth_token = ""
        auth_type = ""
        basic_auth = true
        client_cakeys = "/ca"
        client_cert = "/cert"
        client_key = "/key"
        client_insecure = true
        table = ""
        separator = ""
        username = "u"
        password = "pw"
        app_id = ""
        user_id = ""
        role_id = ""
        secret_id = ""
        file = ["/f"]
        filter = "*.yml"
        path = ""
        onetime = true
        keepstagefile = true
    "#;
    let got = Machine::new().file("confd/confd.toml", text).run("confd");
    assert_eq!(got.warnings, Vec::<String>::new());
    assert_eq!((got.task, got.log.level), (Task::Render, Level::Warn));
    assert_eq!(got.reloader.confdir, PathBuf::from("/c"));
    assert_eq!(got.reloader.prefix.as_deref(), Some("/app"));
    assert!(got.reloader.noop && got.reloader.sync_only && got.reloader.keep_stage_file);
    assert_eq!((got.source.backend, got.source.scheme.as_str()), (Backend::EtcdV3, "https"));
    assert_eq!(got.source.nodes, ["http://a:1", "http://b:2"]);
    assert_eq!(got.source.srv_record.as_deref(), Some("r."));
    assert_eq!(got.source.tls.ca, Some(PathBuf::from("/ca")));
    assert!(got.source.tls.insecure && got.source.tls.cert.is_some() && got.source.tls.key.is_some());
    assert_eq!(got.source.login.unwrap().password.expose(), "pw");
    assert_eq!((got.source.files, got.source.filter.as_str()), (vec![PathBuf::from("/f")], "*.yml"));
    for spelling in ["sync-only", "sync_only", "SyncOnly", "syncOnly"] {
        let file = format!("{spelling} = true\nonetime = true");
        assert!(Machine::new().file("confd/confd.toml", &file).run("confd").reloader.sync_only, "{spelling}");
    }
}

#[test]
fn what_confd_ignored_is_a_warning_with_its_position() {
    let machine =
        Machine::new().file("confd/confd.toml", "\nintervall = 5\nusername = 'u'\nclient_cert = '/c'\n");
    let got = machine.run("confd");
    assert!(got.source.login.is_none() && got.source.tls.cert.is_none());
    assert_eq!(got.warnings.len(), 3, "{:?}", got.warnings);
    assert!(got.warnings[0].contains("confd.toml:2: intervall: no such setting; did you mean interval?"));
    let missing = run("confd -config-file /nowhere/confd.toml");
    assert!(missing.warnings[0].starts_with("/nowhere/confd.toml: no such settings file"));
    let broken = Machine::new().file("confd/confd.toml", "a = 1\npassword = hunter2\n").refuse("confd");
    assert!(broken[0].starts_with("confd/confd.toml:2: "), "{broken:?}");
    assert!(!broken.join("").contains("hunter2"), "{broken:?}");
}

#[test]
fn variables_of_confd_and_of_its_fork_are_read() {
    let machine = Machine::new()
        .with("CONFD_CLIENT_CAKEYS", "/ca")
        .with("CONFD_CLIENT_CERT", "/cert")
        .with("CONFD_CLIENT_KEY", "/key")
        .with("CONFD_CONFDIR", "/c")
        .with("CONFD_ONETIME", "true")
        .with("CONFD_CHECK_CMD_TIMEOUT", "7s")
        .with("CONFD_RELOAD_CMD_TIMEOUT", "8s")
        .with("CONFD_LOG_FORMAT", "json")
        .with("CONFD_PREFIX", "")
        .with("CONFD_METRICS_ADDR", ":9100")
        .with("RETUNE_NOOP", "true");
    let got = machine.run("confd");
    assert_eq!(got.source.tls.ca, Some(PathBuf::from("/ca")));
    assert_eq!(got.reloader.confdir, PathBuf::from("/c"));
    assert_eq!(got.task, Task::Render);
    assert_eq!(got.reloader.check_timeout, Duration::from_secs(7));
    assert_eq!(got.reloader.reload_timeout, Duration::from_secs(8));
    assert_eq!(got.log.format, Output::Json);
    assert_eq!(got.reloader.prefix, None, "an empty variable is unset");
    assert!(!got.reloader.noop, "the other dialect's variables do not count");
    assert_eq!(got.warnings.len(), 1);
    assert!(got.warnings[0].starts_with("CONFD_METRICS_ADDR has no effect: "), "{:?}", got.warnings);
    assert!(refuse("confd -metrics-addr :9100")[0].starts_with("-metrics-addr: "));
}

#[test]
fn corner_cases_of_gos_flag_syntax_are_supported() {
    assert!(!run("confd -noop=false").reloader.noop && run("confd -noop=T").reloader.noop);
    assert!(!run("confd -noop -noop=0").reloader.noop, "the last one counts");
    assert_eq!(
        run("confd -prefix -onetime").reloader.prefix.as_deref(),
        Some("/-onetime"),
        "a value takes what comes"
    );
    assert_eq!(run("confd -prefix=a=b").reloader.prefix.as_deref(), Some("/a=b"));
    assert_eq!(run("confd -prefix -- -onetime").task, Task::Render, "the two dashes are the value");
    assert_eq!(refuse("confd -prefix"), ["-prefix: needs a value after it"]);
    assert_eq!(refuse("confd -noop=maybe"), ["-noop: \"maybe\" is neither true nor false"]);
    assert_eq!(refuse("confd -noop="), ["-noop: \"\" is neither true nor false"]);
    assert!(refuse("confd -watch false")[0].contains("--noop=false"));
    assert_eq!(refuse("confd -- -onetime").len(), 1, "after two dashes nothing is a flag");
    assert_eq!(refuse("confd ---onetime").len(), 1);
    assert!(refuse("confd -")[0].contains("no flag takes this word"));
    assert_eq!(run("confd -node a:1 -node=b:2,c:3").source.nodes, ["a:1", "b:2", "c:3"]);
    let files = run("confd -backend file -file /a,b -file /c").source.files;
    assert_eq!(files, [PathBuf::from("/a,b"), PathBuf::from("/c")], "a path may hold a comma");
}
