//! Asks a running group for its members, as a proxy or a new member must before it knows anything.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http_body_util::Empty;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use serde::Deserialize;
use tokio::time::timeout;

use super::dial::{self, ask, dial};
use super::proof::{NONCE, Nonce, is_list_proven};
use crate::consensus::member::Member;
use crate::consensus::peer_secret::PeerSecret;
use crate::http::Endpoint;
use crate::http::client::read_body;
use crate::tls::Connector;

/// The longest list that is accepted.
const MAX_BODY_BYTES: usize = 1 << 20;

/// A group as one of its members lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteCluster {
    /// The cluster id.
    pub cluster_id: u64,
    /// Ordered by id.
    pub members: Vec<Member>,
    /// The URL that responded.
    pub from: String,
}

/// A member as etcd's peer port lists it. Later versions may add fields.
#[derive(Deserialize)]
struct ListedMember {
    id: u64,
    #[serde(rename = "peerURLs", default)]
    peer_urls: Option<Vec<String>>,
    #[serde(default)]
    name: String,
    #[serde(rename = "clientURLs", default)]
    client_urls: Option<Vec<String>>,
}

/// Asks all `urls` (peer URLs) at once for the list of members; returns the first valid response within `limit`. With a
/// secret, only a response of a member that holds it is valid.
///
/// # Errors
/// Why none of them returned one.
pub async fn fetch_cluster(
    urls: &[String],
    tls: &Connector,
    secret: Option<&PeerSecret>,
    limit: Duration,
) -> Result<RemoteCluster, String> {
    let mut failed: BTreeMap<&String, String> =
        urls.iter().map(|url| (url, format!("{url}: no response within {limit:?}"))).collect();
    let mut asked: FuturesUnordered<_> = urls
        .iter()
        .map(|url| async move { one(url, tls, secret).await.map_err(|error| (url, error)) })
        .collect();
    let found = timeout(limit, async {
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(cluster) => return Some(cluster),
                Err((url, error)) => {
                    tracing::debug!("{url} did not return the members: {error}");
                    failed.insert(url, format!("{url}: {error}"));
                }
            }
        }
        None
    });
    match found.await {
        Ok(Some(cluster)) => Ok(cluster),
        Ok(None) | Err(_) => Err(failed.into_values().collect::<Vec<_>>().join("; ")),
    }
}

async fn one(url: &str, tls: &Connector, secret: Option<&PeerSecret>) -> io::Result<RemoteCluster> {
    let conn = dial(url, tls).await?;
    let host = Endpoint::parse(url)?;
    let mut request = Request::get("/members").header(HOST, host.authority());
    let asked = secret.map(|secret| (secret, Nonce::draw()));
    if let Some((_, nonce)) = asked {
        request = request.header(NONCE, nonce.header());
    }
    let request = request.body(Empty::<Bytes>::new());
    ask(conn, request.map_err(io::Error::other)?, |response| async move {
        if response.status() != StatusCode::OK {
            return Err(io::Error::other(format!("it answers {}", response.status())));
        }
        let cluster = response.headers().get("X-Etcd-Cluster-Id").and_then(|value| value.to_str().ok());
        let cluster = cluster.and_then(|text| u64::from_str_radix(text, 16).ok());
        let cluster_id = cluster.ok_or_else(|| io::Error::other("it names no cluster"))?;
        let headers = response.headers().clone();
        let body = read_body(response, MAX_BODY_BYTES).await?;
        if let Some((secret, nonce)) = asked
            && !is_list_proven(secret, nonce, &format!("{cluster_id:x}"), (&headers, &body))
        {
            return Err(io::Error::other(
                "it does not prove that it has the same --peer-secret-file as this member",
            ));
        }
        let members = read(&body)?;
        Ok(RemoteCluster { cluster_id, members, from: url.to_owned() })
    })
    .await
    .map_err(|error| dial::explain(url, tls, error))
}

/// Decodes a list of members.
pub(super) fn read(bytes: &[u8]) -> io::Result<Vec<Member>> {
    let listed: Vec<ListedMember> = serde_json::from_slice(bytes).map_err(io::Error::other)?;
    let mut members: Vec<_> = listed
        .into_iter()
        .map(|listed| Member {
            id: listed.id,
            name: listed.name,
            peer_urls: listed.peer_urls.unwrap_or_default(),
            client_urls: listed.client_urls.unwrap_or_default(),
            ..Member::default()
        })
        .collect();
    if members.is_empty() {
        return Err(io::Error::other("the list is empty"));
    }
    members.sort_by_key(|member| member.id);
    Ok(members)
}
