//! `/v2/stats` and `/version`.

use hyper::StatusCode;

use super::respond::{self, ApiResponse, json_string};
use super::shared::ConnState;
use crate::consensus::{Latency, PeerMetrics};
use crate::keyspace::Time;
use crate::protocol::json_timestamp;

/// Returns this member's statistics, and its leader since when.
pub(super) fn own(conn: &ConnState) -> ApiResponse {
    let handle = &conn.shared.handle;
    let (members, metrics) = (handle.members(), handle.metrics());
    let leads = members.leader == Some(members.own_id);
    let (name, id) = (json_string(&conn.shared.info.name), members.own_id);
    let state = if leads { "StateLeader" } else { "StateFollower" };
    let leader = members.leader.map(|id| format!("{id:x}")).unwrap_or_default();
    let (uptime, since) = match metrics.led_since {
        // Go's zero time, which clients already handle.
        0 => (0, "\"0001-01-01T00:00:00Z\"".to_owned()),
        since => (handle.now().saturating_sub(since), timestamp(since)),
    };
    let peers = handle.peers();
    let received: u64 = peers.iter().map(|peer| peer.received_appends).sum();
    let sent: u64 = peers.iter().map(|peer| peer.sent_appends).sum();
    let text = format!(
        "{{\"name\":{name},\"id\":\"{id:x}\",\"state\":\"{state}\",\"startTime\":{},\"leaderInfo\":{{\"leader\":\"{leader}\",\
         \"uptime\":\"{}\",\"startTime\":{since}}},\"recvAppendRequestCnt\":{received},\"sendAppendRequestCnt\":{sent}}}",
        timestamp(metrics.started),
        duration(uptime),
    );
    respond::json(StatusCode::OK, text)
}

fn timestamp(at: Time) -> String {
    let mut out = Vec::new();
    json_timestamp(&mut out, at);
    String::from_utf8_lossy(&out).into_owned()
}

/// Returns the leader's view of its followers.
pub(super) fn leader(conn: &ConnState) -> ApiResponse {
    let members = conn.shared.handle.members();
    if members.leader != Some(members.own_id) {
        return respond::message(StatusCode::FORBIDDEN, b"not current leader");
    }
    let followers: Vec<String> = conn.shared.handle.peers().iter().map(follower).collect();
    let text = format!("{{\"leader\":\"{:x}\",\"followers\":{{{}}}}}", members.own_id, followers.join(","));
    respond::json(StatusCode::OK, text)
}

/// Returns the response times of a follower in milliseconds.
fn follower(peer: &PeerMetrics) -> String {
    let Latency { current, average, standard_deviation, minimum, maximum } = peer.latency;
    format!(
        "\"{:x}\":{{\"latency\":{{\"current\":{current},\"average\":{average},\"standardDeviation\":{standard_deviation},\
         \"minimum\":{minimum},\"maximum\":{maximum}}},\"counts\":{{\"fail\":{},\"success\":{}}}}}",
        peer.id, peer.fail, peer.success
    )
}

/// Returns the counts of operations on keys.
pub(super) fn store(conn: &ConnState) -> ApiResponse {
    let counts = conn.shared.handle.view(|keyspace| keyspace.counts());
    let metrics = [
        ("getsSuccess", counts.gets_success),
        ("getsFail", counts.gets_fail),
        ("setsSuccess", counts.sets_success),
        ("setsFail", counts.sets_fail),
        ("deleteSuccess", counts.delete_success),
        ("deleteFail", counts.delete_fail),
        ("updateSuccess", counts.update_success),
        ("updateFail", counts.update_fail),
        ("createSuccess", counts.create_success),
        ("createFail", counts.create_fail),
        ("compareAndSwapSuccess", counts.compare_and_swap_success),
        ("compareAndSwapFail", counts.compare_and_swap_fail),
        ("compareAndDeleteSuccess", counts.compare_and_delete_success),
        ("compareAndDeleteFail", counts.compare_and_delete_fail),
        ("expireCount", counts.expire_count),
        ("watchers", counts.watchers),
    ];
    let text = metrics.map(|(name, count)| format!("\"{name}\":{count}")).join(",");
    respond::json(StatusCode::OK, format!("{{{text}}}"))
}

/// Returns the versions.
pub(super) fn version(conn: &ConnState) -> ApiResponse {
    let info = &conn.shared.info;
    let (server, cluster) = (json_string(&info.server_version), json_string(&info.cluster_version));
    respond::json(StatusCode::OK, format!("{{\"etcdserver\":{server},\"etcdcluster\":{cluster}}}"))
}

/// Formats a duration as Go does: `1h2m3.5s`, `12.5ms`.
fn duration(nanoseconds: Time) -> String {
    let whole = nanoseconds.max(0).unsigned_abs();
    let point = |unit: u64, digits: usize, name: &str| {
        let text = format!("{}.{:0digits$}", whole / unit, whole % unit);
        format!("{}{name}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    match whole {
        0 => "0s".to_owned(),
        1..1_000 => format!("{whole}ns"),
        1_000..1_000_000 => point(1_000, 3, "µs"),
        1_000_000..1_000_000_000 => point(1_000_000, 6, "ms"),
        _ => {
            let (minutes, rest) = (whole / 60_000_000_000, whole % 60_000_000_000);
            let seconds = format!("{}.{:09}", rest / 1_000_000_000, rest % 1_000_000_000);
            let seconds = seconds.trim_end_matches('0').trim_end_matches('.');
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, minutes) => format!("{minutes}m{seconds}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations_are_printed_as_go_prints_them() {
        for (nanoseconds, text) in [
            (-5, "0s"),
            (0, "0s"),
            (17, "17ns"),
            (1_500, "1.5µs"),
            (12_500_000, "12.5ms"),
            (1_047_016_326, "1.047016326s"),
            (60_000_000_000, "1m0s"),
            (3_723_500_000_000, "1h2m3.5s"),
        ] {
            assert_eq!(duration(nanoseconds), text);
        }
    }
}
