//! Settings of `retune store backup` and `retune store restore`.

use std::path::PathBuf;
use std::time::Duration;

use super::super::invocation::{Backup, CommandId, Invocation, Restore, Task};
use super::super::layers::Rank;
use super::super::reader::Reader;
use super::super::spec::CommandSpec;
use super::super::store;
use super::cluster::{self, Cluster};
use super::urls::texts;
use super::{CLUSTER_VERSION, consensus};
use crate::source;

const LOCAL: &str = "http://127.0.0.1:2379";

const OPERAND: Option<(&str, &str)> = Some(("backup-file", "FILE"));

pub(in crate::settings) const BACKUP: CommandSpec = CommandSpec {
    operand: OPERAND,
    ..CommandSpec::new(
        "store backup",
        "Back up a store to one file, while it runs or from a stopped member's folder",
        backup,
    )
};

pub(in crate::settings) const RESTORE: CommandSpec = CommandSpec {
    operand: OPERAND,
    replaces: Some(CommandId::Etcd),
    ..CommandSpec::new(
        "store restore",
        "Make a member of a new cluster from a backup, in an empty folder",
        restore,
    )
};

fn backup(read: &mut Reader<'_>) -> Invocation {
    let file = file(read);
    // The settings file names the data folder of this host's member; that does not ask for a backup from it.
    let data_dir = if read.rank("data-dir") > Some(Rank::File) { read.path("data-dir") } else { None };
    // The environment and the file name the store for every command.
    if data_dir.is_some() && read.rank("endpoints") == Some(Rank::Flag) {
        read.report(
            "data-dir",
            "a backup comes from a running store or from a stopped member's folder; name one of the two",
        );
    }
    let mut nodes = read.texts("endpoints");
    if nodes.is_empty() {
        nodes.push(LOCAL.to_owned());
    }
    let source = source::Settings {
        nodes,
        tls: store::tls(read),
        login: store::login(read),
        sync: !read.on("no-sync"),
        ..source::Settings::default()
    };
    let task = Task::Backup(Box::new(Backup { file, force: read.on("force"), data_dir }));
    Invocation { source, ..Invocation::new(task) }
}

fn restore(read: &mut Reader<'_>) -> Invocation {
    let file = file(read);
    let name = read.text("name").unwrap_or_else(|| "default".to_owned());
    let Cluster { members, peer_urls, .. } = cluster::read(read, &name, false);
    let data_dir = read.path("data-dir").unwrap_or_else(|| PathBuf::from(format!("{name}.etcd")));
    let member = consensus::Settings {
        name,
        data_dir,
        cluster_token: read.text("initial-cluster-token").unwrap_or_else(|| "etcd-cluster".to_owned()),
        initial_cluster: members.iter().map(|(name, url)| (name.clone(), url.text())).collect(),
        listen_peer_urls: Vec::new(),
        peer_tls: crate::tls::TlsFiles::default(),
        peer_secret: None,
        start: consensus::StartMode::New,
        peer_urls: texts(&peer_urls),
        client_urls: Vec::new(),
        snapshot_count: 1,
        heartbeat: Duration::from_millis(100),
        election: Duration::from_secs(1),
        quota: None,
        version: CLUSTER_VERSION.to_owned(),
    };
    Invocation::new(Task::Restore(Box::new(Restore { file, member })))
}

fn file(read: &mut Reader<'_>) -> PathBuf {
    let file = read.path("backup-file").filter(|path| path.file_name().is_some());
    file.unwrap_or_else(|| {
        read.report("backup-file", "write the path of the file as the last word");
        PathBuf::new()
    })
}
