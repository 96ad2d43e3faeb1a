//! Finds the members of a store in the SRV records of a domain, like etcd's `--discovery-srv`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::srv::{self, SrvError};

/// The time limit of all lookups together.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(15);

/// The domain whose records name the members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// The domain.
    pub domain: String,
    /// The suffix after a hyphen in the records' names.
    pub service_name: Option<String>,
}

/// Why the members are unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// No record names a host.
    #[error("error querying DNS SRV records for {0}")]
    NoRecord(String),
    /// A name server did not respond: the other records may not name all members.
    #[error(
        "error querying DNS SRV records for {0}; members are only looked up at the first start, so start this one again"
    )]
    LookupFailed(String),
    /// The lookup of this member's own address failed.
    #[error("cannot look up {0} of --initial-advertise-peer-urls: {1}")]
    OwnAddress(String, String),
    /// This member is missing from the records.
    #[error(
        "cannot find local etcd member {name:?} in SRV records: they name {found}, and --initial-advertise-peer-urls is {own}; \
         it must be one of those, or lead to the same address"
    )]
    NotListed {
        /// This member's name.
        name: String,
        /// The URLs of the records.
        found: String,
        /// This member's own.
        own: String,
    },
    /// The scheme in the records is different.
    #[error(
        "the record says {found}, and --initial-advertise-peer-urls {own}: records of _etcd-server-ssl are for https, those \
         of _etcd-server for http"
    )]
    Scheme {
        /// The URL of the record.
        found: String,
        /// This member's own.
        own: String,
    },
}

/// A peer URL with its resolved addresses.
#[derive(Clone, Debug)]
struct Peer {
    url: String,
    addresses: BTreeSet<SocketAddr>,
}

impl Peer {
    fn scheme(&self) -> &str {
        self.url.split_once("://").map_or("", |(scheme, _)| scheme)
    }

    /// Resolves a URL; the error is the reason as text.
    async fn find(url: String) -> Result<Self, String> {
        let at = url.split_once("://").map_or(url.as_str(), |(_, at)| at).to_owned();
        let found = tokio::net::lookup_host(at).await.map_err(|error| error.to_string())?;
        Ok(Self { url, addresses: found.collect() })
    }
}

impl Discovery {
    /// Returns the peer URLs in the records, without duplicates.
    ///
    /// # Errors
    /// There are none, or a name server does not respond.
    pub async fn peer_urls(&self) -> Result<Vec<String>, DiscoveryError> {
        let suffix = self.service_name.as_ref().map(|name| format!("-{name}")).unwrap_or_default();
        let (mut urls, mut missing) = (BTreeSet::new(), Vec::new());
        for (service, scheme) in [("etcd-server-ssl", "https"), ("etcd-server", "http")] {
            // Absolute, so that the system's search list does not apply.
            let record = format!("_{service}{suffix}._tcp.{}.", self.domain);
            match srv::look_up(&record, LOOKUP_TIMEOUT).await {
                Ok(targets) => urls.extend(targets.iter().map(|target| target.url(scheme))),
                Err(SrvError::Missing(why)) => missing.push(format!("{record} ({why})")),
                Err(SrvError::Failed(why)) => {
                    return Err(DiscoveryError::LookupFailed(format!("{record} ({why})")));
                }
            }
        }
        if urls.is_empty() {
            return Err(DiscoveryError::NoRecord(missing.join(" and ")));
        }
        Ok(urls.into_iter().collect())
    }

    /// Returns the name and the peer URL of each member. Records have no names: the member whose URL resolves to the
    /// same address as one of `own` is called `name`; the others have numbers until they publish their names.
    ///
    /// # Errors
    /// See [`DiscoveryError`].
    pub async fn members(&self, name: &str, own: &[String]) -> Result<Vec<(String, String)>, DiscoveryError> {
        let mut own_peers = Vec::new();
        for url in own {
            let found = Peer::find(url.clone()).await;
            own_peers.push(found.map_err(|why| DiscoveryError::OwnAddress(url.clone(), why))?);
        }
        let mut peers = Vec::new();
        for url in self.peer_urls().await? {
            let peer = Peer::find(url.clone()).await.unwrap_or_else(|why| {
                // It still belongs to the cluster; without it each member would found its own.
                tracing::warn!(
                    "{url}, which the SRV records of {} name, cannot be looked up: {why}",
                    self.domain
                );
                Peer { url, addresses: BTreeSet::new() }
            });
            peers.push(peer);
        }
        assign_names(name, &own_peers, peers)
    }
}

fn assign_names(name: &str, own: &[Peer], peers: Vec<Peer>) -> Result<Vec<(String, String)>, DiscoveryError> {
    let mut numbers = (0..).map(|number: usize| number.to_string()).filter(|number| number != name);
    let mut members = Vec::new();
    for peer in peers {
        let same = own.iter().find(|own| own.url == peer.url || !own.addresses.is_disjoint(&peer.addresses));
        let called = match same {
            Some(own) if own.scheme() != peer.scheme() => {
                return Err(DiscoveryError::Scheme { found: peer.url, own: own.url.clone() });
            }
            Some(_) => name.to_owned(),
            None => numbers.next().expect("numbers do not end"),
        };
        members.push((called, peer.url));
    }
    if members.iter().all(|(called, _)| called != name) {
        let texts = |urls: &mut dyn Iterator<Item = &str>| urls.collect::<Vec<_>>().join(", ");
        return Err(DiscoveryError::NotListed {
            name: name.to_owned(),
            found: texts(&mut members.iter().map(|(_, url)| url.as_str())),
            own: texts(&mut own.iter().map(|own| own.url.as_str())),
        });
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(url: &str, at: &[&str]) -> Peer {
        Peer { url: url.to_owned(), addresses: at.iter().map(|at| at.parse().unwrap()).collect() }
    }

    #[test]
    fn the_member_with_the_same_address_gets_the_name_and_the_others_numbers() {
        let own = [peer("http://10.0.0.1:2380", &["10.0.0.1:2380"])];
        let all = || {
            vec![
                peer("http://n0.x:2380", &["10.0.0.2:2380"]),
                peer("http://n1.x:2380", &["10.0.0.1:2380"]),
                peer("http://n2.x:2380", &[]),
            ]
        };
        let names = |name: &str| -> Vec<String> {
            assign_names(name, &own, all()).unwrap().into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names("a"), ["0", "a", "1"]);
        assert_eq!(names("0"), ["1", "0", "2"], "a member that is named like a number shares it with nobody");
        let text = [peer("http://n2.x:2380", &[])];
        assert_eq!(assign_names("a", &text, all()).unwrap()[2].0, "a", "the same URL needs no address");
    }

    #[test]
    fn a_member_missing_from_the_records_or_with_another_scheme_is_refused() {
        let peers = || vec![peer("http://n0.x:2380", &["10.0.0.2:2380"])];
        let error = assign_names("a", &[peer("http://10.0.0.9:1", &["10.0.0.9:1"])], peers())
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("cannot find local etcd member \"a\" in SRV records"), "{error}");
        assert!(error.contains("http://n0.x:2380") && error.contains("http://10.0.0.9:1"), "{error}");
        let error = assign_names("a", &[peer("https://n0.x:2380", &["10.0.0.2:2380"])], peers()).unwrap_err();
        assert!(matches!(error, DiscoveryError::Scheme { .. }), "{error}");
    }
}
