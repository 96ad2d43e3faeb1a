//! Settings of `retune store backup` and `retune store restore`.

use std::path::PathBuf;
use std::time::Duration;

use super::super::Host;
use super::super::common::CommonOptions;
use super::super::invocation::{Backup, Restore, Task};
use super::super::layers::Rank;
use super::super::reader::Built;
use super::super::reader::Reader;
use super::super::row::{BACKUP, RESTORE};
use super::super::store;
use super::cluster::{self, Cluster};
use super::urls::texts;
use super::{CLUSTER_VERSION, consensus, source};

const LOCAL: &str = "http://127.0.0.1:2379";

/// `retune store backup`.
pub(in crate::settings) fn backup(read: &mut Reader<'_>, common: CommonOptions) -> Built {
    let file = file(read);
    // The settings file names the data folder of this host's member; that does not ask for a backup from it.
    let data_dir = if read.rank("data-dir") > Some(Rank::File) { read.path("data-dir") } else { None };
    // The environment and the file name the store for every command.
    if data_dir.is_some() && read.rank("endpoints") == Some(Rank::Flag) {
        read.object(
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
        tls: store::tls(read, BACKUP),
        login: store::login(read, BACKUP),
        sync: !read.on("no-sync"),
        ..source::Settings::default()
    };
    let task = Task::Backup(Box::new(Backup { file, force: read.on("force"), data_dir }));
    common.built(read, task, source)
}

/// `retune store restore`.
pub(in crate::settings) fn restore(host: &Host, read: &mut Reader<'_>, common: CommonOptions) -> Built {
    let file = file(read);
    let name = read.text("name").unwrap_or_else(|| "default".to_owned());
    let Cluster { members, peer_urls, .. } = cluster::read(host, read, RESTORE, &name, false);
    let data_dir = read.path("data-dir").unwrap_or_else(|| PathBuf::from(format!("{name}.etcd")));
    let member = consensus::Settings {
        name,
        data_dir,
        cluster_token: read.text("initial-cluster-token").unwrap_or_else(|| "etcd-cluster".to_owned()),
        initial_cluster: members.iter().map(|(name, url)| (name.clone(), url.text())).collect(),
        listen_peer_urls: Vec::new(),
        peer_tls: crate::tls::Files::default(),
        start: consensus::Start::New,
        peer_urls: texts(&peer_urls),
        client_urls: Vec::new(),
        snapshot_count: 1,
        heartbeat: Duration::from_millis(100),
        election: Duration::from_secs(1),
        quota: None,
        version: CLUSTER_VERSION.to_owned(),
    };
    let task = Task::Restore(Box::new(Restore { file, member }));
    common.built(read, task, source::Settings::default())
}

fn file(read: &mut Reader<'_>) -> PathBuf {
    let file = read.path("backup-file").filter(|path| path.file_name().is_some());
    file.unwrap_or_else(|| {
        read.object("backup-file", "which file? write its path as the last word");
        PathBuf::new()
    })
}
