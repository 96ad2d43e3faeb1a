//! Asking the members who they are: `GET /members` on a peer port.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http_body_util::Full;
use hyper::body::Body as _;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use serde::Deserialize;
use tokio::time::{sleep, timeout};

use super::dial::Dialer;
use super::line::Trouble;
use super::site::Site;

/// How long one member may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it is waited for one before the next is asked besides.
const HEAD_START: Duration = Duration::from_secs(1);
/// More than any list takes.
const LONGEST: usize = 4 << 20;

/// What the cluster said of itself; both lists sorted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) client_urls: Vec<String>,
    pub(super) peer_urls: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Member {
    #[serde(rename = "peerURLs")]
    peer_urls: Option<Vec<String>>,
    /// A member that has not started has none.
    #[serde(rename = "clientURLs")]
    client_urls: Option<Vec<String>>,
}

/// Asks one after another, the next as soon as one fails or is slow. Failures are `loud` in the log or not.
pub(super) async fn ask(dialer: &Dialer, peer_urls: &[String], loud: bool) -> Option<Found> {
    let (mut waiting, mut asked) = (peer_urls.iter(), FuturesUnordered::new());
    loop {
        if asked.is_empty() {
            asked.push(one(dialer, waiting.next()?, loud));
        }
        let left = !waiting.as_slice().is_empty();
        tokio::select! {
            Some(answer) = asked.next() => if answer.is_some() { return answer },
            () = sleep(HEAD_START), if left => asked.extend(waiting.next().map(|url| one(dialer, url, loud))),
        }
    }
}

async fn one(dialer: &Dialer, url: &str, loud: bool) -> Option<Found> {
    let answered = match Site::read(url) {
        None => Err(io::Error::other("only http and https URLs can be asked")),
        Some(site) => match timeout(PATIENCE, members(dialer, &site)).await {
            Ok(answered) => answered,
            Err(_) => Err(io::Error::other(format!("no answer within {PATIENCE:?}"))),
        },
    };
    match answered {
        Ok(found) => Some(found),
        Err(error) => {
            let says = format!("could not get cluster response from {url}: {error}");
            if loud {
                tracing::warn!("{says}");
            } else {
                tracing::debug!("{says}");
            }
            None
        }
    }
}

async fn members(dialer: &Dialer, site: &Site) -> io::Result<Found> {
    // Not kept: it is used once in half a minute.
    let mut line = dialer.connect(site).await?;
    let question = Request::get("/members").header(HOST, site.authority()).body(Full::new(Bytes::new()));
    let question = question.map_err(io::Error::other)?;
    let mut answer = line.ask(question).await.map_err(|trouble| match trouble {
        Trouble::Unsent(_) => io::Error::other("the connection closed at once"),
        Trouble::Lost(why) => io::Error::other(dialer.explain(site, why)),
    })?;
    if answer.status() != StatusCode::OK {
        return Err(io::Error::other(format!("it answered {}; is it a member's peer URL?", answer.status())));
    }
    let mut text = BytesMut::new();
    let body = answer.body_mut();
    while let Some(frame) = poll_fn(|cx| line.poll_with(cx, |cx| Pin::new(&mut *body).poll_frame(cx))).await {
        if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
            text.extend_from_slice(&data);
        }
        if text.len() > LONGEST {
            return Err(io::Error::other(format!("its list is longer than {LONGEST} bytes")));
        }
    }
    read(&text).map_err(io::Error::other)
}

fn read(text: &[u8]) -> Result<Found, String> {
    let members: Vec<Member> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if members.is_empty() {
        return Err("its list of members is empty".to_owned());
    }
    let mut found = Found::default();
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
    fn what_is_no_list_of_members_is_refused() {
        for text in ["", "[]", "null", "{}", "404 page not found\n", "[1]"] {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
    }
}
