//! The v2 members API, with typed responses.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::error::RequestError;
use super::request::{Cluster, parse};
use crate::client::address::Address;
use crate::client::request::{HttpRequest, Reply};

const PATH: &[u8] = b"/v2/members";

/// One member of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Member {
    /// Sixteen hexadecimal digits.
    #[serde(default)]
    pub id: String,
    /// Empty until its first start.
    #[serde(default)]
    pub name: String,
    /// The URLs for other members.
    #[serde(default, rename = "peerURLs")]
    pub peers: Vec<String>,
    /// The URLs for clients.
    #[serde(default, rename = "clientURLs")]
    pub clients: Vec<String>,
}

/// A member's health, as it reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It serves writes.
    Healthy,
    /// It responds that it does not serve writes.
    Unhealthy,
    /// It did not respond, for this reason.
    Unknown(String),
}

/// The members of a cluster, with one deadline for all requests of this value.
#[derive(Clone, Copy, Debug)]
pub struct Members<'c> {
    cluster: &'c Cluster,
    deadline: Option<Instant>,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    members: Option<Vec<Member>>,
}

impl<'c> Members<'c> {
    /// Returns access to the members of `cluster`.
    #[must_use]
    pub const fn new(cluster: &'c Cluster, deadline: Option<Instant>) -> Self {
        Self { cluster, deadline }
    }

    /// Returns all members.
    ///
    /// # Errors
    /// Any.
    pub async fn list(&self) -> Result<Vec<Member>, RequestError> {
        let reply = self.send(Method::GET, PATH, None, &[200]).await?;
        Ok(parse::<Listed>(&reply)?.members.unwrap_or_default())
    }

    /// Returns the leader.
    ///
    /// # Errors
    /// Any.
    pub async fn leader(&self) -> Result<Member, RequestError> {
        parse(&self.send(Method::GET, b"/v2/members/leader", None, &[200]).await?)
    }

    /// Adds a member with this peer URL.
    ///
    /// # Errors
    /// `Refused` before anything is sent if the URL is bad, or when the store rejects the request.
    pub async fn add(&self, peer: &str) -> Result<Member, RequestError> {
        let reply = self.send(Method::POST, PATH, Some(peer_urls_body(&[peer])?), &[201, 409]).await?;
        if reply.status == 201 { parse(&reply) } else { Err(refusal(&reply)) }
    }

    /// Changes a member's peer URLs.
    ///
    /// # Errors
    /// As [`Members::add`].
    pub async fn update(&self, id: &str, peers: &[&str]) -> Result<(), RequestError> {
        let reply =
            self.send(Method::PUT, &member_path(id), Some(peer_urls_body(peers)?), &[204, 404, 409]).await?;
        if reply.status == 204 { Ok(()) } else { Err(refusal(&reply)) }
    }

    /// Removes a member.
    ///
    /// # Errors
    /// Any.
    pub async fn remove(&self, id: &str) -> Result<(), RequestError> {
        self.send(Method::DELETE, &member_path(id), None, &[204, 410]).await.map(drop)
    }

    async fn send(
        &self,
        method: Method,
        path: &[u8],
        body: Option<(&'static str, Bytes)>,
        wanted: &[u16],
    ) -> Result<Reply, RequestError> {
        let request = HttpRequest { body, ..self.cluster.request(method, path, "") };
        self.cluster.expect_status(&request, self.deadline, wanted).await
    }

    /// Replaces the endpoints of the cluster value by the client URLs that the members publish.
    ///
    /// # Errors
    /// Any.
    pub async fn sync(&self) -> Result<(), RequestError> {
        let clients: Vec<String> = self.list().await?.into_iter().flat_map(|member| member.clients).collect();
        self.cluster.replace(&clients)
    }

    /// Returns the health that the member at this client URL reports.
    pub async fn health(&self, url: &str, limit: Duration) -> Health {
        #[derive(Deserialize)]
        struct ErrorBody {
            #[serde(default, alias = "Health")]
            health: Value,
        }
        let body = match self.cluster.fetch(&format!("{url}/health"), limit).await {
            Ok(body) => body,
            Err(why) => return Health::Unknown(why),
        };
        match serde_json::from_slice::<ErrorBody>(&body).map(|reported| reported.health) {
            Ok(Value::Bool(true)) => Health::Healthy,
            Ok(Value::String(text)) if text == "true" => Health::Healthy,
            Ok(Value::Bool(_) | Value::String(_) | Value::Null) => Health::Unhealthy,
            Ok(other) => Health::Unknown(format!("its health is neither true nor false but {other}")),
            Err(error) => Health::Unknown(error.to_string()),
        }
    }
}

fn member_path(id: &str) -> Vec<u8> {
    [PATH, b"/", id.as_bytes()].concat()
}

fn peer_urls_body(peers: &[&str]) -> Result<(&'static str, Bytes), RequestError> {
    let mut urls = peers
        .iter()
        .map(|url| check_peer_url(url).map_err(RequestError::Refused))
        .collect::<Result<Vec<_>, _>>()?;
    if urls.is_empty() {
        return Err(RequestError::Refused("no valid URLs given".into()));
    }
    urls.sort();
    Ok(("application/json", json!({ "peerURLs": urls }).to_string().into()))
}

/// Checks a peer URL as a store does; error messages are the store's.
fn check_peer_url(url: &str) -> Result<String, String> {
    let url = url.trim();
    let typed_scheme = url.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    let address = Address::parse(url)?;
    if !typed_scheme.is_some_and(|scheme| ["http", "https", "unix", "unixs"].contains(&scheme.as_str())) {
        return Err(format!("URL scheme must be http, https, unix, or unixs: {url}"));
    }
    let base = format!("{}://{}", address.scheme, address.host);
    let port = address
        .host
        .rsplit_once(':')
        .filter(|(host, port)| (!host.contains(':') || host.ends_with(']')) && !port.contains(']'));
    if port.is_none() {
        return Err(format!("URL address does not have the form \"host:port\": {url}"));
    }
    if address.text() != base {
        return Err(format!("URL must not contain a path: {url}"));
    }
    Ok(base)
}

fn refusal(reply: &Reply) -> RequestError {
    #[derive(Deserialize)]
    struct ErrorBody {
        message: String,
    }
    serde_json::from_slice::<ErrorBody>(&reply.body)
        .map_or(RequestError::NotJson, |reported| RequestError::Refused(reported.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_peer_urls_are_refused_with_the_messages_of_the_store() {
        for (url, says) in [
            ("xx", "URL scheme must be http, https, unix, or unixs: xx"),
            ("", "URL scheme must be http, https, unix, or unixs: "),
            ("foo://x:1", "URL scheme must be http, https, unix, or unixs: foo://x:1"),
            ("http://127.0.0.1", "URL address does not have the form \"host:port\": http://127.0.0.1"),
            ("http://127.0.0.1:1/x", "URL must not contain a path: http://127.0.0.1:1/x"),
            (":foo", "parse \":foo\": missing protocol scheme"),
        ] {
            assert_eq!(check_peer_url(url).unwrap_err(), says);
        }
        assert_eq!(check_peer_url(" http://h:1").unwrap(), "http://h:1");
        assert_eq!(check_peer_url("https://[::1]:1").unwrap(), "https://[::1]:1");
    }
}
