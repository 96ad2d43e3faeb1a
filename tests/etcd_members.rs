//! Asks a cluster for its members: the peer port of a real etcd is understood.

use std::time::Duration;

use retune::tls::{Connector, TlsFiles};

use crate::support::Etcd;

#[test]
fn the_members_of_a_real_etcd_are_parsed() {
    let Some(etcd) = Etcd::start() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let nobody = "http://127.0.0.1:1".to_owned();
    let urls = [nobody, etcd.peer_url()];
    let tls = Connector::open(&TlsFiles::default()).unwrap();
    let found = runtime
        .block_on(retune::consensus::fetch_cluster(&urls, &tls, None, Duration::from_secs(10)))
        .unwrap();
    assert_ne!(found.cluster_id, 0);
    assert_eq!(found.from, urls[1]);
    let [member] = &found.members[..] else { panic!("{:?}", found.members) };
    assert_eq!((member.name.as_str(), &member.peer_urls), ("one", &vec![etcd.peer_url()]));
    assert!(member.client_urls.contains(&etcd.url()), "{member:?}");
}
