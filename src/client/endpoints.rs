//! The nodes of a store: which there are, and which one is asked.
//!
//! They are tried in the order given. The one that answered last is asked first, until it fails. Targets of an SRV
//! record replace them; the record is asked again after all of its targets failed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{ClientError, srv};

/// Base URL of a node, without a trailing slash.
pub(crate) type Node = Arc<str>;

#[derive(Debug)]
pub(crate) struct Endpoints {
    scheme: String,
    record: Option<String>,
    timeout: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    nodes: Vec<Node>,
    at: usize,
}

impl Endpoints {
    pub(crate) fn new(
        nodes: &[String],
        record: Option<&str>,
        scheme: &str,
        timeout: Duration,
    ) -> Result<Self, ClientError> {
        if scheme != "http" && scheme != "https" {
            return Err(ClientError::Settings(format!("the scheme is http or https, not {scheme:?}")));
        }
        let record = record.map(str::trim).filter(|record| !record.is_empty()).map(str::to_owned);
        let nodes = if record.is_some() {
            Vec::new()
        } else {
            nodes.iter().map(|node| normal(node, scheme)).collect::<Result<Vec<_>, _>>()?
        };
        if nodes.is_empty() && record.is_none() {
            return Err(ClientError::Settings("no node of the store is named; give at least one".into()));
        }
        Ok(Self { scheme: scheme.into(), record, timeout, state: Mutex::new(State { nodes, at: 0 }) })
    }

    /// Whether any node may speak TLS.
    pub(crate) fn https(&self) -> bool {
        match self.record {
            Some(_) => self.scheme == "https",
            None => self.lock().nodes.iter().any(|node| node.starts_with("https:")),
        }
    }

    /// Every node, in the order they are to be tried now.
    pub(crate) async fn order(&self) -> Result<Vec<Node>, ClientError> {
        let known = self.rotated();
        if !known.is_empty() {
            return Ok(known);
        }
        let Some(record) = &self.record else { return Ok(known) };
        let targets = srv::look_up(record, self.timeout)
            .await
            .map_err(|why| ClientError::Unavailable { why: format!("SRV record {record}: {why}") })?;
        let nodes = targets.iter().map(|at| Node::from(format!("{}://{}:{}", self.scheme, at.host, at.port)));
        *self.lock() = State { nodes: nodes.collect(), at: 0 };
        Ok(self.rotated())
    }

    fn rotated(&self) -> Vec<Node> {
        let state = self.lock();
        let mut nodes = state.nodes.clone();
        if !nodes.is_empty() {
            nodes.rotate_left(state.at % state.nodes.len());
        }
        nodes
    }

    /// This node answered: it is asked first from now on.
    pub(crate) fn served(&self, node: &str) {
        let mut state = self.lock();
        if let Some(at) = state.nodes.iter().position(|known| **known == *node) {
            state.at = at;
        }
    }

    /// This node failed in a way no request would have shown: the next one is asked first from now on.
    pub(crate) fn failed(&self, node: &str) {
        let mut state = self.lock();
        if state.nodes.get(state.at).is_some_and(|known| **known == *node) {
            state.at = (state.at + 1) % state.nodes.len();
        }
    }

    /// No node answered: hosts that came from DNS may have moved.
    pub(crate) fn all_failed(&self) {
        if self.record.is_some() {
            *self.lock() = State::default();
        }
    }

    /// What logs call this store.
    pub(crate) fn describe(&self) -> String {
        match &self.record {
            Some(record) => format!("SRV record {record}"),
            None => self.lock().nodes.join(", "),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing can panic while the lock is held; a poisoned one still holds whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn normal(text: &str, scheme: &str) -> Result<Node, ClientError> {
    let bad = |what: &str| Err(ClientError::Settings(format!("node {what}")));
    let text = text.trim();
    let whole = if text.contains("://") { text.to_owned() } else { format!("{scheme}://{text}") };
    let whole = whole.trim_end_matches('/');
    // The text may hold a password, so it is not repeated before this is ruled out.
    let authority = whole.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or(""));
    if authority.contains('@') {
        return bad("URL holds a user name or password; give them by their own settings instead");
    }
    match reqwest::Url::parse(whole) {
        Ok(url) if url.scheme() != "http" && url.scheme() != "https" => {
            bad(&format!("{text:?} is neither an http:// nor an https:// URL"))
        }
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            bad(&format!("{text:?} must not hold `?` or `#`"))
        }
        Ok(url) if url.has_host() => Ok(whole.into()),
        Ok(_) => bad(&format!("{text:?} names no host")),
        Err(error) => bad(&format!("{text:?} is no URL: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(nodes: &[&str]) -> Result<Endpoints, ClientError> {
        let nodes: Vec<String> = nodes.iter().map(|node| (*node).to_owned()).collect();
        Endpoints::new(&nodes, None, "http", Duration::from_secs(1))
    }

    #[test]
    fn nodes_get_a_scheme_and_lose_their_slash() {
        let found = endpoints(&["10.0.0.1:2379/", " https://store.example ", "[::1]:2379"]).unwrap();
        assert_eq!(
            found.rotated().iter().map(|node| &**node).collect::<Vec<_>>(),
            ["http://10.0.0.1:2379", "https://store.example", "http://[::1]:2379"]
        );
        assert!(found.https());
    }

    #[test]
    fn a_bad_node_is_named_and_a_password_is_not() {
        for bad in ["ftp://x", "http://", "http://x:99999", "http://x?y"] {
            let said = endpoints(&[bad]).unwrap_err().to_string();
            assert!(said.contains(&format!("{bad:?}")), "{said}");
        }
        let said = endpoints(&["http://root:hunter2@x"]).unwrap_err().to_string();
        assert!(!said.contains("hunter2"), "{said}");
        assert!(matches!(endpoints(&[]), Err(ClientError::Settings(_))));
    }

    #[test]
    fn the_node_that_answered_is_asked_first_until_it_fails() {
        let found = endpoints(&["a:1", "b:1", "c:1"]).unwrap();
        found.served("http://b:1");
        assert_eq!(&*found.rotated()[0], "http://b:1");
        found.failed("http://a:1");
        assert_eq!(&*found.rotated()[0], "http://b:1");
        found.failed("http://b:1");
        assert_eq!(&*found.rotated()[0], "http://c:1");
    }
}
