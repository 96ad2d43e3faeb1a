//! Fetches the members from a member: `GET /members` on a peer port.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http_body_util::Empty;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use serde::Deserialize;
use tokio::time::{sleep, timeout};

use crate::http::Endpoint;
use crate::http::client::{Dialer, exchange, read_body};

/// The timeout of one member.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The delay before the next member is asked as well.
const NEXT_MEMBER_DELAY: Duration = Duration::from_secs(1);
/// More than any response's head and any list need.
const MAX_HEAD_BYTES: usize = 1 << 20;
const MAX_BODY_BYTES: usize = 4 << 20;

/// The URLs that the cluster reported; both lists sorted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ClusterUrls {
    pub(super) client_urls: Vec<String>,
    pub(super) peer_urls: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct ListedMember {
    #[serde(rename = "peerURLs")]
    peer_urls: Option<Vec<String>>,
    /// A member that has not started has none.
    #[serde(rename = "clientURLs")]
    client_urls: Option<Vec<String>>,
}

/// Asks one member after another, the next as soon as one fails or is slow. `log_failures`: failures are logged as
/// warnings.
pub(super) async fn fetch(dialer: &Dialer, peer_urls: &[String], log_failures: bool) -> Option<ClusterUrls> {
    let (mut waiting, mut asked) = (peer_urls.iter(), FuturesUnordered::new());
    loop {
        if asked.is_empty() {
            asked.push(one(dialer, waiting.next()?, log_failures));
        }
        let left = !waiting.as_slice().is_empty();
        tokio::select! {
            Some(response) = asked.next() => if response.is_some() { return response },
            () = sleep(NEXT_MEMBER_DELAY), if left => {
                asked.extend(waiting.next().map(|url| one(dialer, url, log_failures)));
            }
        }
    }
}

async fn one(dialer: &Dialer, url: &str, log_failures: bool) -> Option<ClusterUrls> {
    let answered = match Endpoint::parse(url) {
        Err(error) => Err(error.into()),
        Ok(endpoint) => match timeout(REQUEST_TIMEOUT, members(dialer, &endpoint)).await {
            Ok(answered) => answered,
            Err(_) => Err(io::Error::other(format!("no response within {REQUEST_TIMEOUT:?}"))),
        },
    };
    match answered {
        Ok(found) => Some(found),
        Err(error) => {
            let says = format!("could not get cluster response from {url}: {error}");
            if log_failures {
                tracing::warn!("{says}");
            } else {
                tracing::debug!("{says}");
            }
            None
        }
    }
}

async fn members(dialer: &Dialer, endpoint: &Endpoint) -> io::Result<ClusterUrls> {
    // Not pooled: it is used once in half a minute.
    let stream = dialer.dial(endpoint).await?;
    let request = Request::get("/members").header(HOST, endpoint.authority()).body(Empty::<Bytes>::new());
    let request = request.map_err(io::Error::other)?;
    let asked = exchange(stream, MAX_HEAD_BYTES, request, async |response| {
        if response.status() != StatusCode::OK {
            let status = response.status();
            return Err(io::Error::other(format!("it responded {status}; is it a member's peer URL?")));
        }
        read(&read_body(response, MAX_BODY_BYTES).await?).map_err(io::Error::other)
    });
    asked.await.map_err(|error| io::Error::other(dialer.explain_loss(endpoint, error)))?
}

fn read(text: &[u8]) -> Result<ClusterUrls, String> {
    let members: Vec<ListedMember> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if members.is_empty() {
        return Err("its list of members is empty".to_owned());
    }
    let mut found = ClusterUrls::default();
    for member in members {
        found.peer_urls.extend(member.peer_urls.unwrap_or_default());
        found.client_urls.extend(member.client_urls.unwrap_or_default());
    }
    for list in [&mut found.peer_urls, &mut found.client_urls] {
        list.sort();
        list.dedup();
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_members_becomes_the_urls_of_all() {
        let text = br#"[{"id":10561968272094592297,"peerURLs":["http://b:2"],"name":"n2","clientURLs":["http://b:1","http://a:1"]},
            {"id":1,"peerURLs":["http://c:2"],"isLearner":true,"name":"","clientURLs":null},{"id":3,"peerURLs":["http://a:2"],"name":""}]"#;
        let found = read(text).unwrap();
        assert_eq!(found.client_urls, ["http://a:1", "http://b:1"]);
        assert_eq!(found.peer_urls, ["http://a:2", "http://b:2", "http://c:2"]);
    }

    #[test]
    fn an_invalid_member_list_is_refused() {
        for text in ["", "[]", "null", "{}", "404 page not found\n", "[1]"] {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
    }
}
