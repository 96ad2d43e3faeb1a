//! Looks up the hosts in a DNS SRV record.

use std::time::Duration;

use hickory_resolver::Resolver;
use hickory_resolver::proto::rr::RData;

/// One target of an SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) priority: u16,
    pub(crate) weight: u16,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Target {
    /// Returns it as a URL.
    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}:{}", self.host, self.port)
    }
}

/// Why no host is known, with the reason as text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SrvError {
    /// The name servers report that the record does not exist, or names no host.
    #[error("{0}")]
    Missing(String),
    /// The lookup failed.
    #[error("{0}")]
    Failed(String),
}

/// Looks up the record with the system's name servers.
pub(crate) async fn look_up(record: &str, limit: Duration) -> Result<Vec<Target>, SrvError> {
    let resolver = Resolver::builder_tokio()
        .and_then(|builder| builder.build())
        .map_err(|error| SrvError::Failed(format!("cannot use the system's DNS settings: {error}")))?;
    let found = tokio::time::timeout(limit, resolver.srv_lookup(record))
        .await
        .map_err(|_| SrvError::Failed(format!("no DNS response within {limit:?}")))?
        .map_err(|error| {
            let kind = if error.is_no_records_found() { SrvError::Missing } else { SrvError::Failed };
            kind(error.to_string())
        })?;
    let targets = found.answers().iter().filter_map(|answer| match &answer.data {
        RData::SRV(srv) => Some(Target {
            priority: srv.priority,
            weight: srv.weight,
            host: srv.target.to_ascii().trim_end_matches('.').to_owned(),
            port: srv.port,
        }),
        _ => None,
    });
    let ordered = order(targets.collect());
    if ordered.is_empty() { Err(SrvError::Missing("it names no host".into())) } else { Ok(ordered) }
}

/// Sorts by priority, lowest first, then by weight, heaviest first. A single `.` as the target means that the service
/// is explicitly unavailable.
fn order(mut targets: Vec<Target>) -> Vec<Target> {
    targets.retain(|target| !target.host.is_empty());
    targets.sort_by(|a, b| (a.priority, b.weight, &a.host).cmp(&(b.priority, a.weight, &b.host)));
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_ordered_by_priority_then_weight() {
        let target = |priority, weight, host: &str| Target { priority, weight, host: host.into(), port: 1 };
        let hosts: Vec<String> =
            order(vec![target(20, 9, "c"), target(10, 1, "b"), target(10, 5, "a"), target(1, 0, "")])
                .into_iter()
                .map(|target| target.host)
                .collect();
        assert_eq!(hosts, ["a", "b", "c"]);
    }
}
