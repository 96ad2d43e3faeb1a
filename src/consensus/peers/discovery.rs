//! Discovers members that joined while this one was down.
//!
//! The list of members comes from the log, and the log comes from the leader. If the leader is not in this member's
//! list, neither can make progress. So an unknown peer that connects is looked up at the known members, and accepted
//! until the log has caught up.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::sleep;

use super::hub::PeerHub;
use super::remote_cluster::fetch_cluster;

/// The interval between rounds of lookups, and the timeout of one.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(1);
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// Looks unknown peers up, one round after the other.
pub(super) async fn run(hub: &PeerHub) -> Infallible {
    loop {
        hub.unknown_peers.changed.notified().await;
        let unknown_peers = hub.unknown_peers.take();
        let directory = hub.directory();
        let own = directory.own;
        let known = directory.members.values().filter(|known| known.member.id != own);
        let urls: Vec<String> = known.flat_map(|known| known.member.peer_urls.clone()).collect();
        if let Ok(found) = fetch_cluster(&urls, &hub.tls, hub.secret.as_ref(), LOOKUP_TIMEOUT).await
            && found.cluster_id == directory.cluster
        {
            let met = found.members.into_iter().filter(|member| unknown_peers.contains(&member.id));
            hub.add_unknown_peers(met.collect());
        }
        sleep(LOOKUP_INTERVAL).await;
    }
}
